/**
 * The owner's side of questions: answers for the partitions that this gateway keeps, from its own disk and memory only.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { isOwner, noEpoch } from "../../core/ring/owner-table.ts";
import type { Calendar } from "../../lib/calendar.ts";
import { type Failure, FailureError, failure, type Result, success } from "../../lib/errors.ts";
import { isLiteralGlob, matchesGlob } from "../../lib/glob.ts";
import { type DeviceId, deviceId, type GatewayId, type Partition, partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { Clock } from "../../ports/clock.ts";
import type { ChunkStats } from "../../series/chunk-stats.ts";
import { type Digest, digestRun, emptyDigest } from "../../series/digest.ts";
import { profileOf, profileOfChunk } from "../../series/number-profile.ts";
import { hasRollup } from "../../series/rollup.ts";
import { type SeriesRun, sliceRows } from "../../series/run.ts";
import { horizonRanges, withRanges } from "../retention/horizons.ts";
import type { UsRange } from "../series/rollup-plan.ts";
import type { Rollups } from "../series/rollups.ts";
import { chunksBetween, type Series, type SeriesIndex } from "../series/series-index.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import { type Group, GroupTable } from "./group-table.ts";
import { LoopTurns } from "./loop-turns.ts";
import { addRolled, hasWholeHours, hoursOf } from "./rolled-answer.ts";
import { levelsFor, type RolledUp, RollupAnswers } from "./rollup-answer.ts";
import { WindowCursor, type WindowPlan } from "./window-cursor.ts";
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
  /** Epoch of the newest table under which the partition was kept elsewhere and this gateway acted; 0: of none. */
  readonly leftAtEpoch: (partition: number) => number;
  readonly labelsOf: (device: DeviceId) => Readonly<Record<string, string>>;
  /** Raw readings of the partition below this instant (µs) are given up: nothing of them is answered. */
  readonly rawHorizonUs: (partition: number) => number;
  readonly clock: Clock;
  /** `undefined`: every question is answered from the readings themselves. */
  readonly rollups: Rollups | undefined;
  /** What is left of readings that were given up. */
  readonly blocks: Rollups;
  /** Rollups of the partition below this instant (µs) are given up too. */
  readonly rollupHorizonUs: (partition: number) => number;
}

/** What a partition has given to the question so far. */
class Partial {
  readonly table: GroupTable;
  digest = emptyDigest;
  rolled: RolledTable | undefined;

  constructor(table: GroupTable) {
    this.table = table;
  }

  /** Takes in the digest of readings that went into a group. */
  addDigest({ seed }: Group, { count, low, high }: Digest): void {
    this.digest = {
      count: this.digest.count + count,
      low: (this.digest.low + low + Math.imul(seed.low, count)) >>> 0,
      high: (this.digest.high + high + Math.imul(seed.high, count)) >>> 0,
    };
  }
}

/** What a `RolledPartial` says, not encoded. */
export interface RolledTable {
  readonly table: GroupTable;
  count: number;
}

/** What a `PartitionPartial` says, not encoded. */
export interface PartitionTable {
  readonly partition: number;
  readonly digest: string;
  readonly count: number;
  readonly table: GroupTable;
  readonly rolled: RolledTable | undefined;
}

export interface OwnReply {
  readonly partitions: readonly PartitionTable[];
}

/** Rows of one reply to an aggregate; an owner that would exceed it says so, and is asked in halves. */
const replyRowsMax = 50_000;
const replyBytesMax = 8 << 20;
const pageBytesMax = 16 << 20;
/** Horizons move once an hour, on a full disk once a minute. */
const horizonTriesMax = 2;
const rowBytes = 17;
/** Of UTF-8, for a UTF-16 unit of a text or a name. */
const unitBytesMax = 3;
const nothing: Omit<RolledUp, "left"> = { rows: 0, digest: emptyDigest };
const tooManyRows = `more than ${replyRowsMax} groups and windows in one partition: ask for a shorter range or a longer \`every\``;

export class LocalReader {
  readonly #options: LocalReaderOptions;
  #lastChecked:
    | { readonly partitions: readonly number[]; readonly table: RingState["table"]; readonly asked: ReadonlySet<Partition> }
    | undefined;

  constructor(options: LocalReaderOptions) {
    this.#options = options;
  }

  /** The first readings behind `after`, in the order (device, metric, time): up to `limit`, fewer where texts or names are long. */
  async page(request: PageRequest): Promise<Result<Page>> {
    const asked = this.checked(request);
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
      // A page is a frame, and a round where it is kept.
      const nameBytes = (candidate.device.length + candidate.metric.length) * unitBytesMax;
      const scanned = await this.#options.reader.scan(candidate, { fromUs, toUs: request.toUs }, (run) => {
        const rows = Math.min(run.count, left, rowsWithin(run, bytesLeft));
        const taken = rows < run.count ? sliceRows(run, 0, rows) : run;
        runs.push(taken);
        left -= taken.count;
        bytesLeft -= bytesOf(taken) + nameBytes;
        return left > 0 && bytesLeft > 0 && rows === run.count;
      });
      if (!scanned.ok) return scanned;
      for (const run of runs) series.push({ device: candidate.device, metric: candidate.metric, run });
      // There may be nothing more; the next page then is empty and says so.
      if (left <= 0 || bytesLeft <= 0) return this.#left(request) ?? success({ series, end: false, ...said });
    }
    return this.#left(request) ?? success({ series, end: true, ...said });
  }

  /** Of a partition that went to others while the answer was made, what came last may have been left out. */
  #left({ epoch, partitions }: { readonly epoch: number; readonly partitions: readonly number[] }): Failure | undefined {
    const { leftAtEpoch, self } = this.#options;
    const gone = partitions.find((at) => leftAtEpoch(at) > epoch);
    return gone === undefined ? undefined : failure("ring-changed", `${self} does not keep partition ${gone} any more`);
  }

  /** Mapped and combined in place: partial states travel, not readings. */
  async aggregate(request: AggregateRequest): Promise<Result<AggregateReply>> {
    const own = await this.aggregateTables(request);
    if (!own.ok) return own;
    const turns = new LoopTurns(this.#options.clock);
    const partitions: PartitionPartial[] = [];
    let bytes = 0;
    for (const { partition: at, digest, count, table, rolled } of own.value.partitions) {
      const groups = request.packed === true ? [] : table.encode();
      const packed = request.packed === true ? { packed: table.encodePacked() } : {};
      bytes += packed.packed?.length ?? 0;
      for (const group of groups) bytes += group.state.length + 48;
      const below = rolled === undefined ? {} : { rolled: { count: rolled.count, packed: rolled.table.encodePacked() } };
      bytes += below.rolled?.packed.length ?? 0;
      if (bytes > replyBytesMax) return failure("too-large", tooManyRows);
      partitions.push({ partition: at, digest, count, groups, ...packed, ...below });
      turns.worked({ rows: table.size + (rolled?.table.size ?? 0) });
      if (turns.isDue()) await turns.end();
    }
    return success({ partitions });
  }

  /** The same for this gateway's own use: the tables themselves, which are the caller's from then on. */
  async aggregateTables(request: AggregateRequest): Promise<Result<OwnReply>> {
    for (let left = horizonTriesMax; ; left--) {
      const horizonUs = withRanges(this.#options.rawHorizonUs, request.horizons);
      const horizons = new Map(request.partitions.map((at) => [at, horizonUs(at)]));
      const reply = await this.#tables(request, (at) => horizons.get(at) as number).catch(failureOf);
      // A horizon that has moved meanwhile was in the way of readings on one side, and of their rollups on the other.
      if (!reply.ok || left === 0 || request.partitions.every((at) => horizonUs(at) === horizons.get(at))) return reply;
    }
  }

  /** `horizonUs`: one that stays where it is. */
  async #tables(request: AggregateRequest, horizonUs: (partition: number) => number): Promise<Result<OwnReply>> {
    const asked = this.checked(request);
    if (!asked.ok) return asked;
    const selected = [...this.#selected(request.selector, asked.value, undefined)];
    if (request.partitions.length > 1 && this.#willExceed(request, selected)) return failure("too-large", tooManyRows);
    const byPartition = new Map<Partition, Partial>();
    const cursor = new WindowCursor(this.#options.calendar, request);
    const turns = new LoopTurns(this.#options.clock);
    const rangeOf = ({ partition: at }: Series): UsRange => ({ fromUs: Math.max(request.fromUs, horizonUs(at)), toUs: request.toUs });
    const rolls = request.rolled === true && this.#hasWholeHours(request, selected, horizonUs);
    const { rollups } = this.#options;
    const levels = rollups === undefined ? [] : levelsFor(request, request.functions);
    const answers =
      rollups === undefined || levels.length === 0
        ? undefined
        : new RollupAnswers({ rollups, series: selected, rangeOf, levels, functions: request.functions, cursor });
    let streams: boolean | undefined;
    const scanning = { cursor, turns, streams: () => (streams ??= this.#isLarge(request)) };
    let rows = 0;
    let rowsExpected = 0;
    for (const series of selected) {
      const partial = byPartition.get(series.partition) ?? new Partial(new GroupTable(request.functions));
      const key = groupKeyOf(request.groupBy, series, this.#options.labelsOf(series.device));
      // Most series have about as many windows as the one before.
      const group = partial.table.group(key, rowsExpected);
      const before = group.size;
      const rowsMax = before + replyRowsMax - rows;
      const { left, digest, rows: rolledRows } = (await answers?.next(group, rowsMax)) ?? { ...nothing, left: [rangeOf(series)] };
      partial.addDigest(group, digest);
      turns.worked({ rows: rolledRows });
      const added = left.length === 0 ? success(undefined) : await this.#scan(series, left, { ...scanning, partial, group, rowsMax });
      if (!added.ok) return added;
      rows += group.size - before;
      rowsExpected = group.size;
      if (rolls) {
        const rolled = await this.#addRolled(series, request, { partial, key, cursor, rawUs: horizonUs(series.partition) });
        if (!rolled.ok) return rolled;
        rows += rolled.value;
      }
      if (rows > replyRowsMax) return failure("too-large", tooManyRows);
      if (partial.digest.count > 0 || partial.rolled !== undefined) byPartition.set(series.partition, partial);
      if (turns.isDue()) await turns.end();
    }
    const left = this.#left(request);
    if (left !== undefined) return left;
    const partitions: PartitionTable[] = [];
    for (const [at, { table, digest, rolled }] of byPartition)
      partitions.push({ partition: at, digest: formatDigest(digest), count: digest.count, table, rolled });
    return success({ partitions });
  }

  /** Of the time below the horizons of which there is anything: what a time zone was before that does not matter. */
  #hasWholeHours(
    { windowMs, fromUs, toUs }: AggregateRequest,
    selected: readonly Series[],
    horizonUs: (partition: number) => number,
  ): boolean {
    let oldestUs = Number.POSITIVE_INFINITY;
    let highestUs = Number.NEGATIVE_INFINITY;
    for (const series of selected) {
      oldestUs = Math.min(oldestUs, Math.max(oldestOf(series), this.#options.rollupHorizonUs(series.partition)));
      highestUs = Math.max(highestUs, horizonUs(series.partition));
    }
    return hasWholeHours(this.#options.calendar, windowMs, { fromUs: Math.max(fromUs, oldestUs), toUs: Math.min(toUs, highestUs) });
  }

  /** Adds what there is of a series below the raw horizon; how many rows that makes. */
  async #addRolled(
    series: Series,
    request: AggregateRequest,
    into: { readonly partial: Partial; readonly key: readonly string[]; readonly cursor: WindowCursor; readonly rawUs: number },
  ): Promise<Result<number>> {
    const { partial, key, cursor, rawUs } = into;
    const hours = hoursOf(request, { rawUs, rollupUs: this.#options.rollupHorizonUs(series.partition) });
    if (hours === undefined) return success(0);
    const rolled = partial.rolled ?? { table: new GroupTable(request.functions), count: 0 };
    const group = rolled.table.group(key);
    const before = group.size;
    const { blocks, reader } = this.#options;
    const added = await addRolled({
      series,
      hours,
      cursor,
      group,
      blocks,
      reader,
      addRun: (run, stats) => {
        addRun(group, cursor, run, stats);
        return group.size - before <= replyRowsMax;
      },
    });
    if (!added.ok) return added;
    rolled.count += added.value;
    if (rolled.count > 0) partial.rolled = rolled;
    return success(group.size - before);
  }

  /**
   * Whether the chunks alone let expect more rows than a reply holds: then halves are asked for before the work is done, not
   * after. An estimate: it never decides about a single partition.
   */
  #willExceed(request: AggregateRequest, selected: readonly Series[]): boolean {
    if (request.windowMs === 0) return false;
    let rowsAtMost = 0;
    for (const series of selected) rowsAtMost += windowsOf(series, request);
    if (rowsAtMost <= replyRowsMax) return false;
    const windowUs = request.windowMs * 1_000;
    const rowsByGroup = new Map<string, number>();
    let rows = 0;
    for (const series of selected) {
      let windows = 0;
      for (const { minUs, maxUs, count } of series.chunks) {
        const fromUs = Math.max(minUs, request.fromUs);
        const toUs = Math.min(maxUs, request.toUs);
        if (fromUs <= toUs) windows += Math.min(count, Math.ceil((toUs - fromUs + 1) / windowUs));
      }
      // Series of one group share its windows.
      const name = JSON.stringify([series.partition, groupKeyOf(request.groupBy, series, this.#options.labelsOf(series.device))]);
      const known = rowsByGroup.get(name) ?? 0;
      if (windows <= known) continue;
      rows += windows - known;
      rowsByGroup.set(name, windows);
      if (rows > replyRowsMax) return true;
    }
    return false;
  }

  /**
   * Whether a question will read more readings than the cache holds, beside those of chunks that rollups may answer for: of all
   * partitions, since this may be a part of it only.
   */
  #isLarge(request: AggregateRequest): boolean {
    const { reader, rollups } = this.#options;
    // What has a rollup of a finer level has one of the coarsest too.
    const level = rollups === undefined ? undefined : levelsFor(request, request.functions)[0];
    let readings = 0;
    for (const series of this.#selected(request.selector, undefined, undefined)) {
      for (const chunk of chunksBetween(series, request.fromUs, request.toUs))
        if (level === undefined || !hasRollup(level, chunk)) readings += chunk.count;
      if (reader.isLarge(readings)) return true;
    }
    return false;
  }

  /** Adds the readings of a series in these ranges to its group and to its partition's digest. */
  async #scan(
    series: Series,
    ranges: readonly UsRange[],
    into: {
      readonly partial: Partial;
      readonly group: Group;
      readonly cursor: WindowCursor;
      readonly turns: LoopTurns;
      readonly rowsMax: number;
      readonly streams: () => boolean;
    },
  ): Promise<Result<void>> {
    const { partial, group, cursor, turns } = into;
    for (const range of ranges) {
      if (group.size > into.rowsMax) break;
      const scanned = await this.#options.reader.scan(
        series,
        range,
        (run, stats) => {
          partial.addDigest(group, stats?.digest ?? digestRun(series.hash, run));
          addRun(group, cursor, run, stats);
          turns.worked({ readings: run.count });
          return group.size <= into.rowsMax;
        },
        { streams: into.streams() },
      );
      if (!scanned.ok) return scanned;
    }
    return success(undefined);
  }

  /** Splits a run at the windows of the site's calendar and adds each piece to its group. */
  addWindows(table: GroupTable, key: readonly string[], run: SeriesRun, plan: WindowPlan): void {
    addRun(table.group(key), new WindowCursor(this.#options.calendar, plan), run, undefined);
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

  /** Whether this gateway can answer for these partitions under this epoch. */
  checked(request: { readonly epoch: number; readonly partitions: readonly number[] }): Result<ReadonlySet<Partition>> {
    const { table } = this.#options.ring();
    if (table.epoch === noEpoch) return failure("ring-changed", `${this.#options.self} does not know yet who keeps what`);
    // Of the two the one that is behind hears of the change within a moment: the asker asks again.
    if (request.epoch !== table.epoch)
      return failure("ring-changed", `${this.#options.self} is at ring epoch ${table.epoch}, the question at ${request.epoch}`);
    // Own questions come with the same list time and again.
    const last = this.#lastChecked;
    if (last?.partitions === request.partitions && last.table === table) return success(last.asked);
    const asked = new Set(request.partitions.map(partition));
    for (const at of asked)
      if (!isOwner(table, at, this.#options.self)) return failure("not-ready", `${this.#options.self} does not own partition ${at}`);
    this.#lastChecked = { partitions: request.partitions, table, asked };
    return success(asked);
  }

  *#selected(selector: SeriesSelector, partitions: ReadonlySet<Partition> | undefined, after: PagePosition | undefined): Iterable<Series> {
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
        if (series === undefined || partitions?.has(series.partition) === false) continue;
        if (after !== undefined && device === after.device && metric < after.metric) continue;
        yield series;
      }
    }
  }
}

/** Of its readings and its rollups. */
function oldestOf({ blocks, chunks, head, sealing }: Series): number {
  const first = Math.min(blocks[0]?.minUs ?? Number.POSITIVE_INFINITY, chunks[0]?.minUs ?? Number.POSITIVE_INFINITY);
  return Math.min(first, head.minTimeUs, sealing?.minTimeUs ?? Number.POSITIVE_INFINITY);
}

/** How many windows of the question a series can have at most, going by its first and last time. */
function windowsOf({ chunks, head, sealing, lastUs }: Series, { windowMs, fromUs, toUs }: WindowPlan): number {
  const begin = Math.max(
    fromUs,
    Math.min(chunks[0]?.minUs ?? Number.POSITIVE_INFINITY, head.minTimeUs, sealing?.minTimeUs ?? head.minTimeUs),
  );
  const end = Math.min(toUs, Math.max(lastUs, head.maxTimeUs, sealing?.maxTimeUs ?? head.maxTimeUs) + 1);
  // One more, since neither begins with a window.
  return begin < end ? Math.ceil((end - begin) / (windowMs * 1_000)) + 1 : 0;
}

function addRun(group: Group, cursor: WindowCursor, run: SeriesRun, stats: ChunkStats | undefined): void {
  const profile = stats === undefined ? profileOf(run) : profileOfChunk(run, stats);
  for (let row = 0; row < run.count; ) {
    const end = cursor.endOfWindow(run, row);
    group.add(cursor.fromMs, cursor.toMs, run, row, end, profile);
    row = end;
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
  return run.types?.[row] === ValueType.Text ? (run.texts[run.numbers[row] as number]?.length ?? 0) * unitBytesMax : 0;
}

/** A store that cannot read rollups is a reason to ask another owner, like one that cannot read chunks. */
function failureOf(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  throw error;
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
