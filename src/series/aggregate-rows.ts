/** Aggregates as columns: everything that an `AggregateState` of any functions would hold, a row for each. */

import { type ReadingValue, ValueType, valueTypeOf } from "../lib/reading.ts";
import type { ExactSum } from "./exact-sum.ts";
import type { SeriesRun } from "./run.ts";

export class AggregateRows {
  readonly count: number;
  /** Readings of any type. */
  readonly counts: Float64Array;
  /** Numbers that are not NaN, and booleans. */
  readonly numericCounts: Float64Array;
  readonly negativeInfinities: Float64Array;
  readonly positiveInfinities: Float64Array;
  /** Exact sums of the finite numbers, two doubles to a row. */
  readonly sums: Float64Array;
  /** Those that take more than two. */
  readonly wideSums = new Map<number, ExactSum>();
  /** +∞ and −∞ where there is no number. */
  readonly mins: Float64Array;
  readonly maxes: Float64Array;
  /** First and last reading of each row, in turn. */
  readonly ends: SeriesRun;
  /** Encoded quantile sketches, in rows that have them. */
  readonly sketches: Uint8Array[] | undefined;
  readonly #types: Uint8Array;
  readonly #texts: string[] = [];
  #areNumbers: boolean | undefined;

  constructor(count: number, options: { readonly sketches: boolean }) {
    this.count = count;
    this.counts = new Float64Array(count);
    this.numericCounts = new Float64Array(count);
    this.negativeInfinities = new Float64Array(count);
    this.positiveInfinities = new Float64Array(count);
    this.sums = new Float64Array(count * 2);
    this.mins = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    this.maxes = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
    this.#types = new Uint8Array(count * 2);
    this.ends = {
      count: count * 2,
      times: new Float64Array(count * 2),
      types: this.#types,
      numbers: new Float64Array(count * 2),
      texts: this.#texts,
    };
    this.sketches = options.sketches ? [] : undefined;
  }

  /** Of rows that ascend: the first that ends at this time or later. */
  firstEndingFrom(us: number): number {
    const { times } = this.ends;
    if ((times[1] as number) >= us) return 0;
    let low = 1;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((times[middle * 2 + 1] as number) < us) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Of rows that ascend: the first that begins at this time or later. */
  firstBeginningFrom(us: number): number {
    const { times } = this.ends;
    const last = this.count - 1;
    if ((times[last * 2] as number) < us) return this.count;
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((times[middle * 2] as number) < us) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Copies all rows of others to [from, from + count); sketches are not copied. */
  copyFrom(other: AggregateRows, from: number): void {
    this.counts.set(other.counts, from);
    this.numericCounts.set(other.numericCounts, from);
    this.negativeInfinities.set(other.negativeInfinities, from);
    this.positiveInfinities.set(other.positiveInfinities, from);
    this.sums.set(other.sums, from * 2);
    for (const [row, sum] of other.wideSums) this.wideSums.set(from + row, sum);
    this.mins.set(other.mins, from);
    this.maxes.set(other.maxes, from);
    this.ends.times.set(other.ends.times, from * 2);
    this.#types.set(other.#types, from * 2);
    this.ends.numbers.set(other.ends.numbers, from * 2);
    const textsBefore = this.#texts.length;
    for (const text of other.#texts) this.#texts.push(text);
    if (textsBefore === 0) return;
    for (let at = 0; at < other.ends.count; at++)
      if (other.#types[at] === ValueType.Text) this.ends.numbers[from * 2 + at] = textsBefore + (other.ends.numbers[at] as number);
  }

  /** Whether all readings are finite numbers or booleans, and each sum takes two doubles only. It is looked for once: rows are complete then. */
  areNumbers(): boolean {
    this.#areNumbers ??=
      this.wideSums.size === 0 &&
      this.numericCounts.every((numeric, row) => numeric === this.counts[row]) &&
      !this.negativeInfinities.some(isPositive) &&
      !this.positiveInfinities.some(isPositive);
    return this.#areNumbers;
  }

  /** Texts that the values of `ends` are indexes of. */
  setTexts(texts: readonly string[]): void {
    this.#texts.length = 0;
    for (const text of texts) this.#texts.push(text);
  }

  setSum(row: number, sum: ExactSum): void {
    const pair = sum.pair();
    if (pair === undefined) {
      this.wideSums.set(row, sum);
      return;
    }
    this.sums[row * 2] = pair.high;
    this.sums[row * 2 + 1] = pair.low;
  }

  /** `at`: twice the row, plus 1 for the last reading. */
  setEnd(at: number, timeUs: number, value: ReadingValue): void {
    this.ends.times[at] = timeUs;
    const type = valueTypeOf(value);
    this.#types[at] = type;
    if (type !== ValueType.Text) {
      this.ends.numbers[at] = Number(value);
      return;
    }
    // The ends of neighbouring rows are often the same text.
    const last = this.#texts.length - 1;
    this.ends.numbers[at] = last >= 0 && this.#texts[last] === value ? last : this.#texts.push(String(value)) - 1;
  }
}

function isPositive(count: number): boolean {
  return count > 0;
}
