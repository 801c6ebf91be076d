/**
 * The owner's side of questions: answers for the partitions that this gateway keeps, from its own disk and memory only.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { isOwner } from "../../core/ring/owner-table.ts";
import { type Calendar, windowAt } from "../../lib/calendar.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { isLiteralGlob, matchesGlob } from "../../lib/glob.ts";
import { type DeviceId, deviceId, type GatewayId, type Partition, partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import { addDigests, type Digest, digestRun, emptyDigest } from "../../series/digest.ts";
import { lowerBound, type SeriesRun, sliceRows } from "../../series/run.ts";
import { horizonRanges, withRanges } from "../retention/horizons.ts";
import type { Series, SeriesIndex } from "../series/series-index.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import { GroupTable } from "./group-table.ts";
import type {
  AggregateReply,
  AggregateRequest,
  Page,
  PagePosition,
  PageRequest,
  PageSeries,
  PartitionPartial,
  SeriesSelector,
} from "./wire.ts";

export interface LocalReaderOptions {
  readonly self: GatewayId;
  readonly index: SeriesIndex;
  readonly reader: SeriesReader;
  readonly calendar: Calendar;
  readonly ring: () => RingState;
  readonly labelsOf: (device: DeviceId) => Readonly<Record<string, string>>;
  /** Raw readings of the partition below this instant (µs) are given up: nothing of them is answered. */
  readonly rawHorizonUs: (partition: number) => number;
  /** Likewise rollups, which may answer for what lies between the two horizons. */
  readonly rollupHorizonUs: (partition: number) => number;
}

/** Rows of one reply to an aggregate; an owner that would exceed it says so, and is asked in halves. */
const replyRowsMax = 50_000;
const replyBytesMax = 8 << 20;
const pageBytesMax = 16 << 20;
const rowBytes = 17;
const tooManyRows = `more than ${replyRowsMax} groups and windows in one partition: ask for a shorter range or a longer \`every\``;

export class LocalReader {
  readonly #options: LocalReaderOptions;

  constructor(options: LocalReaderOptions) {
    this.#options = options;
  }

  /** The first readings behind `after`, in the order (device, metric, time): up to `limit`, fewer where they are long texts. */
  async page(request: PageRequest): Promise<Result<Page>> {
    const asked = this.#checked(request);
    if (!asked.ok) return asked;
    const horizonUs = withRanges(this.#options.rawHorizonUs, request.horizons);
    const horizons = horizonRanges(request.partitions, this.#options.rawHorizonUs);
    const said = horizons === undefined ? {} : { horizons };
    const series: PageSeries[] = [];
    let left = request.limit;
    let bytesLeft = pageBytesMax;
    for (const candidate of this.#selected(request.selector, asked.value, request.after)) {
      const fromUs = Math.max(startOf(candidate, request), horizonUs(candidate.partition));
      const runs: SeriesRun[] = [];
      const scanned = await this.#options.reader.scan(candidate, { fromUs, toUs: request.toUs }, (run) => {
        const rows = Math.min(run.count, left, rowsWithin(run, bytesLeft));
        const taken = rows < run.count ? sliceRows(run, 0, rows) : run;
        runs.push(taken);
        left -= taken.count;
        bytesLeft -= bytesOf(taken);
        return left > 0 && bytesLeft > 0 && rows === run.count;
      });
      if (!scanned.ok) return scanned;
      for (const run of runs) series.push({ device: candidate.device, metric: candidate.metric, run });
      // There may be nothing more; the next page then is empty and says so.
      if (left <= 0 || bytesLeft <= 0) return success({ series, end: false, ...said });
    }
    return success({ series, end: true, ...said });
  }

  /** Mapped and combined in place: partial states travel, not readings. */
  async aggregate(request: AggregateRequest): Promise<Result<AggregateReply>> {
    const asked = this.#checked(request);
    if (!asked.ok) return asked;
    const byPartition = new Map<Partition, { table: GroupTable; digest: Digest }>();
    const horizonUs = withRanges(this.#options.rawHorizonUs, request.horizons);
    let rows = 0;
    for (const series of this.#selected(request.selector, asked.value, undefined)) {
      const partial = byPartition.get(series.partition) ?? { table: new GroupTable(request.functions), digest: emptyDigest };
      const key = groupKeyOf(request.groupBy, series, this.#options.labelsOf(series.device));
      const seen = partial.table.keySeed(key);
      const fromUs = Math.max(request.fromUs, horizonUs(series.partition));
      const scanned = await this.#options.reader.scan(series, { fromUs, toUs: request.toUs }, (run) => {
        partial.digest = addDigests(
          partial.digest,
          addDigests(digestRun(series.hash, run), {
            count: 0,
            low: Math.imul(seen.low, run.count) >>> 0,
            high: Math.imul(seen.high, run.count) >>> 0,
          }),
        );
        const before = partial.table.size;
        this.addWindows(partial.table, key, run, request);
        rows += partial.table.size - before;
        return rows <= replyRowsMax;
      });
      if (!scanned.ok) return scanned;
      if (rows > replyRowsMax) return failure("too-large", tooManyRows);
      if (partial.digest.count > 0) byPartition.set(series.partition, partial);
    }
    const partitions = [...byPartition].map(
      ([at, { table, digest }]): PartitionPartial => ({
        partition: at,
        digest: formatDigest(digest),
        count: digest.count,
        groups: table.encode(),
      }),
    );
    const bytes = partitions.reduce((sum, partial) => sum + partial.groups.reduce((all, group) => all + group.state.length + 48, 0), 0);
    return bytes > replyBytesMax ? failure("too-large", tooManyRows) : success({ partitions });
  }

  /** Splits a run at the windows of the site's calendar and adds each piece to its group. */
  addWindows(
    table: GroupTable,
    key: readonly string[],
    run: SeriesRun,
    plan: Pick<AggregateRequest, "windowMs" | "fromUs" | "toUs">,
  ): void {
    if (plan.windowMs === 0) {
      table.add(key, { fromMs: plan.fromUs / 1_000, toMs: plan.toUs / 1_000 }, run, 0, run.count);
      return;
    }
    for (let row = 0; row < run.count; ) {
      const window = windowAt(this.#options.calendar, Math.floor((run.times[row] as number) / 1_000), plan.windowMs);
      const end = lowerBound(run, window.toMs * 1_000);
      table.add(key, window, run, row, end);
      row = end;
    }
  }

  /** Latest reading of each metric of a device. */
  async latest(device: DeviceId): Promise<Result<PageSeries[]>> {
    const found: PageSeries[] = [];
    for (const series of this.#options.index.metricsOf(device)?.values() ?? []) {
      const run = await this.#options.reader.latest(series);
      if (!run.ok) return run;
      // The newest one there is may have been given up.
      if (run.value !== undefined && (run.value.times[0] as number) >= this.#options.rawHorizonUs(series.partition))
        found.push({ device, metric: series.metric, run: run.value });
    }
    return success(found);
  }

  #checked(request: { readonly epoch: number; readonly partitions: readonly number[] }): Result<ReadonlySet<Partition>> {
    const { table } = this.#options.ring();
    // Of the two the one that is behind hears of the change within a moment: the asker asks again.
    if (request.epoch !== table.epoch)
      return failure("ring-changed", `${this.#options.self} is at ring epoch ${table.epoch}, the question at ${request.epoch}`);
    const asked = new Set(request.partitions.map(partition));
    for (const at of asked)
      if (!isOwner(table, at, this.#options.self)) return failure("not-ready", `${this.#options.self} does not own partition ${at}`);
    return success(asked);
  }

  *#selected(selector: SeriesSelector, partitions: ReadonlySet<Partition>, after: PagePosition | undefined): Iterable<Series> {
    const { index } = this.#options;
    const devices = isLiteralGlob(selector.device) ? [deviceId(selector.device)] : index.devicesAscending();
    for (const device of devices) {
      if (
        (after !== undefined && device < after.device) ||
        !matchesGlob(selector.device, device) ||
        !labelsMatch(selector.labels, this.#options.labelsOf(device))
      )
        continue;
      const metrics = index.metricsOf(device);
      if (metrics === undefined) continue;
      for (const metric of selector.metric === undefined ? [...metrics.keys()].sort() : [selector.metric]) {
        const series = metrics.get(metric);
        if (series === undefined || !partitions.has(series.partition)) continue;
        if (after !== undefined && device === after.device && metric < after.metric) continue;
        yield series;
      }
    }
  }
}

function bytesOf(run: SeriesRun): number {
  let bytes = run.count * rowBytes;
  if (run.types !== undefined) for (let row = 0; row < run.count; row++) bytes += textBytesAt(run, row);
  return bytes;
}

/** How many rows from the first on fit into so many bytes; at least one, so that every page gets on. */
function rowsWithin(run: SeriesRun, bytesMax: number): number {
  if (run.types === undefined) return Math.max(1, Math.min(run.count, Math.floor(bytesMax / rowBytes)));
  let bytes = 0;
  for (let row = 0; row < run.count; row++) {
    bytes += rowBytes + textBytesAt(run, row);
    if (bytes > bytesMax) return Math.max(1, row);
  }
  return run.count;
}

function textBytesAt(run: SeriesRun, row: number): number {
  return run.types?.[row] === ValueType.Text ? (run.texts[run.numbers[row] as number]?.length ?? 0) * 3 : 0;
}

function startOf(series: Series, request: PageRequest): number {
  const { after } = request;
  if (after === undefined || series.device !== after.device || series.metric !== after.metric) return request.fromUs;
  return Math.max(request.fromUs, after.us + 1);
}

export function labelsMatch(wanted: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

/** A device without the label is in the group of the empty value. */
export function groupKeyOf(
  groupBy: AggregateRequest["groupBy"],
  series: { readonly device: string; readonly metric: string },
  labels: Readonly<Record<string, string>>,
): string[] {
  return groupBy.map((key) => {
    if (key.kind === "device") return series.device;
    return key.kind === "metric" ? series.metric : (labels[key.name] ?? "");
  });
}

export function formatDigest(digest: Digest): string {
  return `${digest.count}-${digest.high.toString(16)}-${digest.low.toString(16)}`;
}
