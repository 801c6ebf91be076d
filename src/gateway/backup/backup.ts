/**
 * Makes a backup of the site (`lib/backup-file.ts`) from one running gateway, piece by piece as its reader takes them.
 *
 * Whatever was acknowledged before the request is in it: the state is captured at one log index behind a ReadIndex, with the
 * results of all runs committed by then; readings are read with as many owners as any acknowledged write must have met.
 * Readings that come meanwhile may be in it or not. What cannot be read makes it fail, unless the caller takes
 * an incomplete one, whose trailer then says what is missing.
 */

import { levelThatMeetsWrites } from "../../config/survival.ts";
import type { JobState } from "../../core/site/job-runs.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import {
  BackupKind,
  type BackupManifest,
  BackupWriter,
  blockBytesTarget,
  restoreMarkerKey,
  type SeriesDigest,
} from "../../lib/backup-file.ts";
import { packDevice, packJob, packKv, packReadings, packResult, packSeries, type ReadingsItem } from "../../lib/backup-items.ts";
import { type Failure, FailureError, failure, type Result, success } from "../../lib/errors.ts";
import { type Partition, partition, partitionCount } from "../../lib/ids.ts";
import { chunkReadingsMax, encodeChunk } from "../../series/chunk.ts";
import { addDigests, digestRun, emptyDigest, seriesHashOf } from "../../series/digest.ts";
import { sliceRows } from "../../series/run.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { GatewayContext } from "../context.ts";
import type { Results } from "../jobs/results.ts";
import { pause } from "../pause.ts";
import type { PageAnswer, Queries } from "../query/queries.ts";
import type { PagePosition, PageSeries } from "../query/wire.ts";
import { parseResultKey } from "../series/store-keys.ts";

export interface BackupSource {
  readonly context: GatewayContext;
  readonly consensus: Pick<Consensus, "fresh">;
  readonly state: Pick<SiteState, "kvRecords" | "devices" | "jobs" | "appliedIndex" | "featureLevel" | "clusterId" | "members">;
  readonly results: Pick<Results, "caughtUp" | "page">;
  readonly queries: Pick<Queries, "page">;
  /** Readings of this gateway's clients that wait for their copies: while there are some, the backup holds back. */
  readonly pendingReadings: () => number;
}

export interface BackupOptions {
  readonly allowIncomplete: boolean;
  /** Of the program. */
  readonly version: string;
}

const freshTimeoutMs = 10_000;
/** Partitions that one question is about. */
const partitionsPerPass = 32;
const pageLimit = 20_000;
/** A page that is short of answers is asked for again before it counts as missing: a gateway may just be starting. */
const pageTries = 6;
const pageRetryMs = 5_000;
const readingBytes = 12;

/** One backup at a time: each holds pages of readings and a copy of the state's lists in memory. */
export class Backups {
  readonly #source: BackupSource;
  #isRunning = false;

  constructor(source: BackupSource) {
    this.#source = source;
  }

  /**
   * The file from its first byte on; it is made as it is read, and whoever does not want the rest has to call `return`. Fails with
   * `busy`, `bad-request` on a witness, and as a linearizable read does. A failure on the way is the last block.
   */
  async begin(options: BackupOptions): Promise<Result<AsyncIterableIterator<Uint8Array>>> {
    const { context, consensus, state, results } = this.#source;
    if (this.#isRunning) return failure("busy", `${context.self} is making a backup already: try again later, or ask another gateway`);
    if (state.members().get(context.self)?.role === "witness")
      return failure("bad-request", `${context.self} is a witness and keeps no results: ask a gateway that is none`);
    this.#isRunning = true;
    const fresh = await consensus.fresh(freshTimeoutMs);
    const captured = fresh.ok ? capture(this.#source, options.version) : undefined;
    const caughtUp = fresh.ok ? await results.caughtUp(freshTimeoutMs) : fresh;
    if (!caughtUp.ok || captured === undefined) {
      this.#isRunning = false;
      return caughtUp.ok ? failure("internal", "the state was not captured") : caughtUp;
    }
    const pieces = new BackupRun(this.#source, captured, options).pieces();
    return success(this.#released(pieces));
  }

  /** Also where the reader goes away before the first piece, which a generator alone would not notice. */
  #released(pieces: AsyncGenerator<Uint8Array>): AsyncIterableIterator<Uint8Array> {
    const release = () => {
      this.#isRunning = false;
    };
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      async next() {
        try {
          const next = await pieces.next();
          if (next.done === true) release();
          return next;
        } catch (error) {
          release();
          throw error;
        }
      },
      async return() {
        release();
        return await pieces.return(undefined);
      },
    };
  }
}

interface Captured {
  readonly manifest: BackupManifest;
  readonly kv: readonly (readonly [key: string, record: { readonly value: Uint8Array; readonly revision: number }])[];
  readonly devices: readonly {
    readonly id: string;
    readonly profile: string;
    readonly metrics: readonly string[];
    readonly firstSeenMs: number;
  }[];
  readonly jobs: readonly CapturedJob[];
}

interface CapturedJob {
  readonly name: string;
  readonly sinceMs: number | undefined;
  readonly windows: ReturnType<JobState["windows"]["copy"]>;
}

/** The state of one index: all in one turn. Records are never changed in place. */
function capture({ context, state }: BackupSource, version: string): Captured {
  return {
    manifest: {
      site: context.settings.site,
      clusterId: state.clusterId() ?? "",
      gateway: context.self,
      version,
      startedMs: Math.max(0, Math.round(context.clock.wallMs())),
      featureLevel: state.featureLevel(),
      appliedIndex: state.appliedIndex(),
      timeZone: context.settings.timeZone,
    },
    kv: [...state.kvRecords()].filter(([key]) => key !== restoreMarkerKey),
    devices: [...state.devices().values()],
    jobs: [...state.jobs()].map(([name, job]) => ({ name, sinceMs: job.sinceMs, windows: job.windows.copy() })),
  };
}

/** Revisions of windows that are committed as of the capture. */
function committedRevisions({ windows }: CapturedJob): number {
  const single = windows.records().reduce((sum, [, window]) => sum + window.revision, 0);
  return windows.ranges().reduce((sum, range) => sum + range.count * range.revision, single);
}

class BackupRun {
  readonly #source: BackupSource;
  readonly #captured: Captured;
  readonly #options: BackupOptions;
  readonly #writer: BackupWriter;
  readonly #missingPartitions = new Set<number>();
  readonly #counts = { kv: 0, devices: 0, readings: 0, series: 0, results: 0, jobs: 0 };
  #missingResults = 0;

  constructor(source: BackupSource, captured: Captured, options: BackupOptions) {
    this.#source = source;
    this.#captured = captured;
    this.#options = options;
    this.#writer = new BackupWriter(source.context.packing);
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    yield this.#writer.header();
    yield this.#writer.block(BackupKind.Manifest, this.#captured.manifest);
    try {
      yield* this.#state();
      for (let first = 0; first < partitionCount; first += partitionsPerPass) {
        const partitions = Array.from({ length: Math.min(partitionsPerPass, partitionCount - first) }, (_, at) => partition(first + at));
        yield* this.#readings(partitions);
      }
      yield* this.#results();
      yield* this.#listed(BackupKind.Jobs, this.#captured.jobs, packJob, "jobs");
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      this.#source.context.diagnostics.warn("backup-failed", { code: error.failure.code, why: error.failure.message });
      yield this.#writer.block(BackupKind.Failed, { code: error.failure.code, message: error.failure.message });
      return;
    }
    const missing = { partitions: [...this.#missingPartitions].sort((a, b) => a - b), results: this.#missingResults };
    yield this.#writer.trailer({ counts: this.#counts, missing });
  }

  *#state(): Generator<Uint8Array> {
    const kv = this.#captured.kv.map(([key, record]) => ({ key, ...record }));
    yield* this.#listed(BackupKind.Kv, kv, packKv, "kv");
    yield* this.#listed(BackupKind.Devices, this.#captured.devices, packDevice, "devices");
  }

  *#listed<T>(
    kind: BackupKind,
    items: readonly T[],
    pack: (item: T) => unknown,
    counted: "kv" | "devices" | "jobs",
  ): Generator<Uint8Array> {
    let block: unknown[] = [];
    let bytes = 0;
    for (const item of items) {
      const packed = pack(item);
      block.push(packed);
      bytes += sizeOf(packed);
      if (bytes < blockBytesTarget) continue;
      yield this.#writer.block(kind, block);
      block = [];
      bytes = 0;
    }
    if (block.length > 0) yield this.#writer.block(kind, block);
    this.#counts[counted] += items.length;
  }

  /** All readings of these partitions, then how many they are in each series. */
  async *#readings(partitions: readonly Partition[]): AsyncGenerator<Uint8Array> {
    const digests: SeriesDigest[] = [];
    let items: ReadingsItem[] = [];
    let bytes = 0;
    let after: PagePosition | undefined;
    do {
      const page = await this.#page(partitions, after);
      if (page === undefined) break;
      for (const series of page.series) {
        const item = this.#itemOf(series, digests);
        items.push(item);
        bytes += item.chunks.reduce((sum, chunk) => sum + chunk.length, item.device.length + item.metric.length);
        if (bytes < blockBytesTarget) continue;
        yield this.#writer.block(BackupKind.Readings, items.map(packReadings));
        items = [];
        bytes = 0;
      }
      after = page.next;
    } while (after !== undefined);
    if (items.length > 0) yield this.#writer.block(BackupKind.Readings, items.map(packReadings));
    this.#counts.series += digests.length;
    for (let at = 0; at < digests.length; at += 10_000)
      yield this.#writer.block(BackupKind.Series, digests.slice(at, at + 10_000).map(packSeries));
  }

  /** Pages are in the order of series: what is known of a series is complete when the next one comes. */
  #itemOf({ device, metric, run }: PageSeries, digests: SeriesDigest[]): ReadingsItem {
    const hash = seriesHashOf(device, metric);
    const chunks: Uint8Array[] = [];
    for (let row = 0; row < run.count; row += chunkReadingsMax)
      chunks.push(encodeChunk(hash, sliceRows(run, row, Math.min(run.count, row + chunkReadingsMax))));
    const last = digests.at(-1);
    const known = last?.device === device && last.metric === metric ? digests.pop() : undefined;
    digests.push({ device, metric, ...addDigests(known ?? emptyDigest, digestRun(hash, run)) });
    this.#counts.readings += run.count;
    return { device, metric, chunks };
  }

  /** `undefined`: nothing of these partitions can be had, and that is allowed. */
  async #page(partitions: readonly Partition[], after: PagePosition | undefined): Promise<PageAnswer | undefined> {
    const { context, queries } = this.#source;
    const query = {
      selector: { metric: undefined, device: "*", labels: {} },
      partitions,
      fromUs: Number.MIN_SAFE_INTEGER,
      toUs: Number.MAX_SAFE_INTEGER,
      after,
      limit: pageLimit,
      level: levelThatMeetsWrites(context.settings),
    };
    for (let attempt = 1; ; attempt++) {
      this.#refuseWhenStopping();
      const beganMs = context.clock.monotonicMs();
      const page = await queries.page(query);
      if (page.ok && page.value.complete) {
        await this.#holdBack(context.clock.monotonicMs() - beganMs);
        return page.value;
      }
      if (!page.ok && page.code !== "quorum-unavailable") throw new FailureError(page);
      if (attempt < pageTries) {
        await this.#pause(pageRetryMs);
        continue;
      }
      const missing = page.ok ? page.value.missing : partitions;
      if (!this.#options.allowIncomplete) throw new FailureError(shortOf(missing, page.ok ? undefined : page));
      for (const at of missing) this.#missingPartitions.add(at);
      return page.ok ? page.value : undefined;
    }
  }

  /** What was committed by the capture and no more, in the order of windows and revisions. */
  async *#results(): AsyncGenerator<Uint8Array> {
    const jobs = new Map(this.#captured.jobs.map((job) => [job.name, job]));
    let block: unknown[] = [];
    let bytes = 0;
    let after: Uint8Array | undefined;
    for (let more = true; more; ) {
      this.#refuseWhenStopping();
      const page = await this.#source.results.page(after);
      if (!page.ok) throw new FailureError(page);
      for (const { key, rows, sinks } of page.value.entries) {
        after = key;
        const place = parseResultKey(key);
        const window = place && jobs.get(place.job)?.windows.get(place.fromMs);
        if (place === undefined || window === undefined || place.revision > window.revision) continue;
        block.push(packResult({ ...place, toMs: window.toMs, rows, sinks }));
        bytes += rows.length + key.length;
        this.#counts.results++;
        if (bytes < blockBytesTarget) continue;
        yield this.#writer.block(BackupKind.Results, block);
        block = [];
        bytes = 0;
      }
      more = page.value.more;
      await this.#holdBack(1);
    }
    if (block.length > 0) yield this.#writer.block(BackupKind.Results, block);
    const committed = this.#captured.jobs.reduce((sum, job) => sum + committedRevisions(job), 0);
    this.#missingResults = Math.max(0, committed - this.#counts.results);
    if (this.#missingResults === 0 || this.#options.allowIncomplete) return;
    const what = `the rows of ${this.#missingResults} committed revisions of windows are not stored on ${this.#source.context.self}`;
    throw new FailureError(failure("store-damaged", `${what}; ask another gateway, or allow an incomplete backup`));
  }

  #refuseWhenStopping(): void {
    const { inbox, self } = this.#source.context;
    if (inbox.closed()) throw new FailureError(failure("not-ready", `${self} stops`));
  }

  /** Leaves the gateway to its devices for as long as the backup just used it, while any of them waits. */
  async #holdBack(usedMs: number): Promise<void> {
    await this.#pause(this.#source.pendingReadings() > 0 ? Math.min(1_000, usedMs) : 0);
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#source.context.clock, Math.max(0, ms));
  }
}

function shortOf(missing: readonly number[], failed: Failure | undefined): Failure {
  const why = failed === undefined ? "too few of their owners answer" : failed.message;
  return failure(
    "quorum-unavailable",
    `the readings of ${missing.length} partitions cannot be read completely (${why}): try again when the gateways are back, or allow an incomplete backup`,
  );
}

/** About how many bytes an item's encoding has. */
function sizeOf(packed: unknown): number {
  if (typeof packed === "string") return packed.length + readingBytes;
  if (packed instanceof Uint8Array) return packed.length + readingBytes;
  return Array.isArray(packed) ? packed.reduce((sum: number, item: unknown) => sum + sizeOf(item), readingBytes) : readingBytes;
}
