/**
 * The coordinator's side of questions. Raw readings are the union of what the owners asked hold, one value for each
 * identity; what an owner of a quorum lacks of it is written to it first (`repair/read-repair.ts`). An aggregate is computed by the
 * owners; where their digests of exactly the readings asked for differ, the readings themselves are fetched, repaired, merged and
 * aggregated here. `complete` says that every partition was answered by as
 * many owners as the level asks for.
 */

import type { ConsistencyLevel } from "../../config/settings.ts";
import type { Calendar } from "../../lib/calendar.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { isLiteralGlob } from "../../lib/glob.ts";
import { type DeviceId, deviceId, type GatewayId, type Hash64, type Partition, partitionOf } from "../../lib/ids.ts";
import type { Clock } from "../../ports/clock.ts";
import { emptyDigest } from "../../series/digest.ts";
import { mergeRuns } from "../../series/merge.ts";
import { type SeriesRun, sliceRange, sliceRows } from "../../series/run.ts";
import type { ReadRepair, ReadRepairOutcome } from "../repair/read-repair.ts";
import type { Requests } from "../requests.ts";
import { horizonRanges, withRanges } from "../retention/horizons.ts";
import { type Asked, type FanOut, type FanOutAnswers, ringWaitMaxMs, ringWaitMs } from "./fan-out.ts";
import { type GroupRow, GroupTable } from "./group-table.ts";
import { formatDigest, groupKeyOf, type LocalReader, type PartitionTable, type RolledTable } from "./local-reader.ts";
import { LoopTurns } from "./loop-turns.ts";
import {
  type AggregateReply,
  type AggregateRequest,
  type Page,
  type PagePosition,
  type PageRequest,
  type PageSeries,
  type PartitionPartial,
  packPage,
  type RolledPartial,
  type SeriesSelector,
  unpackPage,
} from "./wire.ts";

export interface QueriesOptions {
  readonly self: GatewayId;
  readonly hash64: Hash64;
  readonly clock: Clock;
  readonly requests: Requests;
  readonly local: LocalReader;
  readonly fanOut: FanOut;
  readonly calendar: Calendar;
  readonly labelsOf: (device: DeviceId) => Readonly<Record<string, string>>;
  /** Raw readings of the partition below this instant are given up. */
  readonly rawHorizonUs: (partition: number) => number;
  /** Writes what an owner of a quorum lacks to it, before the answer is given. */
  readonly readRepair: Pick<ReadRepair, "repair">;
}

export interface PageQuery {
  readonly selector: SeriesSelector;
  /** Only these; those of the selector when absent. */
  readonly partitions?: readonly Partition[];
  readonly fromUs: number;
  readonly toUs: number;
  readonly after: PagePosition | undefined;
  readonly limit: number;
  readonly level: ConsistencyLevel;
}

export interface PageAnswer {
  readonly series: readonly PageSeries[];
  /** Where the next page begins; `undefined` when this was the last. */
  readonly next: PagePosition | undefined;
  readonly complete: boolean;
  /** Partitions that fewer owners answered for than the level asks: none when it is complete. */
  readonly missing: readonly Partition[];
}

interface AskedPages {
  readonly answers: FanOutAnswers<Page>;
  readonly merged: Omit<PageAnswer, "missing">;
  readonly complete: boolean;
}

export type AggregateQuery = Omit<AggregateRequest, "epoch" | "partitions"> & { readonly level: ConsistencyLevel };

type AggregatePlan = Omit<AggregateRequest, "epoch" | "partitions">;

/** Another owner's reply is from the wire, this gateway's own is the tables. */
interface AnyReply {
  readonly partitions: readonly (PartitionPartial | PartitionTable)[];
}

export interface AggregateAnswer {
  readonly rows: readonly GroupRow[];
  readonly complete: boolean;
}

const pageTimeoutMs = 10_000;
const aggregateTimeoutMs = 30_000;
const repairPageLimit = 50_000;
const answerRowsMax = 1_000_000;
/** A question is put again so often when a horizon moved while it was answered. */
const horizonTriesMax = 2;

export class Queries {
  readonly #options: QueriesOptions;

  constructor(options: QueriesOptions) {
    this.#options = options;
    options.requests.serve("page", async (_from, body) => {
      const page = await options.local.page(body as PageRequest);
      return page.ok ? success(packPage(page.value)) : page;
    });
    options.requests.serve("aggregate", (_from, body) => options.local.aggregate(body as AggregateRequest));
  }

  async page(query: PageQuery): Promise<Result<PageAnswer>> {
    const asked = await this.#askPages(query.partitions ?? this.#partitions(query.selector), query);
    if (!asked.ok) return asked;
    const { merged, answers, complete } = asked.value;
    return success({ ...merged, complete, missing: answers.missing });
  }

  /**
   * The pages of the owners, merged, and what an owner lacked written to it. Put again, for a bounded time, where the owners changed
   * before that was done.
   */
  async #askPages(partitions: readonly Partition[], query: PageQuery): Promise<Result<AskedPages>> {
    const { fanOut, clock } = this.#options;
    const giveUpMs = clock.monotonicMs() + ringWaitMaxMs;
    for (;;) {
      const answers = await fanOut.ask(partitions, query.level, (gateway, asked) => this.#askPage(gateway, asked, query));
      if (answers.refused !== undefined) return answers.refused;
      if (answers.answers.length === 0) return unavailable(answers);
      const pages = answers.answers.map((answer) => answer.reply);
      const merged = mergePages(pages, { limit: query.limit, complete: answers.complete, horizonOf: this.#horizonOf(answers) });
      const repaired = await this.#repaired(answers, merged, query.level);
      if (repaired !== "ring-changed" || !merged.complete || clock.monotonicMs() >= giveUpMs)
        return success({ answers, merged, complete: merged.complete && repaired === "written" });
      await new Promise<void>((resolve) => {
        clock.schedule(ringWaitMs, resolve);
      });
    }
  }

  /** Has every owner that answered have all that is in the answer, from now on. Level `one` promises nothing of the kind. */
  #repaired(answers: FanOutAnswers<Page>, merged: Omit<PageAnswer, "missing">, level: ConsistencyLevel): Promise<ReadRepairOutcome> {
    if (level !== "quorum" && level !== "all") return Promise.resolve("written");
    return this.#options.readRepair.repair(answers.answers, merged.series, answers.epoch);
  }

  async aggregate(query: AggregateQuery): Promise<Result<AggregateAnswer>> {
    for (let left = horizonTriesMax; ; left--) {
      const answer = await this.#aggregate(query);
      if (!answer.ok) return answer;
      const { horizonMoved, ...found } = answer.value;
      if (!horizonMoved || left === 0) return success(found);
    }
  }

  /** `horizonMoved`: rollups and readings may not be those of the two sides of one horizon. */
  async #aggregate(query: AggregateQuery): Promise<Result<AggregateAnswer & { readonly horizonMoved: boolean }>> {
    const { level, ...plan } = query;
    const horizonsBefore = new Map(this.#partitions(query.selector).map((at) => [at, this.#options.rawHorizonUs(at)]));
    const answers = await this.#options.fanOut.ask(this.#partitions(query.selector), level, (gateway, asked) =>
      this.#askAggregate(gateway, asked, plan),
    );
    if (answers.refused !== undefined) return answers.refused;
    if (answers.answers.length === 0) return unavailable(answers);
    const table = new GroupTable(query.functions);
    const unequal: Partition[] = [];
    const turns = new LoopTurns(this.#options.clock);
    let before = 0;
    const answersWithIndex = answers.answers.map((answer) => ({
      answer,
      byPartition: new Map(answer.reply.partitions.map((partial) => [partial.partition, partial])),
    }));
    // Of the others nobody has any reading.
    const found = new Set<number>(answers.answers.flatMap(({ reply }) => reply.partitions.map((partial) => partial.partition)));
    const emptyText = formatDigest(emptyDigest);
    for (const at of this.#partitions(query.selector)) {
      if (!found.has(at)) continue;
      const partials = answersWithIndex.filter(({ answer }) => answer.partitions.has(at)).map(({ byPartition }) => byPartition.get(at));
      const first = partials[0];
      const rolled = mergeRolled(table, partials);
      if (!rolled.ok) return rolled;
      if (partials.some((partial) => (partial?.digest ?? emptyText) !== (first?.digest ?? emptyText))) {
        unequal.push(at);
      } else if (first !== undefined) {
        // They all say the same: what is not encoded costs least.
        const merged = mergeInto(table, partials.find((partial) => partial !== undefined && "table" in partial) ?? first);
        if (!merged.ok) return merged;
        const { size } = table;
        if (size > answerRowsMax) return tooManyRows();
        turns.worked({ rows: size - before });
        before = size;
        if (turns.isDue()) await turns.end();
      }
    }
    const whole = { complete: true, horizonUs: (at: Partition) => horizonsBefore.get(at) ?? 0 };
    const reconciled = unequal.length === 0 ? success(whole) : await this.#reconcile(unequal, query, table);
    if (!reconciled.ok) return reconciled;
    const { complete, horizonUs } = reconciled.value;
    return success({
      rows: table.rows(),
      complete: answers.complete && complete,
      horizonMoved: unequal.some((at) => horizonUs(at) !== horizonsBefore.get(at)),
    });
  }

  /**
   * Owners disagree about these partitions: what each lacks is written to it, and the union is aggregated here, from the horizons on
   * that any of them knows in the end.
   */
  async #reconcile(
    partitions: readonly Partition[],
    query: AggregateQuery,
    table: GroupTable,
  ): Promise<Result<{ readonly complete: boolean; readonly horizonUs: (partition: Partition) => number }>> {
    const { selector, fromUs, toUs } = query;
    let complete = true;
    let horizonUs: (partition: Partition) => number = this.#options.rawHorizonUs;
    let after: PagePosition | undefined;
    do {
      const page = { selector, fromUs, toUs, after, limit: repairPageLimit, level: query.level };
      const asked = await this.#askPages(partitions, page);
      if (!asked.ok) return asked;
      const { answers, merged } = asked.value;
      horizonUs = withRanges(this.#options.rawHorizonUs, ...answers.answers.map(({ reply }) => reply.horizons));
      complete &&= asked.value.complete;
      for (const series of merged.series) {
        const key = groupKeyOf(query.groupBy, series, this.#options.labelsOf(series.device));
        this.#options.local.addWindows(table, key, series.run, query);
        if (table.size > answerRowsMax) return tooManyRows();
      }
      after = merged.next;
    } while (after !== undefined);
    return success({ complete, horizonUs });
  }

  #partitions(selector: SeriesSelector): readonly Partition[] {
    if (!isLiteralGlob(selector.device)) return this.#options.fanOut.allPartitions();
    return [partitionOf(deviceId(selector.device), this.#options.hash64)];
  }

  /** What this gateway or any owner that answered knows to be given up: one that has just started may know of none yet. */
  #horizonOf({ answers }: FanOutAnswers<Page>): (device: DeviceId) => number {
    const horizonUs = withRanges(this.#options.rawHorizonUs, ...answers.map(({ reply }) => reply.horizons));
    return (device) => horizonUs(partitionOf(device, this.#options.hash64));
  }

  async #askPage(gateway: GatewayId, { epoch, partitions }: Asked, query: PageQuery): Promise<Result<Page>> {
    const { selector, fromUs, toUs, after, limit } = query;
    const horizons = horizonRanges(partitions, this.#options.rawHorizonUs);
    const request: PageRequest = { epoch, partitions, selector, fromUs, toUs, after, limit, horizons };
    if (gateway === this.#options.self) return this.#options.local.page(request);
    const reply = await this.#options.requests.call(gateway, "page", request, { timeoutMs: pageTimeoutMs, channel: "bulk" });
    return reply.ok ? unpackPage(reply.value) : reply;
  }

  /** Asks in halves where the whole answer would be too large for one frame, or for the memory of the owner. */
  async #askAggregate(gateway: GatewayId, asked: Asked, plan: AggregatePlan): Promise<Result<AnyReply>> {
    const { epoch, partitions } = asked;
    const whole = await this.#askAggregateOnce(gateway, asked, plan);
    if (whole.ok || whole.code !== "too-large" || partitions.length === 1) return whole;
    const half = Math.ceil(partitions.length / 2);
    const first = await this.#askAggregate(gateway, { epoch, partitions: partitions.slice(0, half) }, plan);
    if (!first.ok) return first;
    const second = await this.#askAggregate(gateway, { epoch, partitions: partitions.slice(half) }, plan);
    return second.ok ? success({ partitions: [...first.value.partitions, ...second.value.partitions] }) : second;
  }

  async #askAggregateOnce(gateway: GatewayId, asked: Asked, plan: AggregatePlan): Promise<Result<AnyReply>> {
    const horizons = horizonRanges(asked.partitions, this.#options.rawHorizonUs);
    // Most questions are about what is kept.
    const isBelow = horizons?.some(([, , horizonUs]) => plan.fromUs < horizonUs) === true;
    const request: AggregateRequest = { ...plan, ...asked, packed: true, horizons, ...(isBelow ? { rolled: true } : {}) };
    if (gateway === this.#options.self) return this.#options.local.aggregateTables(request);
    const reply = await this.#options.requests.call(gateway, "aggregate", request, { timeoutMs: aggregateTimeoutMs, channel: "job" });
    if (!reply.ok) return reply;
    const value = reply.value as Partial<AggregateReply> | null;
    if (!Array.isArray(value?.partitions)) return failure("internal", `${gateway} answered an aggregate with something else`);
    return success(value as AggregateReply);
  }
}

function mergeInto(table: GroupTable, partial: PartitionPartial | PartitionTable): Result<void> {
  if ("table" in partial) {
    table.absorb(partial.table);
    return success(undefined);
  }
  return partial.packed instanceof Uint8Array ? table.mergePacked(partial.packed) : table.merge(partial.groups);
}

/** Of the time below the horizon nobody can tell any more who is right: the most readings are it. */
function mergeRolled(table: GroupTable, partials: readonly (PartitionPartial | PartitionTable | undefined)[]): Result<void> {
  let most: RolledPartial | RolledTable | undefined;
  for (const partial of partials) {
    // From the wire it may be anything.
    const rolled = partial?.rolled ?? undefined;
    if (
      rolled !== undefined &&
      ("table" in rolled || rolled.packed instanceof Uint8Array) &&
      (most === undefined || rolled.count > most.count)
    )
      most = rolled;
  }
  if (most === undefined) return success(undefined);
  if ("packed" in most) return table.mergePacked(most.packed);
  table.absorb(most.table);
  return success(undefined);
}

function tooManyRows(): Result<never> {
  return failure(
    "too-large",
    `more than ${answerRowsMax} groups and windows: ask for a shorter range, a longer \`every\`, or fewer devices`,
  );
}

function unavailable(answers: FanOutAnswers<unknown>): Result<never> {
  const why = answers.failures.length === 0 ? "none of the owners is connected" : answers.failures.join("; ");
  return failure("quorum-unavailable", `no owner of the readings asked for answered: ${why}`);
}

/** The order of pages. */
export function comparePositions(a: PagePosition, b: PagePosition): number {
  if (a.device !== b.device) return a.device < b.device ? -1 : 1;
  if (a.metric !== b.metric) return a.metric < b.metric ? -1 : 1;
  return a.us - b.us;
}

function endOf(page: Page): PagePosition | undefined {
  const last = page.series.at(-1);
  if (page.end || last === undefined) return undefined;
  return { device: last.device, metric: last.metric, us: last.run.times[last.run.count - 1] as number };
}

/**
 * The union of several owners' pages. An owner that stopped early has said nothing about what is behind its last row,
 * so the union counts only up to the first such end.
 */
export function mergePages(
  pages: readonly Page[],
  options: { readonly limit: number; readonly complete: boolean; readonly horizonOf?: (device: DeviceId) => number },
): Omit<PageAnswer, "missing"> {
  const bound = pages
    .map(endOf)
    .reduce((least, end) => (least === undefined || (end !== undefined && comparePositions(end, least) < 0) ? end : least), undefined);
  const runsBySeries = new Map<string, { device: DeviceId; metric: string; runs: SeriesRun[] }>();
  for (const page of pages) {
    for (const { device, metric, run } of page.series) {
      const name = `${device}\u0000${metric}`;
      const known = runsBySeries.get(name);
      if (known === undefined) runsBySeries.set(name, { device, metric, runs: [run] });
      else known.runs.push(run);
    }
  }
  const ordered = [...runsBySeries.values()].sort((a, b) => comparePositions({ ...a, us: 0 }, { ...b, us: 0 }));
  const series: PageSeries[] = [];
  let left = options.limit;
  let truncated = false;
  for (const { device, metric, runs } of ordered) {
    const union = mergeRuns(runs).run;
    const kept = options.horizonOf === undefined ? union : sliceRange(union, options.horizonOf(device), Number.POSITIVE_INFINITY);
    const merged = withinBound({ device, metric, run: kept }, bound);
    if (merged.run.count === 0) continue;
    if (left === 0) {
      truncated = true;
      break;
    }
    const run = merged.run.count > left ? sliceRows(merged.run, 0, left) : merged.run;
    truncated ||= run.count < merged.run.count;
    left -= run.count;
    series.push({ device, metric, run });
  }
  const last = series.at(-1);
  const next =
    truncated && last !== undefined
      ? { device: last.device, metric: last.metric, us: last.run.times[last.run.count - 1] as number }
      : bound;
  return { series, next, complete: options.complete };
}

function withinBound(series: PageSeries, bound: PagePosition | undefined): PageSeries {
  if (bound === undefined) return series;
  const { device, metric, run } = series;
  let count = run.count;
  while (count > 0 && comparePositions({ device, metric, us: run.times[count - 1] as number }, bound) > 0) count--;
  return count === run.count ? series : { device, metric, run: sliceRows(run, 0, count) };
}
