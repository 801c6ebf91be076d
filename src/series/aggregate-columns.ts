/**
 * Aggregate states as columns, a row for each window of a group, which grow. A row of numbers alone is five doubles; an `AggregateState` is
 * made of it only when it gets what needs more: texts, NaN, infinities, sums of more than two doubles. States with ends or
 * sketches are kept as such. A row and the state with the same readings are the same, to the last bit.
 */

import type { AggregateFunction } from "../lib/aggregate-function.ts";
import { AggregateState, partEnds, partExtremes, partSketch, partSum } from "./aggregate.ts";
import type { AggregateRows } from "./aggregate-rows.ts";
import { addPairTo, type SumGrid } from "./exact-sum.ts";
import type { NumberProfile } from "./number-profile.ts";
import type { SeriesRun } from "./run.ts";

/** What the states of all rows have in common. */
export interface StateShape {
  readonly functions: readonly AggregateFunction[];
  /** `partsOf` the functions. */
  readonly parts: number;
}

// A row: count, sum (high and low), minimum, maximum.
const cellsPerRow = 5;
const highCell = 1;
const minCell = 3;
const maxCell = 4;
const rowsAtFirst = 4;

export class AggregateColumns {
  readonly #shape: StateShape;
  /** Whether rows can be without a state. */
  readonly #isPlain: boolean;
  readonly #isNumeric: boolean;
  readonly #hasSum: boolean;
  readonly #rowsAtFirst: number;
  #cells: Float64Array = noCells;
  /** Of the rows that have one: then it is the row. Of numbers alone none has: the list stays empty. */
  readonly #states: (AggregateState | undefined)[] = [];
  #count = 0;

  /** `rowsExpected`: room for so many rows is made at once. */
  constructor(shape: StateShape, rowsExpected = rowsAtFirst) {
    this.#shape = shape;
    this.#rowsAtFirst = Math.max(rowsAtFirst, rowsExpected);
    this.#isPlain = (shape.parts & (partEnds | partSketch)) === 0;
    this.#isNumeric = (shape.parts & (partSum | partExtremes)) !== 0;
    this.#hasSum = (shape.parts & partSum) !== 0;
  }

  /** A new row of no readings, or of this state, which belongs to it from now on. */
  append(state?: AggregateState): void {
    const row = this.#count++;
    if (state !== undefined || !this.#isPlain) this.#states[row] = state ?? this.#newState();
    if (!this.#isPlain) return;
    const at = row * cellsPerRow;
    if (at === this.#cells.length) {
      const grown = new Float64Array(Math.max(this.#rowsAtFirst * cellsPerRow, at * 2));
      if (at > 0) grown.set(this.#cells);
      this.#cells = grown;
    }
    this.#cells[at + minCell] = Number.POSITIVE_INFINITY;
    this.#cells[at + maxCell] = Number.NEGATIVE_INFINITY;
  }

  /** As `AggregateState.add`. */
  add(row: number, run: SeriesRun, from: number, to: number, profile: NumberProfile): void {
    const state = this.#states[row];
    if (state !== undefined) {
      state.add(run, from, to, profile);
    } else if (!this.#isNumeric) {
      (this.#cells[row * cellsPerRow] as number) += to - from;
    } else if (profile.grid === undefined) {
      this.#stateFor(row).add(run, from, to, profile);
    } else {
      const { addends } = profile.grid;
      for (let start = from; start < to; start += addends) {
        if (this.#addPlain(row, run.numbers, start, Math.min(to, start + addends), profile.grid)) continue;
        this.#stateFor(row).add(run, start, to, profile);
        return;
      }
    }
  }

  /** As `AggregateState.addRow` for each of [from, to). */
  addRows(row: number, rows: AggregateRows, from: number, to: number): void {
    const { counts, sums, mins, maxes } = rows;
    const arePlain = !this.#isNumeric || rows.areNumbers();
    for (let at = from; at < to; at++) {
      const isAdded =
        this.#states[row] === undefined &&
        (arePlain || isPlain(rows, at)) &&
        this.#addFigures(
          row,
          counts[at] as number,
          sums[at * 2] as number,
          sums[at * 2 + 1] as number,
          mins[at] as number,
          maxes[at] as number,
        );
      if (!isAdded) this.#stateFor(row).addRow(rows, at);
    }
  }

  /** As `AggregateState.merge`. */
  merge(row: number, state: AggregateState): void {
    this.#stateFor(row).merge(state);
  }

  /** Merges a row of columns of the same functions. */
  mergeRow(row: number, other: AggregateColumns, from: number): void {
    const cells = other.#cells;
    const at = from * cellsPerRow;
    if (
      this.#states[row] !== undefined ||
      other.#states[from] !== undefined ||
      !this.#addFigures(
        row,
        cells[at] as number,
        cells[at + highCell] as number,
        cells[at + highCell + 1] as number,
        cells[at + minCell] as number,
        cells[at + maxCell] as number,
      )
    )
      this.#stateFor(row).merge(other.stateOf(from));
  }

  /** What the row is now; not to be changed. */
  stateOf(row: number): AggregateState {
    return this.#states[row] ?? this.#stateOfCells(row);
  }

  /** Of finite numbers, no more than the grid's addends; false, and nothing is added, where the sum takes more than two doubles. */
  #addPlain(row: number, numbers: Float64Array, from: number, to: number, { coarse, fine }: SumGrid): boolean {
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    let high = 0;
    let low = 0;
    let fits = true;
    if (this.#hasSum) {
      for (let i = from; i < to; i++) {
        const value = numbers[i] as number;
        if (value < min) min = value;
        if (value > max) max = value;
        const part = value + coarse - coarse;
        const rest = value - part;
        high += part;
        low += rest;
        if (rest + fine - fine !== rest) fits = false;
      }
    } else {
      for (let i = from; i < to; i++) {
        const value = numbers[i] as number;
        if (value < min) min = value;
        if (value > max) max = value;
      }
    }
    return fits && this.#addFigures(row, to - from, high, low, min, max);
  }

  #addFigures(row: number, count: number, high: number, low: number, min: number, max: number): boolean {
    const cells = this.#cells;
    const at = row * cellsPerRow;
    if (this.#hasSum && !addPairTo(cells, at + highCell, high, low)) return false;
    cells[at] = (cells[at] as number) + count;
    // −0 counts as 0.
    if (min < (cells[at + minCell] as number)) cells[at + minCell] = min + 0;
    if (max > (cells[at + maxCell] as number)) cells[at + maxCell] = max + 0;
    return true;
  }

  /** The state of a row, which from now on is the row. */
  #stateFor(row: number): AggregateState {
    const known = this.#states[row];
    if (known !== undefined) return known;
    const state = this.#stateOfCells(row);
    this.#states[row] = state;
    return state;
  }

  #stateOfCells(row: number): AggregateState {
    const cells = this.#cells;
    const at = row * cellsPerRow;
    return AggregateState.ofNumbers(this.#shape.functions, this.#shape.parts, {
      count: cells[at] as number,
      high: cells[at + highCell] as number,
      low: cells[at + highCell + 1] as number,
      min: cells[at + minCell] as number,
      max: cells[at + maxCell] as number,
    });
  }

  #newState(): AggregateState {
    return new AggregateState(this.#shape.functions, this.#shape.parts);
  }
}

const noCells = new Float64Array(0);

/** Whether a row is of numbers alone. */
function isPlain(rows: AggregateRows, row: number): boolean {
  return (
    rows.numericCounts[row] === rows.counts[row] &&
    rows.negativeInfinities[row] === 0 &&
    rows.positiveInfinities[row] === 0 &&
    !rows.wideSums.has(row)
  );
}
