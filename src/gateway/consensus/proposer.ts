/**
 * "Have the site agree on this" as a promise: finds the leader, asks it (itself included), asks again. From feature level 2
 * on each command carries a session and a number, so that it is applied once however often it is tried (dissertation
 * §6.3): an attempt whose outcome is unknown is simply made again. Commands that come up in one turn travel together.
 */

import type { ApplyResult } from "../../core/site/apply-result.ts";
import { writeCommand } from "../../core/site/command-codec.ts";
import type { PlainCommand, SiteCommand } from "../../core/site/commands.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { type ErrorCode, errorCodes, failure, type Result, success } from "../../lib/errors.ts";
import { type GatewayId, type SessionId, sessionId } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import type { Requests } from "../requests.ts";

/** What the proposer asks of the Raft node of this gateway. */
export interface LocalRaft {
  /** Everybody's turn: one record and one message per follower for all of them. */
  propose(commands: readonly Uint8Array[]): Promise<readonly Result<ApplyResult>[]>;
  leader(): GatewayId | undefined;
  /** Resolves when another leader becomes known, or after `withinMs`. */
  leaderChange(withinMs: number): Promise<void>;
}

export interface ProposerOptions {
  readonly context: GatewayContext;
  readonly requests: Requests;
  readonly raft: LocalRaft;
  /** Of the site, as applied here. */
  readonly featureLevel: () => number;
}

interface Waiting {
  readonly command: SiteCommand;
  readonly settle: (result: Result<ApplyResult>) => void;
}

/** Attempts that are worth making again: certainly not applied, or applied once at most. */
const certain: ReadonlySet<ErrorCode> = new Set(["not-applied", "unreachable", "busy"]);
const attemptTimeoutMs = 2_500;
const retryDelayMs = 50;
/** A leader that leads already may become reachable without a change. */
const noLeaderDelayMs = 500;
const batchesMax = 2;
const batchPatienceMs = 100;
/** Commands in one question to the leader. */
const batchMax = 256;
const batchBytesMax = 4 << 20;
/** Room that a command usually needs; a batch that needs more grows. */
const usualBytes = 384;
/** Commands of this process whose outcome is open. */
const openMax = 4_000;
/** The site remembers the results of 65,536 commands from the oldest open one on: what is further ahead would end the session. */
const aheadMax = 65_000;

export class Proposer {
  readonly #options: ProposerOptions;
  readonly #context: GatewayContext;
  #queue: Waiting[] = [];
  /** Batches that have left and whose place is not free again. */
  #underWay = 0;
  #waking = false;
  /** The session that the site knows this process by, once it does. */
  #session: { readonly id: SessionId; opened: boolean };
  #sessions = 1;
  #nextSequence = 1;
  /** Sequence numbers of commands that somebody still waits for. */
  readonly #open = new Set<number>();
  #opening: Promise<boolean> | undefined;

  constructor(options: ProposerOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#session = { id: options.context.session, opened: false };
  }

  /**
   * Fails with `not-applied` (certainly not), or `outcome-unknown` (perhaps), or what the leader says of the command. Tries
   * until `timeoutMs`.
   */
  async propose(command: SiteCommand, timeoutMs: number): Promise<Result<ApplyResult>> {
    const deadlineMs = this.#context.clock.monotonicMs() + timeoutMs;
    if (this.#options.featureLevel() < 2 || command.t === "session-open" || command.t === "once" || command.t === "feature-level")
      return this.#persevere(deadlineMs, { again: false, command: () => command });
    const ahead = this.#nextSequence - this.#floor();
    if (this.#open.size >= openMax || ahead >= aheadMax)
      return failure("not-applied", `${this.#open.size} changes asked of this gateway are open, the oldest ${ahead} changes ago`);
    return this.#proposeOnce(command, deadlineMs);
  }

  /** What has not left never will. */
  stop(): void {
    const unsent = this.#queue;
    this.#queue = [];
    for (const waiting of unsent) waiting.settle(failure("not-applied", "the gateway is stopping"));
  }

  async #proposeOnce(command: PlainCommand, deadlineMs: number): Promise<Result<ApplyResult>> {
    for (;;) {
      if (!this.#session.opened && !(await this.#ensureSession(deadlineMs)))
        return failure("not-applied", "no leader took this gateway's session in time");
      const session = this.#session;
      const sequence = this.#nextSequence++;
      this.#open.add(sequence);
      let attempts = 0;
      const result = await this.#persevere(deadlineMs, {
        again: true,
        command: () => {
          attempts++;
          return { t: "once", session: session.id, sequence, floor: this.#floor(), command };
        },
      });
      this.#open.delete(sequence);
      if (!result.ok || result.value.t !== "session-unknown") return result;
      if (this.#session === session) this.#session = this.#newSession();
      // The site forgot the session: an earlier attempt may have been applied before it did.
      if (attempts > 1) return failure("outcome-unknown", "the site no longer remembers the session that this change was asked in");
      // Nothing was applied, and with another session it may be; but whoever waits has waited long enough.
      if (this.#context.clock.monotonicMs() >= deadlineMs)
        return failure("not-applied", "the site forgot this gateway's sessions before they were used");
    }
  }

  /** The lowest number that somebody still waits for: results below may be forgotten. */
  #floor(): number {
    // Numbers are added in ascending order, and a set keeps that order.
    for (const sequence of this.#open) return sequence;
    return this.#nextSequence;
  }

  #newSession(): { readonly id: SessionId; opened: boolean } {
    const { session } = this.#context;
    return { id: sessionId(`${session.slice(0, 24)}${(++this.#sessions).toString(16).padStart(8, "0")}`), opened: false };
  }

  #ensureSession(deadlineMs: number): Promise<boolean> {
    this.#opening ??= this.#openSession(deadlineMs).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openSession(deadlineMs: number): Promise<boolean> {
    const session = this.#session;
    const command: SiteCommand = { t: "session-open", gateway: this.#context.self, session: session.id };
    // Opening twice is opening once.
    const opened = await this.#persevere(deadlineMs, { again: true, command: () => command });
    if (opened.ok) session.opened = true;
    return opened.ok;
  }

  async #persevere(
    deadlineMs: number,
    attempt: { readonly again: boolean; readonly command: () => SiteCommand },
  ): Promise<Result<ApplyResult>> {
    let last = "no leader is known";
    let unknown = false;
    for (;;) {
      if (this.#options.raft.leader() !== undefined) {
        const result = await this.#enqueue(attempt.command());
        if (result.ok) return result;
        const retried = certain.has(result.code) || (attempt.again && result.code === "outcome-unknown");
        if (!retried) return result;
        unknown ||= result.code === "outcome-unknown";
        last = result.message;
      }
      const givenUp = unknown ? "outcome-unknown" : "not-applied";
      if (this.#context.inbox.closed()) return failure(givenUp, "the gateway is stopping");
      if (this.#context.clock.monotonicMs() + retryDelayMs >= deadlineMs)
        return failure(givenUp, `no leader took it in time: ${last}; the site needs a majority of its gateways`);
      // A leader that refused is asked again soon; where there is none, its election wakes everybody.
      const patienceMs = this.#options.raft.leader() === undefined ? noLeaderDelayMs : retryDelayMs;
      await this.#options.raft.leaderChange(Math.min(patienceMs, deadlineMs - this.#context.clock.monotonicMs()));
    }
  }

  #enqueue(command: SiteCommand): Promise<Result<ApplyResult>> {
    return new Promise((resolve) => {
      this.#queue.push({ command, settle: resolve });
      this.#wake();
    });
  }

  /** At the end of the turn: what its other packets ask for comes along. */
  #wake(): void {
    if (this.#waking || this.#queue.length === 0 || this.#underWay >= batchesMax) return;
    this.#waking = true;
    this.#context.clock.schedule(0, () =>
      this.#context.inbox.post(() => {
        this.#waking = false;
        this.#sendQueue();
      }),
    );
  }

  /** While two batches are under way, what comes up joins the next: one record, one fsync, one message for all of it. */
  #sendQueue(): void {
    while (this.#queue.length > 0 && this.#underWay < batchesMax) {
      const writer = new ByteWriter(Math.min(this.#queue.length, batchMax) * usualBytes);
      const ends: number[] = [];
      while (ends.length < this.#queue.length && ends.length < batchMax && writer.length < batchBytesMax) {
        writeCommand(writer, (this.#queue[ends.length] as Waiting).command, this.#context.packing);
        ends.push(writer.length);
      }
      // One piece of memory for all of them: small ones cost more than what they hold.
      const bytes = writer.finish();
      const commands = ends.map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end));
      this.#sendBatch(this.#queue.splice(0, ends.length), commands);
    }
  }

  #sendBatch(batch: readonly Waiting[], commands: readonly Uint8Array[]): void {
    this.#underWay++;
    let free = false;
    const makeFree = (): void => {
      if (free) return;
      free = true;
      this.#underWay--;
      this.#context.clock.cancel(patience);
      this.#wake();
    };
    // A batch that waits for a leader that is gone must not hold up the ones that know better.
    const patience = this.#context.clock.schedule(batchPatienceMs, makeFree);
    this.#ask(commands)
      .finally(makeFree)
      .then(
        (results) => {
          for (const [at, waiting] of batch.entries())
            waiting.settle(results[at] ?? failure("outcome-unknown", "the leader gave no answer to it"));
        },
        (cause: unknown) => {
          const why = failure("outcome-unknown", cause instanceof Error ? cause.message : String(cause));
          for (const waiting of batch) waiting.settle(why);
        },
      );
  }

  async #ask(commands: readonly Uint8Array[]): Promise<readonly Result<ApplyResult>[]> {
    const leader = this.#options.raft.leader();
    if (leader === undefined) return commands.map(() => failure("not-applied", "no leader is known"));
    if (leader === this.#context.self) return this.#options.raft.propose(commands);
    const options = { timeoutMs: attemptTimeoutMs, channel: "raft" as const };
    if (this.#options.featureLevel() < 2) return Promise.all(commands.map((command) => this.#askOne(leader, command)));
    const answer = await this.#options.requests.call(leader, "propose-batch", { commands }, options);
    if (!answer.ok) return commands.map(() => answer);
    const results = answer.value as { readonly results?: unknown };
    if (!Array.isArray(results.results))
      return commands.map(() => failure("outcome-unknown", `${leader} answered in a way that says nothing`));
    return results.results.map((result: unknown) => readResult(result));
  }

  /** As gateways of feature level 1 understand it. */
  async #askOne(leader: GatewayId, command: Uint8Array): Promise<Result<ApplyResult>> {
    const answer = await this.#options.requests.call(leader, "propose", { command }, { timeoutMs: attemptTimeoutMs, channel: "raft" });
    return answer.ok ? success(answer.value as ApplyResult) : answer;
  }
}

/** Results of one question, as they travel. */
export function packResults(results: readonly Result<ApplyResult>[]): unknown {
  return { results: results.map((result) => (result.ok ? { value: result.value } : { code: result.code, message: result.message })) };
}

function readResult(packed: unknown): Result<ApplyResult> {
  if (typeof packed !== "object" || packed === null) return failure("outcome-unknown", "the leader's answer cannot be read");
  if ("value" in packed) return success(packed.value as ApplyResult);
  const { code, message } = packed as { readonly code?: unknown; readonly message?: unknown };
  return failure(typeof code === "string" && code in errorCodes ? (code as ErrorCode) : "outcome-unknown", String(message));
}
