/**
 * Committed results: every gateway stores the rows of every commit, in commit order, fetching from its peers what it
 * missed, and appends them to its own copy of each `file` sink. The commits come from the outbox of the site's state, which
 * keeps them until all gateways have said that they stored them; whoever is behind it fetches whole results from a peer.
 */

import type { CommittedRun } from "../../core/site/apply-result.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Store } from "../../ports/store.ts";
import type { GatewayContext } from "../context.ts";
import type { MeshRouter } from "../mesh-router.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import { prefixRange, resultKey, resultPrefix } from "../series/store-keys.ts";
import type { ResultRow } from "../service.ts";
import type { AttemptKeeper, AttemptRows } from "./attempt-rows.ts";
import { FileSink } from "./file-sink.ts";
import { decodeRows, digestOfRows } from "./result-row.ts";
import { type ResultPage, ResultStore } from "./result-store.ts";
import { ResultsBackfill } from "./results-backfill.ts";

export interface ResultsOptions {
  readonly context: GatewayContext;
  readonly store: Store;
  readonly requests: Requests;
  readonly router: MeshRouter;
  readonly attempts: AttemptKeeper;
  readonly state: Pick<SiteState, "outbox" | "featureLevel" | "resultsStoredBy">;
  /** Those that keep results, as of now. */
  readonly gateways: () => readonly GatewayId[];
  /** A committed row was stored here, soon after its commit. */
  readonly stored: (row: ResultRow) => void;
  /** Has the site know that this gateway has stored all runs below the ordinal; said again later when it did not work. */
  readonly proposeStored: (ordinal: number) => void;
}

/** Commits that are stored in one go. */
const batchMax = 64;
const retryMs = 500;
const catchUpPollMs = 20;
const clockChangeMaxMs = 26 * 3_600_000;
const fetchTimeoutMs = 5_000;
const revisionMax = 0xffffffff;
const reportMs = 30_000;
/** Commits that the site keeps for a copy of a sink that cannot be written here; it is made again as a whole beyond that. */
const sinkLagMax = 10_000;

export class Results {
  readonly sinks: readonly FileSink[];
  readonly #options: ResultsOptions;
  readonly #context: GatewayContext;
  readonly #results: ResultStore;
  readonly #backfill: ResultsBackfill;
  /** The rows of all runs below this ordinal are stored. */
  #next = 0;
  /** The store's record is of an older version, and says only up to which log index commits are stored. */
  #oldIndex: number | undefined;
  #pumping = false;
  /** Something was committed while the pump ran. */
  #pumpAgain = false;
  #reportDue = false;
  #stopped = false;

  constructor(options: ResultsOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#results = new ResultStore(options.store, options.context.packing);
    const source = {
      outbox: () => options.state.outbox(),
      storedTo: () => this.#next,
      rowsOf: (run: CommittedRun) => this.#storedRows(run),
      page: (after: Uint8Array | undefined) => this.#results.page(after),
    };
    this.sinks = options.context.settings.sinks.map((settings) => new FileSink({ context: options.context, settings, source }));
    options.requests.serve("rows", (_from, body) => this.#rowsForPeer(body));
    this.#backfill = new ResultsBackfill({
      ...options,
      store: this.#results,
      progress: () => ({ stored: this.#next, firstOrdinal: options.state.outbox().firstOrdinal, committed: this.#committed() }),
    });
  }

  async open(): Promise<Result<void>> {
    const position = await this.#results.position();
    if (!position.ok) return position;
    this.#next = position.value.ordinal ?? 0;
    if (position.value.ordinal === undefined) this.#oldIndex = position.value.index;
    for (const sink of this.sinks) {
      const opened = await sink.open();
      if (!opened.ok) return opened;
    }
    this.#reportLater();
    // The state may have been restored from a snapshot before.
    this.restored();
    return success(undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const sink of this.sinks) await sink.close();
  }

  /** Runs were committed, in the order of the log; also when the log is replayed. */
  committed(runs: readonly CommittedRun[]): void {
    this.#skipOld();
    for (const run of runs) this.#options.attempts.tidy(run.job, run.fromMs);
    if (runs.length > 0) this.#pump();
  }

  /** The site's state was replaced by a snapshot: any number of runs were committed, and others forgotten. */
  restored(): void {
    this.#skipOld();
    this.#options.attempts.tidyAll();
    this.#pump();
  }

  /** Whether these are the rows of a commit that is not stored here yet. */
  needs(rows: Pick<AttemptRows, "job" | "fromMs" | "attempt">): boolean {
    const { firstOrdinal, runs } = this.#options.state.outbox();
    for (let at = Math.max(0, this.#next - firstOrdinal); at < runs.length; at++) {
      const run = runs[at] as CommittedRun;
      if (run.job === rows.job && run.fromMs === rows.fromMs && run.attempt === rows.attempt) return true;
    }
    return false;
  }

  pending(): number {
    return Math.max(0, this.#committed() - this.#next);
  }

  /** Resolves when everything that is committed so far is stored here. */
  async caughtUp(timeoutMs: number): Promise<Result<void>> {
    const target = this.#committed();
    const deadline = this.#context.clock.monotonicMs() + timeoutMs;
    while (this.#next < target) {
      if (this.#stopped || this.#context.clock.monotonicMs() >= deadline)
        return failure("not-ready", `${target - this.#next} committed runs have not reached this gateway yet`);
      await pause(this.#context.clock, catchUpPollMs);
    }
    return success(undefined);
  }

  /** Latest revision of each row whose window overlaps the range, in the order of window and id. */
  async rows(job: string, range: { readonly fromMs: number; readonly toMs: number }): Promise<Result<ResultRow[]>> {
    const from = this.#firstKey(job, range.fromMs);
    const to = Number.isFinite(range.toMs) ? resultKey(job, Math.max(0, range.toMs), 0) : undefined;
    const latest = await this.#results.latest(job, { from, to }, (row) => row.to > range.fromMs && row.from < range.toMs);
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
    return await this.#results.latest(job, keys, (row) => row.from >= firstMs && row.from <= lastMs);
  }

  /** All that is stored here, in the order of the keys. */
  page(after: Uint8Array | undefined): Promise<Result<ResultPage>> {
    return this.#results.page(after);
  }

  /** The rows that one commit gave a window; `undefined` when they are not here. */
  rowsOf(run: Pick<CommittedRun, "job" | "fromMs" | "revision">): Promise<Result<Uint8Array | undefined>> {
    return this.#results.rowsOf(run);
  }

  /** Ordinal of the next commit. */
  #committed(): number {
    const { firstOrdinal, runs } = this.#options.state.outbox();
    return firstOrdinal + runs.length;
  }

  /** Passes over commits that the record of an older version says are stored. */
  #skipOld(): void {
    if (this.#oldIndex === undefined) return;
    const { firstOrdinal, runs } = this.#options.state.outbox();
    const first = runs[0];
    // Stored in the order of the log: what is before a stored one is stored too, forgotten or not.
    if (first !== undefined && first.index <= this.#oldIndex) this.#next = Math.max(this.#next, firstOrdinal);
    for (let at = this.#next - firstOrdinal; at >= 0 && at < runs.length; at++) {
      if ((runs[at] as CommittedRun).index > this.#oldIndex) break;
      this.#next = firstOrdinal + at + 1;
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
    if (this.#next < this.#options.state.outbox().firstOrdinal) waiting = !(await this.#fetchForgotten());
    while (!waiting && this.#next < this.#committed() && !this.#stopped) {
      const stored = await this.#storeSome();
      if (stored === 0) waiting = true;
    }
    for (const sink of this.sinks) {
      if (this.#stopped) break;
      const settled = await sink.follow();
      waiting ||= !settled;
    }
    if (this.#reportDue && !this.#stopped) await this.#report();
    return waiting || this.#next < this.#committed();
  }

  /** Fetches from a peer what the site's state has forgotten. False: try again later. */
  async #fetchForgotten(): Promise<boolean> {
    const ordinal = await this.#backfill.fetch();
    if (ordinal === undefined) return false;
    await this.#remember([], Math.max(ordinal, this.#next));
    this.#options.attempts.tidyAll();
    return true;
  }

  /** Stores the next commits whose rows can be had. Never part of a log entry's commits without the rest. */
  async #storeSome(): Promise<number> {
    const next = this.#nextRuns();
    const ready: { readonly run: CommittedRun; readonly rows: Uint8Array }[] = [];
    // All at once: one after the other they would take as long as that many round trips.
    const obtained = await Promise.all(next.map((run) => this.#obtain(run)));
    for (const [at, run] of next.entries()) {
      const rows = obtained[at];
      if (rows === undefined) break;
      ready.push({ run, rows });
    }
    const cut = next[ready.length]?.index;
    const whole = ready.filter(({ run }) => run.index !== cut);
    const newest = whole.at(-1);
    if (newest === undefined) return 0;
    await this.#remember(whole, newest.run.ordinal + 1);
    for (const { run, rows } of whole) {
      this.#options.attempts.tidy(run.job, run.fromMs);
      const decoded = decodeRows(this.#context.packing, rows);
      if (decoded.ok) for (const row of decoded.value) this.#options.stored(row);
    }
    return whole.length;
  }

  /** The next commits to store, with all of the last one's log entry. */
  #nextRuns(): CommittedRun[] {
    const { firstOrdinal, runs } = this.#options.state.outbox();
    const from = this.#next - firstOrdinal;
    if (from < 0) return [];
    const next = runs.slice(from, from + batchMax);
    const last = next.at(-1);
    for (let at = from + next.length; last !== undefined && runs[at]?.index === last.index; at++) next.push(runs[at] as CommittedRun);
    return next;
  }

  /** Stores rows together with the position behind them. */
  async #remember(stored: readonly { readonly run: CommittedRun; readonly rows: Uint8Array }[], next: number): Promise<void> {
    const index = stored.at(-1)?.run.index ?? this.#oldIndex ?? 0;
    const withSinks = this.#options.state.featureLevel() >= 2;
    await this.#results.write(stored, { index, ordinal: next }, { withSinks });
    this.#next = next;
    this.#oldIndex = undefined;
  }

  #reportLater(): void {
    this.#context.clock.schedule(reportMs, () => {
      if (this.#stopped) return;
      this.#reportLater();
      this.#context.inbox.post(() => {
        const { state, gateways } = this.#options;
        if (state.featureLevel() < 2 || !gateways().includes(this.#context.self)) return;
        if (this.#next <= state.resultsStoredBy(this.#context.self)) return;
        this.#reportDue = true;
        this.#pump();
      });
    });
  }

  /** Says how far this gateway has come, so that the site may forget what all have stored. */
  async #report(): Promise<void> {
    this.#reportDue = false;
    const { state } = this.#options;
    if (this.#next < state.outbox().firstOrdinal) return;
    for (const sink of this.sinks) await sink.settle();
    const written = Math.min(this.#next, ...this.sinks.map((sink) => sink.durableOrdinal()));
    const ordinal = Math.max(written, this.#next - sinkLagMax);
    if (ordinal > state.resultsStoredBy(this.#context.self)) this.#options.proposeStored(ordinal);
  }

  /** The rows of a commit: kept here, or fetched from whoever has them. */
  async #obtain(run: CommittedRun): Promise<Uint8Array | undefined> {
    const kept = this.#options.attempts.find(run.job, run.fromMs, run.attempt);
    if (kept !== undefined && digestOfRows(kept) === run.digest) return kept;
    // Here already where it was fetched with older results.
    const here = await this.#results.rowsOf(run);
    if (here.ok && here.value !== undefined && digestOfRows(here.value) === run.digest) return here.value;
    for (const peer of this.#options.gateways()) {
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
    const rows = await this.#results.rowsOf({ job, fromMs, revision });
    if (!rows.ok) return rows;
    return rows.value === undefined ? failure("not-found", "these rows are not here") : success(rows.value);
  }

  async #storedRows(run: CommittedRun): Promise<Result<readonly ResultRow[]>> {
    const rows = await this.#results.rowsOf(run);
    if (!rows.ok) return rows;
    if (rows.value !== undefined) return decodeRows(this.#context.packing, rows.value);
    const window = `${run.job} ${new Date(run.fromMs).toISOString()} revision ${run.revision}`;
    return failure("store-damaged", `the rows of ${window} are missing from the store`);
  }
}
