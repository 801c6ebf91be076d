/**
 * Brings rounds that owners lack to them, once they can be reached: for each owner in the order in which they came, one lot at
 * a time, no faster than a rate and not while devices wait. A lot is offered under the ring epoch that this gateway is at,
 * and only what the owner said is durable there, under that epoch, is settled; anything else is offered again.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { noEpoch } from "../../core/ring/owner-table.ts";
import type { RoundVersion } from "../../core/round/round-codec.ts";
import { failure, type Result } from "../../lib/errors.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import { everyOwner, type KeptRound, type KeptRounds } from "./kept-rounds.ts";
import { type Lot, makeLot } from "./lot.ts";

export interface PeerDeliveryOptions {
  readonly context: GatewayContext;
  readonly kept: KeptRounds;
  readonly offer: (to: GatewayId, lot: { readonly epoch: number; readonly round: Uint8Array }) => Promise<Result<void>>;
  readonly ring: () => RingState;
  readonly reachable: (peer: GatewayId) => boolean;
  readonly partitionOf: (name: SeriesName) => Partition;
  readonly roundNumber: () => number;
  readonly roundVersion: () => RoundVersion;
  /** False before all gateways of the site know the question. */
  readonly mayOffer: () => boolean;
  /** Devices wait for this gateway: lots wait for them. */
  readonly isBusy: () => boolean;
  readonly bytesPerSecond: number;
  /**
   * Gets rounds with readings that their target does not own any more, in the place of leaving these out. Left out may be
   * what was acknowledged by a quorum of its owners: they have it, and the change of the ring moves it to the new ones.
   */
  readonly strayed?: (round: KeptRound) => void;
  /** Whether a round may leave the log; tests plant bugs by substituting it. */
  readonly mayForget: (wasDelivered: boolean) => boolean;
}

const retryMs = 500;
/** A frame that is lost must not hold up what waits; an owner whose disk is slow gets twice the time each time. */
const patienceMs = { min: 1_000, max: 10_000 };
const busyMs = 250;
/** So often a lot is called malformed before it is believed, where it may be given up. */
const refusalsMax = 5;
const handedOverMax = 64;

export class PeerDelivery {
  readonly #options: PeerDeliveryOptions;
  readonly #running = new Set<GatewayId>();
  readonly #hurried = new Map<GatewayId, number>();
  /** By target: what strayed under this epoch is not decoded again to find that out. */
  readonly #strayed = new Map<GatewayId, Set<KeptRound>>();
  #strayedEpoch = 0;
  #stopped = false;

  constructor(options: PeerDeliveryOptions) {
    this.#options = options;
  }

  /** Begins where something waits for an owner that can be reached, or for who is none any more. */
  look(): void {
    for (const target of this.#options.kept.targets()) if (target !== everyOwner) this.#begin(target);
  }

  /** Somebody waits for the owner to have all: until then neither rate nor devices hold its lots up. */
  hurry(target: GatewayId, withinMs: number): void {
    this.#hurried.set(target, this.#options.context.clock.monotonicMs() + withinMs);
    this.#begin(target);
  }

  stop(): void {
    this.#stopped = true;
  }

  #begin(target: GatewayId): void {
    if (this.#running.has(target) || !this.#mayRun(target)) return;
    this.#running.add(target);
    void this.#deliverAll(target).finally(() => this.#running.delete(target));
  }

  #mayRun(target: GatewayId): boolean {
    const { context, reachable, mayOffer, ring } = this.#options;
    if (this.#stopped || context.inbox.closed() || !mayOffer() || ring().table.epoch === noEpoch) return false;
    return target === context.self || reachable(target) || this.#ownsNothing(target);
  }

  /** It may have left the site: what waits for it goes another way, or nowhere, and not when it can be reached again. */
  #ownsNothing(target: GatewayId): boolean {
    return !this.#options.ring().table.ownerSets.some((owners) => owners.includes(target));
  }

  async #deliverAll(target: GatewayId): Promise<void> {
    const { kept, isBusy, bytesPerSecond } = this.#options;
    let refusals = 0;
    let patience = patienceMs.min;
    while (this.#mayRun(target)) {
      if (isBusy() && !this.#isHurried(target)) {
        await this.#pause(busyMs);
        continue;
      }
      const ring = this.#options.ring();
      const lot = this.#lotFor(target, ring);
      this.#handOver(target, lot.strayed);
      for (const round of lot.moved) kept.dropFor(target, round, "moved");
      if (lot.encoded === undefined) {
        if (lot.moved.length === 0 && lot.strayed.length === 0) return;
        await this.#pause(1);
        continue;
      }
      const offered = await this.#offer(target, { epoch: ring.table.epoch, round: lot.encoded }, patience);
      if (!offered.ok) {
        refusals = offered.code === "internal" ? refusals + 1 : 0;
        patience = Math.min(patience * 2, patienceMs.max);
        if (refusals === refusalsMax && this.#options.strayed === undefined) {
          for (const round of lot.rounds) kept.dropFor(target, round, "refused");
          refusals = 0;
        }
        await this.#pause(retryMs);
        continue;
      }
      refusals = 0;
      patience = patienceMs.min;
      for (const round of lot.rounds) kept.deliveredTo(target, round);
      if (!this.#isHurried(target)) await this.#pause((lot.encoded.length / bytesPerSecond) * 1_000);
    }
  }

  #lotFor(target: GatewayId, ring: RingState): Lot {
    const { context, kept, partitionOf, roundNumber, roundVersion, strayed, mayForget } = this.#options;
    const options = { context, ring, target, partitionOf, roundNumber, roundVersion: roundVersion() };
    if (mayForget(false)) for (const round of kept.waitingFor(target)) kept.dropFor(target, round, "refused");
    if (ring.table.epoch !== this.#strayedEpoch) this.#strayed.clear();
    this.#strayedEpoch = ring.table.epoch;
    const lot = makeLot(this.#waitingFor(target), strayed === undefined, options);
    for (const round of lot.unreadable) {
      context.diagnostics.error("kept-round-unreadable", { sequence: round.sequence, for: target });
      if (strayed === undefined) kept.dropFor(target, round, "refused");
    }
    return lot;
  }

  *#waitingFor(target: GatewayId): Iterable<KeptRound> {
    const strayed = this.#strayed.get(target);
    for (const round of this.#options.kept.waitingFor(target)) if (strayed?.has(round) !== true) yield round;
  }

  /** A few at a time, in turn: whoever gets them decodes them to see whether they can leave. */
  #handOver(target: GatewayId, found: readonly KeptRound[]): void {
    const strayed = this.#strayed.get(target) ?? new Set();
    if (found.length > 0) this.#strayed.set(target, strayed);
    for (const round of found) strayed.add(round);
    let turns = Math.min(strayed.size, handedOverMax);
    for (const round of strayed) {
      if (turns-- === 0) return;
      strayed.delete(round);
      if (!this.#options.kept.has(round, target)) continue;
      strayed.add(round);
      this.#options.strayed?.(round);
    }
  }

  #isHurried(target: GatewayId): boolean {
    return (this.#hurried.get(target) ?? 0) > this.#options.context.clock.monotonicMs();
  }

  #offer(to: GatewayId, lot: { readonly epoch: number; readonly round: Uint8Array }, withinMs: number): Promise<Result<void>> {
    const { clock } = this.#options.context;
    return new Promise((resolve, reject) => {
      const timer = clock.schedule(withinMs, () => resolve(failure("outcome-unknown", `${to} did not answer within ${withinMs} ms`)));
      this.#options.offer(to, lot).then((result) => {
        clock.cancel(timer);
        resolve(result);
      }, reject);
    });
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#options.context.clock, Math.max(1, ms));
  }
}
