/**
 * The windows of one job: which attempts were claimed and which revision stands. Exact for ever and yet bounded: committed
 * windows behind the newest thousand that follow each other and say the same are kept as one range. A claim of a window
 * inside a range takes it out again. What is merged and when depends on the order of the commands alone.
 */

import type { GatewayId } from "../../lib/ids.ts";

/** Immutable: a change replaces the record. */
export interface WindowState {
  readonly toMs: number;
  /** The highest attempt claimed. */
  readonly attempt: number;
  /** Who claimed that attempt; nobody once it is committed. */
  readonly claimedBy: GatewayId | undefined;
  /** Revision of the last commit; 0 when there is none. */
  readonly revision: number;
  /** The attempt that made that commit: a runner whose answer was lost recognises its own. */
  readonly committedAttempt: number;
}

/** `count` windows of `stepMs` each, one behind the other from `fromMs` on, which all stand alike. */
export interface WindowRange {
  readonly fromMs: number;
  readonly stepMs: number;
  readonly count: number;
  readonly attempt: number;
  readonly claimedBy: GatewayId | undefined;
  readonly revision: number;
  readonly committedAttempt: number;
}

export interface WindowBounds {
  /** The newest windows of a job, which stay one by one. */
  readonly kept: number;
  /** Windows that begin between two merges. */
  readonly mergeEvery: number;
}

export const windowBounds: WindowBounds = { kept: 1_000, mergeEvery: 256 };

export class JobWindows {
  readonly #bounds: WindowBounds;
  /** By window start. */
  readonly #records = new Map<number, WindowState>();
  /** Ascending; no window of one lies between two of another. */
  #ranges: WindowRange[] = [];
  /** Windows that became records since the last merge. */
  #begun = 0;

  constructor(bounds: WindowBounds = windowBounds) {
    this.#bounds = bounds;
  }

  get(fromMs: number): WindowState | undefined {
    const record = this.#records.get(fromMs);
    if (record !== undefined) return record;
    const range = this.#ranges[this.#rangeAt(fromMs)];
    return range !== undefined && placeIn(range, fromMs) !== undefined ? stateIn(range, fromMs) : undefined;
  }

  set(fromMs: number, window: WindowState): void {
    if (!this.#records.has(fromMs)) {
      this.#takeOut(fromMs);
      this.#begun++;
    }
    this.#records.set(fromMs, window);
    if (this.#begun < this.#bounds.mergeEvery || this.#records.size <= this.#bounds.kept) return;
    this.#begun = 0;
    this.#merge();
  }

  /** What is kept one by one, ascending: the newest windows, and whatever is not committed. */
  records(): [number, WindowState][] {
    return [...this.#records].sort((a, b) => a[0] - b[0]);
  }

  /** What is kept together, ascending. */
  ranges(): readonly WindowRange[] {
    return [...this.#ranges];
  }

  /** As they are now, whatever is set later. */
  copy(): JobWindows {
    const copy = new JobWindows(this.#bounds);
    for (const [fromMs, window] of this.#records) copy.#records.set(fromMs, window);
    copy.#ranges = [...this.#ranges];
    return copy;
  }

  begun(): number {
    return this.#begun;
  }

  /** Puts back what a capture held. False when the ranges are not ascending. */
  restoreRange(range: WindowRange): boolean {
    const last = this.#ranges.at(-1);
    if (range.count < 1 || range.stepMs < 1 || (last !== undefined && lastStart(last) >= range.fromMs)) return false;
    this.#ranges.push(range);
    return true;
  }

  restoreRecord(fromMs: number, window: WindowState): void {
    this.#records.set(fromMs, window);
  }

  restoreBegun(begun: number): void {
    this.#begun = begun;
  }

  /** Committed windows behind the newest become ranges; an open claim stays what it is. */
  #merge(): void {
    const sorted = this.records();
    for (const [fromMs, window] of sorted.slice(0, sorted.length - this.#bounds.kept)) {
      if (window.revision === 0 || window.toMs <= fromMs) continue;
      this.#records.delete(fromMs);
      this.#insert(fromMs, window);
    }
  }

  #insert(fromMs: number, window: WindowState): void {
    const { toMs, ...standing } = window;
    const range: WindowRange = { fromMs, stepMs: toMs - fromMs, count: 1, ...standing };
    let at = this.#rangeAt(fromMs);
    const around = this.#ranges[at];
    // A window between two of a range, but none of its own: the range is divided there.
    if (around !== undefined && lastStart(around) > fromMs) {
      const before = Math.floor((fromMs - around.fromMs) / around.stepMs) + 1;
      this.#ranges.splice(at, 1, head(around, before), tail(around, before));
    }
    at++;
    const next = this.#ranges[at];
    const previous = this.#ranges[at - 1];
    const joined = previous !== undefined && continues(previous, range) ? join(previous, range) : range;
    const all = next !== undefined && continues(joined, next) ? join(joined, next) : joined;
    const first = joined === range ? at : at - 1;
    this.#ranges.splice(first, at - first + (all === joined ? 0 : 1), all);
  }

  /** Makes room for a record of its own where a range speaks for the window. */
  #takeOut(fromMs: number): void {
    const at = this.#rangeAt(fromMs);
    const range = this.#ranges[at];
    if (range === undefined) return;
    const place = placeIn(range, fromMs);
    if (place === undefined) return;
    const parts = [head(range, place), tail(range, place + 1)].filter((part) => part.count > 0);
    this.#ranges.splice(at, 1, ...parts);
  }

  /** The last range that begins at or before this instant; -1 when there is none. */
  #rangeAt(fromMs: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as WindowRange).fromMs <= fromMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function lastStart(range: WindowRange): number {
  return range.fromMs + (range.count - 1) * range.stepMs;
}

/** The how many-th window of the range begins there, if one does. */
function placeIn(range: WindowRange, fromMs: number): number | undefined {
  const place = (fromMs - range.fromMs) / range.stepMs;
  return Number.isInteger(place) && place >= 0 && place < range.count ? place : undefined;
}

function stateIn(range: WindowRange, fromMs: number): WindowState {
  const { attempt, claimedBy, revision, committedAttempt } = range;
  return { toMs: fromMs + range.stepMs, attempt, claimedBy, revision, committedAttempt };
}

function head(range: WindowRange, count: number): WindowRange {
  return { ...range, count };
}

function tail(range: WindowRange, from: number): WindowRange {
  return { ...range, fromMs: range.fromMs + from * range.stepMs, count: range.count - from };
}

function continues(before: WindowRange, after: WindowRange): boolean {
  return (
    before.stepMs === after.stepMs &&
    before.fromMs + before.count * before.stepMs === after.fromMs &&
    before.attempt === after.attempt &&
    before.claimedBy === after.claimedBy &&
    before.revision === after.revision &&
    before.committedAttempt === after.committedAttempt
  );
}

function join(before: WindowRange, after: WindowRange): WindowRange {
  return { ...before, count: before.count + after.count };
}
