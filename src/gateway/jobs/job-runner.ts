/**
 * Runs jobs. The Raft leader fires schedules: each firing runs all closed windows that have no committed run yet. A run
 * claims its windows, has them mapped and combined on the gateways that own the data, reduces by group, makes the rows
 * durable on a majority, and publishes them with one commit; a run that dies in between leaves nothing visible.
 */

import type { JobSettings } from "../../config/settings.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { type Calendar, windowAt } from "../../lib/calendar.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { majorityOf } from "../../lib/voters.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { GatewayContext } from "../context.ts";
import type { GroupRow } from "../query/group-table.ts";
import type { Queries } from "../query/queries.ts";
import type { JobRunView, ResultRow } from "../service.ts";
import type { AttemptKeeper, AttemptRows } from "./attempt-rows.ts";
import type { JobOpenWindows } from "./open-windows.ts";
import { digestOfRows, encodeRows, groupOf, resultId, sameContent } from "./result-row.ts";
import type { Results } from "./results.ts";

export interface JobRunnerOptions {
  readonly context: GatewayContext;
  readonly consensus: Consensus;
  readonly state: SiteState;
  readonly queries: Queries;
  readonly attempts: AttemptKeeper;
  readonly results: Results;
  readonly calendar: Calendar;
  readonly windows: JobOpenWindows;
  /** Readings before this instant may have been given up. */
  readonly horizonMs: () => number;
  /** How many gateways' clocks, the own one included, are no further from it than that, and how many gateways there are. */
  readonly clocksWithin: (deviationMaxMs: number) => { readonly near: number; readonly gateways: number };
}

interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Readings that were on their way when a window closed get this long before a firing counts them. */
const settleMs = 1_000;
const missedSecondsMax = 120;
const fireAgainMs = 10_000;
const clockDeviationMaxMs = 30_000;
const windowsPerFiringMax = 500;
const windowsPerRunMax = 100_000;
/** What is claimed, made durable and committed in one go: bounded by both, whichever comes first. One window is never divided. */
const windowsPerBatch = 512;
const rowsPerBatch = 2_000;
/** Firings that leave a window alone because owners are missing, before it is committed as incomplete. */
const incompleteTriesMax = 3;
const rowsShownMax = 1_000;
const proposeTimeoutMs = 10_000;
const dayMs = 86_400_000;

export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #context: GatewayContext;
  readonly #running = new Set<string>();
  readonly #waitingToFire = new Set<string>();
  readonly #incompleteTries = new Map<string, number>();
  #lastSecondMs: number | undefined;
  #stopped = false;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
    this.#context = options.context;
  }

  start(): void {
    this.#lastSecondMs = Math.floor(this.#context.clock.wallMs() / 1_000) * 1_000;
    this.#nextSecond();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** The next firing, by the schedule alone. */
  nextFireMs(job: JobSettings): number | undefined {
    const { cron } = this.#context.ports;
    return cron.next(job.schedule, this.#context.settings.timeZone, this.#context.clock.wallMs());
  }

  /** Runs the closed windows that overlap the range, committed ones again: rows that changed get a higher revision. */
  async runNow(
    job: JobSettings,
    range: { readonly fromMs: number | undefined; readonly toMs: number | undefined },
  ): Promise<Result<JobRunView>> {
    if (this.#running.has(job.name)) return failure("busy", `job "${job.name}" is running on this gateway: try again when it is done`);
    const nowMs = this.#context.clock.wallMs();
    const lastClosed = this.#lastClosedWindow(job, nowMs);
    const fromMs = range.fromMs ?? (range.toMs === undefined ? lastClosed.fromMs : Math.min(lastClosed.fromMs, range.toMs - 1));
    const toMs = Math.min(range.toMs ?? lastClosed.toMs, lastClosed.toMs);
    if (fromMs >= toMs)
      return failure(
        "bad-request",
        `no window of ${job.windowMs / 1_000} s that ended before now lies between ${new Date(fromMs).toISOString()} and ${new Date(range.toMs ?? toMs).toISOString()}`,
      );
    const first = windowAt(this.#options.calendar, fromMs, job.windowMs);
    const last = windowAt(this.#options.calendar, toMs - 1, job.windowMs);
    const end = last.toMs <= nowMs ? last.toMs : last.fromMs;
    const horizonMs = this.#options.horizonMs();
    if (first.fromMs < horizonMs)
      return failure(
        "bad-request",
        `the readings before ${new Date(horizonMs).toISOString()} were given up by retention, and with them some of the window from ${new Date(first.fromMs).toISOString()}: ask for a later range`,
      );
    if ((end - first.fromMs) / job.windowMs > windowsPerRunMax)
      return failure("bad-request", `more than ${windowsPerRunMax} windows: ask for a shorter range`);
    this.#running.add(job.name);
    try {
      return await this.#run(job, { fromMs: first.fromMs, toMs: end }, { again: true });
    } finally {
      this.#running.delete(job.name);
    }
  }

  #nextSecond(): void {
    if (this.#stopped) return;
    const delay = 1_000 - (this.#context.clock.wallMs() % 1_000);
    this.#context.clock.schedule(delay, () => {
      this.#second();
      this.#nextSecond();
    });
  }

  /** Fires what became due; after a pause or a jump of the clock, what the last two minutes brought. */
  #second(): void {
    const nowMs = Math.floor(this.#context.clock.wallMs() / 1_000) * 1_000;
    const since = Math.max(this.#lastSecondMs ?? nowMs, nowMs - missedSecondsMax * 1_000);
    // A new leader looks back too: a firing during the election must not wait for the next one.
    if (!this.#options.consensus.isLeader()) return;
    this.#lastSecondMs = nowMs;
    const { cron } = this.#context.ports;
    for (const job of this.#context.settings.jobs) {
      for (let second = since + 1_000; second <= nowMs; second += 1_000) {
        if (!cron.matches(job.schedule, this.#context.settings.timeZone, second)) continue;
        this.#context.clock.schedule(settleMs, () => this.#fire(job));
        break;
      }
    }
  }

  #fire(job: JobSettings): void {
    if (this.#stopped || this.#running.has(job.name) || !this.#options.consensus.isLeader()) return;
    const { near, gateways } = this.#options.clocksWithin(clockDeviationMaxMs);
    if (near < majorityOf(gateways)) {
      // A clock that is ahead would close windows before their readings have come; the middle one of clocks that all differ is no better.
      const why = `of ${gateways} gateways' clocks only ${near}, this one included, agree within ${clockDeviationMaxMs / 1_000} s`;
      this.#context.diagnostics.warn("job-not-fired", { job: job.name, why, next: "tried again in 10 s" });
      this.#fireLater(job);
      return;
    }
    this.#running.add(job.name);
    this.#runDue(job).then(
      (result) => {
        this.#running.delete(job.name);
        if (result.ok) return;
        this.#context.diagnostics.warn("job-failed", { job: job.name, why: result.message, next: "tried again in 10 s" });
        this.#fireLater(job);
      },
      (cause: unknown) => {
        this.#running.delete(job.name);
        this.#context.diagnostics.error("job-failed", {
          job: job.name,
          cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
        });
      },
    );
  }

  #fireLater(job: JobSettings): void {
    if (this.#waitingToFire.has(job.name)) return;
    this.#waitingToFire.add(job.name);
    this.#context.clock.schedule(fireAgainMs, () => {
      this.#waitingToFire.delete(job.name);
      this.#fire(job);
    });
  }

  async #runDue(job: JobSettings): Promise<Result<void>> {
    const fresh = await this.#options.consensus.fresh(proposeTimeoutMs);
    if (!fresh.ok) return fresh;
    const nowMs = this.#context.clock.wallMs();
    let state = this.#options.state.job(job.name);
    if (state?.sinceMs === undefined) {
      const sinceMs = this.#lastClosedWindow(job, nowMs).fromMs;
      const seen = await this.#options.consensus.propose({ t: "job-seen", job: job.name, sinceMs }, proposeTimeoutMs);
      if (!seen.ok) return seen;
      state = this.#options.state.job(job.name);
    }
    const windows = this.#options.windows.due(job, { sinceMs: state?.sinceMs ?? nowMs, nowMs, max: windowsPerFiringMax });
    let failed: Result<void> = success(undefined);
    for (const stretch of contiguous(windows)) {
      // One stretch that fails must not keep the newer ones waiting.
      const ran = await this.#run(job, stretch, { again: false });
      if (!ran.ok) failed = ran;
    }
    return failed;
  }

  /** Aggregates a stretch of whole windows with one question, and commits them in batches. */
  async #run(job: JobSettings, stretch: Window, options: { readonly again: boolean }): Promise<Result<JobRunView>> {
    const answer = await this.#options.queries.aggregate({
      selector: { metric: job.source.metric, device: job.source.devices, labels: job.source.labels },
      fromUs: stretch.fromMs * 1_000,
      toUs: stretch.toMs * 1_000,
      windowMs: job.windowMs,
      functions: job.aggregate.map((output) => output.function),
      groupBy: job.groupBy,
      level: this.#context.settings.replication.read,
    });
    if (!answer.ok) return answer;
    const { complete, rows } = answer.value;
    // By hand nothing is committed that says less than what may stand already; a firing gives up waiting in the end.
    if (!complete && (options.again || !this.#commitIncomplete(job, stretch))) {
      return failure("quorum-unavailable", "too few owners of the readings answer: try again when they are back");
    }
    const byWindow = new Map<number, GroupRow[]>();
    for (const row of rows) {
      const known = byWindow.get(row.fromMs);
      if (known === undefined) byWindow.set(row.fromMs, [row]);
      else known.push(row);
    }
    const windows = this.#windowsToCommit(job, stretch, byWindow, options.again);
    // Of a window that the horizon has passed, some readings may be gone: it is not said to be complete.
    const horizonMs = this.#options.horizonMs();
    const isComplete = (window: Window): boolean => complete && window.fromMs >= horizonMs;
    let committed = 0;
    const shown: ResultRow[] = [];
    for (const some of batchesOf(windows, (window) => byWindow.get(window.fromMs)?.length ?? 0)) {
      const batch = await this.#commitBatch(job, some, { byWindow, isComplete });
      if (!batch.ok) return batch;
      committed += batch.value.committed;
      shown.push(...batch.value.rows.slice(0, rowsShownMax - shown.length));
    }
    return success({ job: job.name, windows: windows.length, committed, rows: shown });
  }

  /** A firing commits empty windows too, so that they are done; a run by hand only where there is something to say. */
  #windowsToCommit(job: JobSettings, stretch: Window, byWindow: ReadonlyMap<number, readonly GroupRow[]>, again: boolean): Window[] {
    const known = this.#options.state.job(job.name)?.windows;
    const windows: Window[] = [];
    for (let at = stretch.fromMs; at < stretch.toMs; ) {
      const window = windowAt(this.#options.calendar, at, job.windowMs);
      if (!again || byWindow.has(window.fromMs) || (known?.get(window.fromMs)?.revision ?? 0) > 0) windows.push(window);
      at = window.toMs;
    }
    return windows;
  }

  async #commitBatch(
    job: JobSettings,
    windows: readonly Window[],
    found: { readonly byWindow: ReadonlyMap<number, readonly GroupRow[]>; readonly isComplete: (window: Window) => boolean },
  ): Promise<Result<{ committed: number; rows: ResultRow[] }>> {
    const { consensus, attempts, state } = this.#options;
    const claimed = await consensus.propose(
      { t: "run-claim", job: job.name, windows: windows.map(({ fromMs, toMs }) => ({ fromMs, toMs })), gateway: this.#context.self },
      proposeTimeoutMs,
    );
    if (!claimed.ok) return claimed;
    if (claimed.value.t !== "claim") return failure("internal", "a claim was answered with something else");
    const standing = await this.#standingRows(job, windows);
    if (!standing.ok) return standing;
    const kept: AttemptRows[] = [];
    const commits = [];
    const rows: ResultRow[] = [];
    for (const [at, window] of windows.entries()) {
      const claim = claimed.value.claims[at];
      if (claim === undefined) return failure("internal", "a claim lacks a window");
      const all = (found.byWindow.get(window.fromMs) ?? []).map((row) =>
        resultRow(job, window, row, { revision: claim.baseRevision + 1, complete: found.isComplete(window) }),
      );
      const changed = all.filter((row) => !sameAsStanding(row, standing.value.get(row.id)));
      const news = new Set(changed);
      rows.push(...all.map((row) => (news.has(row) ? row : (standing.value.get(row.id) ?? row))));
      if (claim.baseRevision > 0 && changed.length === 0) continue;
      const bytes = encodeRows(this.#context.packing, changed);
      kept.push({ job: job.name, fromMs: window.fromMs, attempt: claim.attempt, baseRevision: claim.baseRevision, rows: bytes });
      commits.push({
        ...window,
        attempt: claim.attempt,
        baseRevision: claim.baseRevision,
        rows: changed.length,
        digest: digestOfRows(bytes),
      });
    }
    if (commits.length === 0) return success({ committed: 0, rows });
    const durable = await attempts.keepOnMajority(kept);
    if (!durable.ok) return durable;
    const done = await consensus.propose({ t: "run-commit", job: job.name, windows: commits, sinks: job.sinks }, proposeTimeoutMs);
    if (!done.ok && done.code !== "outcome-unknown") return done;
    // Whatever the answer, the state knows whose commit stands.
    const fresh = await consensus.fresh(proposeTimeoutMs);
    if (!fresh.ok) return fresh;
    const after = state.job(job.name)?.windows;
    const committed = commits.filter((commit) => after?.get(commit.fromMs)?.committedAttempt === commit.attempt).length;
    if (committed === 0 && !done.ok) return done;
    return success({ committed, rows });
  }

  /** The rows that stand for these windows, by id. A base that moves on meanwhile is refused by the commit. */
  async #standingRows(job: JobSettings, windows: readonly Window[]): Promise<Result<Map<string, ResultRow>>> {
    const first = windows[0];
    const last = windows.at(-1);
    if (first === undefined || last === undefined) return success(new Map());
    const caughtUp = await this.#options.results.caughtUp(proposeTimeoutMs);
    if (!caughtUp.ok) return caughtUp;
    return await this.#options.results.standing(job.name, { firstMs: first.fromMs, lastMs: last.fromMs });
  }

  #lastClosedWindow(job: JobSettings, nowMs: number): Window {
    const open = windowAt(this.#options.calendar, nowMs, job.windowMs);
    return windowAt(this.#options.calendar, open.fromMs - 1, job.windowMs);
  }

  #commitIncomplete(job: JobSettings, stretch: Window): boolean {
    const key = `${job.name} ${stretch.fromMs}`;
    const tries = (this.#incompleteTries.get(key) ?? 0) + 1;
    if (this.#incompleteTries.size > 10_000) this.#incompleteTries.clear();
    this.#incompleteTries.set(key, tries);
    return tries >= incompleteTriesMax;
  }
}

function batchesOf(windows: readonly Window[], rowsOf: (window: Window) => number): Window[][] {
  const batches: Window[][] = [];
  let batch: Window[] = [];
  let rows = 0;
  for (const window of windows) {
    const more = rowsOf(window);
    if (batch.length === windowsPerBatch || (batch.length > 0 && rows + more > rowsPerBatch)) {
      batches.push(batch);
      batch = [];
      rows = 0;
    }
    batch.push(window);
    rows += more;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/** Neighbouring windows as one stretch of at most a day, or of one window. */
function contiguous(windows: readonly Window[]): Window[] {
  const stretches: Window[] = [];
  for (const window of windows) {
    const last = stretches.at(-1);
    if (last !== undefined && last.toMs === window.fromMs && window.toMs - last.fromMs <= dayMs)
      stretches[stretches.length - 1] = { fromMs: last.fromMs, toMs: window.toMs };
    else stretches.push(window);
  }
  return stretches;
}

function resultRow(
  job: JobSettings,
  window: Window,
  row: GroupRow,
  said: { readonly revision: number; readonly complete: boolean },
): ResultRow {
  const group = groupOf(job.groupBy, row.key);
  const finished = row.state.finish();
  return {
    id: resultId(job.name, window.fromMs, group),
    revision: said.revision,
    job: job.name,
    from: window.fromMs,
    to: window.toMs,
    group,
    values: Object.fromEntries(job.aggregate.map((output, at) => [output.name, finished[at] ?? null])),
    count: row.state.count,
    complete: said.complete,
  };
}

function sameAsStanding(row: ResultRow, standing: ResultRow | undefined): boolean {
  return standing !== undefined && sameContent(row, standing);
}
