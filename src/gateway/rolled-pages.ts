/**
 * How what is left of given-up readings gets to a gateway that became an owner: series by series, as rollups by the hour of
 * everything below the raw horizon, whether it stands in blocks at the owner or not yet.
 */

import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, deviceId, type GatewayId, type Hash64, type Partition, partitionOf } from "../lib/ids.ts";
import { joinRollups } from "../series/join-rollups.ts";
import { buildRollup, decodeRollup, encodeRollup, type Rollup, RollupLevel } from "../series/rollup.ts";
import type { Requests } from "./requests.ts";
import type { Rollups } from "./series/rollups.ts";
import type { Series, SeriesIndex } from "./series/series-index.ts";
import type { SeriesReader } from "./series/series-reader.ts";

export interface RolledPageRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  /** Only series behind this one, in the order (device, metric). */
  readonly after: { readonly device: string; readonly metric: string } | undefined;
}

interface RolledSeries {
  readonly d: string;
  readonly m: string;
  /** Rollups by the hour, ascending. */
  readonly b: readonly Uint8Array[];
}

interface RolledPage {
  readonly series: readonly RolledSeries[];
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
}

const pageBytes = 2 << 20;
const pageTimeoutMs = 10_000;
const rowsMax = 1_024;

export class RolledPages {
  readonly #options: RolledPagesOptions;

  constructor(options: RolledPagesOptions) {
    this.#options = options;
    options.requests.serve("rolled-page", (_from, body) => this.#page(body as RolledPageRequest));
  }

  /** Adopts all that an owner has of these partitions. An owner whose version has nothing of the kind has nothing. */
  async fetchAll(owner: GatewayId, { epoch, partitions }: Omit<RolledPageRequest, "after">): Promise<Result<void>> {
    const asked = new Set(partitions);
    let after: RolledPageRequest["after"];
    for (;;) {
      const request: RolledPageRequest = { epoch, partitions, after };
      const reply = await this.#options.requests.call(owner, "rolled-page", request, { timeoutMs: pageTimeoutMs, channel: "bulk" });
      if (!reply.ok) return reply.code === "not-found" ? success(undefined) : reply;
      const page = reply.value as Partial<RolledPage> | null;
      if (!Array.isArray(page?.series)) return malformed(owner);
      for (const item of page.series as readonly (RolledSeries | null)[]) {
        const adopted = await this.#adopt(owner, item, asked, after);
        if (!adopted.ok) return adopted;
        after = adopted.value;
      }
      if (page.end !== false || page.series.length === 0) return success(undefined);
    }
  }

  async #adopt(
    owner: GatewayId,
    item: RolledSeries | null,
    asked: ReadonlySet<number>,
    after: RolledPageRequest["after"],
  ): Promise<Result<{ readonly device: string; readonly metric: string }>> {
    const { index, hash64, adopt } = this.#options;
    if (typeof item?.d !== "string" || typeof item.m !== "string" || !Array.isArray(item.b)) return malformed(owner);
    const device = deviceId(item.d);
    const here = { device: item.d, metric: item.m };
    if (!asked.has(partitionOf(device, hash64)) || (after !== undefined && compareSeries(here, after) <= 0)) return malformed(owner);
    const series = index.obtain(device, item.m);
    const rollups: Rollup[] = [];
    let lastUs = Number.NEGATIVE_INFINITY;
    for (const bytes of item.b as readonly unknown[]) {
      const decoded = bytes instanceof Uint8Array ? decodeRollup(series.hash, bytes) : undefined;
      if (decoded?.ok !== true || decoded.value.level !== RollupLevel.Hour) return malformed(owner);
      const { times, count } = decoded.value.rows.ends;
      if ((times[0] as number) <= lastUs) return malformed(owner);
      lastUs = times[count - 1] as number;
      rollups.push(decoded.value);
    }
    const adopted = await adopt(series, rollups);
    return adopted.ok ? success(here) : adopted;
  }

  async #page(request: RolledPageRequest): Promise<Result<RolledPage>> {
    const asked = this.#options.checked(request);
    if (!asked.ok) return asked;
    const found: RolledSeries[] = [];
    let bytes = 0;
    for (const series of this.#selected(asked.value, request.after)) {
      if (bytes >= pageBytes) return success({ series: found, end: false });
      if (series.blocks.length === 0 && this.#options.horizonUs(series) <= 0) continue;
      const rollups = await this.#rolled(series);
      if (!rollups.ok) return rollups;
      if (rollups.value.length === 0) continue;
      const b = rollups.value.map((rollup) => encodeRollup(series.hash, rollup));
      for (const each of b) bytes += each.length;
      found.push({ d: series.device, m: series.metric, b });
    }
    return success({ series: found, end: true });
  }

  *#selected(partitions: ReadonlySet<Partition>, after: RolledPageRequest["after"]): Iterable<Series> {
    const { index } = this.#options;
    for (const device of index.devicesAscending()) {
      if (after !== undefined && device < after.device) continue;
      for (const [, series] of [...(index.metricsOf(device) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (!partitions.has(series.partition)) break;
        if (after === undefined || compareSeries(series, after) > 0) yield series;
      }
    }
  }

  async #rolled(series: Series): Promise<Result<readonly Rollup[]>> {
    const { reader, blocks, horizonUs } = this.#options;
    const refs = [...series.blocks];
    const parts: Rollup[] = [];
    const [scanned, fetched] = await reader.pinned(() =>
      Promise.all([
        reader.scan(
          series,
          { fromUs: Number.MIN_SAFE_INTEGER, toUs: horizonUs(series) },
          (run) => {
            parts.push(buildRollup(series.hash, RollupLevel.Hour, run));
            return true;
          },
          { givenUp: true },
        ),
        blocks.blocksOf(series, refs),
      ]),
    );
    if (!scanned.ok) return scanned;
    return success(joinRollups([...fetched, ...parts], rowsMax));
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
