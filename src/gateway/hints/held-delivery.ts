/**
 * Rounds that were acknowledged on this disk alone go on the way that readings of devices take, when their owners can be
 * reached again: into lanes at level quorum, under whatever owner table is in force by then. A record goes only once all
 * of its readings are on a quorum.
 */

import { decodeRound, roundVersionAt } from "../../core/round/round-codec.ts";
import type { DecodedRound } from "../../core/round/round-format.ts";
import type { Partition } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import { ClientSession } from "../ingest/client-session.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Lane } from "../ingest/lane.ts";
import { appendRows } from "../ingest/reroute.ts";
import { everyOwner, type KeptRound, type KeptRounds } from "./kept-rounds.ts";

export interface HeldDeliveryOptions {
  readonly context: GatewayContext;
  readonly kept: KeptRounds;
  readonly obtainRef: Ingest["obtainRef"];
  readonly partitionOf: (name: SeriesName) => Partition;
  /** At level quorum. */
  readonly laneOf: (at: Partition) => Lane;
  readonly filled: (lane: Lane, bytes: number) => void;
  /** Whether a quorum of the partition's owners seems to be there. */
  readonly hasQuorum: (at: Partition) => boolean;
  /** Whether that is so of any partition. */
  readonly hasAnyQuorum: () => boolean;
  /** Devices wait for this gateway, or it takes no readings. */
  readonly isBusy: () => boolean;
  readonly mayForget: (wasDelivered: boolean) => boolean;
  /** There is room for another one that was handed over with `take`. */
  readonly freed: () => void;
}

const windowRounds = 16;
const windowBytes = 1 << 20;
/** So much is decoded in one go to find rounds that can leave among those that cannot. */
const scanBytesMax = 1 << 20;
/** Of a round, beside its bytes. */
const scanCost = 256;
/** A time-out of the lanes is long enough a pause; what is refused at once must not come again at once. */
const retryMs = 1_000;

export class HeldDelivery {
  readonly #options: HeldDeliveryOptions;
  readonly #underWay = new Map<KeptRound, number>();
  #bytes = 0;
  /** Where the next look begins: the ones before could not leave. */
  #fromSequence = 0;
  #stopped = false;

  constructor(options: HeldDeliveryOptions) {
    this.#options = options;
  }

  /** Takes up what may leave now. */
  look(): void {
    const { kept, isBusy, hasAnyQuorum } = this.#options;
    if (this.#isFull() || isBusy() || !hasAnyQuorum()) return;
    let scanned = 0;
    for (const round of kept.waitingFor(everyOwner)) {
      if (round.sequence < this.#fromSequence) continue;
      if (this.#isFull() || isBusy()) return;
      this.take(round);
      scanned += round.bytes.length + scanCost;
      if (scanned < scanBytesMax) continue;
      this.#fromSequence = round.sequence + 1;
      return;
    }
    this.#fromSequence = 0;
  }

  /** The readings of a round that waits for whomever: settled for all once they are on a quorum. */
  take(round: KeptRound): void {
    const { context, kept, mayForget, freed } = this.#options;
    if (this.#stopped || context.inbox.closed() || this.#underWay.has(round) || this.#isFull()) return;
    if (mayForget(false)) return kept.withdraw(round);
    const decoded = decodeRound(round.bytes, roundVersionAt(context.tuning.featureMax));
    if (!decoded.ok) {
      context.diagnostics.error("kept-round-unreadable", { sequence: round.sequence, why: decoded.message });
      return;
    }
    if (!this.#mayLeave(decoded.value)) return;
    this.#underWay.set(round, round.bytes.length);
    this.#bytes += round.bytes.length;
    this.#intoLanes(decoded.value, round.bytes.length, (isStored) => {
      if (!isStored) {
        context.clock.schedule(retryMs, () => context.inbox.post(() => this.#over(round)));
        return;
      }
      for (const target of [...round.targets]) kept.deliveredTo(target, round);
      this.#over(round);
      this.look();
      freed();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #isFull(): boolean {
    return this.#underWay.size >= windowRounds || this.#bytes >= windowBytes;
  }

  #over(round: KeptRound): void {
    this.#bytes -= this.#underWay.get(round) ?? 0;
    this.#underWay.delete(round);
  }

  /** One that would only wait for its time-out must not take the place of others that could be delivered. */
  #mayLeave({ columns }: DecodedRound): boolean {
    const { hasQuorum, partitionOf, obtainRef } = this.#options;
    return columns.seriesTable.every((name) => hasQuorum(partitionOf(name)) && obtainRef(name) >= 0);
  }

  #intoLanes({ columns }: DecodedRound, bytes: number, outcome: (isStored: boolean) => void): void {
    const { context, laneOf, filled, partitionOf, obtainRef } = this.#options;
    let isOpen = true;
    const end = (isStored: boolean): void => {
      if (!isOpen) return;
      isOpen = false;
      outcome(isStored);
    };
    const session = new ClientSession({ id: "held", username: undefined, session: "clean", close: () => end(false) });
    const partitions = columns.seriesTable.map(partitionOf);
    const lanes = partitions.map(laneOf);
    const refs = columns.seriesTable.map(obtainRef);
    appendRows(columns, { lanes, refs });
    // A partition's readings wait together: its owners may part from those of another.
    const waiting = new Set(partitions);
    let open = waiting.size;
    const sinceMs = context.clock.monotonicMs();
    for (const at of waiting) {
      const lane = laneOf(at);
      lane.hold(at, session, session.arrive(), () => {
        if (--open === 0) end(true);
      });
      const share = Math.ceil(bytes / waiting.size);
      lane.took(share, sinceMs);
      filled(lane, share);
    }
  }
}
