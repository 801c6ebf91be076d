/**
 * From which owners a gateway that fills has each of its partitions already. It is told of every owner table, and forgets what it knows
 * of a partition when that one's owners, whole or filling, are others than before: what its owners took meanwhile need not have come
 * here. When a table was missed it forgets everything, since owners may have changed and changed back.
 */

import type { RingState } from "../core/ring/owner-changes.ts";
import { ownersOf } from "../core/ring/owner-table.ts";
import { type GatewayId, type Partition, partition } from "../lib/ids.ts";

interface Standing {
  readonly owners: string;
  /** One object for as long as the owners stay as they are. */
  readonly fetchedFrom: Set<GatewayId>;
}

export class FillProgress {
  readonly #self: GatewayId;
  #epoch = 0;
  /** Of the partitions that `self` fills. */
  #standings = new Map<number, Standing>();

  constructor(self: GatewayId) {
    this.#self = self;
  }

  follow(ring: RingState): void {
    const { epoch } = ring.table;
    if (epoch === this.#epoch) return;
    const before = epoch === this.#epoch + 1 ? this.#standings : undefined;
    this.#epoch = epoch;
    this.#standings = new Map();
    for (const [at, gateways] of ring.filling) {
      if (!gateways.includes(this.#self)) continue;
      const owners = ownersAsText(ring, at);
      const known = before?.get(at);
      this.#standings.set(at, known?.owners === owners ? known : { owners, fetchedFrom: new Set() });
    }
  }

  /** The owners that have given all that they hold of each of these partitions; the same sets as before where nothing changed. */
  of(partitions: readonly Partition[]): Set<GatewayId>[] {
    return partitions.map((at) => this.#standings.get(at)?.fetchedFrom ?? new Set());
  }
}

/** All that quorums and sources of a partition follow from. */
function ownersAsText({ table, filling, moves }: RingState, at: number): string {
  const move = moves.get(at);
  return JSON.stringify([table.factor, ownersOf(table, partition(at)), filling.get(at), move?.from, move?.to]);
}
