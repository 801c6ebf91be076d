/** Runs of numbers for tests of pages and series. */
import type { SeriesRun } from "../../src/series/run.ts";

/** A run of numbers at the given times, in the order given. */
export function runOf(readings: readonly (readonly [us: number, value: number])[]): SeriesRun {
  return {
    count: readings.length,
    times: Float64Array.from(readings, ([us]) => us),
    types: undefined,
    numbers: Float64Array.from(readings, ([, value]) => value),
    texts: [],
  };
}
