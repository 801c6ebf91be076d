/**
 * Sealed chunks as they are, from an owner to a gateway that fills: it is told which chunks there are, asks for those that it
 * lacks, verifies each as if it had read it from its own disk, and puts it into its store. A quarter of the bytes that the readings would
 * take as pages, and nothing to seal again. What is in heads, was compacted meanwhile or cannot be read is left out: whoever fills
 * compares digests behind this, and fetches what is still missing. So nothing has to be remembered for a crash: chunks that stand
 * are not asked for again.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import { deviceId, type GatewayId, type Hash64, type Partition, partitionOf } from "../../lib/ids.ts";
import { decodeChunk, decodeChunkStats } from "../../series/chunk.ts";
import { type SeriesHash, seriesHashOf } from "../../series/digest.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import type { ChunkSource } from "../series/chunk-source.ts";
import { BytePacer, Slicer } from "../series/pacing.ts";
import type { ScanPins } from "../series/scan-pins.ts";
import { chunksBetween, type Series, type SeriesIndex } from "../series/series-index.ts";
import type { AdoptedChunk } from "../series/series-store.ts";
import type { ChunkRef } from "../series/store-keys.ts";

export interface ChunkStreamOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call" | "serve">;
  readonly index: SeriesIndex;
  readonly source: ChunkSource;
  readonly pins: ScanPins;
  readonly rawHorizonUs: (partition: number) => number;
  /** Whether this gateway can answer for these partitions under this epoch. */
  readonly checked: (request: { readonly epoch: number; readonly partitions: readonly number[] }) => Result<ReadonlySet<Partition>>;
  /** False while the disk is too full, or the store too far behind. */
  readonly mayTake: () => boolean;
  /** Puts chunks into the store: they count when it resolves. */
  readonly adopt: (chunks: readonly AdoptedChunk[]) => Promise<Result<void>>;
  readonly bytesPerSecond?: number;
}

/** A chunk by what tells it from the others of its series: times of its first and last reading, number of readings, bytes. */
type ChunkPlace = readonly [minUs: number, maxUs: number, count: number, bytes: number];

interface SeriesPlaces {
  readonly d: string;
  readonly m: string;
  readonly c: readonly ChunkPlace[];
}

interface ListRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  /** Only series behind it, in the order (device, metric). */
  readonly after: { readonly device: string; readonly metric: string } | undefined;
}

interface ValuesRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  readonly chunks: readonly SeriesPlaces[];
}

/** Chunks named in one answer: of whole series, the one that passes it included. */
const listMax = 4_096;
const valuesBytesMax = 1 << 20;
const timeoutMs = 10_000;
const triesMax = 4;
const nameUnitsMax = 0xffff;
const bytesPerSecondDefault = 4 << 20;
const pauseMs = 200;

export class ChunkStream {
  readonly #options: ChunkStreamOptions;
  readonly #pacer: BytePacer;
  readonly #hash64: Hash64;
  readonly #slicer: Slicer;
  /** Since the start. */
  chunks = 0;
  bytes = 0;

  constructor(options: ChunkStreamOptions) {
    const { context, requests } = options;
    this.#options = options;
    this.#hash64 = context.ports.hash64;
    this.#slicer = new Slicer(context.clock);
    this.#pacer = new BytePacer(context.clock, options.bytesPerSecond ?? bytesPerSecondDefault);
    requests.serve("chunk-list", async (_from, body) => this.#list(body as Partial<ListRequest> | null));
    requests.serve("chunk-values", (_from, body) => this.#values(body as Partial<ValuesRequest> | null));
  }

  /** Gets the owner's chunks of these partitions that are not here. Resolves when they count. */
  async fetchAll(owner: GatewayId, asked: { readonly epoch: number; readonly partitions: readonly Partition[] }): Promise<Result<void>> {
    let after: ListRequest["after"];
    for (;;) {
      const reply = await this.#ask(owner, "chunk-list", { ...asked, after } satisfies ListRequest);
      if (!reply.ok) return reply;
      const list = readList(reply.value);
      if (list === undefined || !this.#isPlausible(list.series, asked.partitions, after)) return malformed(owner);
      const missing = list.series.map((places) => this.#missingOf(places)).filter(({ c }) => c.length > 0);
      const fetched = await this.#fetch(owner, asked, missing);
      if (!fetched.ok) return fetched;
      const last = list.series.at(-1);
      if (list.end || last === undefined) return success(undefined);
      after = { device: last.d, metric: last.m };
    }
  }

  async #fetch(owner: GatewayId, asked: Omit<ListRequest, "after">, missing: readonly SeriesPlaces[]): Promise<Result<void>> {
    for (const chunks of lotsOf(missing)) {
      while (!this.#pacer.mayGo() || !this.#options.mayTake()) {
        if (this.#options.context.inbox.closed()) return failure("not-ready", "this gateway stops");
        await this.#pause();
      }
      const reply = await this.#ask(owner, "chunk-values", { ...asked, chunks } satisfies ValuesRequest);
      if (!reply.ok) return reply;
      const values = reply.value as readonly unknown[] | null;
      const wanted = chunks.flatMap(({ d, m, c }) => c.map((place) => ({ device: d, metric: m, place, hash: seriesHashOf(d, m) })));
      if (!Array.isArray(values) || values.length !== wanted.length) return malformed(owner);
      const adopted: AdoptedChunk[] = [];
      for (const [at, { device, metric, place, hash }] of wanted.entries()) {
        const value = values[at] as unknown;
        // It is gone there by now, or damaged.
        if (!(value instanceof Uint8Array) || value.length === 0) continue;
        const run = verified(value, place, hash);
        if (run === undefined) return malformed(owner);
        adopted.push({ device, metric, run, value });
        this.bytes += value.length;
        this.#pacer.spent(value.length);
        if (this.#slicer.due(run.count)) await this.#slicer.pause();
      }
      if (adopted.length === 0) continue;
      const taken = await this.#options.adopt(adopted);
      if (!taken.ok) return taken;
      this.chunks += adopted.length;
    }
    return success(undefined);
  }

  /** Chunks of the owner's of whose stretch there are fewer readings here. */
  #missingOf({ d, m, c }: SeriesPlaces): SeriesPlaces {
    const series = this.#options.index.find(deviceId(d), m);
    if (series === undefined) return { d, m, c };
    const horizonUs = this.#options.rawHorizonUs(series.partition);
    return {
      d,
      m,
      c: c.filter(([minUs, maxUs, count]) => {
        if (maxUs < horizonUs) return false;
        const here = chunksBetween(series, minUs, maxUs + 1).filter((ref) => ref.state === "live");
        return here.reduce((sum, ref) => sum + ref.count, 0) < count;
      }),
    };
  }

  #isPlausible(series: readonly SeriesPlaces[], partitions: readonly Partition[], after: ListRequest["after"]): boolean {
    const asked = new Set<number>(partitions);
    let before = after;
    for (const { d, m, c } of series) {
      if (d.length > nameUnitsMax || m.length > nameUnitsMax || c.length === 0 || !asked.has(partitionOf(deviceId(d), this.#hash64)))
        return false;
      if (before !== undefined && (d < before.device || (d === before.device && m <= before.metric))) return false;
      before = { device: d, metric: m };
    }
    return true;
  }

  /** A mesh loses frames. */
  async #ask(owner: GatewayId, type: "chunk-list" | "chunk-values", body: unknown): Promise<Result<unknown>> {
    for (let tries = 1; ; tries++) {
      const reply = await this.#options.requests.call(owner, type, body, { timeoutMs, channel: "bulk" });
      if (reply.ok || reply.code !== "outcome-unknown" || tries === triesMax || this.#options.context.inbox.closed()) return reply;
    }
  }

  #list(request: Partial<ListRequest> | null): Result<unknown> {
    const { epoch, partitions, after } = request ?? {};
    if (typeof epoch !== "number" || !Array.isArray(partitions)) return failure("bad-request", "a question for chunks is malformed");
    const asked = this.#options.checked({ epoch, partitions });
    if (!asked.ok) return asked;
    const found: SeriesPlaces[] = [];
    let chunks = 0;
    for (const series of this.#selected(asked.value, after)) {
      if (chunks >= listMax) return success({ series: found, end: false });
      const horizonUs = this.#options.rawHorizonUs(series.partition);
      const places = series.chunks
        .filter((ref) => ref.state === "live" && ref.maxUs >= horizonUs)
        .map(({ minUs, maxUs, count, bytes }): ChunkPlace => [minUs, maxUs, count, bytes]);
      if (places.length === 0) continue;
      found.push({ d: series.device, m: series.metric, c: places });
      chunks += places.length;
    }
    return success({ series: found, end: true });
  }

  *#selected(partitions: ReadonlySet<Partition>, after: ListRequest["after"]): Iterable<Series> {
    const { index } = this.#options;
    for (const device of index.devicesAscending()) {
      if (after !== undefined && device < after.device) continue;
      for (const [metric, series] of [...(index.metricsOf(device) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (!partitions.has(series.partition)) break;
        if (after === undefined || device > after.device || metric > after.metric) yield series;
      }
    }
  }

  async #values(request: Partial<ValuesRequest> | null): Promise<Result<unknown>> {
    const { epoch, partitions, chunks } = request ?? {};
    const list = readList({ series: chunks, end: true });
    if (typeof epoch !== "number" || !Array.isArray(partitions) || list === undefined)
      return failure("bad-request", "a question for chunks is malformed");
    const asked = this.#options.checked({ epoch, partitions });
    if (!asked.ok) return asked;
    const { pins } = this.#options;
    const pin = pins.begin();
    try {
      const values: (Uint8Array | null)[] = [];
      let bytes = 0;
      for (const { d, m, c } of list.series) {
        const series = this.#options.index.find(deviceId(d), m);
        for (const place of c) {
          const ref = series !== undefined && asked.value.has(series.partition) ? refAt(series, place) : undefined;
          const value = ref === undefined || bytes > 2 * valuesBytesMax ? null : await this.#valueOf(series as Series, ref);
          bytes += value?.length ?? 0;
          values.push(value);
        }
      }
      return success(values);
    } finally {
      pins.end(pin);
    }
  }

  /** One that cannot be read goes into quarantine here, and is not sent. */
  async #valueOf(series: Series, ref: ChunkRef): Promise<Uint8Array | null> {
    const judged = await this.#options.source.judged(series, [ref], (value) => {
      const stats = decodeChunkStats(series.hash, value);
      return stats.ok ? success(value) : stats;
    });
    return judged.ok ? (judged.value[0] ?? null) : null;
  }

  #pause(): Promise<void> {
    return pause(this.#options.context.clock, pauseMs);
  }
}

function refAt(series: Series, [minUs, maxUs, count]: ChunkPlace): ChunkRef | undefined {
  return chunksBetween(series, minUs, maxUs + 1).find(
    (ref) => ref.state === "live" && ref.minUs === minUs && ref.maxUs === maxUs && ref.count === count,
  );
}

/** As much at once as an answer may hold. */
function* lotsOf(missing: readonly SeriesPlaces[]): Iterable<SeriesPlaces[]> {
  let lot: SeriesPlaces[] = [];
  let bytes = 0;
  for (const { d, m, c } of missing) {
    let from = 0;
    for (const [at, place] of c.entries()) {
      bytes += place[3];
      if (bytes < valuesBytesMax) continue;
      lot.push({ d, m, c: c.slice(from, at + 1) });
      yield lot;
      lot = [];
      bytes = 0;
      from = at + 1;
    }
    if (from < c.length) lot.push({ d, m, c: c.slice(from) });
  }
  if (lot.length > 0) yield lot;
}

/** The readings of a chunk that is what the owner said it was; its checksum, series and every field are verified. */
function verified(value: Uint8Array, [minUs, maxUs, count]: ChunkPlace, hash: SeriesHash): SeriesRun | undefined {
  const decoded = decodeChunk(hash, value);
  if (!decoded.ok) return undefined;
  const { run } = decoded.value;
  const isIt = run.count === count && run.times[0] === minUs && run.times[run.count - 1] === maxUs;
  return isIt ? run : undefined;
}

function readList(value: unknown): { readonly series: readonly SeriesPlaces[]; readonly end: boolean } | undefined {
  const { series, end } = (value ?? {}) as { readonly series?: unknown; readonly end?: unknown };
  if (!Array.isArray(series) || typeof end !== "boolean") return undefined;
  for (const item of series as readonly ({ readonly d?: unknown; readonly m?: unknown; readonly c?: unknown } | null)[]) {
    if (typeof item?.d !== "string" || typeof item.m !== "string" || !Array.isArray(item.c) || !item.c.every(isPlace)) return undefined;
  }
  return { series: series as readonly SeriesPlaces[], end };
}

function isPlace(value: unknown): boolean {
  return Array.isArray(value) && value.length === 4 && value.every((part) => Number.isSafeInteger(part)) && (value[3] as number) >= 0;
}

function malformed(owner: GatewayId): Result<never> {
  return failure("internal", `an answer about chunks from ${owner} is malformed`);
}
