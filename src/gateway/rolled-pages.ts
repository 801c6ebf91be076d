/**
 * How what is left of given-up readings gets to a gateway that became an owner: series by series, as rollups by the hour of
 * everything below the raw horizon, whether it stands in blocks at the owner or not yet.
 */

import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, deviceId, type GatewayId, type Hash64, type Partition, partitionOf } from "../lib/ids.ts";
import { type SeriesHash, seriesHashOf } from "../series/digest.ts";
import { joinRollups } from "../series/join-rollups.ts";
import { buildRollup, decodeRollup, encodeRollup, type Rollup, RollupLevel } from "../series/rollup.ts";
import type { Requests } from "./requests.ts";
import type { Rollups } from "./series/rollups.ts";
import type { Series, SeriesIndex } from "./series/series-index.ts";
import type { SeriesReader } from "./series/series-reader.ts";
import type { ChunkRef } from "./series/store-keys.ts";

export interface RolledPageRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  /** Only what is behind it: of this series rollups that end later, and the series behind it in the order (device, metric). */
  readonly after: RolledPosition | undefined;
}

interface RolledPosition {
  readonly device: string;
  readonly metric: string;
  readonly us: number;
}

/** A series, or a piece of it. */
interface RolledSeries {
  readonly d: string;
  readonly m: string;
  /** Rollups by the hour, ascending. The first may repeat what came last, and more: then it takes its place. */
  readonly b: readonly Uint8Array[];
}

interface RolledPage {
  readonly series: readonly RolledSeries[];
  /** Nothing is left; otherwise the end of the last rollup is where it stopped. */
  readonly end: boolean;
}

export interface RolledPagesOptions {
  readonly index: SeriesIndex;
  readonly reader: SeriesReader;
  readonly blocks: Rollups;
  readonly requests: Pick<Requests, "serve" | "call">;
  readonly hash64: Hash64;
  readonly horizonUs: (series: Series) => number;
  /** Whether this gateway can answer for these partitions under this epoch. */
  readonly checked: (request: { readonly epoch: number; readonly partitions: readonly number[] }) => Result<ReadonlySet<Partition>>;
  /** Takes the place of what is here of a series, where it stands for more. */
  readonly adopt: (series: Series, rollups: readonly Rollup[]) => Promise<Result<void>>;
  /** About how much one answer holds; 2 MiB when absent. */
  readonly pageBytes?: number;
}

const pageBytesDefault = 2 << 20;
const pageTimeoutMs = 10_000;
const rowsMax = 1_024;
const nameUnitsMax = 0xffff;

export class RolledPages {
  readonly #options: RolledPagesOptions;

  constructor(options: RolledPagesOptions) {
    this.#options = options;
    options.requests.serve("rolled-page", (_from, body) => this.#page(body as RolledPageRequest));
  }

  /** Adopts all that an owner has of these partitions. An owner whose version has nothing of the kind has nothing. */
  async fetchAll(owner: GatewayId, { epoch, partitions }: Omit<RolledPageRequest, "after">): Promise<Result<void>> {
    const collector = new Collector(this.#options, new Set(partitions));
    for (;;) {
      const request: RolledPageRequest = { epoch, partitions, after: collector.after };
      const reply = await this.#options.requests.call(owner, "rolled-page", request, { timeoutMs: pageTimeoutMs, channel: "bulk" });
      if (!reply.ok) return reply.code === "not-found" ? success(undefined) : reply;
      const page = reply.value as Partial<RolledPage> | null;
      if (!Array.isArray(page?.series)) return malformed(owner);
      for (const item of page.series as readonly (RolledSeries | null)[]) {
        const taken = await collector.take(item);
        if (!taken.ok) return taken;
        if (!taken.value) return malformed(owner);
      }
      if (page.end !== false || page.series.length === 0) return collector.finish();
    }
  }

  async #page(request: RolledPageRequest): Promise<Result<RolledPage>> {
    const asked = this.#options.checked(request);
    if (!asked.ok) return asked;
    const found: RolledSeries[] = [];
    let left = this.#options.pageBytes ?? pageBytesDefault;
    for (const series of this.#selected(asked.value, request.after)) {
      if (series.blocks.length === 0 && this.#options.horizonUs(series) <= 0) continue;
      const { after } = request;
      const afterUs = after !== undefined && compareSeries(series, after) === 0 ? after.us : Number.NEGATIVE_INFINITY;
      const piece = await this.#piece(series, afterUs, left);
      if (!piece.ok) return piece;
      const { rollups, end } = piece.value;
      if (rollups.length > 0) found.push({ d: series.device, m: series.metric, b: rollups });
      for (const { length } of rollups) left -= length;
      if (!end || left <= 0) return success({ series: found, end: false });
    }
    return success({ series: found, end: true });
  }

  *#selected(partitions: ReadonlySet<Partition>, after: RolledPosition | undefined): Iterable<Series> {
    const { index } = this.#options;
    for (const device of index.devicesAscending()) {
      if (after !== undefined && device < after.device) continue;
      for (const [, series] of [...(index.metricsOf(device) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (!partitions.has(series.partition)) break;
        if (after === undefined || compareSeries(series, after) >= 0) yield series;
      }
    }
  }

  /** Rollups of a series that end behind `afterUs`: blocks as they are up to so many bytes, at least one, then what is in none yet. */
  async #piece(
    series: Series,
    afterUs: number,
    bytesMax: number,
  ): Promise<Result<{ readonly rollups: readonly Uint8Array[]; readonly end: boolean }>> {
    const { reader, blocks, horizonUs } = this.#options;
    const refs = series.blocks.filter((ref) => ref.maxUs > afterUs);
    let count = 0;
    for (let bytes = 0; count < refs.length && bytes < bytesMax; count++) bytes += (refs[count] as ChunkRef).bytes;
    const isCut = count < refs.length;
    const chosen = refs.slice(0, count);
    const parts: Rollup[] = [];
    const scan = (): Promise<Result<void>> =>
      reader.scan(
        series,
        { fromUs: Math.max(afterUs + 1, Number.MIN_SAFE_INTEGER), toUs: horizonUs(series) },
        (run) => {
          parts.push(buildRollup(series.hash, RollupLevel.Hour, run));
          return true;
        },
        { givenUp: true },
      );
    const [scanned, found] = await reader.pinned(() => Promise.all([isCut ? success(undefined) : scan(), blocks.blocksOf(series, chosen)]));
    if (!scanned.ok) return scanned;
    // What is damaged says nothing, not even where the next page begins.
    if (isCut && found.length === 0) return this.#piece(series, (chosen.at(-1) as ChunkRef).maxUs, bytesMax);
    const rollups = [...found, ...joinRollups(parts, rowsMax)].map((rollup) => encodeRollup(series.hash, rollup));
    return success({ rollups, end: !isCut });
  }
}

/** Puts the pieces of a series together. */
class Collector {
  after: RolledPosition | undefined;
  readonly #options: RolledPagesOptions;
  readonly #asked: ReadonlySet<number>;
  #series: { readonly device: DeviceId; readonly metric: string; readonly hash: SeriesHash } | undefined;
  #parts: Rollup[] = [];

  constructor(options: RolledPagesOptions, asked: ReadonlySet<number>) {
    this.#options = options;
    this.#asked = asked;
  }

  /** False for what cannot be: a lying or confused owner must not fill this disk with other things, nor keep this gateway busy for ever. */
  async take(item: RolledSeries | null): Promise<Result<boolean>> {
    if (typeof item?.d !== "string" || typeof item.m !== "string" || !Array.isArray(item.b) || item.b.length === 0) return success(false);
    if (item.d.length > nameUnitsMax || item.m.length > nameUnitsMax) return success(false);
    const device = deviceId(item.d);
    const order = this.after === undefined ? 1 : compareSeries({ device: item.d, metric: item.m }, this.after);
    if (!this.#asked.has(partitionOf(device, this.#options.hash64)) || order < 0) return success(false);
    if (order > 0) {
      const adopted = await this.#adopt();
      if (!adopted.ok) return adopted;
      this.#series = { device, metric: item.m, hash: seriesHashOf(device, item.m) };
    }
    const hash = (this.#series as { readonly hash: SeriesHash }).hash;
    for (const bytes of item.b as readonly unknown[]) {
      const decoded = bytes instanceof Uint8Array ? decodeRollup(hash, bytes) : undefined;
      if (decoded?.ok !== true || decoded.value.level !== RollupLevel.Hour || !this.#add(decoded.value, item)) return success(false);
    }
    return success(true);
  }

  async finish(): Promise<Result<void>> {
    return this.#adopt();
  }

  #add(rollup: Rollup, { d: device, m: metric }: RolledSeries): boolean {
    const { times, count } = rollup.rows.ends;
    const firstUs = times[0] as number;
    const us = times[count - 1] as number;
    const isAhead = this.#parts.length === 0 || this.after === undefined || us > this.after.us;
    if (!isAhead) return false;
    this.#parts = this.#parts.filter(({ rows }) => (rows.ends.times[0] as number) < firstUs);
    const last = this.#parts.at(-1);
    if (last !== undefined && (last.rows.ends.times[last.rows.ends.count - 1] as number) >= firstUs) return false;
    this.#parts.push(rollup);
    this.after = { device, metric, us };
    return true;
  }

  async #adopt(): Promise<Result<void>> {
    const parts = this.#parts;
    const series = this.#series;
    this.#parts = [];
    if (series === undefined || parts.length === 0) return success(undefined);
    return this.#options.adopt(this.#options.index.obtain(series.device, series.metric), parts);
  }
}

function compareSeries(
  a: { readonly device: DeviceId | string; readonly metric: string },
  b: { readonly device: string; readonly metric: string },
): number {
  if (a.device !== b.device) return a.device < b.device ? -1 : 1;
  return a.metric < b.metric ? -1 : Number(a.metric > b.metric);
}

function malformed(owner: GatewayId): Result<never> {
  return failure("internal", `a page of rollups from ${owner} is malformed`);
}
