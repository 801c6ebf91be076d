/** The series that this gateway keeps: names, heads, and which chunks there are. All in memory; readings are not. */

import { type DeviceId, type Hash64, type Partition, partitionOf } from "../../lib/ids.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import { Head } from "../../series/head.ts";
import type { ChunkRef } from "./store-keys.ts";

export interface Series {
  readonly id: number;
  readonly device: DeviceId;
  readonly metric: string;
  readonly partition: Partition;
  readonly hash: SeriesHash;
  /** Whether the store knows the name behind the id. */
  named: boolean;
  head: Head;
  /** A head on its way into chunks, still read from. */
  sealing: Head | undefined;
  /** Ascending by their first time; what is retired is not among them. */
  chunks: ChunkRef[];
  /** Ascending and disjoint: the rollups of readings that were given up (`rolled.ts`). */
  blocks: ChunkRef[];
  /** For each chunk the last time of it and of all before it: made when it is asked for, anew after each change. */
  reach: Float64Array | undefined;
  /** No chunk ends behind it. */
  lastUs: number;
  /** Counts changes of `chunks`. */
  changes: number;
  /** What compaction noted when it found nothing to do. */
  examined: number;
  /** When a checkpoint last added a chunk, on the monotonic clock. */
  sealedAtMs: number;
}

export function addChunk(series: Series, ref: ChunkRef): void {
  const { chunks } = series;
  let at = chunks.length;
  if (at > 0 && (chunks[at - 1] as ChunkRef).minUs > ref.minUs) {
    let low = 0;
    while (low < at) {
      const middle = (low + at) >>> 1;
      if ((chunks[middle] as ChunkRef).minUs <= ref.minUs) low = middle + 1;
      else at = middle;
    }
  }
  if (at === chunks.length) chunks.push(ref);
  else chunks.splice(at, 0, ref);
  series.lastUs = Math.max(series.lastUs, ref.maxUs);
  changed(series);
}

export function removeChunks(series: Series, refs: ReadonlySet<ChunkRef>): void {
  series.chunks = series.chunks.filter((ref) => !refs.has(ref));
  changed(series);
}

/** The chunks with a time in [fromUs, toUs), in their order: of a long series no others are looked at. */
export function chunksBetween(series: Series, fromUs: number, toUs: number): ChunkRef[] {
  const { chunks } = series;
  series.reach ??= reachOf(chunks);
  const end = firstAt(chunks.length, (at) => (chunks[at] as ChunkRef).minUs >= toUs);
  const { reach } = series;
  const found: ChunkRef[] = [];
  for (let at = firstAt(end, (each) => (reach[each] as number) >= fromUs); at < end; at++) {
    const ref = chunks[at] as ChunkRef;
    if (ref.maxUs >= fromUs) found.push(ref);
  }
  return found;
}

function changed(series: Series): void {
  series.reach = undefined;
  series.changes++;
}

/** What is older is in a block, or in nothing: readings that come late change nothing about it. */
export function rolledBeforeUs({ blocks }: Series): number {
  const last = blocks.at(-1);
  return last === undefined ? Number.NEGATIVE_INFINITY : last.maxUs + 1;
}

function reachOf(chunks: readonly ChunkRef[]): Float64Array {
  const reach = new Float64Array(chunks.length);
  let lastUs = Number.NEGATIVE_INFINITY;
  for (const [at, ref] of chunks.entries()) {
    if (ref.maxUs > lastUs) lastUs = ref.maxUs;
    reach[at] = lastUs;
  }
  return reach;
}

/** Bisection: the first of [0, count) that holds; all behind it do as well. */
function firstAt(count: number, holds: (at: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export class SeriesIndex {
  readonly #hash64: Hash64;
  readonly #byDevice = new Map<DeviceId, Map<string, Series>>();
  readonly #all: Series[] = [];
  #nextId = 1;
  /** Devices in ascending order, until the next one is added. */
  #sortedDevices: DeviceId[] | undefined;

  constructor(hash64: Hash64) {
    this.#hash64 = hash64;
  }

  count(): number {
    return this.#all.length;
  }

  all(): readonly Series[] {
    return this.#all;
  }

  /** The series, which is made when it is new. */
  obtain(device: DeviceId, metric: string): Series {
    return this.find(device, metric) ?? this.#add(this.#nextId, device, metric, false);
  }

  find(device: DeviceId, metric: string): Series | undefined {
    return this.#byDevice.get(device)?.get(metric);
  }

  metricsOf(device: DeviceId): ReadonlyMap<string, Series> | undefined {
    return this.#byDevice.get(device);
  }

  /** A series that the store knows. */
  restore(id: number, device: DeviceId, metric: string): Series {
    return this.#add(id, device, metric, true);
  }

  devicesAscending(): readonly DeviceId[] {
    this.#sortedDevices ??= [...this.#byDevice.keys()].sort();
    return this.#sortedDevices;
  }

  #add(id: number, device: DeviceId, metric: string, named: boolean): Series {
    let metrics = this.#byDevice.get(device);
    if (metrics === undefined) {
      metrics = new Map();
      this.#byDevice.set(device, metrics);
      this.#sortedDevices = undefined;
    }
    const series: Series = {
      id,
      device,
      metric,
      partition: partitionOf(device, this.#hash64),
      hash: seriesHashOf(device, metric),
      named,
      head: new Head(),
      sealing: undefined,
      chunks: [],
      blocks: [],
      reach: undefined,
      lastUs: Number.NEGATIVE_INFINITY,
      changes: 0,
      examined: -1,
      sealedAtMs: 0,
    };
    this.#nextId = Math.max(this.#nextId, id + 1);
    metrics.set(metric, series);
    this.#all.push(series);
    return series;
  }
}
