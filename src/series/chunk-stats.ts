/** What a chunk says of its readings, so that nobody has to decode them for it. */

import { ValueType } from "../lib/reading.ts";
import type { Digest } from "./digest.ts";
import { ExactSum } from "./exact-sum.ts";
import { runTypeAt, type SeriesRun } from "./run.ts";

/** Numeric: numbers that are not NaN, and booleans as 0 and 1. */
export interface ChunkStats {
  readonly count: number;
  readonly minTimeUs: number;
  readonly maxTimeUs: number;
  readonly digest: Digest;
  readonly numeric: NumericStats | undefined;
}

export interface NumericStats {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly first: number;
  readonly last: number;
}

export interface Chunk {
  readonly stats: ChunkStats;
  /** Sorted and unique; arrays of its own. */
  readonly run: SeriesRun;
}

export function numericStats(run: SeriesRun): NumericStats | undefined {
  const sum = new ExactSum();
  let infinities = 0;
  let count = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let first = 0;
  let last = 0;
  for (let i = 0; i < run.count; i++) {
    // −0 counts as 0 here; the column keeps it.
    const value = (run.numbers[i] as number) + 0;
    if (runTypeAt(run, i) === ValueType.Text || Number.isNaN(value)) continue;
    if (Number.isFinite(value)) sum.add(value);
    else infinities += value;
    if (count++ === 0) first = value;
    last = value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return count === 0 ? undefined : { count, min, max, sum: infinities === 0 ? sum.value() : infinities, first, last };
}
