/** What is known of the numbers of a run before they are aggregated: whether a loop without a question per reading will do. */

import type { ChunkStats } from "./chunk-stats.ts";
import { type SumGrid, sumGrid } from "./exact-sum.ts";
import type { SeriesRun } from "./run.ts";

export interface NumberProfile {
  /** Set when all values are finite numbers that can be summed on a grid. */
  readonly grid: SumGrid | undefined;
}

const careful: NumberProfile = { grid: undefined };

/** Of rows [from, to). */
export function profileOf(run: SeriesRun, from = 0, to = run.count): NumberProfile {
  if (run.types !== undefined) return careful;
  const { numbers } = run;
  let bound = 0;
  // Becomes NaN with the first value that is not finite.
  let finite = 0;
  for (let i = from; i < to; i++) {
    const value = numbers[i] as number;
    const magnitude = value < 0 ? -value : value;
    if (magnitude > bound) bound = magnitude;
    finite += value - value;
  }
  return finite === 0 ? { grid: sumGrid(bound, to - from) } : careful;
}

/** Of a chunk's run, from what the chunk says of itself. */
export function profileOfChunk(run: SeriesRun, { count, numeric }: ChunkStats): NumberProfile {
  if (run.types !== undefined || numeric?.count !== count) return careful;
  const bound = Math.max(-numeric.min, numeric.max);
  return Number.isFinite(bound) ? { grid: sumGrid(bound, count) } : careful;
}
