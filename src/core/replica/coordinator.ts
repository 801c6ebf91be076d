/**
 * The coordinator's side of a write: one gateway's rounds on their way to their owners. A round is acknowledged when
 * `required` owners (this gateway included, where it is one) have said that it is durable, never before, and never by
 * counting one owner twice. It is offered again to owners that stay silent, and given up after `ackTimeoutMs`; a round
 * that was given up may still be on some disks, which is harmless: nobody was told that it is safe. When the owner table
 * changes, all rounds are withdrawn, and the caller makes the readings of the unacknowledged ones into rounds of the new table.
 *
 * An owner that still lacks a round when the coordinator lets go of it is named (*lagging*): the caller keeps a hint for it.
 * Where a round has two owners and a *stand-in*, a gateway that owns nothing, and one of the two does not answer, the stand-in is
 * asked to keep the round for whoever lacks it: its copy counts for one missing owner, so that the round is on two of three
 * disks, of which one is an owner's. A round that *may be held* is offered to the caller's own disk when its owners are too few or
 * too slow: it then counts as acknowledged although it is on no owner, and the caller vouches for its delivery.
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
  /** So long a round that may be held waits for its quorum. */
  readonly holdAfterMs: number;
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
  /** Owners that are known not to answer as it is closed. */
  readonly unreachable?: readonly GatewayId[];
  /** Keeps a copy for one of two owners that does not answer. Only of rounds with two owners that ask for a quorum. */
  readonly standIn?: GatewayId;
  /** It may be acknowledged when it is on this gateway's disk alone. */
  readonly mayHold?: boolean;
}

export type CoordinatorEffect =
  | { readonly type: "append"; readonly round: number }
  | { readonly type: "send"; readonly to: GatewayId; readonly round: number }
  /** The stand-in is to keep it for these owners. */
  | { readonly type: "stand-in"; readonly to: GatewayId; readonly round: number; readonly targets: readonly GatewayId[] }
  /** The stand-in, which was asked to keep it for this owner, need not: the owner has it. */
  | { readonly type: "relieved"; readonly standIn: GatewayId; readonly round: number; readonly owner: GatewayId }
  /** Keep it here, and say `held` once it is durable, or `notHeld`. */
  | { readonly type: "hold"; readonly round: number }
  /** It is let go of although these owners have not got it. Acknowledged rounds only. */
  | { readonly type: "lagging"; readonly round: number; readonly owners: readonly GatewayId[] }
  /** `required` copies are durable. */
  | { readonly type: "acknowledged"; readonly round: number }
  /** Given up: its messages must not be acknowledged. */
  | { readonly type: "failed"; readonly round: number; readonly reason: RoundFailure }
  /** Nothing more will be asked of this round; its bytes may go. */
  | { readonly type: "forgotten"; readonly round: number };

/** `held-full`: it was to be held, and there was no room. */
export type RoundFailure = "ack-timeout" | "held-full";

interface RoundState {
  readonly open: OpenRound;
  readonly openedMs: number;
  readonly durableAt: Set<GatewayId>;
  /** Of `durableAt`, owners that are not filling. */
  durableWhole: number;
  /** An owner has refused it since it was closed. */
  refused: boolean;
  acknowledged: boolean;
  standIn: "unasked" | "asked" | "durable";
  hold: "unasked" | "asked" | "refused";
  holdDueMs: number;
  resendDueMs: number;
  resendDelayMs: number;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #rounds = new Map<number, RoundState>();
  /** Owners that have been gone for so long that it is no use to keep rounds in memory for them. */
  readonly #away = new Set<GatewayId>();
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
      standIn: "unasked",
      hold: "unasked",
      holdDueMs: nowMs + this.#options.holdAfterMs,
      resendDueMs: nowMs + this.#options.resendMinMs,
      resendDelayMs: this.#options.resendMinMs,
    };
    assert(open.standIn === undefined || open.owners.length === 2, `round ${open.number} has a stand-in for one of two owners`);
    this.#rounds.set(open.number, state);
    // Its own disk first: handing over a write takes microseconds, while a peer that wakes up may take this core away.
    if (open.owners.includes(this.#options.self)) effects.push({ type: "append", round: open.number });
    for (const owner of open.owners) if (owner !== this.#options.self) effects.push({ type: "send", to: owner, round: open.number });
    const unreachable = open.unreachable?.length ?? 0;
    if (unreachable > 0) this.#askStandIn(state, effects);
    if (open.owners.length - unreachable < any) this.#askToHold(state, effects);
  }

  /** `owner` has fsynced the round (this gateway: its own log said so). Duplicates and strangers are ignored. */
  durable(owner: GatewayId, number: number, effects: CoordinatorEffect[]): void {
    const round = this.#rounds.get(number);
    if (round === undefined || !round.open.owners.includes(owner) || round.durableAt.has(owner)) return;
    round.durableAt.add(owner);
    if (!round.open.filling.includes(owner)) round.durableWhole++;
    const { standIn } = round.open;
    if (standIn !== undefined && round.standIn !== "unasked") effects.push({ type: "relieved", standIn, round: number, owner });
    this.#judge(round, effects);
  }

  /** The stand-in has the round on disk, for all owners that had not said that they have it when it was asked. */
  standInDurable(standIn: GatewayId, number: number, effects: CoordinatorEffect[]): void {
    const round = this.#rounds.get(number);
    if (round === undefined || round.open.standIn !== standIn || round.standIn !== "asked") return;
    round.standIn = "durable";
    this.#judge(round, effects);
  }

  /** The round is on this gateway's disk, to be delivered later. False when nobody waits for it any more: the record may go. */
  held(number: number, effects: CoordinatorEffect[]): boolean {
    const round = this.#rounds.get(number);
    if (round === undefined || round.acknowledged) return false;
    effects.push({ type: "acknowledged", round: number });
    this.#rounds.delete(number);
    effects.push({ type: "forgotten", round: number });
    return true;
  }

  /** There is no room to hold it: asked again with the next resend. */
  notHeld(number: number): void {
    const round = this.#rounds.get(number);
    if (round !== undefined) round.hold = "refused";
  }

  /** The owner has been gone for long: what waits for owners like it alone is let go of, now and from now on. Until `peerUp`. */
  ownerAway(owner: GatewayId, effects: CoordinatorEffect[]): void {
    if (this.#away.has(owner)) return;
    this.#away.add(owner);
    for (const round of this.#rounds.values()) if (this.#waitsInVain(round)) this.#forget(round, effects);
  }

  /** Lets go of all that is acknowledged, with a word on who lacks it: before a stop. */
  letGo(effects: CoordinatorEffect[]): void {
    for (const round of this.#rounds.values()) if (round.acknowledged) this.#forget(round, effects);
  }

  #judge(round: RoundState, effects: CoordinatorEffect[]): void {
    if (!round.acknowledged && isSafe(round)) {
      round.acknowledged = true;
      this.#lagBytes += round.open.bytes;
      effects.push({ type: "acknowledged", round: round.open.number });
    }
    if (round.durableAt.size === round.open.owners.length || this.#waitsInVain(round)) this.#forget(round, effects);
    else if (round.acknowledged) this.#shedLag(effects);
  }

  #waitsInVain(round: RoundState): boolean {
    return round.acknowledged && this.#lacking(round).every((owner) => this.#away.has(owner));
  }

  #lacking({ open, durableAt }: RoundState): GatewayId[] {
    return open.owners.filter((owner) => !durableAt.has(owner));
  }

  #askStandIn(round: RoundState, effects: CoordinatorEffect[]): void {
    const { standIn, number } = round.open;
    if (standIn === undefined || round.acknowledged) return;
    // Whoever has not said that it has it, this gateway included: what is kept for one that has it already does no harm.
    const targets = this.#lacking(round);
    if (round.standIn === "unasked") round.standIn = "asked";
    effects.push({ type: "stand-in", to: standIn, round: number, targets });
  }

  #askToHold(round: RoundState, effects: CoordinatorEffect[]): void {
    if (round.open.mayHold !== true || round.acknowledged || round.hold === "asked") return;
    round.hold = "asked";
    effects.push({ type: "hold", round: round.open.number });
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
    this.#away.delete(peer);
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
        effects.push({ type: "failed", round: number, reason: round.hold === "refused" ? "held-full" : "ack-timeout" });
        this.#forget(round, effects);
      } else if (round.acknowledged && age >= this.#options.lagAgeMaxMs) {
        this.#forget(round, effects);
      } else {
        if (round.hold === "unasked" && nowMs >= round.holdDueMs) this.#askToHold(round, effects);
        if (nowMs >= round.resendDueMs) this.#resend(nowMs, round, effects);
      }
    }
  }

  /** The monotonic time of the next `tick` that has something to do; `undefined` when nothing is open. */
  nextDeadlineMs(): number | undefined {
    let due: number | undefined;
    for (const round of this.#rounds.values()) {
      const ageLimit = round.acknowledged ? this.#options.lagAgeMaxMs : this.#options.ackTimeoutMs;
      const holdDue =
        round.open.mayHold === true && !round.acknowledged && round.hold === "unasked" ? round.holdDueMs : Number.POSITIVE_INFINITY;
      const roundDue = Math.min(round.resendDueMs, round.openedMs + ageLimit, holdDue);
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
    this.#askStandIn(round, effects);
    if (round.hold === "refused") this.#askToHold(round, effects);
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
    if (round.acknowledged) {
      this.#lagBytes -= round.open.bytes;
      const owners = this.#lacking(round);
      // Also where the stand-in keeps it: should that lose its disk, this is what makes two copies of it again.
      if (owners.length > 0) effects.push({ type: "lagging", round: round.open.number, owners });
    }
    this.#rounds.delete(round.open.number);
    effects.push({ type: "forgotten", round: round.open.number });
  }
}

/** The stand-in's copy counts for one owner that lacks the round, and never for the last whole one. */
function isSafe({ open, durableAt, durableWhole, standIn }: RoundState): boolean {
  const { any, whole } = open.required;
  if (durableAt.size >= any && durableWhole >= whole) return true;
  return standIn === "durable" && durableAt.size >= any - 1 && durableWhole >= Math.max(1, whole - 1);
}
