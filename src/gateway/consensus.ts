/**
 * The gateway's part in Raft: drives the node with frames, timers and the log's answers, carries out its effects,
 * applies committed entries to the site's state, and turns "propose this" and "is my state fresh" into promises, on
 * the leader directly, on others by asking the leader.
 */

import type { RaftEffect, RaftEvent, RaftRecord, RaftRole, RefusalReason } from "../core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../core/raft/message-codec.ts";
import type { Entry } from "../core/raft/messages.ts";
import type { RaftNode } from "../core/raft/raft-node.ts";
import { encodeRecord } from "../core/raft/record-codec.ts";
import { decodeCommand, encodeCommand } from "../core/site/command-codec.ts";
import type { SiteCommand } from "../core/site/commands.ts";
import type { ApplyResult, SiteState } from "../core/site/site-state.ts";
import { copyBytes } from "../lib/bytes.ts";
import { type ErrorCode, type Failure, failure, type Result, success } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { TimerHandle } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { GatewayContext } from "./context.ts";
import { FrameKind } from "./frames.ts";
import type { MeshRouter } from "./mesh-router.ts";
import type { Requests } from "./requests.ts";

export interface ConsensusOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly node: RaftNode;
  readonly log: Log;
  readonly state: SiteState;
  /** After each applied entry, in order. */
  readonly applied: (index: number, command: SiteCommand | undefined, result: ApplyResult) => void;
  readonly roleChanged: (role: RaftRole, term: number, leader: GatewayId | undefined) => void;
}

interface OpenProposal {
  readonly settle: (result: Result<ApplyResult>) => void;
  readonly timer: TimerHandle;
  index: number | undefined;
  term: number | undefined;
}

interface AppliedWaiter {
  readonly index: number;
  readonly settle: (result: Result<void>) => void;
}

interface OpenRead {
  readonly settle: (result: Result<number>) => void;
  readonly timer: TimerHandle;
}

const attemptTimeoutMs = 2_000;
const retryDelayMs = 50;
const persistRetryMs = 20;

export class Consensus {
  readonly #options: ConsensusOptions;
  readonly #context: GatewayContext;
  readonly #proposals = new Map<number, OpenProposal>();
  readonly #proposalAt = new Map<number, number>();
  readonly #reads = new Map<number, OpenRead>();
  readonly #appliedWaiters = new Set<AppliedWaiter>();
  readonly #unwritten: { readonly token: number; readonly bytes: Uint8Array }[] = [];
  #nextRequest = 1;
  #timer: TimerHandle | undefined;
  #timerDueMs = 0;
  #stepping = false;
  readonly #events: RaftEvent[] = [];
  #leader: GatewayId | undefined;
  #role: RaftRole = "follower";

  constructor(options: ConsensusOptions) {
    this.#options = options;
    this.#context = options.context;
    options.router.handle(FrameKind.Raft, (from, body) => {
      const decoded = decodeMessage(body);
      if (decoded.ok) this.step({ type: "message", from, message: decoded.value });
      else this.#context.diagnostics.warn("raft-message-malformed", { from, what: decoded.message });
    });
    options.requests.serve("propose", (_from, body) => this.#proposeForPeer(body));
    options.requests.serve("read-index", () => this.#readIndexHere());
  }

  leader(): GatewayId | undefined {
    return this.#leader;
  }

  role(): RaftRole {
    return this.#role;
  }

  isLeader(): boolean {
    return this.#role === "leader";
  }

  view(): ReturnType<RaftNode["view"]> {
    return this.#options.node.view();
  }

  /** For the simulator's checkers. */
  entryAt(index: number): Entry | undefined {
    return this.#options.node.entryAt(index);
  }

  start(): void {
    this.step({ type: "tick" });
  }

  stop(): void {
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
    this.#timer = undefined;
    for (const id of [...this.#proposals.keys()]) this.#settleProposal(id, failure("outcome-unknown", "the gateway is stopping"));
    for (const id of [...this.#reads.keys()]) this.#settleRead(id, failure("not-ready", "the gateway is stopping"));
    for (const waiter of [...this.#appliedWaiters]) waiter.settle(failure("not-ready", "the gateway is stopping"));
  }

  /** Feeds one event to the node and carries out what follows. Events that arise meanwhile wait their turn. */
  step(event: RaftEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const effects: RaftEffect[] = [];
      this.#options.node.step(this.#context.clock.monotonicMs(), next, effects);
      for (const effect of effects) this.#carryOut(effect);
    }
    this.#stepping = false;
    this.#armTimer();
  }

  /**
   * Has the site agree on a command. Fails with `not-applied` (certainly not), or `outcome-unknown` (perhaps). Tries
   * until `timeoutMs` as long as it is certain that nothing was applied.
   */
  async propose(command: SiteCommand, timeoutMs: number): Promise<Result<ApplyResult>> {
    const bytes = encodeCommand(command, this.#context.packing);
    return this.#persevere(timeoutMs, "not-applied", (leader) => {
      if (leader === this.#context.self) return this.#proposeHere(bytes);
      return this.#askLeader<ApplyResult>(leader, "propose", { command: bytes });
    });
  }

  /**
   * Resolves once everything that was acknowledged before the call is applied to this gateway's state (ReadIndex,
   * dissertation §6.4): reads of the state are linearizable then.
   */
  async fresh(timeoutMs: number): Promise<Result<void>> {
    const index = await this.#persevere(timeoutMs, "quorum-unavailable", (leader) => {
      if (leader === this.#context.self) return this.#readIndexHere();
      return this.#askLeader<number>(leader, "read-index", {});
    });
    // A read changes nothing, so that an unknown outcome is simply none.
    if (!index.ok) return failure("quorum-unavailable", index.message);
    return this.#whenApplied(index.value, timeoutMs);
  }

  async #persevere<T>(timeoutMs: number, givenUp: ErrorCode, attempt: (leader: GatewayId) => Promise<Result<T>>): Promise<Result<T>> {
    const deadline = this.#context.clock.monotonicMs() + timeoutMs;
    let last = "no leader is known";
    for (;;) {
      const leader = this.#leader;
      if (leader !== undefined) {
        const result = await attempt(leader);
        if (result.ok) return result;
        const certain =
          result.code === "not-applied" || result.code === "unreachable" || result.code === "busy" || givenUp === "quorum-unavailable";
        if (!certain) return failure(result.code === "outcome-unknown" ? "outcome-unknown" : result.code, result.message);
        last = result.message;
      }
      if (this.#context.inbox.closed()) return failure(givenUp, "the gateway is stopping");
      if (this.#context.clock.monotonicMs() + retryDelayMs >= deadline)
        return failure(givenUp, `no leader took it within ${timeoutMs} ms: ${last}; the site needs a majority of its gateways`);
      await this.#pause(retryDelayMs);
    }
  }

  async #askLeader<T>(leader: GatewayId, type: "propose" | "read-index", body: unknown): Promise<Result<T>> {
    const answer = await this.#options.requests.call(leader, type, body, { timeoutMs: attemptTimeoutMs, channel: "raft" });
    if (answer.ok) return success(answer.value as T);
    return answer;
  }

  #proposeHere(command: Uint8Array): Promise<Result<ApplyResult>> {
    return new Promise((resolve) => {
      const id = this.#nextRequest++;
      const timer = this.#context.clock.schedule(attemptTimeoutMs, () =>
        this.#settleProposal(id, failure("outcome-unknown", `not committed within ${attemptTimeoutMs} ms`)),
      );
      this.#proposals.set(id, { settle: resolve, timer, index: undefined, term: undefined });
      this.#context.inbox.post(() => this.step({ type: "propose", proposals: [{ requestId: id, command }] }));
    });
  }

  #proposeForPeer(body: unknown): Promise<Result<ApplyResult>> {
    const command =
      typeof body === "object" && body !== null && "command" in body && body.command instanceof Uint8Array ? body.command : undefined;
    if (command === undefined || !decodeCommand(command, this.#context.packing).ok)
      return Promise.resolve(failure("bad-request", "a proposal without a command"));
    // The frame's memory is not ours to keep: the entry stays in the log.
    return this.#proposeHere(copyBytes(command));
  }

  #readIndexHere(): Promise<Result<number>> {
    return new Promise((resolve) => {
      const id = this.#nextRequest++;
      const timer = this.#context.clock.schedule(attemptTimeoutMs, () =>
        this.#settleRead(id, failure("not-applied", `no majority answered within ${attemptTimeoutMs} ms`)),
      );
      this.#reads.set(id, { settle: resolve, timer });
      this.#context.inbox.post(() => this.step({ type: "read-index", requestId: id }));
    });
  }

  #whenApplied(index: number, timeoutMs: number): Promise<Result<void>> {
    if (this.#options.state.appliedIndex() >= index) return Promise.resolve(success(undefined));
    return new Promise((resolve) => {
      const settle = (result: Result<void>): void => {
        this.#context.clock.cancel(timer);
        this.#appliedWaiters.delete(waiter);
        resolve(result);
      };
      const waiter: AppliedWaiter = { index, settle };
      const timer = this.#context.clock.schedule(timeoutMs, () =>
        settle(failure("quorum-unavailable", `this gateway did not catch up to log index ${index} within ${timeoutMs} ms`)),
      );
      this.#appliedWaiters.add(waiter);
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.clock.schedule(ms, resolve);
    });
  }

  #carryOut(effect: RaftEffect): void {
    switch (effect.type) {
      case "persist":
        this.#persist(effect.token, effect.record);
        break;
      case "send":
        this.#options.router.send(effect.to, "raft", FrameKind.Raft, encodeMessage(effect.message));
        break;
      case "apply":
        for (const entry of effect.entries) this.#apply(entry);
        break;
      case "proposal-accepted":
        this.#accepted(effect.requestId, effect.index, effect.term);
        break;
      case "proposal-refused":
        this.#settleProposal(effect.requestId, refusal(effect.reason, this.#context.self));
        break;
      case "proposal-dropped":
        this.#settleProposal(effect.requestId, failure("not-applied", "another leader's entry took its place"));
        break;
      case "read-ready":
        this.#settleRead(effect.requestId, success(effect.index));
        break;
      case "read-refused":
        this.#settleRead(effect.requestId, failure("not-applied", `${this.#context.self} does not lead`));
        break;
      case "role-changed":
        this.#role = effect.role;
        this.#leader = effect.leader;
        this.#options.roleChanged(effect.role, effect.term, effect.leader);
        break;
      case "peer-violation":
        this.#context.diagnostics.error("raft-peer-violation", { from: effect.from, what: effect.what });
        break;
    }
  }

  #persist(token: number, record: RaftRecord): void {
    this.#unwritten.push({ token, bytes: encodeRecord(record) });
    this.#writeMore();
  }

  /** Records go to the log in order; one that finds no room waits, and the node's durable event with it. */
  #writeMore(): void {
    for (let next = this.#unwritten[0]; next !== undefined; next = this.#unwritten[0]) {
      const { token, bytes } = next;
      const sequence = this.#options.log.append([bytes], () => this.#context.inbox.post(() => this.step({ type: "durable", token })));
      if (sequence === undefined) {
        this.#context.clock.schedule(persistRetryMs, () => this.#context.inbox.post(() => this.#writeMore()));
        return;
      }
      this.#unwritten.shift();
    }
  }

  #apply(entry: Entry): void {
    let command: SiteCommand | undefined;
    if (entry.kind === "command") {
      const decoded = decodeCommand(entry.command, this.#context.packing);
      // Never appended by a leader that could read it. All gateways of a version pass over it alike.
      if (decoded.ok) command = decoded.value;
      else this.#context.diagnostics.error("entry-passed-over", { index: entry.index, why: decoded.message });
    }
    const result = this.#options.state.apply(entry.index, command);
    this.#options.applied(entry.index, command, result);
    const requestId = this.#proposalAt.get(entry.index);
    if (requestId !== undefined) {
      const open = this.#proposals.get(requestId);
      // Another term at this index: ours was overwritten, and `proposal-dropped` says so.
      if (open?.term === entry.term) this.#settleProposal(requestId, success(result));
    }
    this.#wakeApplied();
  }

  #wakeApplied(): void {
    const applied = this.#options.state.appliedIndex();
    for (const waiter of this.#appliedWaiters) if (waiter.index <= applied) waiter.settle(success(undefined));
  }

  #accepted(requestId: number, index: number, term: number): void {
    const open = this.#proposals.get(requestId);
    if (open === undefined) return;
    open.index = index;
    open.term = term;
    this.#proposalAt.set(index, requestId);
  }

  #settleProposal(id: number, result: Result<ApplyResult>): void {
    const open = this.#proposals.get(id);
    if (open === undefined) return;
    this.#proposals.delete(id);
    if (open.index !== undefined && this.#proposalAt.get(open.index) === id) this.#proposalAt.delete(open.index);
    this.#context.clock.cancel(open.timer);
    open.settle(result);
  }

  #settleRead(id: number, result: Result<number> | Failure): void {
    const open = this.#reads.get(id);
    if (open === undefined) return;
    this.#reads.delete(id);
    this.#context.clock.cancel(open.timer);
    open.settle(result);
  }

  #armTimer(): void {
    const due = this.#options.node.nextDeadlineMs();
    if (due === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined && this.#timerDueMs <= due) return;
    if (this.#timer !== undefined) this.#context.clock.cancel(this.#timer);
    this.#timerDueMs = due;
    const delay = Math.max(0, due - this.#context.clock.monotonicMs());
    this.#timer = this.#context.clock.schedule(delay, () => {
      this.#timer = undefined;
      this.#context.inbox.post(() => this.step({ type: "tick" }));
    });
  }
}

function refusal(reason: RefusalReason, self: GatewayId): Failure {
  switch (reason) {
    case "not-leader":
      return failure("not-applied", `${self} does not lead`);
    case "busy":
      return failure("not-applied", `the leader ${self} has too much under way`);
    case "too-large":
      return failure("too-large", "the change is larger than one log entry may be");
  }
}
