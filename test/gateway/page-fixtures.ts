/** Runs of numbers for tests of pages and series. */
import { ValueType } from "../../src/lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../src/lib/reading-columns.ts";
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

/** A round's columns of one number each, as an owner takes them from its log. */
function columnsOf(rows: readonly { readonly name: SeriesName; readonly us: number; readonly value: number }[]): ReadingColumns {
  const seriesTable: SeriesName[] = [];
  const indexes = rows.map(({ name }) => {
    const known = seriesTable.findIndex((entry) => entry.device === name.device && entry.metric === name.metric);
    return known >= 0 ? known : seriesTable.push(name) - 1;
  });
  return {
    count: rows.length,
    seriesTable,
    series: Uint32Array.from(indexes),
    times: Float64Array.from(rows, ({ us }) => us),
    types: new Uint8Array(rows.length).fill(ValueType.Number),
    numbers: Float64Array.from(rows, ({ value }) => value),
    texts: [],
  };
}
