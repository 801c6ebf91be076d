/**
 * Which lane the readings of a partition travel in, under one owner table: partitions with the same owners, of whom the same
 * are filling, share a lane for each write level, so that the same gateways get the same bytes.
 */

import type { WriteLevel } from "../../config/settings.ts";
import type { RingState } from "../../core/ring/owner-changes.ts";
import { ownersOf } from "../../core/ring/owner-table.ts";
import type { Partition } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import { Lane } from "./lane.ts";

export class LaneTable {
  readonly #ring: RingState;
  readonly #nameOf: (seriesRef: number) => SeriesName;
  readonly #lanes = new Map<string, Lane>();
  readonly #byPartition = new Map<WriteLevel, Lane[]>();

  constructor(ring: RingState, nameOf: (seriesRef: number) => SeriesName) {
    this.#ring = ring;
    this.#nameOf = nameOf;
  }

  laneOf(at: Partition, level: WriteLevel): Lane {
    let lanes = this.#byPartition.get(level);
    if (lanes === undefined) {
      lanes = [];
      this.#byPartition.set(level, lanes);
    }
    let lane = lanes[at];
    if (lane === undefined) {
      lane = this.#obtain(at, level);
      lanes[at] = lane;
    }
    return lane;
  }

  all(): Iterable<Lane> {
    return this.#lanes.values();
  }

  /** Readings that are not in a round yet. */
  openReadings(): number {
    let readings = 0;
    for (const lane of this.#lanes.values()) readings += lane.builder.count;
    return readings;
  }

  #obtain(at: Partition, level: WriteLevel): Lane {
    const { table, filling, moves } = this.#ring;
    // Whoever comes first in the preference list: the same gateways get the same bytes.
    const owners = ownersOf(table, at).toSorted();
    const notWhole = (filling.get(at) ?? []).toSorted();
    const leaving = moves.has(at) ? 1 : 0;
    const key = `${level} ${owners.join(",")} ${notWhole.join(",")} ${leaving}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane({ owners, filling: notWhole, leaving, level, nameOf: this.#nameOf });
      this.#lanes.set(key, lane);
    }
    return lane;
  }
}
