/**
 * The partitions that other gateways keep: what is left of them in this gateway's store is dropped, and a question under a
 * table from before they went is not answered from it.
 */

import type { RingState } from "../core/ring/owner-changes.ts";
import { isOwner, noEpoch, type OwnerTable } from "../core/ring/owner-table.ts";
import { type GatewayId, type Partition, partition, partitionCount } from "../lib/ids.ts";

/** The horizon of a partition that this gateway does not own. */
const forEverUs = Number.POSITIVE_INFINITY;

export class GivenAway {
  readonly #self: GatewayId;
  #table: OwnerTable | undefined;
  /** A 1 for each partition that is elsewhere under the table. */
  #bits = new Uint8Array(partitionCount);
  readonly #leftAtEpoch = new Float64Array(partitionCount);

  constructor(self: GatewayId) {
    this.#self = self;
  }

  /** The horizon below which the partition's readings are given up here. */
  keptFromUs(table: OwnerTable, at: number, horizonUs: number): number {
    return this.#under(table)[at] === 1 ? forEverUs : horizonUs;
  }

  /** From this epoch on, or from a later one, this gateway may have dropped what it had of the partition; 0 where it has not. */
  leftAtEpoch(at: number): number {
    return this.#leftAtEpoch[at] as number;
  }

  /** The gateway acts under `ring` instead of `before`: the partitions whose readings here are, or were meanwhile, nobody's. */
  passed(before: OwnerTable, ring: RingState): Partition[] {
    // The next look replaces them.
    const were = this.#under(before);
    const left: Partition[] = [];
    for (const [at, isElsewhere] of this.#under(ring.table).entries()) {
      if (isElsewhere === 1) this.#leftAtEpoch[at] = ring.table.epoch;
      // Also where it comes back: a pass that was under way may have asked for it meanwhile, when nothing of it counted.
      if (isElsewhere === 1 || were[at] === 1) left.push(partition(at));
    }
    return left;
  }

  #under(table: OwnerTable): Uint8Array {
    if (this.#table === table) return this.#bits;
    // Before it acts under a table nobody has told this gateway to give anything up.
    const isElsewhere = (at: number): boolean => table.epoch !== noEpoch && !isOwner(table, partition(at), this.#self);
    this.#table = table;
    this.#bits = Uint8Array.from({ length: partitionCount }, (_, at) => (isElsewhere(at) ? 1 : 0));
    return this.#bits;
  }
}
