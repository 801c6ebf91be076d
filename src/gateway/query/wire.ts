/**
 * What gateways ask each other about readings (MessagePack in frames of kind `request`), and how pages of readings
 * travel. Fields are append-only.
 */

import type { AggregateFunction, GroupKey } from "../../lib/aggregate-function.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { type DeviceId, deviceId } from "../../lib/ids.ts";
import { compactTexts, type SeriesRun } from "../../series/run.ts";
import type { HorizonRange } from "../retention/horizons.ts";

/** Which series: `metric` undefined means all; `labels` all have to match. */
export interface SeriesSelector {
  readonly metric: string | undefined;
  /** Glob. */
  readonly device: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PageRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  readonly selector: SeriesSelector;
  readonly fromUs: number;
  readonly toUs: number;
  /** Only what is behind this position, in the order (device, metric, time). */
  readonly after: PagePosition | undefined;
  readonly limit: number;
  /** Since level 3: what the asker knows to be given up. */
  readonly horizons?: readonly HorizonRange[] | undefined;
}

export interface PagePosition {
  readonly device: string;
  readonly metric: string;
  readonly us: number;
}

/** Runs in the order (device, metric). `end`: nothing is left; otherwise the last row's position is where it stopped. */
export interface Page {
  readonly series: readonly PageSeries[];
  readonly end: boolean;
  /** Since level 3: what the owner knows to be given up. */
  readonly horizons?: unknown;
}

export interface PageSeries {
  readonly device: DeviceId;
  readonly metric: string;
  readonly run: SeriesRun;
}

export interface AggregateRequest {
  readonly epoch: number;
  readonly partitions: readonly number[];
  readonly selector: SeriesSelector;
  readonly fromUs: number;
  readonly toUs: number;
  /** Window length aligned to the site's calendar; 0: the whole range is one window. */
  readonly windowMs: number;
  readonly functions: readonly AggregateFunction[];
  readonly groupBy: readonly GroupKey[];
  /** The asker reads `PartitionPartial.packed`. A version that does not know this answers with `groups`. */
  readonly packed?: boolean;
  /** Since level 3: what the asker knows to be given up. */
  readonly horizons?: readonly HorizonRange[] | undefined;
  /** The asker reads `PartitionPartial.rolled`. A version that does not know this has nothing of the kind. */
  readonly rolled?: boolean;
}

/** The partial state of each partition that has any reading, and the additive digest of exactly what went into it. */
export interface AggregateReply {
  readonly partitions: readonly PartitionPartial[];
}

export interface PartitionPartial {
  readonly partition: number;
  /** Digest of readings and of the groups that they were put into. */
  readonly digest: string;
  readonly count: number;
  /** Empty when there is `packed`. */
  readonly groups: readonly GroupPartial[];
  /** The groups in one piece (`GroupTable.encodePacked`), for who asked for it. */
  readonly packed?: Uint8Array;
  /** Of the time below the horizon, as far as the owner has rollups of it. */
  readonly rolled?: RolledPartial;
}

/** How much of it is there may differ from owner to owner: whoever asks takes that with the most readings. */
export interface RolledPartial {
  readonly count: number;
  /** As in `PartitionPartial.packed`. */
  readonly packed: Uint8Array;
}

export interface GroupPartial {
  /** Values of the group keys, in the order of `groupBy`. */
  readonly key: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly state: Uint8Array;
}

/** A page as it travels: columns as bytes. */
export function packPage(page: Page): unknown {
  return {
    end: page.end,
    ...(page.horizons === undefined ? {} : { h: page.horizons }),
    series: page.series.map(({ device, metric, run: rows }) => {
      // A run may share the texts of a whole head.
      const run = compactTexts(rows);
      const { count } = run;
      return {
        d: device,
        m: metric,
        t: bytesOf(run.times.subarray(0, count)),
        y: run.types?.subarray(0, count),
        v: bytesOf(run.numbers.subarray(0, count)),
        x: run.texts,
      };
    }),
  };
}

export function unpackPage(value: unknown): Result<Page> {
  const page = value as { end?: unknown; series?: unknown; h?: unknown };
  if (typeof page !== "object" || page === null || typeof page.end !== "boolean" || !Array.isArray(page.series)) return malformed();
  const series: PageSeries[] = [];
  for (const item of page.series as ({ d?: unknown; m?: unknown; t?: unknown; y?: unknown; v?: unknown; x?: unknown } | null)[]) {
    const { d, m, t, y, v, x } = item ?? {};
    const typed = y === undefined || y === null || y instanceof Uint8Array;
    if (
      typeof d !== "string" ||
      typeof m !== "string" ||
      !(t instanceof Uint8Array) ||
      !(v instanceof Uint8Array) ||
      !typed ||
      !Array.isArray(x)
    )
      return malformed();
    const count = t.length / 8;
    if (!Number.isInteger(count) || v.length !== t.length || (y instanceof Uint8Array && y.length !== count)) return malformed();
    const types = y instanceof Uint8Array ? copyBytes(y) : undefined;
    series.push({ device: deviceId(d), metric: m, run: { count, times: floatsOf(t), types, numbers: floatsOf(v), texts: x as string[] } });
  }
  return success(page.h === undefined ? { series, end: page.end } : { series, end: page.end, horizons: page.h });
}

function malformed(): Result<never> {
  return failure("internal", "a page of readings from another gateway is malformed");
}

function bytesOf(floats: Float64Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}

function floatsOf(bytes: Uint8Array): Float64Array {
  return new Float64Array(copyBytes(bytes).buffer);
}
