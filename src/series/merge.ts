/**
 * Merges sorted unique runs of one series (chunks, the head, replicas) into one: set union by identity, the greater value
 * where they differ. The result does not depend on the order of the runs. Arrays of the given runs may be shared with it.
 */

import { compareNumbers, ValueType } from "../lib/reading.ts";
import type { UniqueRun } from "./head.ts";
import { compactTexts, compareRows, emptyRun, runTypeAt, type SeriesRun, sliceRows } from "./run.ts";

/** `conflicts` counts, at each meeting of two runs, the identities with different values. */
export function mergeRuns(runs: readonly SeriesRun[]): UniqueRun {
  const filled = runs.filter((run) => run.count > 0).sort((a, b) => firstTime(a) - firstTime(b));
  const first = filled[0];
  if (first === undefined) return { run: emptyRun, conflicts: 0 };
  if (filled.length === 1) return { run: first, conflicts: 0 };
  if (filled.every((run, i) => i === 0 || lastTime(filled[i - 1] as SeriesRun) < firstTime(run))) {
    return { run: concatenate(filled), conflicts: 0 };
  }
  const merged = mergeRange(filled, 0, filled.length);
  return { run: compactTexts(merged.run), conflicts: merged.conflicts };
}

const firstTime = (run: SeriesRun) => run.times[0] as number;
const lastTime = (run: SeriesRun) => run.times[run.count - 1] as number;

/** By halves, so that k runs of n readings cost n·k·log k. */
function mergeRange(runs: readonly SeriesRun[], from: number, to: number): UniqueRun {
  if (to - from === 1) return { run: runs[from] as SeriesRun, conflicts: 0 };
  const middle = (from + to) >>> 1;
  const left = mergeRange(runs, from, middle);
  const right = mergeRange(runs, middle, to);
  const both = mergeTwo(left.run, right.run);
  return { run: both.run, conflicts: both.conflicts + left.conflicts + right.conflicts };
}

function concatenate(runs: readonly SeriesRun[]): SeriesRun {
  const output = new Output(runs);
  for (const run of runs) output.rows(run, 0, run.count);
  return output.finish();
}

function mergeTwo(a: SeriesRun, b: SeriesRun): UniqueRun {
  if (lastTime(a) < firstTime(b)) return { run: concatenate([a, b]), conflicts: 0 };
  if (lastTime(b) < firstTime(a)) return { run: concatenate([b, a]), conflicts: 0 };
  if (a.types === undefined && b.types === undefined) return mergeNumbers(a, b);
  const output = new Output([a, b]);
  let conflicts = 0;
  let i = 0;
  let j = 0;
  while (i < a.count && j < b.count) {
    const time = a.times[i] as number;
    const other = b.times[j] as number;
    if (time === other) {
      const order = compareRows(a, i, b, j);
      if (order !== 0) conflicts++;
      if (order >= 0) output.row(a, i);
      else output.row(b, j);
      i++;
      j++;
    } else if (time < other) {
      output.row(a, i++);
    } else {
      output.row(b, j++);
    }
  }
  output.rows(a, i, a.count);
  output.rows(b, j, b.count);
  return { run: output.finish(), conflicts };
}

/** `mergeTwo` where all values are numbers, which is nearly always: no types, no texts, no calls. */
function mergeNumbers(a: SeriesRun, b: SeriesRun): UniqueRun {
  const times = new Float64Array(a.count + b.count);
  const numbers = new Float64Array(a.count + b.count);
  let count = 0;
  let conflicts = 0;
  let i = 0;
  let j = 0;
  while (i < a.count && j < b.count) {
    const time = a.times[i] as number;
    const other = b.times[j] as number;
    if (time < other) {
      times[count] = time;
      numbers[count++] = a.numbers[i++] as number;
    } else if (other < time) {
      times[count] = other;
      numbers[count++] = b.numbers[j++] as number;
    } else {
      const x = a.numbers[i++] as number;
      const y = b.numbers[j++] as number;
      // Equal and not 0 (which may be −0) is the same value; the rest is for IEEE total order.
      const order = x === y && x !== 0 ? 0 : compareNumbers(x, y);
      if (order !== 0) conflicts++;
      times[count] = time;
      numbers[count++] = order >= 0 ? x : y;
    }
  }
  const rest = i < a.count ? sliceRows(a, i, a.count) : sliceRows(b, j, b.count);
  times.set(rest.times.subarray(0, rest.count), count);
  numbers.set(rest.numbers.subarray(0, rest.count), count);
  count += rest.count;
  return { run: { count, times: times.subarray(0, count), types: undefined, numbers: numbers.subarray(0, count), texts: [] }, conflicts };
}

/** Columns under construction, as long as all inputs together, with the inputs' texts side by side. */
class Output {
  readonly #times: Float64Array;
  readonly #types: Uint8Array | undefined;
  readonly #numbers: Float64Array;
  readonly #texts: readonly string[];
  readonly #textOffsets = new Map<readonly string[], number>();
  #count = 0;

  constructor(inputs: readonly SeriesRun[]) {
    const capacity = inputs.reduce((sum, run) => sum + run.count, 0);
    this.#times = new Float64Array(capacity);
    this.#numbers = new Float64Array(capacity);
    this.#types = inputs.every((run) => run.types === undefined) ? undefined : new Uint8Array(capacity);
    const texts: (readonly string[])[] = [];
    let offset = 0;
    for (const run of inputs) {
      // Slices of one run share their texts.
      if (run.types === undefined || this.#textOffsets.has(run.texts)) continue;
      this.#textOffsets.set(run.texts, offset);
      offset += run.texts.length;
      texts.push(run.texts);
    }
    this.#texts = texts.length === 1 ? (texts[0] as readonly string[]) : texts.flat();
  }

  row(run: SeriesRun, row: number): void {
    const at = this.#count++;
    const number = run.numbers[row] as number;
    this.#times[at] = run.times[row] as number;
    if (this.#types === undefined) {
      this.#numbers[at] = number;
      return;
    }
    const type = runTypeAt(run, row);
    this.#types[at] = type;
    this.#numbers[at] = type === ValueType.Text ? number + (this.#textOffsets.get(run.texts) as number) : number;
  }

  rows(run: SeriesRun, from: number, to: number): void {
    if (this.#types !== undefined) {
      for (let row = from; row < to; row++) this.row(run, row);
      return;
    }
    this.#times.set(run.times.subarray(from, to), this.#count);
    this.#numbers.set(run.numbers.subarray(from, to), this.#count);
    this.#count += to - from;
  }

  finish(): SeriesRun {
    const count = this.#count;
    return {
      count,
      times: this.#times.subarray(0, count),
      types: this.#types?.subarray(0, count),
      numbers: this.#numbers.subarray(0, count),
      texts: this.#texts,
    };
  }
}
