/** Jobs and their runs: since when a job exists, and which attempts of its windows were claimed and committed (P4). */

import { type GatewayId, gatewayId } from "../../lib/ids.ts";
import type { ApplyResult, CommittedRun } from "./apply-result.ts";
import type { JobSeenCommand, RunClaimCommand, RunCommitCommand } from "./commands.ts";
import { JobWindows, type WindowRange, type WindowState } from "./job-windows.ts";
import { count, nullable, positive, text, tuple, whole } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

export interface JobState {
  readonly sinceMs: number | undefined;
  /** By window start; `records` are those that are kept one by one. */
  readonly windows: Pick<JobWindows, "get" | "records" | "ranges" | "copy">;
  readonly commits: number;
  readonly lastCommitted: { readonly fromMs: number; readonly toMs: number } | undefined;
}

interface Job {
  sinceMs: number | undefined;
  readonly windows: JobWindows;
  commits: number;
  lastCommitted: { readonly fromMs: number; readonly toMs: number } | undefined;
}

type JobItem = readonly [
  name: string,
  sinceMs: number | null,
  commits: number,
  lastFromMs: number | null,
  lastToMs: number | null,
  begun: number,
];
type Standing = readonly [attempt: number, claimedBy: string | null, revision: number, committedAttempt: number];
type WindowItem = readonly [job: string, fromMs: number, toMs: number, ...Standing];
type RangeItem = readonly [job: string, fromMs: number, stepMs: number, count: number, ...Standing];

const standing = [count, nullable(text), count, count];
const isJob = tuple(text, nullable(whole), count, nullable(whole), nullable(whole), count);
const isWindow = tuple(text, whole, whole, ...standing);
const isRange = tuple(text, whole, positive, positive, ...standing);

export class JobRuns {
  readonly #jobs = new Map<string, Job>();

  jobs(): ReadonlyMap<string, JobState> {
    return this.#jobs;
  }

  seen(command: JobSeenCommand): ApplyResult {
    this.#jobOf(command.job).sinceMs ??= command.sinceMs;
    return { t: "done" };
  }

  claim(command: RunClaimCommand): ApplyResult {
    const { windows } = this.#jobOf(command.job);
    const claims = command.windows.map(({ fromMs, toMs }) => {
      const known = windows.get(fromMs) ?? { toMs, attempt: 0, claimedBy: undefined, revision: 0, committedAttempt: 0 };
      const attempt = known.attempt + 1;
      windows.set(fromMs, { ...known, attempt, claimedBy: command.gateway });
      return { attempt, baseRevision: known.revision };
    });
    return { t: "claim", claims };
  }

  /** The runs are numbered from `firstOrdinal` on. */
  commit(at: { readonly index: number; readonly firstOrdinal: number }, command: RunCommitCommand): readonly CommittedRun[] {
    const job = this.#jobOf(command.job);
    const runs: CommittedRun[] = [];
    for (const { fromMs, toMs, attempt, baseRevision, rows, digest } of command.windows) {
      const window = job.windows.get(fromMs);
      // The first commit on a base wins; a slower attempt, or the same command applied twice, finds the base gone.
      if (window === undefined || attempt > window.attempt || window.revision !== baseRevision) continue;
      const revision = window.revision + 1;
      const claimedBy = attempt === window.attempt ? undefined : window.claimedBy;
      job.windows.set(fromMs, { ...window, claimedBy, revision, committedAttempt: attempt });
      job.commits++;
      if (job.lastCommitted === undefined || fromMs > job.lastCommitted.fromMs) job.lastCommitted = { fromMs, toMs };
      const ordinal = at.firstOrdinal + runs.length;
      const { sinks } = command;
      runs.push({ ordinal, index: at.index, job: command.job, fromMs, toMs, attempt, revision, rows, digest, sinks });
    }
    return runs;
  }

  #jobOf(name: string): Job {
    let job = this.#jobs.get(name);
    if (job === undefined) {
      job = { sinceMs: undefined, windows: new JobWindows(), commits: 0, lastCommitted: undefined };
      this.#jobs.set(name, job);
    }
    return job;
  }

  capture(): Part[] {
    const parts: Part[] = [];
    for (const [name, job] of this.#jobs) {
      const item = itemOf(name, job);
      const ranges = job.windows.ranges();
      const records = job.windows.records();
      parts.push(
        { section: Section.Job, size: 1, item: () => item },
        { section: Section.WindowRange, size: ranges.length, item: (at) => rangeItem(name, ranges[at] as WindowRange) },
        { section: Section.Window, size: records.length, item: (at) => windowItem(name, records[at] as [number, WindowState]) },
      );
    }
    return parts;
  }

  restoreJob(item: unknown): boolean {
    if (!isJob(item)) return false;
    const [name, sinceMs, commits, fromMs, toMs, begun] = item as JobItem;
    if (this.#jobs.has(name)) return false;
    const job = this.#jobOf(name);
    job.sinceMs = sinceMs ?? undefined;
    job.commits = commits;
    job.lastCommitted = fromMs === null || toMs === null ? undefined : { fromMs, toMs };
    job.windows.restoreBegun(begun);
    return true;
  }

  restoreRange(item: unknown): boolean {
    if (!isRange(item)) return false;
    const [job, fromMs, stepMs, windows, ...rest] = item as RangeItem;
    return this.#jobs.get(job)?.windows.restoreRange({ fromMs, stepMs, count: windows, ...standingOf(rest) }) ?? false;
  }

  restoreWindow(item: unknown): boolean {
    if (!isWindow(item)) return false;
    const [name, fromMs, toMs, ...rest] = item as WindowItem;
    const job = this.#jobs.get(name);
    job?.windows.restoreRecord(fromMs, { toMs, ...standingOf(rest) });
    return job !== undefined;
  }

  picture(): unknown {
    return [...this.#jobs]
      .sort((a, b) => (a[0] < b[0] ? -1 : 1))
      .map(([name, job]) => [
        itemOf(name, job),
        job.windows.ranges().map((range) => rangeItem(name, range)),
        job.windows.records().map((record) => windowItem(name, record)),
      ]);
  }
}

function itemOf(name: string, { sinceMs, commits, lastCommitted, windows }: Job): JobItem {
  return [name, sinceMs ?? null, commits, lastCommitted?.fromMs ?? null, lastCommitted?.toMs ?? null, windows.begun()];
}

function rangeItem(name: string, { fromMs, stepMs, count: windows, ...rest }: WindowRange): RangeItem {
  return [name, fromMs, stepMs, windows, rest.attempt, rest.claimedBy ?? null, rest.revision, rest.committedAttempt];
}

function windowItem(name: string, [fromMs, { toMs, ...rest }]: readonly [number, WindowState]): WindowItem {
  return [name, fromMs, toMs, rest.attempt, rest.claimedBy ?? null, rest.revision, rest.committedAttempt];
}

function standingOf([attempt, claimedBy, revision, committedAttempt]: Standing): {
  readonly attempt: number;
  readonly claimedBy: GatewayId | undefined;
  readonly revision: number;
  readonly committedAttempt: number;
} {
  return { attempt, claimedBy: claimedBy === null ? undefined : gatewayId(claimedBy), revision, committedAttempt };
}
