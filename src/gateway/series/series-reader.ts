/**
 * Reads series of this gateway: heads and chunks merged into sorted unique runs, a stretch at a time, so that memory
 * stays bounded whatever the range. A chunk that is missing or does not match its checksum is an error, never a gap.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import { decodeChunk } from "../../series/chunk.ts";
import { mergeRuns } from "../../series/merge.ts";
import { type SeriesRun, sliceRange } from "../../series/run.ts";
import type { Series } from "./series-index.ts";
import type { SeriesStore } from "./series-store.ts";
import type { ChunkRef } from "./store-keys.ts";

/** Chunks fetched at once. */
const fetchMax = 32;

/** Chunks whose times overlap, and the stretch of time that is theirs alone. */
interface Cluster {
  readonly refs: ChunkRef[];
  fromUs: number;
  toUs: number;
}

export class SeriesReader {
  readonly #store: SeriesStore;

  constructor(store: SeriesStore) {
    this.#store = store;
  }

  /**
   * Sorted unique runs of [fromUs, toUs) in ascending order. `visit` returns false to stop. What is read is the state at
   * the time of the call.
   */
  async scan(
    series: Series,
    range: { readonly fromUs: number; readonly toUs: number },
    visit: (run: SeriesRun) => boolean,
  ): Promise<Result<void>> {
    const heads = [series.head, series.sealing]
      .filter((head) => head !== undefined && head.count > 0)
      .map((head) => (head as Series["head"]).sortedUnique().run);
    const refs = series.chunks.filter((ref) => ref.maxUs >= range.fromUs && ref.minUs < range.toUs);
    for (const group of grouped(clusters(refs, range))) {
      const values = await this.#store.chunkValues(group.flatMap((cluster) => cluster.refs));
      let next = 0;
      for (const cluster of group) {
        const runs: SeriesRun[] = [];
        for (const ref of cluster.refs) {
          const value = values[next++];
          // Dropped since the scan began: it lay below the horizon.
          if (value === undefined && !series.chunks.includes(ref)) continue;
          const decoded = decodeChunkValue(series, ref, value);
          if (!decoded.ok) return decoded;
          runs.push(sliceRange(decoded.value, cluster.fromUs, cluster.toUs));
        }
        for (const head of heads) runs.push(sliceRange(head, cluster.fromUs, cluster.toUs));
        const merged = mergeRuns(runs).run;
        if (merged.count > 0 && !visit(merged)) return success(undefined);
      }
    }
    return success(undefined);
  }

  /** The reading with the greatest time. */
  async latest(series: Series): Promise<Result<SeriesRun | undefined>> {
    let latestUs = Math.max(series.head.maxTimeUs, series.sealing?.maxTimeUs ?? Number.NEGATIVE_INFINITY);
    for (const ref of series.chunks) latestUs = Math.max(latestUs, ref.maxUs);
    if (latestUs === Number.NEGATIVE_INFINITY) return success(undefined);
    let found: SeriesRun | undefined;
    const scanned = await this.scan(series, { fromUs: latestUs, toUs: latestUs + 1 }, (run) => {
      found = run;
      return true;
    });
    return scanned.ok ? success(found) : scanned;
  }
}

function decodeChunkValue(series: Series, ref: ChunkRef, value: Uint8Array | undefined): Result<SeriesRun> {
  const where = `chunk of ${series.device} ${series.metric} from ${new Date(ref.minUs / 1_000).toISOString()}`;
  if (value === undefined) return failure("data-damaged", `the ${where} is missing from the store`);
  const decoded = decodeChunk(series.hash, value);
  return decoded.ok ? success(decoded.value.run) : failure("data-damaged", `the ${where} is damaged: ${decoded.message}`);
}

/** Tiles the range: each cluster answers for the time from its first reading to the next cluster's. */
function clusters(refs: readonly ChunkRef[], range: { readonly fromUs: number; readonly toUs: number }): Cluster[] {
  const made: Cluster[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const ref of refs.toSorted((a, b) => a.minUs - b.minUs)) {
    const last = made.at(-1);
    if (last !== undefined && ref.minUs <= end) {
      last.refs.push(ref);
    } else {
      if (last !== undefined) last.toUs = Math.max(ref.minUs, range.fromUs);
      made.push({ refs: [ref], fromUs: last === undefined ? range.fromUs : Math.max(ref.minUs, range.fromUs), toUs: range.toUs });
    }
    end = Math.max(end, ref.maxUs);
  }
  return made.length === 0 ? [{ refs: [], fromUs: range.fromUs, toUs: range.toUs }] : made;
}

function* grouped(all: readonly Cluster[]): Iterable<Cluster[]> {
  let group: Cluster[] = [];
  let refs = 0;
  for (const cluster of all) {
    if (refs > 0 && refs + cluster.refs.length > fetchMax) {
      yield group;
      group = [];
      refs = 0;
    }
    group.push(cluster);
    refs += cluster.refs.length;
  }
  if (group.length > 0) yield group;
}
