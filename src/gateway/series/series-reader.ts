/**
 * Reads series of this gateway: heads and chunks merged into sorted unique runs, a stretch at a time, so that memory
 * stays bounded whatever the range. A chunk that is missing or does not match its checksum is an error, never a gap.
 */

import { type Result, success } from "../../lib/errors.ts";
import type { Chunk, ChunkStats } from "../../series/chunk-stats.ts";
import type { Head } from "../../series/head.ts";
import { mergeRuns } from "../../series/merge.ts";
import { type SeriesRun, sliceRange } from "../../series/run.ts";
import { pause } from "../pause.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { spansOf } from "./chunk-spans.ts";
import { chunksBetween, type Series } from "./series-index.ts";
import type { SeriesStore } from "./series-store.ts";
import type { ChunkRef } from "./store-keys.ts";

/** Chunks fetched at once. */
const fetchMax = 32;
/** Readings handed out of the cache between two turns of the event loop. */
const sliceReadingsMax = 262_144;

export interface TimeRange {
  readonly fromUs: number;
  readonly toUs: number;
}

/**
 * Takes the next run; false stops the scan. `whole`: the run is exactly one chunk, not clipped and with nothing merged in, and
 * these are the chunk's own figures. Run and figures of a chunk are the same objects each time while it stays in the cache, so
 * that what was derived from them may be kept beside them (in a WeakMap). Nobody may change the arrays.
 */
export type RunVisitor = (run: SeriesRun, whole: ChunkStats | undefined) => boolean;

export interface ScanOptions {
  /**
   * It is part of a question that reads more than the cache holds: nothing leaves the cache for it, and a run is worth something
   * until the visitor returns only.
   */
  readonly streams?: boolean;
  /** What is below the horizon too, as far as no block stands for it: for rollups of it. */
  readonly givenUp?: boolean;
}

/** Chunks whose times overlap, and the stretch of time that is theirs alone. */
interface Cluster {
  readonly refs: readonly ChunkRef[];
  readonly fromUs: number;
  toUs: number;
}

export class SeriesReader {
  readonly #store: SeriesStore;

  constructor(store: SeriesStore) {
    this.#store = store;
  }

  /**
   * Sorted unique runs of [fromUs, toUs) in ascending order. What is read is the state at the time of the call, whatever is
   * sealed, compacted or dropped meanwhile; what is below the horizon is not read.
   */
  async scan(
    series: Series,
    range: TimeRange,
    visit: RunVisitor,
    { streams = false, givenUp = false }: ScanOptions = {},
  ): Promise<Result<void>> {
    const { pins, source, clock } = this.#store.reading;
    const fromUs = Math.max(range.fromUs, givenUp ? this.#store.keptFromUs(series) : this.#store.horizonOf(series));
    const { toUs } = range;
    const heads = headsOf(series, { fromUs, toUs });
    const refs = chunksBetween(series, fromUs, toUs);
    const refusal = source.refusal(series, refs);
    if (refusal !== undefined) return refusal;
    const known = refs.length === 1 && heads.length === 0 ? source.known(refs[0] as ChunkRef) : undefined;
    if (known !== undefined) {
      // A piece of one chunk that is in memory, as of the ends of a range: nothing to wait for.
      const run = sliceRange(known.run, fromUs, toUs);
      if (run.count > 0) visit(run, run === known.run ? known.stats : undefined);
      return success(undefined);
    }
    let handedOut = 0;
    const take = (cluster: Cluster, chunks: readonly Chunk[]): boolean => {
      for (const run of runsOf(cluster, chunks, heads)) {
        handedOut += run.count;
        if (!visit(run, chunks.find((chunk) => chunk.run === run)?.stats)) return false;
      }
      return true;
    };
    const pin = pins.begin();
    try {
      for (const group of grouped(clusters(refs, { fromUs, toUs }))) {
        const isStreamed = streams && group.every((cluster) => cluster.refs.length === 1);
        const read = isStreamed ? await streamed(source, series, group, take) : await collected(source, series, group, take);
        if (!read.ok) return read;
        if (!read.value) return success(undefined);
        if (handedOut < sliceReadingsMax) continue;
        handedOut = 0;
        await pause(clock, 0);
      }
      return success(undefined);
    } finally {
      pins.end(pin);
    }
  }

  /** What stands in the store at the time of the call stays there until `work` is done. */
  async pinned<T>(work: () => Promise<T>): Promise<T> {
    const { pins } = this.#store.reading;
    const pin = pins.begin();
    try {
      return await work();
    } finally {
      pins.end(pin);
    }
  }

  /** Whether a question that reads so many readings should stream them. */
  isLarge(readings: number): boolean {
    return this.#store.reading.source.isLarge(readings);
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

/** Takes a cluster with its chunks; false stops the scan. */
type TakeCluster = (cluster: Cluster, chunks: readonly Chunk[]) => boolean;

/** All chunks of the clusters are there before the first is taken; gives whether the scan goes on. */
async function collected(source: ChunkSource, series: Series, group: readonly Cluster[], take: TakeCluster): Promise<Result<boolean>> {
  const read = await source.chunks(
    series,
    group.flatMap((cluster) => cluster.refs),
  );
  if (!read.ok) return read;
  let next = 0;
  for (const cluster of group) {
    const chunks = read.value.slice(next, next + cluster.refs.length);
    next += cluster.refs.length;
    if (!take(cluster, chunks)) return success(false);
  }
  return success(true);
}

/** Likewise, of clusters of one chunk each: a chunk is decoded when the one before has been taken. */
function streamed(source: ChunkSource, series: Series, group: readonly Cluster[], take: TakeCluster): Promise<Result<boolean>> {
  const refs = group.flatMap((cluster) => cluster.refs);
  return source.stream(series, refs, (at, chunk) => take(group[at] as Cluster, [chunk]));
}

/** What heads hold of the range, as it is now. */
function headsOf(series: Series, { fromUs, toUs }: TimeRange): SeriesRun[] {
  const runs: SeriesRun[] = [];
  const take = (head: Head | undefined): void => {
    if (head === undefined || head.maxTimeUs < fromUs || head.minTimeUs >= toUs) return;
    const run = sliceRange(head.sortedUnique().run, fromUs, toUs);
    if (run.count > 0) runs.push(run);
  };
  take(series.head);
  take(series.sealing);
  return runs;
}

/** Ascending runs of the cluster's time: views where nothing overlaps, else all of it merged to one. */
function runsOf(cluster: Cluster, chunks: readonly Chunk[], heads: readonly SeriesRun[]): readonly SeriesRun[] {
  const runs: SeriesRun[] = [];
  const take = (run: SeriesRun): void => {
    const slice = sliceRange(run, cluster.fromUs, cluster.toUs);
    if (slice.count > 0) runs.push(slice);
  };
  for (const chunk of chunks) take(chunk.run);
  for (const head of heads) take(head);
  if (runs.length < 2) return runs;
  runs.sort((a, b) => (a.times[0] as number) - (b.times[0] as number));
  for (let at = 1; at < runs.length; at++) {
    const before = runs[at - 1] as SeriesRun;
    if ((before.times[before.count - 1] as number) >= ((runs[at] as SeriesRun).times[0] as number)) return [mergeRuns(runs).run];
  }
  return runs;
}

/** Tiles the range: each cluster answers for the time from its first reading to the next cluster's. */
function clusters(refs: readonly ChunkRef[], range: TimeRange): Cluster[] {
  const made: Cluster[] = [];
  for (const span of spansOf(refs)) {
    const last = made.at(-1);
    const fromUs = last === undefined ? range.fromUs : Math.max(span.minUs, range.fromUs);
    if (last !== undefined) last.toUs = fromUs;
    made.push({ refs: span.refs, fromUs, toUs: range.toUs });
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
