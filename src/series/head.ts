/**
 * The head of one series: readings since the last checkpoint, in memory, in order of arrival. Appending is the hot path
 * (10^5 a second over 50,000 series): four stores and two comparisons. Sorting and the conflict rule wait for the reader.
 * Appending a reading again is harmless: a head is a set.
 */

import { grownFloat64, grownUint8 } from "../lib/growable.ts";
import { type ReadingValue, ValueType } from "../lib/reading.ts";
import { compareRows, emptyRun, runTypeAt, runValueAt, type SeriesRun } from "./run.ts";

/** Most of 50,000 heads are empty or hold a few readings; arrays of up to 64 bytes lie inside their object. */
const initialCapacity = 4;

/** A sorted run with one value per identity, and how many different values lost against a greater one. */
export interface UniqueRun {
  readonly run: SeriesRun;
  readonly conflicts: number;
}

export class Head {
  #count = 0;
  #times = emptyRun.times;
  #types: Uint8Array<ArrayBuffer> | undefined;
  #numbers = emptyRun.numbers;
  #texts: string[] = [];
  #minTimeUs = Number.POSITIVE_INFINITY;
  #maxTimeUs = Number.NEGATIVE_INFINITY;
  #sortedUnique = true;
  // The answer of `sortedUnique`, until the next append.
  #cached: UniqueRun | undefined;

  /** Readings appended, those that repeat an identity included. */
  get count(): number {
    return this.#count;
  }

  get minTimeUs(): number {
    return this.#minTimeUs;
  }

  get maxTimeUs(): number {
    return this.#maxTimeUs;
  }

  /** Bytes of the arrays, texts counted by their length. */
  get memoryBytes(): number {
    let bytes = this.#times.byteLength * 2 + (this.#types?.byteLength ?? 0);
    for (const text of this.#texts) bytes += text.length;
    return bytes;
  }

  /** One reading: `number` is the number, or 0/1 for a boolean; `text` counts for `ValueType.Text` only. */
  append(timeUs: number, type: ValueType, number: number, text: string | undefined): void {
    const row = this.#count;
    if (row === this.#times.length) this.#grow();
    // −0 is the identity 0.
    this.#times[row] = timeUs + 0;
    if (type === ValueType.Number) {
      if (this.#types !== undefined) this.#types[row] = type;
      this.#numbers[row] = number;
    } else {
      this.#appendOther(row, type, number, text);
    }
    this.#count = row + 1;
    this.#cached = undefined;
    if (timeUs > this.#maxTimeUs) this.#maxTimeUs = timeUs;
    else this.#sortedUnique = false;
    if (timeUs < this.#minTimeUs) this.#minTimeUs = timeUs;
  }

  /** `append` for a value as programs see it. */
  appendValue(timeUs: number, value: ReadingValue): void {
    if (typeof value === "number") this.append(timeUs, ValueType.Number, value, undefined);
    else if (typeof value === "string") this.append(timeUs, ValueType.Text, 0, value);
    else this.append(timeUs, ValueType.Boolean, value ? 1 : 0, undefined);
  }

  /** The reading with the greatest time. */
  latest(): { readonly timeUs: number; readonly value: ReadingValue } | undefined {
    const { run } = this.sortedUnique();
    if (run.count === 0) return undefined;
    return { timeUs: run.times[run.count - 1] as number, value: runValueAt(run, run.count - 1) };
  }

  /**
   * The readings sorted by time, one for each identity. The run may be a view of the head's arrays: later appends do not
   * change its rows, so it may be kept as a snapshot.
   */
  sortedUnique(): UniqueRun {
    if (this.#cached === undefined) {
      const run = this.#rows();
      this.#cached = this.#sortedUnique ? { run, conflicts: 0 } : sortUnique(run);
    }
    return this.#cached;
  }

  #rows(): SeriesRun {
    if (this.#count === 0) return emptyRun;
    return {
      count: this.#count,
      times: this.#times.subarray(0, this.#count),
      types: this.#types?.subarray(0, this.#count),
      numbers: this.#numbers.subarray(0, this.#count),
      texts: this.#texts,
    };
  }

  #appendOther(row: number, type: ValueType, number: number, text: string | undefined): void {
    // A snapshot taken before has no types and no texts: it holds numbers only, and its texts are never looked at.
    this.#types ??= new Uint8Array(this.#times.length).fill(ValueType.Number);
    this.#types[row] = type;
    if (type === ValueType.Text) {
      // Machines repeat themselves: the state of a valve is one text for many readings.
      const last = this.#texts.length - 1;
      this.#numbers[row] = last >= 0 && this.#texts[last] === text ? last : this.#texts.push(text ?? "") - 1;
    } else {
      this.#numbers[row] = number === 0 ? 0 : 1;
    }
  }

  #grow(): void {
    const capacity = Math.max(initialCapacity, this.#times.length * 2);
    this.#times = grownFloat64(this.#times, capacity);
    this.#numbers = grownFloat64(this.#numbers, capacity);
    if (this.#types !== undefined) this.#types = grownUint8(this.#types, capacity);
  }
}

/** Sorts a run in any order by time and applies the conflict rule; equal duplicates are no conflict. */
export function sortUnique(run: SeriesRun): UniqueRun {
  const order = new Uint32Array(run.count);
  for (let i = 0; i < order.length; i++) order[i] = i;
  order.sort((i, j) => (run.times[i] as number) - (run.times[j] as number) || compareRows(run, i, run, j));
  const times = new Float64Array(run.count);
  const numbers = new Float64Array(run.count);
  const types = run.types === undefined ? undefined : new Uint8Array(run.count);
  let count = 0;
  let conflicts = 0;
  for (let k = 0; k < order.length; k++) {
    const row = order[k] as number;
    const time = run.times[row] as number;
    if (count > 0 && times[count - 1] === time) {
      // Sorted ascending within an identity: what comes later is equal or greater.
      if (compareRows(run, order[k - 1] as number, run, row) !== 0) conflicts++;
      count--;
    }
    times[count] = time;
    numbers[count] = run.numbers[row] as number;
    if (types !== undefined) types[count] = runTypeAt(run, row);
    count++;
  }
  return {
    run: {
      count,
      times: times.subarray(0, count),
      types: types?.subarray(0, count),
      numbers: numbers.subarray(0, count),
      texts: run.texts,
    },
    conflicts,
  };
}
