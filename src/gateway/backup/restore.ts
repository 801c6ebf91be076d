/**
 * Puts the blocks of a backup into this site, one at a time, each acknowledged only when what it holds is as durable as if it had
 * come the usual way: readings on their write quorum, everything else committed through Raft. A block may come again,
 * whole or after a part of it was stored: what is there already counts as present, and nothing of the site is ever
 * overwritten. What the site has in another form is told as a conflict.
 *
 * The revisions of results are those of the backup, because a window's commits are made again one after the other; the
 * revisions of kv are new ones.
 */

import { levelThatMeetsWrites } from "../../config/survival.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { type BackupBlock, BackupKind, damaged, readBlock, restoreMarkerKey, type SeriesDigest } from "../../lib/backup-file.ts";
import { type DeviceItem, deviceItems, jobItems, type KvItem, kindName, kvItems, resultItems } from "../../lib/backup-items.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { deviceId } from "../../lib/ids.ts";
import { addDigests, digestRun, emptyDigest, seriesHashOf } from "../../series/digest.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { GatewayContext } from "../context.ts";
import type { AttemptKeeper } from "../jobs/attempt-rows.ts";
import { decodeRows } from "../jobs/result-row.ts";
import type { Results } from "../jobs/results.ts";
import { decodeCursor, encodeCursor } from "../query/cursor.ts";
import type { Queries } from "../query/queries.ts";
import type { PagePosition } from "../query/wire.ts";
import type { DigestsPage, RestoredBlock, SiteContents } from "../service.ts";
import { readingsOfBlock } from "./readings-block.ts";
import type { ReadingsWriter } from "./readings-writer.ts";
import { RestoredResults } from "./restored-results.ts";
import { sameBytes, Tally } from "./tally.ts";

export interface RestoreOptions {
  readonly context: GatewayContext;
  readonly consensus: Pick<Consensus, "fresh" | "propose">;
  readonly state: Pick<SiteState, "kvRecords" | "kv" | "devices" | "job" | "jobs">;
  readonly results: Pick<Results, "caughtUp" | "page" | "rowsOf">;
  readonly attempts: Pick<AttemptKeeper, "keepOnMajority">;
  readonly queries: Pick<Queries, "page">;
  readonly writer: Pick<ReadingsWriter, "write">;
}

const timeoutMs = 10_000;
const kvKeyBytesMax = 512;
const kvValueBytesMax = 1 << 20;
const proposalsAtOnce = 64;
const devicesPerCommand = 100;
const pageLimit = 20_000;
/** Readings that one page of digests goes through. */
const digestReadingsMax = 200_000;
const utf8 = new TextEncoder();

export class Restore {
  readonly #options: RestoreOptions;
  readonly #results: RestoredResults;
  #isRunning = false;

  constructor(options: RestoreOptions) {
    this.#options = options;
    this.#results = new RestoredResults(options);
  }

  /** What the site has already. */
  async contents(): Promise<Result<SiteContents>> {
    const fresh = await this.#fresh();
    if (!fresh.ok) return fresh;
    const { state } = this.#options;
    const kv = state.kvRecords().size - (state.kv(restoreMarkerKey) === undefined ? 0 : 1);
    const devices = state.devices().size;
    const results = await this.#hasResults();
    if (!results.ok) return results;
    const page = await this.#options.queries.page({ ...this.#everything(), after: undefined, limit: 1 });
    if (!page.ok) return page;
    return success({ kv, devices, readings: page.value.series.length > 0, results: results.value, complete: page.value.complete });
  }

  /** Stores what the block holds; `check`: only compares the site with it. One block at a time. */
  async block(bytes: Uint8Array, options: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const block = readBlock(bytes);
    if (!block.ok) return block;
    if (this.#isRunning) return failure("busy", `${this.#options.context.self} works on another block of a backup`);
    this.#isRunning = true;
    try {
      return await this.#take(block.value, options);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Readings by series, as a quorum has them: how many, and the digest of them. A series may go on in the next page. */
  async digests(cursor: string | undefined): Promise<Result<DigestsPage>> {
    const from = cursor === undefined ? success(undefined) : decodeCursor(cursor);
    if (!from.ok) return from;
    const series: SeriesDigest[] = [];
    let after: PagePosition | undefined = from.value;
    let readings = 0;
    do {
      const page = await this.#options.queries.page({ ...this.#everything(), after, limit: pageLimit });
      if (!page.ok) return page;
      if (!page.value.complete) return failure("quorum-unavailable", "too few owners of the readings answer: try again when they are back");
      for (const { device, metric, run } of page.value.series) {
        const last = series.at(-1);
        const known = last?.device === device && last.metric === metric ? series.pop() : undefined;
        series.push({ device, metric, ...addDigests(known ?? emptyDigest, digestRun(seriesHashOf(device, metric), run)) });
        readings += run.count;
      }
      after = page.value.next;
    } while (after !== undefined && readings < digestReadingsMax);
    return success({ series, cursor: after && encodeCursor(after) });
  }

  async #take(block: BackupBlock, options: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const { packing } = this.#options.context;
    switch (block.kind) {
      case BackupKind.Kv: {
        const items = kvItems(packing, block);
        return items.ok ? await this.#kv(items.value, options) : items;
      }
      case BackupKind.Devices: {
        const items = deviceItems(packing, block);
        return items.ok ? await this.#devices(items.value, options) : items;
      }
      case BackupKind.Readings:
        return await this.#readings(block, options);
      case BackupKind.Results: {
        const items = resultItems(packing, block);
        return items.ok ? await this.#results.take(items.value, options) : items;
      }
      case BackupKind.Jobs:
        return await this.#jobs(block, options);
      default:
        return failure("bad-request", `a block of ${kindName(block.kind)} has nothing to be restored`);
    }
  }

  async #kv(items: readonly KvItem[], { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    for (const { key, value } of items)
      if (utf8.encode(key).length > kvKeyBytesMax || value.length > kvValueBytesMax) return damaged(`the key "${key}" is too large`);
    const fresh = await this.#fresh();
    if (!fresh.ok) return fresh;
    const { state, consensus } = this.#options;
    const tally = new Tally("kv", items.length);
    const absent: KvItem[] = [];
    for (const item of items) {
      const known = state.kv(item.key);
      if (known === undefined) absent.push(item);
      else if (sameBytes(known.value, item.value)) tally.present++;
      else tally.conflict(`key ${item.key}`);
    }
    if (check) return success(tally.missed(absent.map((item) => `key ${item.key}`)));
    for (let at = 0; at < absent.length; at += proposalsAtOnce) {
      const some = absent.slice(at, at + proposalsAtOnce);
      const put = await Promise.all(some.map(({ key, value }) => consensus.propose({ t: "kv-put", key, value, expect: 0 }, timeoutMs)));
      for (const [index, result] of put.entries()) {
        if (!result.ok) return result;
        if (result.value.t === "kv" && result.value.ok) tally.applied++;
        else tally.conflict(`key ${some[index]?.key} (written meanwhile)`);
      }
    }
    return success(tally.done());
  }

  /** A device that the site knows under another profile stays what it is. */
  async #devices(items: readonly DeviceItem[], { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const fresh = await this.#fresh();
    if (!fresh.ok) return fresh;
    const { state, consensus } = this.#options;
    const tally = new Tally("devices", items.length);
    const news: DeviceItem[] = [];
    for (const item of items) {
      const known = state.devices().get(deviceId(item.id));
      const isNews =
        known === undefined ||
        (known.profile === item.profile &&
          (known.firstSeenMs > item.firstSeenMs || !item.metrics.every((metric) => known.metrics.includes(metric))));
      if (isNews) news.push(item);
      else tally.present++;
    }
    if (check) return success(tally.missed(news.map((item) => `device ${item.id}`)));
    for (let at = 0; at < news.length; at += devicesPerCommand) {
      const devices = news.slice(at, at + devicesPerCommand).map((item) => ({ ...item, id: deviceId(item.id) }));
      const registered = await consensus.propose({ t: "register-devices", devices }, timeoutMs);
      if (!registered.ok) return registered;
      tally.applied += devices.length;
    }
    return success(tally.done());
  }

  async #readings(block: BackupBlock, { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const readings = readingsOfBlock(this.#options.context.packing, block);
    if (!readings.ok) return readings;
    const count = readings.value.reduce((sum, { run }) => sum + run.count, 0);
    const tally = new Tally("readings", count);
    if (check) return failure("bad-request", "readings are compared by their digests");
    const written = await this.#options.writer.write(readings.value);
    if (!written.ok) return written;
    tally.applied = count;
    return success(tally.done());
  }

  /** Since when a job exists. A job that runs here since another time keeps that: it has windows of its own since then. */
  async #jobs(block: BackupBlock, { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const items = jobItems(this.#options.context.packing, block);
    if (!items.ok) return items;
    const fresh = await this.#fresh();
    if (!fresh.ok) return fresh;
    const tally = new Tally("jobs", items.value.length);
    for (const { name: job, sinceMs } of items.value) {
      if (sinceMs === undefined || this.#options.state.job(job)?.sinceMs !== undefined) {
        tally.present++;
        continue;
      }
      if (check) {
        tally.missed([`job ${job}`]);
        continue;
      }
      const seen = await this.#options.consensus.propose({ t: "job-seen", job, sinceMs }, timeoutMs);
      if (!seen.ok) return seen;
      tally.applied++;
    }
    return success(tally.done());
  }

  /** A committed window without rows is nothing that a restore could be in the way of. */
  async #hasResults(): Promise<Result<boolean>> {
    const caughtUp = await this.#options.results.caughtUp(timeoutMs);
    if (!caughtUp.ok) return caughtUp;
    let after: Uint8Array | undefined;
    for (;;) {
      const page = await this.#options.results.page(after);
      if (!page.ok) return page;
      for (const entry of page.value.entries) {
        const rows = decodeRows(this.#options.context.packing, entry.rows);
        if (!rows.ok) return rows;
        if (rows.value.length > 0) return success(true);
        after = entry.key;
      }
      if (!page.value.more) return success(false);
    }
  }

  #everything() {
    return {
      selector: { metric: undefined, device: "*", labels: {} },
      fromUs: Number.MIN_SAFE_INTEGER,
      toUs: Number.MAX_SAFE_INTEGER,
      level: levelThatMeetsWrites(this.#options.context.settings),
    };
  }

  #fresh(): Promise<Result<void>> {
    return this.#options.consensus.fresh(timeoutMs);
  }
}
