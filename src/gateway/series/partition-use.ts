/** What partitions hold, for whoever must free space. */

import type { Partition } from "../../lib/ids.ts";
import type { Series } from "./series-index.ts";
import { type ChunkRef, chunkKeyBytes } from "./store-keys.ts";

export interface PartitionUse {
  /** Of the oldest and the newest reading in chunks. */
  readonly oldestUs: number;
  readonly newestUs: number;
  readonly chunks: number;
  readonly readings: number;
  /** Of the chunks; what the store adds to them, and what it has not let go of yet, is left out. */
  readonly bytes: number;
}

/** Of a reading in a chunk whose length is not known. */
const readingBytes = 9;

/** Partitions without chunks are left out. */
export function partitionUses(all: readonly Series[]): Map<Partition, PartitionUse> {
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
      use.bytes += bytesOf(ref);
    }
  }
  return uses;
}

/** Bytes of the chunks that end before `us`, those left out that lie below their horizon anyway. */
export function bytesBefore(all: readonly Series[], us: number, horizonOf: (series: Series) => number): number {
  let bytes = 0;
  for (const series of all) {
    const horizonUs = horizonOf(series);
    for (const ref of series.chunks) if (ref.maxUs < us && ref.maxUs >= horizonUs) bytes += bytesOf(ref);
  }
  return bytes;
}

/** Bytes of the blocks that end before `us`, those left out that lie below their horizon anyway. */
export function blockBytesBefore(all: readonly Series[], us: number, horizonOf: (series: Series) => number): number {
  let bytes = 0;
  for (const series of all) {
    const horizonUs = horizonOf(series);
    for (const ref of series.blocks) if (ref.maxUs < us && ref.maxUs >= horizonUs) bytes += bytesOf(ref);
  }
  return bytes;
}

function bytesOf(ref: ChunkRef): number {
  return chunkKeyBytes * 2 + (ref.bytes || ref.count * readingBytes);
}
