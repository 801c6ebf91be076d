/**
 * The owner's side of questions: answers for the partitions that this gateway keeps, from its own disk and memory only.
 */

import type { OwnerTable } from "../../core/ring/owner-table.ts";
import { isOwner } from "../../core/ring/owner-table.ts";
import { type Calendar, windowAt } from "../../lib/calendar.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { isLiteralGlob, matchesGlob } from "../../lib/glob.ts";
import { type DeviceId, deviceId, type GatewayId, type Partition, partition } from "../../lib/ids.ts";
import { addDigests, type Digest, digestRun, emptyDigest } from "../../series/digest.ts";
import { lowerBound, type SeriesRun, sliceRows } from "../../series/run.ts";
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
  readonly ownerTable: () => OwnerTable;
  readonly labelsOf: (device: DeviceId) => Readonly<Record<string, string>>;
}

export class LocalReader {
  readonly #options: LocalReaderOptions;

  constructor(options: LocalReaderOptions) {
    this.#options = options;
  }

  /** The first `limit` readings behind `after`, in the order (device, metric, time). */
  async page(request: PageRequest): Promise<Result<Page>> {
    const asked = this.#checked(request);
    if (!asked.ok) return asked;
    const series: PageSeries[] = [];
    let left = request.limit;
    for (const candidate of this.#selected(request.selector, asked.value, request.after)) {
      const fromUs = startOf(candidate, request);
      const runs: SeriesRun[] = [];
      const scanned = await this.#options.reader.scan(candidate, { fromUs, toUs: request.toUs }, (run) => {
        const taken = run.count > left ? sliceRows(run, 0, left) : run;
        runs.push(taken);
        left -= taken.count;
        return left > 0;
      });
      if (!scanned.ok) return scanned;
      for (const run of runs) series.push({ device: candidate.device, metric: candidate.metric, run });
      // There may be nothing more; the next page then is empty and says so.
      if (left <= 0) return success({ series, end: false });
    }
    return success({ series, end: true });
  }

  /** Mapped and combined in place: partial states travel, not readings. */
  async aggregate(request: AggregateRequest): Promise<Result<AggregateReply>> {
    const asked = this.#checked(request);
    if (!asked.ok) return asked;
    const byPartition = new Map<Partition, { table: GroupTable; digest: Digest }>();
    for (const series of this.#selected(request.selector, asked.value, undefined)) {
      const partial = byPartition.get(series.partition) ?? { table: new GroupTable(request.functions), digest: emptyDigest };
      const key = groupKeyOf(request.groupBy, series, this.#options.labelsOf(series.device));
      const seen = partial.table.keySeed(key);
      const scanned = await this.#options.reader.scan(series, { fromUs: request.fromUs, toUs: request.toUs }, (run) => {
        partial.digest = addDigests(
          partial.digest,
          addDigests(digestRun(series.hash, run), {
            count: 0,
            low: Math.imul(seen.low, run.count) >>> 0,
            high: Math.imul(seen.high, run.count) >>> 0,
          }),
        );
        this.addWindows(partial.table, key, run, request);
        return true;
      });
      if (!scanned.ok) return scanned;
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
    return success({ partitions });
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
      if (run.value !== undefined) found.push({ device, metric: series.metric, run: run.value });
    }
    return success(found);
  }

  #checked(request: { readonly epoch: number; readonly partitions: readonly number[] }): Result<ReadonlySet<Partition>> {
    const table = this.#options.ownerTable();
    if (request.epoch !== table.epoch)
      return failure("not-ready", `${this.#options.self} is at ring epoch ${table.epoch}, the question at ${request.epoch}`);
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
