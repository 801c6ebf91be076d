/** Cuts what comes in ascending order of time at the windows of a question: by arithmetic where the calendar allows it. */

import { areWindowsRegular, type Calendar, type TimeWindow, windowAt } from "../../lib/calendar.ts";
import type { SeriesRun } from "../../series/run.ts";

/** What decides the windows of a question. */
export interface WindowPlan {
  /** Window length aligned to the site's calendar; 0: the whole range is one window. */
  readonly windowMs: number;
  readonly fromUs: number;
  readonly toUs: number;
}

export class WindowCursor {
  readonly #calendar: Calendar;
  readonly #windowMs: number;
  readonly #isRegular: boolean;
  // The window that was found last.
  #fromMs: number;
  #toMs: number;
  #fromUs: number;
  #toUs: number;
  /** Rows of the last whole window: readings come regularly, so the next one is often as long. */
  #rows = 0;

  constructor(calendar: Calendar, plan: WindowPlan) {
    this.#calendar = calendar;
    this.#windowMs = plan.windowMs;
    this.#isRegular = plan.windowMs !== 0 && areWindowsRegular(calendar, plan.windowMs);
    const whole = plan.windowMs === 0;
    this.#fromMs = whole ? plan.fromUs / 1_000 : 0;
    this.#toMs = whole ? plan.toUs / 1_000 : 0;
    this.#fromUs = whole ? Number.NEGATIVE_INFINITY : 0;
    this.#toUs = whole ? Number.POSITIVE_INFINITY : 0;
  }

  /** Of the window that `seek` found. */
  get fromMs(): number {
    return this.#fromMs;
  }

  get toMs(): number {
    return this.#toMs;
  }

  /** Exclusive. */
  get toUs(): number {
    return this.#toUs;
  }

  /** Whether what lies between two neighbouring multiples of `stepUs` always lies in one window. */
  holdsWhole(stepUs: number): boolean {
    return this.#windowMs === 0 || (this.#isRegular && (this.#windowMs * 1_000) % stepUs === 0);
  }

  /** Finds the window that a time is in. */
  seek(timeUs: number): void {
    if (timeUs >= this.#fromUs && timeUs < this.#toUs) return;
    const instantMs = Math.floor(timeUs / 1_000);
    const window = this.#isRegular ? this.#regularWindow(instantMs) : windowAt(this.#calendar, instantMs, this.#windowMs);
    this.#fromMs = window.fromMs;
    this.#toMs = window.toMs;
    this.#fromUs = window.fromMs * 1_000;
    this.#toUs = window.toMs * 1_000;
  }

  /** Finds the window of row `from` of a sorted run, and gives the first row behind that window. */
  endOfWindow(run: SeriesRun, from: number): number {
    const { times, count } = run;
    this.seek(times[from] as number);
    const toUs = this.#toUs;
    if ((times[count - 1] as number) < toUs) return count;
    // Row `low` is inside, row `high` is not.
    let low = from;
    let high = count - 1;
    const guess = from + this.#rows;
    if (guess > low && guess <= high) {
      if ((times[guess] as number) >= toUs) high = guess;
      else low = guess;
      if (guess === high && (times[guess - 1] as number) < toUs) return guess;
    }
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((times[middle] as number) < toUs) low = middle;
      else high = middle;
    }
    this.#rows = high - from;
    return high;
  }

  #regularWindow(instantMs: number): TimeWindow {
    const fromMs = Math.floor(instantMs / this.#windowMs) * this.#windowMs;
    return { fromMs, toMs: fromMs + this.#windowMs };
  }
}
