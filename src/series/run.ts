/**
 * A run: readings of one series as columns. Heads, chunks and merges all speak it. A *sorted unique* run has strictly
 * increasing times: one value for each identity, the greatest by the conflict rule.
 */

import { compareNumbers, compareTexts, type ReadingValue, ValueType } from "../lib/reading.ts";

export interface SeriesRun {
  readonly count: number;
  /** Whole µs since the epoch. */
  readonly times: Float64Array;
  /** `undefined`: all values are numbers. */
  readonly types: Uint8Array | undefined;
  /** The number, 0 or 1 for a boolean, or an index into `texts`. */
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
  /** When known: times[i] is times[0] + i · stride. Its absence says nothing. */
  readonly stride?: number;
}

export const emptyRun: SeriesRun = { count: 0, times: new Float64Array(0), types: undefined, numbers: new Float64Array(0), texts: [] };

export function runTypeAt(run: SeriesRun, row: number): ValueType {
  return run.types === undefined ? ValueType.Number : (run.types[row] as ValueType);
}

export function runValueAt(run: SeriesRun, row: number): ReadingValue {
  const number = run.numbers[row] as number;
  switch (runTypeAt(run, row)) {
    case ValueType.Text:
      return run.texts[number] as string;
    case ValueType.Boolean:
      return number !== 0;
    default:
      return number;
  }
}

/** The conflict rule on two rows: negative when `a`'s value loses to `b`'s, zero when they are the same value. */
export function compareRows(a: SeriesRun, i: number, b: SeriesRun, j: number): number {
  const left = runTypeAt(a, i);
  const right = runTypeAt(b, j);
  if (left !== right) return left - right;
  const x = a.numbers[i] as number;
  const y = b.numbers[j] as number;
  if (left === ValueType.Text) return compareTexts(a.texts[x] as string, b.texts[y] as string);
  // A boolean is 0 or 1, and −0 is no third one.
  return left === ValueType.Boolean ? x - y : compareNumbers(x, y);
}

/** First row of a sorted run whose time is not below `timeUs`; `count` when there is none. */
export function lowerBound(run: SeriesRun, timeUs: number): number {
  let low = 0;
  let high = run.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((run.times[middle] as number) < timeUs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Rows [from, to) of a run, as views of its arrays. Texts are shared, so indexes stay what they are. */
export function sliceRows(run: SeriesRun, from: number, to: number): SeriesRun {
  if (from === 0 && to === run.count) return run;
  if (from >= to) return emptyRun;
  return {
    count: to - from,
    times: run.times.subarray(from, to),
    types: run.types?.subarray(from, to),
    numbers: run.numbers.subarray(from, to),
    texts: run.texts,
    ...(run.stride === undefined ? {} : { stride: run.stride }),
  };
}

/** The readings of a sorted run with `fromUs` <= time < `toUs`, as views. */
export function sliceRange(run: SeriesRun, fromUs: number, toUs: number): SeriesRun {
  return sliceRows(run, lowerBound(run, fromUs), lowerBound(run, toUs));
}

/** The same run with each text once and none that no row uses. */
export function compactTexts(run: SeriesRun): SeriesRun {
  if (run.types === undefined || run.texts.length === 0) return run;
  const indexes = new Map<string, number>();
  const numbers = run.numbers.slice(0, run.count);
  for (let i = 0; i < run.count; i++) {
    if (run.types[i] !== ValueType.Text) continue;
    const text = run.texts[numbers[i] as number] as string;
    const index = indexes.get(text) ?? indexes.size;
    if (index === indexes.size) indexes.set(text, index);
    numbers[i] = index;
  }
  return { count: run.count, times: run.times, types: run.types, numbers, texts: [...indexes.keys()] };
}
