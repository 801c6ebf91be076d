/**
 * Committed results: every gateway stores the rows of every commit, in commit order, fetching from its peers what it
 * missed, and appends them to its own copy of each `file` sink. What a sink holds is a prefix of the commits, each
 * once: its position is a document, and what a crash left behind the position is cut off.
 */

import type { CommittedRun } from "../../core/site/apply-result.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Store } from "../../ports/store.ts";
import type { GatewayContext } from "../context.ts";
import type { MeshRouter } from "../mesh-router.ts";
import type { Requests } from "../requests.ts";
import { packSealed, unpackSealed } from "../series/sealed-value.ts";
import { metaKey, prefixRange, resultKey, resultPrefix } from "../series/store-keys.ts";
import type { ResultRow } from "../service.ts";
import type { AttemptKeeper, AttemptRows } from "./attempt-rows.ts";
import { FileSink } from "./file-sink.ts";
import { decodeRows, digestOfRows } from "./result-row.ts";

export interface ResultsOptions {
  readonly context: GatewayContext;
  readonly store: Store;
  readonly requests: Requests;
  readonly router: MeshRouter;
  readonly attempts: AttemptKeeper;
  readonly gateways: readonly GatewayId[];
  /** A committed row was stored here. */
  readonly stored: (row: ResultRow) => void;
}

/** Commits that are stored in one go. */
const batchMax = 64;
const retryMs = 500;
const catchUpPollMs = 20;
const clockChangeMaxMs = 26 * 3_600_000;
const fetchTimeoutMs = 5_000;
const scanPage = 200;
const revisionMax = 0xffffffff;

export class Results {
  readonly sinks: readonly FileSink[];
  readonly #options: ResultsOptions;
  readonly #context: GatewayContext;
  /** All commits in order, stored ones included: what a sink's copy is made from. */
  readonly #committed: CommittedRun[] = [];
  /** How many of them are stored. */
  #stored = 0;
  /** What the store says: commits up to this log index, and how many of that entry's windows, are stored. */
  #storedIndex = 0;
  #pumping = false;
  /** Something was committed while the pump ran. */
  #pumpAgain = false;
  #stopped = false;

  constructor(options: ResultsOptions) {
    this.#options = options;
    this.#context = options.context;
    this.sinks = options.context.settings.sinks.map(
      (settings) => new FileSink({ context: options.context, settings, rowsOf: (run) => this.#storedRows(run) }),
    );
    options.requests.serve("rows", (_from, body) => this.#rowsForPeer(body));
  }

  async open(): Promise<Result<void>> {
    const bytes = await this.#options.store.get(metaKey("results"));
    if (bytes !== undefined) {
      const meta = unpackSealed(this.#context.packing, bytes);
      if (!meta.ok) return failure("store-damaged", `the store's record of results cannot be read: ${meta.message}`);
      this.#storedIndex = (meta.value as { index: number }).index;
    }
    for (const sink of this.sinks) {
      const opened = await sink.open();
      if (!opened.ok) return opened;
    }
    return success(undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const sink of this.sinks) await sink.close();
  }

  /** Runs were committed, in the order of the log; also when the log is replayed. */
  committed(runs: readonly CommittedRun[]): void {
    for (const run of runs) {
      this.#committed.push(run);
      if (run.index <= this.#storedIndex) this.#markStored(1);
    }
    for (const run of runs) this.#options.attempts.tidy(run.job, run.fromMs);
    if (runs.length > 0) this.#pump();
  }

  /** Whether these are the rows of a commit that is not stored here yet. */
  needs(rows: Pick<AttemptRows, "job" | "fromMs" | "attempt">): boolean {
    for (let at = this.#stored; at < this.#committed.length; at++) {
      const run = this.#committed[at] as CommittedRun;
      if (run.job === rows.job && run.fromMs === rows.fromMs && run.attempt === rows.attempt) return true;
    }
    return false;
  }

  pending(): number {
    return this.#committed.length - this.#stored;
  }

  /** Resolves when everything that is committed so far is stored here. */
  async caughtUp(timeoutMs: number): Promise<Result<void>> {
    const target = this.#committed.length;
    const deadline = this.#context.clock.monotonicMs() + timeoutMs;
    while (this.#stored < target) {
      if (this.#stopped || this.#context.clock.monotonicMs() >= deadline)
        return failure("not-ready", `${target - this.#stored} committed runs have not reached this gateway yet`);
      await new Promise<void>((resolve) => {
        this.#context.clock.schedule(catchUpPollMs, resolve);
      });
    }
    return success(undefined);
  }

  /** Latest revision of each row whose window overlaps the range, in the order of window and id. */
  async rows(job: string, range: { readonly fromMs: number; readonly toMs: number }): Promise<Result<ResultRow[]>> {
    const all = prefixRange(resultPrefix(job));
    const from = this.#firstKey(job, range.fromMs) ?? all.from;
    const to = Number.isFinite(range.toMs) ? resultKey(job, Math.max(0, range.toMs), 0) : all.to;
    const latest = await this.#latest({ from, to }, (row) => row.to > range.fromMs && row.from < range.toMs);
    return latest.ok ? success([...latest.value.values()].sort((a, b) => a.from - b.from || (a.id < b.id ? -1 : 1))) : latest;
  }

  /** Where the windows that can reach `fromMs` begin. A window that spans a change of the clock is longer than its name. */
  #firstKey(job: string, fromMs: number): Uint8Array | undefined {
    const windowMs = this.#context.settings.jobs.find((settings) => settings.name === job)?.windowMs;
    if (windowMs === undefined || !Number.isFinite(fromMs)) return undefined;
    return resultKey(job, Math.max(0, fromMs - windowMs - clockChangeMaxMs), 0);
  }

  /** Latest revision of each row, by id, of the windows that begin from the first to the last start; reads no others. */
  async standing(job: string, starts: { readonly firstMs: number; readonly lastMs: number }): Promise<Result<Map<string, ResultRow>>> {
    const { firstMs, lastMs } = starts;
    // Windows that begin before 1970 are not in the order of their keys.
    const keys =
      firstMs < 0 ? prefixRange(resultPrefix(job)) : { from: resultKey(job, firstMs, 0), to: resultKey(job, lastMs, revisionMax) };
    return await this.#latest(keys, (row) => row.from >= firstMs && row.from <= lastMs);
  }

  async #latest(
    keys: { readonly from: Uint8Array; readonly to: Uint8Array },
    isWanted: (row: ResultRow) => boolean,
  ): Promise<Result<Map<string, ResultRow>>> {
    const latest = new Map<string, ResultRow>();
    let { from } = keys;
    for (;;) {
      const page = await this.#options.store.scan({ from, to: keys.to, limit: scanPage });
      for (const { value } of page) {
        const rows = this.#unseal(value);
        if (!rows.ok) return rows;
        // Keys are in the order of window and revision: a later row of the same id replaces the earlier.
        for (const row of rows.value) if (isWanted(row)) latest.set(row.id, row);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < scanPage) return success(latest);
      from = new Uint8Array(last.key.length + 1);
      from.set(last.key);
    }
  }

  /** The next commits are stored: sinks may have them. */
  #markStored(count: number): void {
    for (let i = 0; i < count; i++) {
      const run = this.#committed[this.#stored++] as CommittedRun;
      for (const sink of this.sinks) sink.offer(run);
    }
  }

  #pump(): void {
    if (this.#stopped) return;
    if (this.#pumping) {
      this.#pumpAgain = true;
      return;
    }
    this.#pumping = true;
    this.#pumpAgain = false;
    void this.#pumpAll().then(
      (more) => {
        this.#pumping = false;
        if (this.#pumpAgain) this.#pump();
        else if (more && !this.#stopped) this.#context.clock.schedule(retryMs, () => this.#context.inbox.post(() => this.#pump()));
      },
      (cause: unknown) => {
        this.#pumping = false;
        this.#context.diagnostics.error("results-failed", {
          cause: cause instanceof Error ? cause.message : String(cause),
          next: "tried again",
        });
        if (!this.#stopped) this.#context.clock.schedule(retryMs * 4, () => this.#context.inbox.post(() => this.#pump()));
      },
    );
  }

  /** True when something is left to be tried again later. */
  async #pumpAll(): Promise<boolean> {
    let waiting = false;
    while (this.#stored < this.#committed.length && !this.#stopped) {
      const stored = await this.#storeSome();
      if (stored === 0) {
        waiting = true;
        break;
      }
    }
    for (const sink of this.sinks) {
      const settled = await sink.follow();
      waiting ||= !settled;
    }
    return waiting || this.#stored < this.#committed.length;
  }

  /** Stores the next commits whose rows can be had. Never part of a log entry's commits without the rest. */
  async #storeSome(): Promise<number> {
    const next = this.#committed.slice(this.#stored, this.#stored + batchMax);
    const last = next.at(-1);
    if (last === undefined) return 0;
    for (let at = this.#stored + next.length; this.#committed[at]?.index === last.index; at++)
      next.push(this.#committed[at] as CommittedRun);
    const ready: { readonly run: CommittedRun; readonly rows: Uint8Array }[] = [];
    for (const run of next) {
      const rows = await this.#obtain(run);
      if (rows === undefined) break;
      ready.push({ run, rows });
    }
    const cut = next[ready.length]?.index;
    const whole = ready.filter(({ run }) => run.index !== cut);
    const newest = whole.at(-1);
    if (newest === undefined) return 0;
    const puts = whole.map(({ run, rows }) => ({
      type: "put" as const,
      key: resultKey(run.job, run.fromMs, run.revision),
      value: packSealed(this.#context.packing, rows),
    }));
    const meta = { type: "put" as const, key: metaKey("results"), value: packSealed(this.#context.packing, { index: newest.run.index }) };
    await this.#options.store.write([...puts, meta], { sync: true });
    this.#storedIndex = newest.run.index;
    this.#markStored(whole.length);
    for (const { run, rows } of whole) {
      this.#options.attempts.tidy(run.job, run.fromMs);
      const decoded = decodeRows(this.#context.packing, rows);
      if (decoded.ok) for (const row of decoded.value) this.#options.stored(row);
    }
    return whole.length;
  }

  /** The rows of a commit: kept here, or fetched from whoever has them. */
  async #obtain(run: CommittedRun): Promise<Uint8Array | undefined> {
    const kept = this.#options.attempts.find(run.job, run.fromMs, run.attempt);
    if (kept !== undefined && digestOfRows(kept) === run.digest) return kept;
    for (const peer of this.#options.gateways) {
      if (peer === this.#context.self || !this.#options.router.reachable(peer)) continue;
      const { job, fromMs, attempt, revision } = run;
      const answer = await this.#options.requests.call(
        peer,
        "rows",
        { job, fromMs, attempt, revision },
        { timeoutMs: fetchTimeoutMs, channel: "job" },
      );
      if (answer.ok && answer.value instanceof Uint8Array && digestOfRows(answer.value) === run.digest) return copyBytes(answer.value);
    }
    this.#context.diagnostics.debug("rows-awaited", { job: run.job, from: new Date(run.fromMs).toISOString(), revision: run.revision });
    return undefined;
  }

  async #rowsForPeer(body: unknown): Promise<Result<unknown>> {
    const { job, fromMs, attempt, revision } = body as { job?: unknown; fromMs?: unknown; attempt?: unknown; revision?: unknown };
    if (typeof job !== "string" || typeof fromMs !== "number" || typeof attempt !== "number" || typeof revision !== "number")
      return failure("bad-request", "which rows?");
    const kept = this.#options.attempts.find(job, fromMs, attempt);
    if (kept !== undefined) return success(kept);
    const value = await this.#options.store.get(resultKey(job, fromMs, revision));
    if (value === undefined) return failure("not-found", "these rows are not here");
    const rows = unpackSealed(this.#context.packing, value);
    return rows.ok ? success(rows.value) : rows;
  }

  async #storedRows(run: CommittedRun): Promise<Result<readonly ResultRow[]>> {
    const value = await this.#options.store.get(resultKey(run.job, run.fromMs, run.revision));
    if (value === undefined)
      return failure(
        "store-damaged",
        `the rows of ${run.job} ${new Date(run.fromMs).toISOString()} revision ${run.revision} are missing from the store`,
      );
    return this.#unseal(value);
  }

  #unseal(value: Uint8Array): Result<readonly ResultRow[]> {
    const bytes = unpackSealed(this.#context.packing, value);
    if (!bytes.ok) return bytes;
    return bytes.value instanceof Uint8Array
      ? decodeRows(this.#context.packing, bytes.value)
      : failure("store-damaged", "a result in the store is malformed");
  }
}
