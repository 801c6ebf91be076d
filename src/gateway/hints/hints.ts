/**
 * What this gateway keeps on its disk for others, and how it gets there: *hints*, acknowledged rounds that some owner lacks;
 * *held* rounds, acknowledged at level `any` on this disk alone; *copies*, which a witness keeps for one of two owners.
 *
 * Hints save a repair, no more: they are bounded by bytes and age, never the reason for a full disk, and whatever goes is counted.
 * Held rounds and copies count in what was promised: at their bound no more are taken, and none is ever dropped.
 */

import { type copiesRequired, writeQuorum } from "../../core/replica/rules.ts";
import { ownerCounts, type RingState, wholeOwnersOf } from "../../core/ring/owner-changes.ts";
import { noEpoch, ownersOf } from "../../core/ring/owner-table.ts";
import type { RoundVersion } from "../../core/round/round-codec.ts";
import type { Result } from "../../lib/errors.ts";
import { type GatewayId, type Partition, partition, partitionCount } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Lane } from "../ingest/lane.ts";
import type { MeshRouter } from "../mesh-router.ts";
import type { Requests } from "../requests.ts";
import { HeldDelivery } from "./held-delivery.ts";
import type { OpenedKept } from "./kept-disk.ts";
import { KeptKind } from "./kept-record.ts";
import { everyOwner, type KeptRound, KeptRounds } from "./kept-rounds.ts";
import { PeerDelivery } from "./peer-delivery.ts";
import { StandIn, type StandInOptions } from "./stand-in.ts";

export interface HintsOptions extends Pick<StandInOptions, "appliedEpoch" | "fresh" | "members" | "isPrimed"> {
  readonly context: GatewayContext;
  readonly router: Pick<MeshRouter, "handle" | "send" | "reachable">;
  readonly requests: Pick<Requests, "call" | "serve">;
  readonly hints: OpenedKept;
  readonly held: OpenedKept;
  readonly ring: () => RingState;
  readonly partitionOf: (name: SeriesName) => Partition;
  readonly offer: (to: GatewayId, lot: { readonly epoch: number; readonly round: Uint8Array }) => Promise<Result<void>>;
  readonly roundNumber: () => number;
  readonly roundVersion: () => RoundVersion;
  readonly copiesRequired: typeof copiesRequired;
  /** False before all gateways of the site know the questions and frames. */
  readonly isKnown: () => boolean;
  /** Whether the disk has room for readings. */
  readonly mayTake: () => boolean;
  /** Whether it has room to spare. */
  readonly mayWriteHints: () => boolean;
  /** Devices wait, so that nothing else should. */
  readonly isBusy: () => boolean;
  /** Of readings that are delivered by way of lanes, at level quorum. */
  readonly laneOf: (at: Partition) => Lane;
  readonly filled: (lane: Lane, bytes: number) => void;
  readonly obtainRef: Ingest["obtainRef"];
  /** `mayForgetKept` where tests plant no bug. */
  readonly mayForget: (wasDelivered: boolean) => boolean;
}

const everyPartition = Array.from({ length: partitionCount }, (_, at) => partition(at));

/** A round leaves its log when it was delivered. */
export function mayForgetKept(wasDelivered: boolean): boolean {
  return wasDelivered;
}

export interface KeptView {
  readonly target: string;
  readonly rounds: number;
  readonly bytes: number;
  readonly oldestMs: number;
}

export interface HintsView {
  readonly waiting: readonly KeptView[];
  readonly bytes: number;
  /** Rounds that reached an owner by a hint. */
  readonly delivered: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly held: {
    readonly rounds: number;
    readonly readings: number;
    readonly bytes: number;
    readonly oldestMs: number;
    readonly delivered: number;
  };
  /** Of the witness. */
  readonly copies: readonly KeptView[];
}

export class Hints {
  readonly standIn: StandIn;
  readonly #options: HintsOptions;
  readonly #hints: KeptRounds;
  readonly #held: KeptRounds;
  readonly #hintDelivery: PeerDelivery;
  readonly #copyDelivery: PeerDelivery;
  readonly #heldDelivery: HeldDelivery;
  #stopped = false;

  constructor(options: HintsOptions) {
    this.#options = options;
    const { context, ring, partitionOf, offer, roundNumber, roundVersion, isKnown, isBusy, mayForget } = options;
    const { clock, packing, tuning } = context;
    this.#hints = new KeptRounds({ ...options.hints, packing, clock, bytesMax: tuning.hintBytesMax, ageMaxMs: tuning.hintAgeMaxMs });
    this.#held = new KeptRounds({
      ...options.held,
      packing,
      clock,
      bytesMax: tuning.heldBytesMax,
      ageMaxMs: undefined,
      gone: (round) => this.standIn.gone(round),
    });
    const delivery = {
      context,
      offer,
      ring,
      reachable: (peer: GatewayId) => options.router.reachable(peer),
      partitionOf,
      roundNumber,
      roundVersion,
      mayOffer: isKnown,
      isBusy,
      bytesPerSecond: tuning.hintBytesPerSecond,
      mayForget,
    };
    this.#hintDelivery = new PeerDelivery({ ...delivery, kept: this.#hints });
    this.#heldDelivery = new HeldDelivery({
      context,
      kept: this.#held,
      obtainRef: options.obtainRef,
      partitionOf,
      laneOf: options.laneOf,
      filled: options.filled,
      hasQuorum: (at) => this.#hasQuorum(at),
      hasAnyQuorum: () => everyPartition.some((at) => this.#hasQuorum(at)),
      isBusy: () => isBusy() || !options.mayTake(),
      mayForget,
      freed: () => this.#copyDelivery.look(),
    });
    this.#copyDelivery = new PeerDelivery({ ...delivery, kept: this.#held, strayed: (round) => this.#heldDelivery.take(round) });
    this.standIn = new StandIn({ ...options, kept: this.#held, delivery: this.#copyDelivery });
  }

  /** An acknowledged round that these owners lack: best effort. */
  keepHint(round: { readonly bytes: Uint8Array; readonly readings: number; readonly targets: readonly GatewayId[] }): void {
    if (!this.#options.isKnown()) return;
    if (!this.#options.mayWriteHints()) return this.#hints.notTaken("disk", round.readings);
    this.#hints.add(KeptKind.Hint, round, () => undefined);
  }

  /** Keeps a round that has no other copy. `undefined` when there is no room. */
  hold(round: { readonly bytes: Uint8Array; readonly readings: number }, durable: () => void): KeptRound | undefined {
    if (!this.#options.isKnown() || !this.#options.mayTake()) return undefined;
    return this.#held.add(KeptKind.Held, { ...round, targets: [] }, () => this.#options.context.inbox.post(durable));
  }

  /** It got its quorum while it was on its way to the disk. */
  notNeeded(round: KeptRound): void {
    this.#held.withdraw(round);
  }

  /** Once a second. */
  tick(): void {
    if (this.#stopped) return;
    if (this.#hints.rounds() > 0 && !this.#options.mayWriteHints()) this.#hints.giveUp("disk");
    this.#hints.tidy();
    this.#held.tidy();
    this.look();
  }

  /** Somebody can be reached again, or the ring has changed. */
  look(): void {
    if (this.#stopped) return;
    this.#hintDelivery.look();
    this.#copyDelivery.look();
    if (this.#options.isKnown()) this.#heldDelivery.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#hintDelivery.stop();
    this.#copyDelivery.stop();
    this.#heldDelivery.stop();
  }

  /** Writes down what is settled, and closes the logs. */
  async close(): Promise<void> {
    await Promise.all([this.#hints.close(), this.#held.close()]);
  }

  view(): HintsView {
    const held = this.#held.view();
    const own = held.find(({ target }) => target === everyOwner);
    const copies = held.filter(({ target }) => target !== everyOwner);
    let readings = 0;
    for (const round of this.#held.waitingFor(everyOwner)) readings += round.readings;
    return {
      waiting: this.#hints.view(),
      bytes: this.#hints.bytes(),
      delivered: this.#hints.delivered,
      dropped: Object.fromEntries([...this.#hints.dropped()].map(([reason, { rounds }]) => [reason, rounds])),
      held: {
        rounds: own?.rounds ?? 0,
        readings,
        bytes: own?.bytes ?? 0,
        oldestMs: own?.oldestMs ?? 0,
        delivered: this.#held.delivered,
      },
      copies,
    };
  }

  warnings(): string[] {
    const { hints, held } = this.#options;
    const { held: own, copies } = this.view();
    const warnings: string[] = [];
    if (held.lost !== undefined)
      warnings.push(
        `${held.lost}: readings that were acknowledged on this disk alone, or kept for an owner that was away, may be lost. Check the disk`,
      );
    if (hints.lost !== undefined) warnings.push(`${hints.lost}: some owners get what they missed by repair instead`);
    if (own.rounds > 0)
      warnings.push(
        `cut off: holding ${own.readings} readings in ${own.rounds} rounds, oldest ${formatAge(own.oldestMs)}; this disk has the only copy`,
      );
    for (const { target, rounds, oldestMs } of copies)
      warnings.push(`standing in for ${target}: ${rounds} rounds are kept for it, oldest ${formatAge(oldestMs)}`);
    return warnings;
  }

  #hasQuorum(at: Partition): boolean {
    const { context, router, ring, copiesRequired: required } = this.#options;
    const now = ring();
    if (now.table.epoch === noEpoch) return false;
    const isThere = (gateway: GatewayId): boolean => gateway === context.self || router.reachable(gateway);
    const owners = ownersOf(now.table, at);
    const whole = wholeOwnersOf(now, at);
    const quorum = writeQuorum("quorum", ownerCounts(now, at), required);
    return owners.filter(isThere).length >= quorum.any && whole.filter(isThere).length >= quorum.whole;
  }
}

function formatAge(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
