/**
 * Mergeable aggregate states: what a gateway computes from its readings, sends, and another merges. Merging is
 * commutative and associative to the last bit, so that a window that is computed again, by others, gives the same row.
 *
 * What counts: `count`, `first` and `last` take every reading. `sum`, `mean`, `min`, `max` and quantiles take numbers, and
 * booleans as 0 and 1; they pass over texts and NaN, and are null when nothing is left. The sum of both infinities is null.
 *
 * Wire form, version 1: u8 version, u8 parts (1 sum, 2 extremes, 4 ends, 8 sketch), varint count, varint numeric count, then
 * the parts in this order. Sum: varints of −∞ and +∞, partials. Extremes: f64 min, max. Ends, if count > 0: first and last
 * as f64 time, u8 type, f64 or text. Sketch: see `sketch.ts`.
 */

import type { AggregateFunction } from "../lib/aggregate-function.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { ByteReader, type Decoded } from "../lib/byte-reader.ts";
import { ByteWriter } from "../lib/byte-writer.ts";
import { compareValues, type ReadingValue, ValueType, valueTypeOf } from "../lib/reading.ts";
import type { AggregateRows } from "./aggregate-rows.ts";
import { ExactSum, type SumGrid } from "./exact-sum.ts";
import { type NumberProfile, profileOf } from "./number-profile.ts";
import { runTypeAt, runValueAt, type SeriesRun } from "./run.ts";
import { QuantileSketch } from "./sketch.ts";

const version = 1;
export const partSum = 1;
export const partExtremes = 2;
export const partEnds = 4;
export const partSketch = 8;
/** Those that look at the numbers. */
const partsNumeric = partSum | partExtremes | partSketch;

interface End {
  readonly timeUs: number;
  readonly value: ReadingValue;
}

export class AggregateState {
  readonly #functions: readonly AggregateFunction[];
  readonly #parts: number;
  #count = 0;
  /** Numbers that are not NaN, and booleans. */
  #numericCount = 0;
  #sum: ExactSum | undefined;
  #negativeInfinities = 0;
  #positiveInfinities = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #first: End | undefined;
  #last: End | undefined;
  #sketch: QuantileSketch | undefined;

  /** The state of no readings. Only what the functions need is kept. `parts`: of these functions, where the caller has them. */
  constructor(functions: readonly AggregateFunction[], parts = partsOf(functions)) {
    this.#functions = functions;
    this.#parts = parts;
    this.#sum = (parts & partSum) === 0 ? undefined : new ExactSum();
    this.#sketch = (parts & partSketch) === 0 ? undefined : new QuantileSketch();
  }

  /** The state of finite numbers (of any readings, where the functions look at none): their sum is `high` + `low`. */
  static ofNumbers(
    functions: readonly AggregateFunction[],
    parts: number,
    {
      count,
      high,
      low,
      min,
      max,
    }: { readonly count: number; readonly high: number; readonly low: number; readonly min: number; readonly max: number },
  ): AggregateState {
    const state = new AggregateState(functions, parts);
    state.#count = count;
    if ((parts & partsNumeric) !== 0) state.#numericCount = count;
    state.#sum?.addPair(high, low);
    state.#min = min;
    state.#max = max;
    return state;
  }

  /** Readings added, of any type. */
  get count(): number {
    return this.#count;
  }

  /** Rows [from, to) of a sorted unique run. `profile`: of the run or of a run that it is part of. */
  add(run: SeriesRun, from = 0, to = run.count, profile: NumberProfile | undefined = profileOf(run, from, to)): void {
    if (from >= to) return;
    this.#count += to - from;
    if ((this.#parts & partsNumeric) !== 0) {
      if (profile?.grid === undefined) this.#addNumeric(run, from, to);
      else this.#addPlain(run.numbers, from, to, profile.grid);
    }
    if ((this.#parts & partEnds) !== 0) {
      this.#offerFirst({ timeUs: run.times[from] as number, value: runValueAt(run, from) });
      this.#offerLast({ timeUs: run.times[to - 1] as number, value: runValueAt(run, to - 1) });
    }
  }

  /** Takes in a state of the same functions, which stays as it is. */
  merge(other: AggregateState): void {
    assert(other.#parts === this.#parts, "states of the same functions are merged");
    this.#count += other.#count;
    this.#numericCount += other.#numericCount;
    if (other.#sum !== undefined) this.#sum?.merge(other.#sum);
    this.#negativeInfinities += other.#negativeInfinities;
    this.#positiveInfinities += other.#positiveInfinities;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
    if (other.#first !== undefined) this.#offerFirst(other.#first);
    if (other.#last !== undefined) this.#offerLast(other.#last);
    if (other.#sketch !== undefined) this.#sketch?.merge(other.#sketch);
  }

  /** One value for each function, in their order. */
  finish(): (ReadingValue | null)[] {
    return this.#functions.map((each) => this.#valueOf(each));
  }

  /**
   * What was aggregated before: a row whose readings are none of this state's. Rows that are to serve quantiles have
   * sketches.
   */
  addRow(rows: AggregateRows, row: number): void {
    this.#count += rows.counts[row] as number;
    if ((this.#parts & partsNumeric) !== 0) this.#numericCount += rows.numericCounts[row] as number;
    if (this.#sum !== undefined) {
      this.#negativeInfinities += rows.negativeInfinities[row] as number;
      this.#positiveInfinities += rows.positiveInfinities[row] as number;
      const wide = rows.wideSums.get(row);
      if (wide === undefined) this.#sum.addPair(rows.sums[row * 2] as number, rows.sums[row * 2 + 1] as number);
      else this.#sum.merge(wide);
    }
    if ((this.#parts & partExtremes) !== 0) {
      this.#min = Math.min(this.#min, rows.mins[row] as number);
      this.#max = Math.max(this.#max, rows.maxes[row] as number);
    }
    if ((this.#parts & partEnds) !== 0) {
      const { ends } = rows;
      this.#offerFirst({ timeUs: ends.times[row * 2] as number, value: runValueAt(ends, row * 2) });
      this.#offerLast({ timeUs: ends.times[row * 2 + 1] as number, value: runValueAt(ends, row * 2 + 1) });
    }
    if (this.#sketch !== undefined) {
      const bytes = rows.sketches?.[row];
      assert(bytes !== undefined, "rows without sketches are asked for no quantiles");
      this.#sketch.merge(QuantileSketch.decode(new ByteReader(bytes)));
    }
  }

  /** Writes a state of all parts, and not of nothing, into a row. */
  toRow(rows: AggregateRows, row: number): void {
    assert(this.#sum !== undefined && this.#first !== undefined && this.#last !== undefined, "a row has all parts");
    rows.counts[row] = this.#count;
    rows.numericCounts[row] = this.#numericCount;
    rows.negativeInfinities[row] = this.#negativeInfinities;
    rows.positiveInfinities[row] = this.#positiveInfinities;
    rows.setSum(row, this.#sum);
    rows.mins[row] = this.#min;
    rows.maxes[row] = this.#max;
    rows.setEnd(row * 2, this.#first.timeUs, this.#first.value);
    rows.setEnd(row * 2 + 1, this.#last.timeUs, this.#last.value);
    if (rows.sketches === undefined) return;
    assert(this.#sketch !== undefined, "rows with sketches are made of states with sketches");
    const writer = new ByteWriter(64);
    this.#sketch.encode(writer);
    rows.sketches[row] = writer.finish();
  }

  encode(): Uint8Array {
    const writer = new ByteWriter(64);
    this.encodeTo(writer);
    return writer.finish();
  }

  /** The bytes of `encode`, behind what the writer holds. */
  encodeTo(writer: ByteWriter): void {
    writer.u8(version);
    writer.u8(this.#parts);
    writer.varint(this.#count);
    writer.varint(this.#numericCount);
    if (this.#sum !== undefined) {
      writer.varint(this.#negativeInfinities);
      writer.varint(this.#positiveInfinities);
      this.#sum.encode(writer);
    }
    if ((this.#parts & partExtremes) !== 0) {
      writer.f64(this.#min);
      writer.f64(this.#max);
    }
    if (this.#first !== undefined && this.#last !== undefined) {
      writeEnd(writer, this.#first);
      writeEnd(writer, this.#last);
    }
    this.#sketch?.encode(writer);
  }

  /** See `decodeAggregateState`. */
  static decode(functions: readonly AggregateFunction[], bytes: Uint8Array): Decoded<AggregateState> {
    const reader = new ByteReader(bytes);
    return reader.finish(AggregateState.read(reader, functions));
  }

  /** A state of these functions from where the reader stands; it is worth something once the reader has no problem. */
  static read(reader: ByteReader, functions: readonly AggregateFunction[], expected = partsOf(functions)): AggregateState {
    const state = new AggregateState(functions, expected);
    const format = reader.u8();
    if (reader.problem === undefined && format !== version) {
      reader.fail("unsupported-version", `aggregate state format ${format}; this version reads ${version}`);
      return state;
    }
    const parts = reader.u8();
    if (parts !== state.#parts) reader.fail("damaged", "an aggregate state is of other functions");
    state.#count = reader.varint();
    state.#numericCount = reader.varintUpTo(state.#count, "the number of numeric readings");
    if ((parts & partSum) !== 0) {
      state.#negativeInfinities = reader.varintUpTo(state.#numericCount, "the number of infinities");
      state.#positiveInfinities = reader.varintUpTo(state.#numericCount, "the number of infinities");
      state.#sum = ExactSum.decode(reader);
    }
    if ((parts & partExtremes) !== 0) {
      state.#min = reader.f64();
      state.#max = reader.f64();
      const nothing = state.#min === Number.POSITIVE_INFINITY && state.#max === Number.NEGATIVE_INFINITY;
      if (state.#numericCount === 0 ? !nothing : !(state.#min <= state.#max))
        reader.fail("damaged", "extremes of an aggregate state contradict each other");
    }
    if ((parts & partEnds) !== 0 && state.#count > 0) {
      state.#first = readEnd(reader);
      state.#last = readEnd(reader);
      if (state.#first.timeUs > state.#last.timeUs) reader.fail("damaged", "an aggregate state ends before it begins");
    }
    if (state.#sketch !== undefined) {
      state.#sketch = QuantileSketch.decode(reader);
      if (state.#sketch.count !== state.#numericCount)
        reader.fail("damaged", "the sketch of an aggregate state has another number of readings");
    }
    return state;
  }

  #addNumeric(run: SeriesRun, from: number, to: number): void {
    const { numbers, types } = run;
    const sum = this.#sum;
    const sketch = this.#sketch;
    let count = 0;
    let min = this.#min;
    let max = this.#max;
    for (let i = from; i < to; i++) {
      // −0 counts as 0, so that the result does not depend on which of them came first.
      const value = (numbers[i] as number) + 0;
      if (Number.isNaN(value) || (types !== undefined && runTypeAt(run, i) === ValueType.Text)) continue;
      count++;
      if (value < min) min = value;
      if (value > max) max = value;
      if (sum !== undefined) this.#addToSum(sum, value);
      if (sketch !== undefined) sketch.add(value);
    }
    this.#numericCount += count;
    this.#min = min;
    this.#max = max;
  }

  /** Finite numbers only: nothing has to be asked of a single one. */
  #addPlain(numbers: Float64Array, from: number, to: number, grid: SumGrid): void {
    this.#numericCount += to - from;
    if ((this.#parts & partExtremes) !== 0) {
      let min = this.#min;
      let max = this.#max;
      for (let i = from; i < to; i++) {
        const value = numbers[i] as number;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      // −0 counts as 0.
      this.#min = min + 0;
      this.#max = max + 0;
    }
    this.#sum?.addColumn(numbers, from, to, grid);
    const sketch = this.#sketch;
    if (sketch !== undefined) for (let i = from; i < to; i++) sketch.add((numbers[i] as number) + 0);
  }

  #addToSum(sum: ExactSum, value: number): void {
    // Infinities are counted, not summed: they would turn the partials into NaN.
    if (value === Number.POSITIVE_INFINITY) this.#positiveInfinities++;
    else if (value === Number.NEGATIVE_INFINITY) this.#negativeInfinities++;
    else sum.add(value);
  }

  // Within a series no two readings have one time; between series, the greater value decides.
  #offerFirst(end: End): void {
    const known = this.#first;
    if (known === undefined || end.timeUs < known.timeUs || (end.timeUs === known.timeUs && compareValues(end.value, known.value) > 0))
      this.#first = end;
  }

  #offerLast(end: End): void {
    const known = this.#last;
    if (known === undefined || end.timeUs > known.timeUs || (end.timeUs === known.timeUs && compareValues(end.value, known.value) > 0))
      this.#last = end;
  }

  #valueOf(each: AggregateFunction): ReadingValue | null {
    switch (each.kind) {
      case "count":
        return this.#count;
      case "sum":
        return this.#sumOver(1);
      case "mean":
        return this.#sumOver(this.#numericCount);
      case "min":
        return this.#numericCount === 0 ? null : this.#min;
      case "max":
        return this.#numericCount === 0 ? null : this.#max;
      case "first":
        return this.#first?.value ?? null;
      case "last":
        return this.#last?.value ?? null;
      case "quantile":
        return this.#sketch?.quantile(each.q) ?? null;
      default:
        return unreachable(each);
    }
  }

  #sumOver(divisor: number): number | null {
    if (this.#numericCount === 0 || (this.#positiveInfinities > 0 && this.#negativeInfinities > 0)) return null;
    if (this.#positiveInfinities > 0) return Number.POSITIVE_INFINITY;
    if (this.#negativeInfinities > 0) return Number.NEGATIVE_INFINITY;
    return this.#sum?.value(divisor) ?? null;
  }
}

/** A state of these functions from bytes that may be anything. */
export function decodeAggregateState(functions: readonly AggregateFunction[], bytes: Uint8Array): Decoded<AggregateState> {
  return AggregateState.decode(functions, bytes);
}

/** Which parts states of these functions have: for `new AggregateState`. */
export function partsOf(functions: readonly AggregateFunction[]): number {
  return functions.reduce((parts, each) => parts | partOf(each), 0);
}

function partOf(each: AggregateFunction): number {
  switch (each.kind) {
    case "count":
      return 0;
    case "sum":
    case "mean":
      return partSum;
    case "min":
    case "max":
      return partExtremes;
    case "first":
    case "last":
      return partEnds;
    case "quantile":
      return partSketch;
    default:
      return unreachable(each);
  }
}

function writeEnd(writer: ByteWriter, end: End): void {
  writer.f64(end.timeUs);
  writer.u8(valueTypeOf(end.value));
  if (typeof end.value === "string") writer.text(end.value);
  else writer.f64(Number(end.value));
}

function readEnd(reader: ByteReader): End {
  const timeUs = reader.f64();
  if (!Number.isSafeInteger(timeUs)) reader.fail("damaged", `an aggregate state has time ${timeUs}`);
  const type = reader.u8();
  if (type === ValueType.Text) return { timeUs, value: reader.text() };
  const number = reader.f64();
  if (type === ValueType.Number) return { timeUs, value: number };
  if (type !== ValueType.Boolean || (number !== 0 && number !== 1)) reader.fail("damaged", `an aggregate state has value type ${type}`);
  return { timeUs, value: number === 1 };
}
