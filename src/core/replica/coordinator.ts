/**
 * The coordinator's side of a write: one gateway's rounds on their way to their owners. A round is acknowledged when
 * `required` owners (this gateway included, where it is one) have said that it is durable, never before, and never by
 * counting one owner twice. It is offered again to owners that stay silent, and given up after `ackTimeoutMs`; a round
 * that was given up may still be on some disks, which is harmless: nobody was told that it is safe. When the owner table
 * changes, all rounds are withdrawn, and the caller makes the readings of the unacknowledged ones into rounds of the new table.
 */

import { assert } from "../../lib/assert.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Quorum } from "./rules.ts";

export interface CoordinatorOptions {
  readonly self: GatewayId;
  readonly ackTimeoutMs: number;
  readonly resendMinMs: number;
  readonly resendMaxMs: number;
  /** An owner that has not heard of the round's epoch is asked again this soon at first. */
  readonly refusedRetryMs: number;
  /** Bytes of acknowledged rounds that are kept to be offered to lagging owners; beyond it the oldest are let go. */
  readonly lagBytesMax: number;
  /** A lagging owner is offered an acknowledged round for at most this long. */
  readonly lagAgeMaxMs: number;
}

export interface OpenRound {
  readonly number: number;
  readonly owners: readonly GatewayId[];
  /** Owners that have not all readings yet: they get the round, and count among `required.any` only. */
  readonly filling: readonly GatewayId[];
  readonly required: Quorum;
  readonly bytes: number;
  /** Since when its first message waits; time-outs count from here. The time of closing when absent. */
  readonly sinceMs?: number;
}

export type CoordinatorEffect =
  | { readonly type: "append"; readonly round: number }
  | { readonly type: "send"; readonly to: GatewayId; readonly round: number }
  /** `required` copies are durable. */
  | { readonly type: "acknowledged"; readonly round: number }
  /** Given up: its messages must not be acknowledged. */
  | { readonly type: "failed"; readonly round: number; readonly reason: RoundFailure }
  /** Nothing more will be asked of this round; its bytes may go. */
  | { readonly type: "forgotten"; readonly round: number };

export type RoundFailure = "ack-timeout";

interface RoundState {
  readonly open: OpenRound;
  readonly openedMs: number;
  readonly durableAt: Set<GatewayId>;
  /** Of `durableAt`, owners that are not filling. */
  durableWhole: number;
  /** An owner has refused it since it was closed. */
  refused: boolean;
  acknowledged: boolean;
  resendDueMs: number;
  resendDelayMs: number;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #rounds = new Map<number, RoundState>();
  #lagBytes = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  /** A round was closed: write it here where this gateway is an owner, send it to the others. */
  roundClosed(nowMs: number, open: OpenRound, effects: CoordinatorEffect[]): void {
    assert(!this.#rounds.has(open.number), `round ${open.number} is open twice`);
    const { any, whole } = open.required;
    const wholeOwners = open.owners.length - open.filling.length;
    assert(
      any >= 1 && any <= open.owners.length && whole >= 1 && whole <= wholeOwners,
      `round ${open.number} asks for ${any} of ${open.owners.length} copies, ${whole} of them on ${wholeOwners} whole owners`,
    );
    const state: RoundState = {
      open,
      openedMs: open.sinceMs ?? nowMs,
      durableAt: new Set(),
      durableWhole: 0,
      refused: false,
      acknowledged: false,
      resendDueMs: nowMs + this.#options.resendMinMs,
      resendDelayMs: this.#options.resendMinMs,
    };
    this.#rounds.set(open.number, state);
    // Its own disk first: handing over a write takes microseconds, while a peer that wakes up may take this core away.
    if (open.owners.includes(this.#options.self)) effects.push({ type: "append", round: open.number });
    for (const owner of open.owners) if (owner !== this.#options.self) effects.push({ type: "send", to: owner, round: open.number });
  }

  /** `owner` has fsynced the round (this gateway: its own log said so). Duplicates and strangers are ignored. */
  durable(owner: GatewayId, number: number, effects: CoordinatorEffect[]): void {
    const round = this.#rounds.get(number);
    if (round === undefined || !round.open.owners.includes(owner) || round.durableAt.has(owner)) return;
    round.durableAt.add(owner);
    if (!round.open.filling.includes(owner)) round.durableWhole++;
    const { any, whole } = round.open.required;
    if (!round.acknowledged && round.durableAt.size >= any && round.durableWhole >= whole) {
      round.acknowledged = true;
      this.#lagBytes += round.open.bytes;
      effects.push({ type: "acknowledged", round: number });
    }
    if (round.durableAt.size === round.open.owners.length) this.#forget(round, effects);
    else if (round.acknowledged) this.#shedLag(effects);
  }

  /**
   * An owner is at another ring epoch. Where it is ahead, the round waits for this gateway's own table (`withdrawAll`), or for
   * its time-out; where it is behind, it will hear of the change within a moment, and is offered the round again soon.
   */
  refused(nowMs: number, owner: GatewayId, refusal: { readonly round: number; readonly isBehind: boolean }): void {
    const round = this.#rounds.get(refusal.round);
    if (round === undefined || round.refused || !refusal.isBehind || !round.open.owners.includes(owner)) return;
    // Once a round: a second refusal finds the delay growing from there.
    round.refused = true;
    round.resendDelayMs = this.#options.refusedRetryMs;
    round.resendDueMs = Math.min(round.resendDueMs, nowMs + round.resendDelayMs);
  }

  /**
   * The owner table changed: owners refuse these rounds from now on. Forgets them all and returns the numbers of those that were not
   * acknowledged, oldest first. Answers to them that still come mean nothing.
   */
  withdrawAll(effects: CoordinatorEffect[]): number[] {
    const unacknowledged: number[] = [];
    for (const [number, round] of this.#rounds) {
      if (!round.acknowledged) unacknowledged.push(number);
      this.#forget(round, effects);
    }
    return unacknowledged;
  }

  /** A link came back: offer it what it missed, at once. */
  peerUp(nowMs: number, peer: GatewayId, effects: CoordinatorEffect[]): void {
    for (const [number, round] of this.#rounds) {
      if (round.open.owners.includes(peer) && !round.durableAt.has(peer)) {
        effects.push({ type: "send", to: peer, round: number });
        round.resendDueMs = nowMs + round.resendDelayMs;
      }
    }
  }

  tick(nowMs: number, effects: CoordinatorEffect[]): void {
    for (const [number, round] of this.#rounds) {
      const age = nowMs - round.openedMs;
      if (!round.acknowledged && age >= this.#options.ackTimeoutMs) {
        effects.push({ type: "failed", round: number, reason: "ack-timeout" });
        this.#forget(round, effects);
      } else if (round.acknowledged && age >= this.#options.lagAgeMaxMs) {
        this.#forget(round, effects);
      } else if (nowMs >= round.resendDueMs) {
        this.#resend(nowMs, round, effects);
      }
    }
  }

  /** The monotonic time of the next `tick` that has something to do; `undefined` when nothing is open. */
  nextDeadlineMs(): number | undefined {
    let due: number | undefined;
    for (const round of this.#rounds.values()) {
      const ageLimit = round.acknowledged ? this.#options.lagAgeMaxMs : this.#options.ackTimeoutMs;
      const roundDue = Math.min(round.resendDueMs, round.openedMs + ageLimit);
      if (due === undefined || roundDue < due) due = roundDue;
    }
    return due;
  }

  /** Rounds that are not acknowledged yet. */
  unacknowledged(): number {
    let count = 0;
    for (const round of this.#rounds.values()) if (!round.acknowledged) count++;
    return count;
  }

  #resend(nowMs: number, round: RoundState, effects: CoordinatorEffect[]): void {
    for (const owner of round.open.owners) {
      if (owner !== this.#options.self && !round.durableAt.has(owner)) effects.push({ type: "send", to: owner, round: round.open.number });
    }
    round.resendDelayMs = Math.min(round.resendDelayMs * 2, this.#options.resendMaxMs);
    round.resendDueMs = nowMs + round.resendDelayMs;
  }

  #shedLag(effects: CoordinatorEffect[]): void {
    if (this.#lagBytes <= this.#options.lagBytesMax) return;
    // Maps iterate in insertion order: the oldest acknowledged round goes first.
    for (const round of this.#rounds.values()) {
      if (!round.acknowledged) continue;
      this.#forget(round, effects);
      if (this.#lagBytes <= this.#options.lagBytesMax) return;
    }
  }

  #forget(round: RoundState, effects: CoordinatorEffect[]): void {
    if (round.acknowledged) this.#lagBytes -= round.open.bytes;
    this.#rounds.delete(round.open.number);
    effects.push({ type: "forgotten", round: round.open.number });
  }
}
