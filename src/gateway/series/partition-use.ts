/** What partitions hold, for whoever must free space. */

import type { Partition } from "../../lib/ids.ts";
import type { Series } from "./series-index.ts";

export interface PartitionUse {
  /** Of the oldest and the newest reading in chunks. */
  readonly oldestUs: number;
  readonly newestUs: number;
  readonly chunks: number;
  readonly readings: number;
  /** Estimated: the store's bytes, shared out by readings. */
  readonly bytes: number;
}

/** Partitions without chunks are left out. */
export function partitionUses(
  all: readonly Series[],
  total: { readonly storeBytes: number; readonly readings: number },
): Map<Partition, PartitionUse> {
  const uses = new Map<Partition, { oldestUs: number; newestUs: number; chunks: number; readings: number; bytes: number }>();
  for (const { partition, chunks } of all) {
    const first = chunks[0];
    if (first === undefined) continue;
    let use = uses.get(partition);
    if (use === undefined) {
      use = { oldestUs: first.minUs, newestUs: first.maxUs, chunks: 0, readings: 0, bytes: 0 };
      uses.set(partition, use);
    }
    use.oldestUs = Math.min(use.oldestUs, first.minUs);
    use.chunks += chunks.length;
    for (const ref of chunks) {
      use.newestUs = Math.max(use.newestUs, ref.maxUs);
      use.readings += ref.count;
    }
  }
  const bytesPerReading = total.readings === 0 ? 0 : total.storeBytes / total.readings;
  for (const use of uses.values()) use.bytes = Math.round(use.readings * bytesPerReading);
  return uses;
}
