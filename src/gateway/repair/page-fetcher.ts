/**
 * Fetches readings from another owner, page by page, and keeps those that are not here yet: durable and in the heads before the
 * next page is asked for. What a page says is checked against what was asked for. It goes no faster than its share of the disk,
 * and half as fast while devices wait.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { isLiteralGlob } from "../../lib/glob.ts";
import { type GatewayId, type Partition, partitionOf } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import { comparePositions } from "../query/queries.ts";
import { type Page, type PagePosition, type PageRequest, type PageSeries, unpackPage } from "../query/wire.ts";
import type { Requests } from "../requests.ts";
import { horizonRanges } from "../retention/horizons.ts";
import type { SeriesIndex } from "../series/series-index.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import { lackingOf } from "./lacking.ts";
import type { ReadingsKeeper } from "./readings-keeper.ts";

/** Readings of whole partitions, or of one series, with a time in [fromUs, toUs). */
export interface Wanted {
  readonly partitions: readonly Partition[];
  readonly names: { readonly device: string; readonly metric: string } | undefined;
  readonly fromUs: number;
  readonly toUs: number;
}

export interface Fetched {
  /** Readings that were not here, and are kept. */
  readonly readings: number;
}

export interface PageFetcherOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call">;
  readonly keeper: Pick<ReadingsKeeper, "encode" | "keep">;
  readonly index: Pick<SeriesIndex, "find">;
  readonly reader: Pick<SeriesReader, "scan">;
  readonly ring: () => RingState;
  readonly rawHorizonUs: (partition: number) => number;
  /** Readings of devices that wait for their copies. */
  readonly pendingReadings: () => number;
}

const pageLimit = 20_000;
/** A mesh loses frames: a page is asked for again. */
const timeoutsMs = [5_000, 10_000, 10_000] as const;
/** While the store is behind or the disk full it is tried again so often. */
const busyTriesMax = 20;
const busyMs = 500;
const readingBytes = 21;
const nameUnitsMax = 0xffff;

export class PageFetcher {
  readonly #options: PageFetcherOptions;
  readonly #context: GatewayContext;
  /** Time spent waiting for answers that did not come. */
  waitedMs = 0;

  constructor(options: PageFetcherOptions) {
    this.#options = options;
    this.#context = options.context;
  }

  /** All that an owner has of it. Fails as the owner does, with `ring-changed` under another table, or with `busy`. */
  async fetch(owner: GatewayId, epoch: number, wanted: Wanted): Promise<Result<Fetched>> {
    let after: PagePosition | undefined;
    let readings = 0;
    for (;;) {
      const beganMs = this.#context.clock.monotonicMs();
      const page = await this.#page(owner, epoch, wanted, after);
      if (!page.ok) return page;
      const problem = this.#problemOf(page.value, wanted, after);
      if (problem !== undefined) return failure("internal", `a page of readings from ${owner} ${problem}`);
      const lacking = await this.#lacking(page.value.series, wanted);
      if (!lacking.ok) return lacking;
      const kept = await this.#keep(lacking.value, epoch);
      if (!kept.ok) return kept;
      readings += kept.value.readings;
      await this.#rest(kept.value.bytes, beganMs);
      const last = page.value.series.at(-1);
      if (page.value.end || last === undefined) return success({ readings });
      after = { device: last.device, metric: last.metric, us: last.run.times[last.run.count - 1] as number };
    }
  }

  async #page(owner: GatewayId, epoch: number, wanted: Wanted, after: PagePosition | undefined): Promise<Result<Page>> {
    const { requests, rawHorizonUs } = this.#options;
    const { partitions, names, fromUs, toUs } = wanted;
    let failed: Result<never> = failure("outcome-unknown", `${owner} was not asked`);
    for (const timeoutMs of timeoutsMs) {
      const gone = this.#isOver(epoch);
      if (gone !== undefined) return gone;
      const request: PageRequest = {
        epoch,
        partitions,
        selector: { metric: names?.metric, device: names?.device ?? "*", labels: {} },
        fromUs,
        toUs,
        after,
        limit: pageLimit,
        horizons: horizonRanges(partitions, rawHorizonUs),
      };
      const beganMs = this.#context.clock.monotonicMs();
      const reply = await requests.call(owner, "page", request, { timeoutMs, channel: "bulk" });
      if (reply.ok) return unpackPage(reply.value);
      if (reply.code !== "outcome-unknown") return reply;
      this.waitedMs += this.#context.clock.monotonicMs() - beganMs;
      failed = reply;
    }
    return failed;
  }

  #isOver(epoch: number): Result<never> | undefined {
    if (this.#context.inbox.closed()) return failure("not-ready", "this gateway stops");
    if (this.#options.ring().table.epoch === epoch) return undefined;
    return failure("ring-changed", `the owners are not those of epoch ${epoch} any more`);
  }

  /** What a page cannot be. A lying or confused owner must not fill this disk with other things, nor keep this gateway busy for ever. */
  #problemOf(page: Page, { partitions, names, fromUs, toUs }: Wanted, after: PagePosition | undefined): string | undefined {
    const asked = new Set(partitions);
    const { hash64 } = this.#context.ports;
    let readings = 0;
    let before = after;
    for (const { device, metric, run } of page.series) {
      // An id with a wildcard in it is a pattern as well: what else that fits is left out below.
      const isNamed = names === undefined || !isLiteralGlob(names.device) || (device === names.device && metric === names.metric);
      if (!isNamed || !asked.has(partitionOf(device, hash64))) return `has readings of ${device}, which were not asked for`;
      if (device.length > nameUnitsMax || metric.length > nameUnitsMax) return "has a name that no series has";
      if (run.count === 0) return "has a series without readings";
      const first = run.times[0] as number;
      const last = run.times[run.count - 1] as number;
      if (!(first >= fromUs && last < toUs)) return "has readings of another time";
      if (!isSound(run)) return "has readings that cannot be";
      if (before !== undefined && comparePositions({ device, metric, us: first }, before) <= 0) return "goes back";
      before = { device, metric, us: last };
      readings += run.count;
    }
    if (readings > pageLimit) return `has ${readings} readings, where ${pageLimit} were asked for`;
    return readings === 0 && !page.end ? "has no readings and is not the last" : undefined;
  }

  /** Of a stretch in which a chunk here is damaged all counts as lacking. */
  async #lacking(series: readonly PageSeries[], { names }: Wanted): Promise<Result<PageSeries[]>> {
    const { index, reader } = this.#options;
    const lacking: PageSeries[] = [];
    for (const each of series) {
      const { device, metric, run } = each;
      if (names !== undefined && (device !== names.device || metric !== names.metric)) continue;
      const known = index.find(device, metric);
      const own: SeriesRun[] = [];
      const range = { fromUs: run.times[0] as number, toUs: (run.times[run.count - 1] as number) + 1 };
      const scanned = known === undefined ? success(undefined) : await reader.scan(known, range, (piece) => own.push(piece) > 0);
      if (!scanned.ok && scanned.code !== "data-damaged") return scanned;
      for (const rows of scanned.ok ? lackingOf(own, run) : [run]) lacking.push({ device, metric, run: rows });
    }
    return success(lacking);
  }

  /** On disk and in the heads when it resolves. */
  async #keep(series: readonly PageSeries[], epoch: number): Promise<Result<Fetched & { readonly bytes: number }>> {
    if (series.length === 0) return success({ readings: 0, bytes: 0 });
    const { keeper } = this.#options;
    const round = keeper.encode(series, epoch);
    for (let left = busyTriesMax; ; left--) {
      const kept = await keeper.keep(round);
      if (kept.ok) {
        const { readings, bytes } = kept.value;
        return success({ readings, bytes: Math.max(bytes, readings * readingBytes) });
      }
      if (kept.code !== "busy" || left === 1) return kept;
      await this.#pause(busyMs);
      const gone = this.#isOver(epoch);
      if (gone !== undefined) return gone;
    }
  }

  /** As long as the bytes take at the bound; while devices wait, as long as the page took as well. */
  async #rest(bytes: number, beganMs: number): Promise<void> {
    const tookMs = this.#options.pendingReadings() > 0 ? this.#context.clock.monotonicMs() - beganMs : 0;
    const ms = Math.max((bytes / this.#context.tuning.repairBytesPerSecond) * 1_000, tookMs);
    if (ms > 0) await this.#pause(ms);
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#context.clock, Math.max(1, ms));
  }
}

/** Whole, ascending times, and values of types that there are. */
function isSound({ times, types, numbers, texts, count }: SeriesRun): boolean {
  for (let row = 0; row < count; row++) {
    const time = times[row] as number;
    if (!Number.isSafeInteger(time) || (row > 0 && time <= (times[row - 1] as number))) return false;
    const type = types === undefined ? ValueType.Number : types[row];
    if (type === ValueType.Text ? typeof texts[numbers[row] as number] !== "string" : !isPlain(type, numbers[row] as number)) return false;
  }
  return true;
}

function isPlain(type: number | undefined, number: number): boolean {
  return type === ValueType.Number || (type === ValueType.Boolean && (number === 0 || number === 1));
}
