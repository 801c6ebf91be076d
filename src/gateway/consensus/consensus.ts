/**
 * The gateway's part in Raft: applies committed entries to the site's state and turns "propose this" and "is my state
 * fresh" into promises, on the leader directly, on others by asking the leader.
 */

import type { ConfigurationRecord } from "../../core/raft/configuration.ts";
import type { Proposal, RaftRole, RefusalReason, RequestId } from "../../core/raft/events-effects.ts";
import type { Entry, RaftMessage, SnapshotMeta } from "../../core/raft/messages.ts";
import type { RaftNode, RaftView } from "../../core/raft/raft-node.ts";
import type { RecordPosition } from "../../core/raft/replay.ts";
import type { ApplyResult } from "../../core/site/apply-result.ts";
import { decodeCommand } from "../../core/site/command-codec.ts";
import type { SiteCommand } from "../../core/site/commands.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { type Failure, failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, MemberId } from "../../lib/ids.ts";
import type { TimerHandle } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { GatewayContext } from "../context.ts";
import type { MeshRouter } from "../mesh-router.ts";
import type { Requests } from "../requests.ts";
import { Proposer, packResults } from "./proposer.ts";
import { RaftDriver, type RaftHooks } from "./raft-driver.ts";
import type { Snapshotter } from "./snapshotter.ts";

export interface ConsensusOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly node: RaftNode;
  readonly log: Log;
  readonly recordsAt: readonly RecordPosition[];
  readonly state: SiteState;
  readonly snapshotter: (step: RaftDriver["step"]) => Snapshotter;
  readonly memberOf: (gateway: GatewayId) => MemberId | undefined;
  readonly gatewayOf: (member: MemberId) => GatewayId | undefined;
  /** After each applied entry, in order. `command`: what was wrapped in a session is unwrapped. */
  readonly applied: (command: SiteCommand | undefined, result: ApplyResult) => void;
  /** The state was replaced by a snapshot's. */
  readonly restored: () => void;
  readonly roleChanged: (role: RaftRole, term: number, leader: GatewayId | undefined) => void;
}

/** Proposals that came together and are answered together. */
interface ProposalBatch {
  readonly results: Result<ApplyResult>[];
  readonly settle: (results: readonly Result<ApplyResult>[]) => void;
  readonly timer: TimerHandle;
  /** Those without a result. */
  open: number;
}

/** A command, and what it says where that was read already. */
interface Proposed {
  readonly bytes: Uint8Array;
  readonly command?: SiteCommand;
}

interface OpenProposal {
  readonly batch: ProposalBatch;
  readonly at: number;
  readonly command: SiteCommand | undefined;
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

interface NextRead {
  readonly leader: GatewayId;
  readonly index: Promise<Result<number>>;
  readonly settle: (index: Result<number>) => void;
}

const attemptTimeoutMs = 2_000;
const retryDelayMs = 50;
/** A leader that leads already may become reachable without a change. */
const noLeaderDelayMs = 500;
/** By then the next leader is elected, or there is none to be had. */
const handOverMs = 1_500;
/** What gathered leaves at once from this on: it fills a message of its own. */
const roundBytesMax = 256 << 10;
const newMessageTypes: ReadonlySet<RaftMessage["type"]> = new Set(["install-snapshot", "timeout-now"]);

export class Consensus implements RaftHooks {
  readonly snapshotter: Snapshotter;
  readonly #options: ConsensusOptions;
  readonly #context: GatewayContext;
  readonly #driver: RaftDriver;
  readonly #proposer: Proposer;
  readonly #proposals = new Map<RequestId, OpenProposal>();
  readonly #proposalAt = new Map<number, RequestId>();
  readonly #reads = new Map<RequestId, OpenRead>();
  readonly #appliedWaiters = new Set<AppliedWaiter>();
  readonly #leaderWaiters = new Set<() => void>();
  /** Proposals for the next step of the node. */
  #gathered: Proposal[] = [];
  #gatheredBytes = 0;
  #gathering = false;
  /** Of the last proposal that the node took. */
  #roundIndex = 0;
  /** The question of those who read in this turn. */
  #nextRead: NextRead | undefined;
  #nextRequest = 1;
  #leader: MemberId | undefined;
  #role: RaftRole = "follower";
  #handedOver: (() => void) | undefined;

  constructor(options: ConsensusOptions) {
    this.#options = options;
    this.#context = options.context;
    const { context, router, requests, node, log, recordsAt, memberOf, gatewayOf } = options;
    const { featureMax } = context.tuning;
    this.#driver = new RaftDriver({
      context,
      router,
      node,
      log,
      recordsAt,
      memberOf,
      gatewayOf,
      hooks: this,
      understands: (message) => featureMax >= 2 || !newMessageTypes.has(message.type),
    });
    this.snapshotter = options.snapshotter((event) => this.#driver.step(event));
    this.#proposer = new Proposer({
      context,
      requests,
      raft: {
        propose: (commands) => this.#proposeHere(commands.map((bytes) => ({ bytes }))),
        leader: () => this.leader(),
        leaderChange: (ms) => this.#leaderChange(ms),
      },
      featureLevel: () => Math.min(featureMax, options.state.featureLevel()),
    });
    requests.serve("propose", (_from, body) => this.#proposeForPeer(body));
    requests.serve("propose-batch", (_from, body) => this.#proposeBatchForPeer(body));
    requests.serve("read-index", () => this.#readIndexHere());
  }

  leader(): GatewayId | undefined {
    return this.#leader === undefined ? undefined : this.#options.gatewayOf(this.#leader);
  }

  role(): RaftRole {
    return this.#role;
  }

  isLeader(): boolean {
    return this.#role === "leader";
  }

  view(): RaftView {
    return this.#options.node.view();
  }

  /** For the simulator's checkers. */
  entryAt(index: number): Entry | undefined {
    return this.#options.node.entryAt(index);
  }

  get step(): RaftDriver["step"] {
    return (event) => this.#driver.step(event);
  }

  start(): void {
    this.#driver.step({ type: "tick" });
  }

  /** A leader that is about to stop passes its leadership on, so that nobody has to miss it first. */
  async handOver(to?: MemberId): Promise<void> {
    if (!this.isLeader()) return;
    await new Promise<void>((resolve) => {
      const timer = this.#context.clock.schedule(handOverMs, resolve);
      this.#handedOver = () => {
        this.#context.clock.cancel(timer);
        resolve();
      };
      this.#context.inbox.post(() => this.#driver.step({ type: "transfer-leadership", to }));
    });
    this.#handedOver = undefined;
  }

  stop(): void {
    this.#driver.stop();
    this.snapshotter.stop();
    this.#proposer.stop();
    this.#nextRead?.settle(failure("not-ready", "the gateway is stopping"));
    for (const id of [...this.#proposals.keys()]) this.#settleProposal(id, failure("outcome-unknown", "the gateway is stopping"));
    for (const id of [...this.#reads.keys()]) this.#settleRead(id, failure("not-ready", "the gateway is stopping"));
    for (const wake of [...this.#leaderWaiters]) wake();
    for (const waiter of [...this.#appliedWaiters]) waiter.settle(failure("not-ready", "the gateway is stopping"));
  }

  /**
   * Has the site agree on a command. Fails with `not-applied` (certainly not), or `outcome-unknown` (perhaps). Tries
   * until `timeoutMs`.
   */
  propose(command: SiteCommand, timeoutMs: number): Promise<Result<ApplyResult>> {
    return this.#proposer.propose(command, timeoutMs);
  }

  /** As the leader: one step of the membership. Fails with `not-applied`, `member-change-pending` or `outcome-unknown`. */
  changeConfiguration(configuration: ConfigurationRecord): Promise<Result<void>> {
    return new Promise((resolve) => {
      const requestId = this.#open([undefined], ([result]) => resolve(result?.ok === false ? result : success(undefined)));
      this.#context.inbox.post(() => this.#driver.step({ type: "change-configuration", requestId, configuration }));
    });
  }

  /**
   * Resolves once everything that was acknowledged before the call is applied to this gateway's state (ReadIndex,
   * dissertation §6.4): reads of the state are linearizable then.
   */
  async fresh(timeoutMs: number): Promise<Result<void>> {
    const deadline = this.#context.clock.monotonicMs() + timeoutMs;
    let last = "no leader is known";
    for (;;) {
      const leader = this.leader();
      if (leader !== undefined) {
        const index = await this.#readIndex(leader);
        if (index.ok) return this.#whenApplied(index.value, timeoutMs);
        last = index.message;
      }
      if (this.#context.inbox.closed()) return failure("quorum-unavailable", "the gateway is stopping");
      if (this.#context.clock.monotonicMs() + retryDelayMs >= deadline)
        return failure(
          "quorum-unavailable",
          `no leader answered within ${timeoutMs} ms: ${last}; the site needs a majority of its gateways`,
        );
      const patienceMs = this.leader() === undefined ? noLeaderDelayMs : retryDelayMs;
      await this.#leaderChange(Math.min(patienceMs, deadline - this.#context.clock.monotonicMs()));
    }
  }

  #leaderChange(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#context.clock.cancel(timer);
        this.#leaderWaiters.delete(wake);
        resolve();
      };
      const timer = this.#context.clock.schedule(withinMs, wake);
      this.#leaderWaiters.add(wake);
    });
  }

  /** One question for all who read in this turn of the loop: it leaves after the last of them came, so that it speaks for each. */
  #readIndex(leader: GatewayId): Promise<Result<number>> {
    if (this.#nextRead?.leader === leader) return this.#nextRead.index;
    let settle: (index: Result<number> | Promise<Result<number>>) => void = () => undefined;
    const index = new Promise<Result<number>>((resolve) => {
      settle = resolve;
    });
    const read = { leader, index, settle };
    this.#nextRead = read;
    this.#context.clock.schedule(0, () =>
      this.#context.inbox.post(() => {
        if (this.#nextRead === read) this.#nextRead = undefined;
        settle(leader === this.#context.self ? this.#readIndexHere() : this.#askReadIndex(leader));
      }),
    );
    return index;
  }

  async #askReadIndex(leader: GatewayId): Promise<Result<number>> {
    const answer = await this.#options.requests.call(leader, "read-index", {}, { timeoutMs: attemptTimeoutMs, channel: "raft" });
    if (!answer.ok) return answer;
    return typeof answer.value === "number"
      ? success(answer.value)
      : failure("bad-request", `${leader} answered a read index with no number`);
  }

  /** Places for `count` answers of the node, by request ids from the one returned on; without one in time the outcome is unknown. */
  #open(proposed: readonly (SiteCommand | undefined)[], settle: ProposalBatch["settle"]): RequestId {
    const first = this.#nextRequest;
    this.#nextRequest += proposed.length;
    const timer = this.#context.clock.schedule(attemptTimeoutMs, () => {
      const late = failure("outcome-unknown", `not committed within ${attemptTimeoutMs} ms`);
      for (let at = 0; at < proposed.length; at++) this.#settleProposal(first + at, late);
    });
    const batch: ProposalBatch = { results: [], settle, timer, open: proposed.length };
    for (const [at, command] of proposed.entries())
      this.#proposals.set(first + at, { batch, at, command, index: undefined, term: undefined });
    return first;
  }

  #proposeHere(proposed: readonly Proposed[]): Promise<readonly Result<ApplyResult>[]> {
    if (proposed.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const first = this.#open(
        proposed.map(({ command }) => command),
        resolve,
      );
      for (const [at, { bytes }] of proposed.entries()) {
        this.#gathered.push({ requestId: first + at, command: bytes });
        this.#gatheredBytes += bytes.length;
      }
      this.#stepGathered();
    });
  }

  /**
   * One record, one fsync, one message per follower for all that came, from whichever gateway, in this turn of the loop and
   * while the round before was on its way: until it is on this disk, or committed without it.
   */
  #stepGathered(): void {
    if (this.#gathering || this.#gathered.length === 0 || this.#roundUnderWay()) return;
    this.#gathering = true;
    this.#context.clock.schedule(0, () =>
      this.#context.inbox.post(() => {
        this.#gathering = false;
        this.#stepNextRound();
      }),
    );
  }

  #roundUnderWay(): boolean {
    if (!this.isLeader() || this.#gatheredBytes >= roundBytesMax) return false;
    return this.#driver.isWriting && this.#options.state.appliedIndex() < this.#roundIndex;
  }

  #proposeGathered(): void {
    if (this.#gathered.length === 0) return;
    const proposals = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#driver.step({ type: "propose", proposals });
  }

  /** The round before is out of the way: what waited for it has waited for its company too. */
  #stepNextRound(): void {
    if (!this.#roundUnderWay()) this.#proposeGathered();
  }

  recordDurable(): void {
    this.#stepNextRound();
  }

  async #proposeForPeer(body: unknown): Promise<Result<unknown>> {
    const command = typeof body === "object" && body !== null && "command" in body ? body.command : undefined;
    if (!(command instanceof Uint8Array)) return failure("bad-request", "a proposal without a command");
    const taken = this.#takeCommand(copyBytes(command));
    if (!taken.ok) return taken;
    const [result] = await this.#proposeHere([taken.value]);
    return result ?? failure("internal", "no result");
  }

  async #proposeBatchForPeer(body: unknown): Promise<Result<unknown>> {
    const commands = typeof body === "object" && body !== null && "commands" in body ? body.commands : undefined;
    if (!Array.isArray(commands)) return failure("bad-request", "a proposal without commands");
    let bytes = 0;
    for (const command of commands) bytes += command instanceof Uint8Array ? command.length : 0;
    // The frame's memory is not ours to keep: the entries stay in the log.
    const kept = new Uint8Array(bytes);
    const taken: Proposed[] = [];
    let at = 0;
    for (const command of commands) {
      if (!(command instanceof Uint8Array)) return failure("bad-request", "a proposal without a command");
      kept.set(command, at);
      const one = this.#takeCommand(kept.subarray(at, at + command.length));
      if (!one.ok) return one;
      taken.push(one.value);
      at += command.length;
    }
    return success(packResults(await this.#proposeHere(taken)));
  }

  /** What is once in the log every gateway has to apply, so that a command of the wrong shape is refused before. */
  #takeCommand(bytes: Uint8Array): Result<Proposed> {
    const { packing, tuning } = this.#context;
    const decoded = decodeCommand(bytes, packing, tuning.featureMax);
    return decoded.ok ? success({ bytes, command: decoded.value }) : decoded;
  }

  #readIndexHere(): Promise<Result<number>> {
    return new Promise((resolve) => {
      const id = this.#nextRequest++;
      const timer = this.#context.clock.schedule(attemptTimeoutMs, () =>
        this.#settleRead(id, failure("not-applied", `no majority answered within ${attemptTimeoutMs} ms`)),
      );
      this.#reads.set(id, { settle: resolve, timer });
      this.#context.inbox.post(() => this.#driver.step({ type: "read-index", requestId: id }));
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

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) this.#applyOne(entry);
    this.#wakeApplied();
    this.snapshotter.applied(entries);
    this.#stepNextRound();
  }

  #applyOne(entry: Entry): void {
    const { state } = this.#options;
    const requestId = this.#proposalAt.get(entry.index);
    const open = requestId === undefined ? undefined : this.#proposals.get(requestId);
    // Another term at this index: ours was overwritten, and `proposal-dropped` says so.
    const own = open?.term === entry.term ? open : undefined;
    const command = entry.kind === "command" ? (own?.command ?? this.#commandOf(entry)) : undefined;
    const result = state.apply(entry.index, command);
    this.#options.applied(command?.t === "once" ? command.command : command, result);
    if (requestId !== undefined && own !== undefined) this.#settleProposal(requestId, success(result));
  }

  #commandOf(entry: Entry): SiteCommand | undefined {
    const decoded = decodeCommand(entry.command, this.#context.packing, this.#context.tuning.featureMax);
    if (decoded.ok) return decoded.value;
    // Never appended by a leader that could read it. All gateways of a version pass over it alike.
    this.#context.diagnostics.error("entry-passed-over", { index: entry.index, why: decoded.message });
    return undefined;
  }

  #wakeApplied(): void {
    const applied = this.#options.state.appliedIndex();
    for (const waiter of this.#appliedWaiters) if (waiter.index <= applied) waiter.settle(success(undefined));
  }

  proposalAccepted(requestId: RequestId, index: number, term: number): void {
    const open = this.#proposals.get(requestId);
    if (open === undefined) return;
    open.index = index;
    open.term = term;
    this.#proposalAt.set(index, requestId);
    this.#roundIndex = index;
  }

  proposalRefused(requestId: RequestId, reason: RefusalReason): void {
    this.#settleProposal(requestId, refusal(reason, this.#context.self));
  }

  proposalDropped(requestId: RequestId): void {
    this.#settleProposal(requestId, failure("not-applied", "another leader's entry took its place"));
  }

  proposalUnknown(requestId: RequestId): void {
    this.#settleProposal(requestId, failure("outcome-unknown", "a snapshot took its place, which does not tell"));
  }

  readReady(requestId: RequestId, index: number): void {
    this.#settleRead(requestId, success(index));
  }

  readRefused(requestId: RequestId): void {
    this.#settleRead(requestId, failure("not-applied", `${this.#context.self} does not lead`));
  }

  fetchSnapshot(from: MemberId, position: { readonly index: number; readonly term: number }): void {
    const gateway = this.#options.gatewayOf(from);
    if (gateway !== undefined) this.snapshotter.fetch({ member: from, gateway, ...position });
  }

  restoreSnapshot(snapshot: SnapshotMeta): void {
    this.snapshotter.restore(snapshot);
    this.#options.restored();
    this.#wakeApplied();
  }

  transferEnded(moved: boolean): void {
    this.#context.diagnostics.info("leadership-transfer-ended", { moved });
    this.#handedOver?.();
  }

  roleChanged(role: RaftRole, term: number, leader: MemberId | undefined): void {
    this.#role = role;
    this.#leader = leader;
    this.#options.roleChanged(role, term, this.leader());
    if (leader !== undefined) for (const wake of [...this.#leaderWaiters]) wake();
    this.#stepGathered();
  }

  #settleProposal(id: RequestId, result: Result<ApplyResult>): void {
    const open = this.#proposals.get(id);
    if (open === undefined) return;
    this.#proposals.delete(id);
    if (open.index !== undefined && this.#proposalAt.get(open.index) === id) this.#proposalAt.delete(open.index);
    const { batch, at } = open;
    batch.results[at] = result;
    if (--batch.open > 0) return;
    this.#context.clock.cancel(batch.timer);
    batch.settle(batch.results);
  }

  #settleRead(id: RequestId, result: Result<number> | Failure): void {
    const open = this.#reads.get(id);
    if (open === undefined) return;
    this.#reads.delete(id);
    this.#context.clock.cancel(open.timer);
    open.settle(result);
  }
}

function refusal(reason: RefusalReason, self: GatewayId): Failure {
  switch (reason) {
    case "not-leader":
      return failure("not-applied", `${self} does not lead`);
    case "busy":
      return failure("not-applied", `the leader ${self} has too much under way`);
    case "transferring":
      return failure("not-applied", `${self} is passing its leadership on`);
    case "change-in-flight":
      return failure("member-change-pending", "another change of the membership is not committed yet");
    case "invalid":
      return failure("bad-request", "this is not one step away from the present membership");
    case "too-large":
      return failure("too-large", "the change is larger than one log entry may be");
  }
}
