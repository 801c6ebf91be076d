import type { DeviceId } from "./ids.ts";
import { type ReadingValue, ValueType } from "./reading.ts";

/**
 * Readings as columns: what a round carries, what a page of an answer carries, what heads and chunks are made from.
 * Row i is: series `series[i]` (an index into `seriesTable`), time `times[i]` in µs since the epoch (a whole number),
 * type `types[i]`, and its value: `numbers[i]` is the number, 0 or 1 for a boolean, or an index into `texts`.
 * The arrays may be longer than `count`.
 */
export interface ReadingColumns {
  readonly count: number;
  readonly seriesTable: readonly SeriesName[];
  readonly series: Uint32Array;
  readonly times: Float64Array;
  readonly types: Uint8Array;
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
}

export interface SeriesName {
  readonly device: DeviceId;
  readonly metric: string;
}

export function valueAt(columns: Pick<ReadingColumns, "types" | "numbers" | "texts">, row: number): ReadingValue {
  const number = columns.numbers[row] as number;
  switch (columns.types[row]) {
    case ValueType.Text:
      return columns.texts[number] as string;
    case ValueType.Boolean:
      return number !== 0;
    default:
      return number;
  }
}
