/**
 * Rounds that this gateway keeps on its disk for others, in the order in which they came: a log, and in memory what of it is
 * not settled yet. A round is settled for a target when that target has it on its disk, or when it was given up; both
 * are written down at most once a second, so that a crash sends at most a second's worth again, which stores nothing
 * twice. A round that is settled for all leaves the memory at once and the log with its segment.
 *
 * Bounded by `bytesMax`. At it, either the oldest are given up (`ageMaxMs` says that they may be), or no more is taken. So that one
 * round that waits for long does not keep all behind it on the disk, the oldest move to the end of the log, or are given up,
 * when the log has twice the bytes that it may.
 */

import { assert } from "../../lib/assert.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Packing } from "../../lib/packing.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import { AgeClock } from "./age-clock.ts";
import { encodeKept, KeptKind, type KeptRecord, type RecordTime, type SettledRecord } from "./kept-record.ts";

/** Of held rounds, which are nobody's in particular. */
export const everyOwner = "";
export type KeptTarget = GatewayId | typeof everyOwner;

export interface KeptRound {
  /** Of its newest record. */
  readonly sequence: number;
  readonly kind: KeptKind;
  readonly readings: number;
  readonly bytes: Uint8Array;
  readonly ageMs: number;
  readonly targets: ReadonlySet<KeptTarget>;
}

interface MutableRound extends KeptRound {
  sequence: number;
  readonly targets: Set<KeptTarget>;
}

/** What a log held when it was opened. */
export interface RestoredRounds {
  readonly rounds: ReadonlyMap<number, { readonly record: KeptRecord; readonly targets: Set<KeptTarget> }>;
  readonly last: RecordTime | undefined;
}

export interface KeptRoundsOptions {
  readonly log: Log;
  readonly packing: Packing;
  readonly clock: Clock;
  readonly restored: RestoredRounds;
  readonly bytesMax: number;
  /** Older rounds are given up, and the oldest for new ones; `undefined`: none ever is. */
  readonly ageMaxMs: number | undefined;
  /** A round is settled for all. */
  readonly gone?: (round: KeptRound) => void;
}

export type DropReason = "bytes" | "age" | "disk" | "moved" | "refused" | "busy";

/** In memory, beside its bytes: most of what a round of a single reading takes. */
const roundCost = 512;
/** Rounds that one `tidy` moves or gives up. */
const tidiedMax = 64;
const stretchesMax = 20_000;
/** While something is kept, the age clock is written down so often. */
const timeEveryMs = 600_000;
const awayMaxMs = 3_600_000;

export class KeptRounds {
  readonly #options: KeptRoundsOptions;
  readonly #age: AgeClock;
  /** Ascending by the sequence of the record. */
  readonly #rounds = new Map<number, MutableRound>();
  readonly #byTarget = new Map<KeptTarget, Map<number, MutableRound>>();
  readonly #settled: [KeptTarget, number][] = [];
  readonly #dropped = new Map<DropReason, { rounds: number; readings: number }>();
  /** Records that still stand for a round whose next one is on its way to the disk. */
  readonly #moving = new Set<number>();
  #bytes = 0;
  #readings = 0;
  #writtenMs: number;
  #trimmedTo = 0;
  delivered = 0;

  constructor(options: KeptRoundsOptions) {
    this.#options = options;
    this.#age = new AgeClock(options.clock, options.restored.last, awayMaxMs);
    // The first `tidy` of a process writes down what it made of the time that it was away.
    this.#writtenMs = Number.NEGATIVE_INFINITY;
    for (const [sequence, { record, targets }] of options.restored.rounds) {
      const { kind, readings, round: bytes, ageMs } = record;
      if (targets.size > 0) this.#insert({ sequence, kind, readings, bytes, ageMs, targets });
    }
  }

  /**
   * Writes a round down for these targets. `undefined` when it is not taken: there is no room, or the disk is behind. It is
   * delivered from now on; it counts as kept once `durable` was called.
   */
  add(
    kind: KeptKind,
    round: { readonly bytes: Uint8Array; readonly readings: number; readonly targets: readonly GatewayId[] },
    durable: () => void,
  ): KeptRound | undefined {
    const { bytes, readings, targets } = round;
    const cost = bytes.length + roundCost;
    if (this.#options.ageMaxMs !== undefined && cost <= this.#options.bytesMax)
      for (const oldest of this.#rounds.values()) {
        if (this.#bytes + cost <= this.#options.bytesMax) break;
        this.#drop(oldest, "bytes");
      }
    const fits = this.#bytes + cost <= this.#options.bytesMax;
    const time = this.#age.now();
    const sequence = fits
      ? this.#options.log.append(encodeKept({ kind, targets, readings, round: bytes, ...time }, this.#options.packing), durable)
      : undefined;
    if (sequence === undefined) {
      if (this.#options.ageMaxMs !== undefined) this.#count(fits ? "busy" : "bytes", readings);
      return undefined;
    }
    const kept: MutableRound = {
      sequence,
      kind,
      readings,
      bytes,
      ageMs: time.ageMs,
      targets: new Set<KeptTarget>(kind === KeptKind.Held ? [everyOwner] : targets),
    };
    this.#insert(kept);
    return kept;
  }

  /** Rounds that the target lacks, the oldest first. What is settled meanwhile is passed over. */
  *waitingFor(target: KeptTarget): Iterable<KeptRound> {
    yield* this.#byTarget.get(target)?.values() ?? [];
  }

  targets(): KeptTarget[] {
    return [...this.#byTarget.keys()];
  }

  has(round: KeptRound, target: KeptTarget): boolean {
    return this.#byTarget.get(target)?.get(round.sequence) === round;
  }

  /** The target has it on its disk. */
  deliveredTo(target: KeptTarget, round: KeptRound): void {
    if (this.#settle(round, target)) this.delivered++;
  }

  /** Nobody needs it any more. */
  withdraw(round: KeptRound): void {
    for (const target of [...round.targets]) this.#settle(round, target);
  }

  /** The target will not get it from here. */
  dropFor(target: KeptTarget, round: KeptRound, reason: DropReason): void {
    if (this.#settle(round, target)) this.#count(reason, round.readings);
  }

  /** One that was not even written down: counted like one that was, and had to go. */
  notTaken(reason: DropReason, readings: number): void {
    this.#count(reason, readings);
  }

  /** All of it, for want of room: only of rounds that may be given up. */
  giveUp(reason: DropReason): void {
    assert(this.#options.ageMaxMs !== undefined, "rounds that are the only copies are not given up");
    for (const round of this.#rounds.values()) this.#drop(round, reason);
  }

  rounds(): number {
    return this.#rounds.size;
  }

  readings(): number {
    return this.#readings;
  }

  bytes(): number {
    return this.#bytes;
  }

  oldestMs(target?: KeptTarget): number | undefined {
    for (const round of (target === undefined ? this.#rounds : this.#byTarget.get(target))?.values() ?? [])
      return Math.max(0, this.#age.now().ageMs - round.ageMs);
    return undefined;
  }

  /** Rounds, bytes and age of the oldest by target. */
  view(): { readonly target: KeptTarget; readonly rounds: number; readonly bytes: number; readonly oldestMs: number }[] {
    return [...this.#byTarget].map(([target, rounds]) => {
      let bytes = 0;
      for (const round of rounds.values()) bytes += round.bytes.length;
      return { target, rounds: rounds.size, bytes, oldestMs: this.oldestMs(target) ?? 0 };
    });
  }

  dropped(): ReadonlyMap<DropReason, { readonly rounds: number; readonly readings: number }> {
    return this.#dropped;
  }

  /** Once a second: gives up what is too old, writes down what is settled, and lets the log go up to there. */
  tidy(): void {
    const { log, ageMaxMs, bytesMax, clock } = this.#options;
    const { ageMs } = this.#age.now();
    if (ageMaxMs !== undefined)
      for (const round of this.#rounds.values()) {
        if (ageMs - round.ageMs <= ageMaxMs) break;
        this.#drop(round, "age");
      }
    if (log.stats().bytes > 2 * bytesMax) this.#clearFront();
    const timeIsDue = this.#rounds.size > 0 && clock.monotonicMs() - this.#writtenMs >= timeEveryMs;
    if (this.#settled.length > 0 || timeIsDue) this.#writeSettled();
    const oldest = Math.min(this.#rounds.keys().next().value ?? log.nextSequence(), ...this.#moving);
    if (oldest === this.#trimmedTo) return;
    this.#trimmedTo = oldest;
    void log.trim(oldest);
  }

  /** Before a stop: what is settled is written down. */
  close(): Promise<void> {
    if (this.#rounds.size > 0 || this.#settled.length > 0) this.#writeSettled();
    return this.#options.log.close();
  }

  #insert(round: MutableRound): void {
    this.#rounds.set(round.sequence, round);
    for (const target of round.targets) {
      const rounds = this.#byTarget.get(target) ?? new Map<number, MutableRound>();
      this.#byTarget.set(target, rounds);
      rounds.set(round.sequence, round);
    }
    this.#bytes += round.bytes.length + roundCost;
    this.#readings += round.readings;
  }

  #settle(round: KeptRound, target: KeptTarget): boolean {
    const known = this.#rounds.get(round.sequence);
    if (known !== round || !known.targets.delete(target)) return false;
    this.#settled.push([target, known.sequence]);
    const rounds = this.#byTarget.get(target);
    rounds?.delete(known.sequence);
    if (rounds?.size === 0) this.#byTarget.delete(target);
    if (known.targets.size === 0) this.#remove(known);
    return true;
  }

  #remove(round: MutableRound): void {
    this.#rounds.delete(round.sequence);
    this.#bytes -= round.bytes.length + roundCost;
    this.#readings -= round.readings;
    this.#options.gone?.(round);
  }

  #drop(round: KeptRound, reason: DropReason): void {
    this.#count(reason, round.readings);
    for (const target of [...round.targets]) this.#settle(round, target);
  }

  #count(reason: DropReason, readings: number): void {
    const known = this.#dropped.get(reason) ?? { rounds: 0, readings: 0 };
    this.#dropped.set(reason, { rounds: known.rounds + 1, readings: known.readings + readings });
  }

  /** The oldest rounds keep the whole log behind them on the disk. */
  #clearFront(): void {
    if (this.#moving.size > 0) return;
    for (const round of [...this.#rounds.values()].slice(0, tidiedMax)) {
      if (this.#options.ageMaxMs !== undefined) this.#drop(round, "bytes");
      else this.#moveToEnd(round);
    }
  }

  #moveToEnd(round: MutableRound): void {
    const { kind, readings, bytes, ageMs } = round;
    const targets = [...round.targets].filter((target): target is GatewayId => target !== everyOwner);
    const record = { ...this.#age.now(), kind, targets, readings, round: bytes, ageMs };
    const before = round.sequence;
    const all = [...round.targets];
    const sequence = this.#options.log.append(encodeKept(record, this.#options.packing), () => {
      this.#moving.delete(before);
      for (const target of all) this.#settled.push([target, before]);
    });
    if (sequence === undefined) return;
    this.#moving.add(before);
    this.#rounds.delete(before);
    round.sequence = sequence;
    this.#rounds.set(sequence, round);
    for (const target of all) {
      this.#byTarget.get(target)?.delete(before);
      this.#byTarget.get(target)?.set(sequence, round);
    }
  }

  #writeSettled(): void {
    const { log, packing, clock } = this.#options;
    const settled = this.#settled.splice(0, stretchesMax);
    const sequence = log.append(
      encodeKept({ kind: KeptKind.Settled, settled: stretchesOf(settled), ...this.#age.now() }, packing),
      () => undefined,
    );
    if (sequence === undefined) this.#settled.unshift(...settled);
    else this.#writtenMs = clock.monotonicMs();
  }
}

function stretchesOf(settled: readonly (readonly [KeptTarget, number])[]): SettledRecord["settled"] {
  const byTarget = new Map<KeptTarget, number[]>();
  for (const [target, sequence] of settled) {
    const known = byTarget.get(target);
    if (known === undefined) byTarget.set(target, [sequence]);
    else known.push(sequence);
  }
  return [...byTarget].map(([target, sequences]) => {
    const stretches: number[] = [];
    for (const sequence of sequences.sort((a, b) => a - b)) {
      if (stretches.at(-1) === sequence - 1) stretches[stretches.length - 1] = sequence;
      else stretches.push(sequence, sequence);
    }
    return [target, stretches] as const;
  });
}
