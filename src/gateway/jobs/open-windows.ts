/**
 * Which windows of a job are not committed yet: what the next firing runs, and what retention must not drop. Windows are
 * looked at once: all before a remembered instant are known to be committed.
 */

import type { JobSettings } from "../../config/settings.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { type Calendar, type TimeWindow, windowAt } from "../../lib/calendar.ts";
import type { OpenWindow } from "../retention/policy.ts";

export interface JobOpenWindowsOptions {
  readonly jobs: readonly JobSettings[];
  readonly state: SiteState;
  readonly calendar: Calendar;
}

/** Windows looked at in one go: a job of short windows that has run for years is not walked through at once. */
const stepsMax = 10_000;

export class JobOpenWindows {
  readonly #options: JobOpenWindowsOptions;
  /** All windows of the job before this instant are committed. */
  readonly #doneUpToMs = new Map<string, number>();

  constructor(options: JobOpenWindowsOptions) {
    this.#options = options;
  }

  /** Closed windows since `sinceMs` without a committed run, oldest first, at most so many. */
  due(job: JobSettings, range: { readonly sinceMs: number; readonly nowMs: number; readonly max: number }): TimeWindow[] {
    const windows: TimeWindow[] = [];
    let at = this.#startOf(job, range.sinceMs);
    while (windows.length < range.max) {
      const window = windowAt(this.#options.calendar, at, job.windowMs);
      if (window.toMs > range.nowMs) break;
      if (!this.#isCommitted(job, window)) windows.push(window);
      else if (windows.length === 0) this.#doneUpToMs.set(job.name, window.toMs);
      at = window.toMs;
    }
    return windows;
  }

  /** The oldest window of each job with sinks that is not committed; it may not even be closed. */
  oldest(nowMs: number): OpenWindow[] {
    return this.#options.jobs.filter((job) => job.sinks.length > 0).map((job) => ({ job: job.name, ...this.#oldestOf(job, nowMs) }));
  }

  /** Windows of jobs with sinks that are not committed and begin in the range. */
  count(range: { readonly fromUs: number; readonly toUs: number }): number {
    let count = 0;
    for (const job of this.#options.jobs) {
      const sinceMs = this.#options.state.job(job.name)?.sinceMs;
      if (job.sinks.length === 0 || sinceMs === undefined) continue;
      let at = Math.max(this.#startOf(job, sinceMs), range.fromUs / 1_000);
      for (let steps = 0; steps < stepsMax; steps++) {
        const window = windowAt(this.#options.calendar, at, job.windowMs);
        if (window.fromMs * 1_000 >= range.toUs) break;
        if (window.fromMs * 1_000 >= range.fromUs && !this.#isCommitted(job, window)) count++;
        at = window.toMs;
      }
    }
    return count;
  }

  #oldestOf(job: JobSettings, nowMs: number): TimeWindow {
    const { calendar } = this.#options;
    // One that was never seen begins with the last closed window.
    const open = windowAt(calendar, nowMs, job.windowMs);
    const sinceMs = this.#options.state.job(job.name)?.sinceMs ?? windowAt(calendar, open.fromMs - 1, job.windowMs).fromMs;
    let window = windowAt(calendar, this.#startOf(job, sinceMs), job.windowMs);
    for (let steps = 0; steps < stepsMax && window.toMs <= nowMs && this.#isCommitted(job, window); steps++) {
      this.#doneUpToMs.set(job.name, window.toMs);
      window = windowAt(calendar, window.toMs, job.windowMs);
    }
    return window;
  }

  #startOf(job: JobSettings, sinceMs: number): number {
    return Math.max(sinceMs, this.#doneUpToMs.get(job.name) ?? sinceMs);
  }

  #isCommitted(job: JobSettings, window: TimeWindow): boolean {
    return (this.#options.state.job(job.name)?.windows.get(window.fromMs)?.revision ?? 0) > 0;
  }
}
