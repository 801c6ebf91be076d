/**
 * A sum of doubles that is exact until it is read, so that it does not depend on the order of the values or of merges, and
 * a window that is computed again gives the same last digit.
 *
 * While two doubles can hold the sum (nearly always), they do: the rounded sum, and what rounding left. Otherwise it is
 * the non-overlapping partials of Shewchuk (1997). Long columns are added on two grids (`SumGrid`), without a branch that
 * depends on a sum.
 */

import type { ByteReader } from "../lib/byte-reader.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";

// Values above this are summed apart, scaled down, so that no intermediate sum overflows (2^124 of them would).
const hugeFrom = 2 ** 900;
const hugeScale = 2 ** -200;
const partialsMax = 64;
/** Below this, parts of a value on a grid would be subnormal. */
const gridFrom = 2 ** -700;
/** 1.5 × 2^52: added to a value and taken away again, it rounds the value to a whole number. */
const roundToWhole = 1.5 * 2 ** 52;

/**
 * How values of at most some magnitude are cut in two so that both parts add up exactly: the first part is a multiple of a
 * unit so coarse that the sum of `addends` such parts keeps below 2^53 units; the rest, at most half a unit, is
 * a multiple of a second unit chosen likewise, which is checked.
 */
export interface SumGrid {
  readonly addends: number;
  readonly coarse: number;
  readonly fine: number;
}

/** A grid for finite values of magnitude `bound` or less; `undefined` where there is none. */
export function sumGrid(bound: number, count: number): SumGrid | undefined {
  if (!(bound < hugeFrom) || (bound !== 0 && bound < gridFrom)) return undefined;
  // An exponent too large does no harm.
  const exponent = bound === 0 ? 0 : Math.ceil(Math.log2(bound)) + 1;
  const countExponent = Math.min(16, Math.max(2, Math.ceil(Math.log2(Math.max(1, count))) + 1));
  const coarseUnit = 2 ** (exponent + countExponent - 52);
  const fineUnit = coarseUnit * 2 ** (countExponent - 53);
  return { addends: 2 ** (countExponent - 1), coarse: roundToWhole * coarseUnit, fine: roundToWhole * fineUnit };
}

/**
 * Adds `high` + `low`, both finite and below 2^900 in magnitude, to the exact sum that `pairs[at]` + `pairs[at + 1]` is, as `ExactSum` does;
 * false, and nothing is changed, when two doubles do not hold the result.
 */
export function addPairTo(pairs: Float64Array, at: number, high: number, low: number): boolean {
  // Two-sums (Knuth): each gives the rounded sum and, exactly, its error.
  const a = pairs[at] as number;
  const sum = a + high;
  const virtual = sum - a;
  const error = a - (sum - virtual) + (high - virtual);
  const b = pairs[at + 1] as number;
  const lows = b + low;
  const virtualLows = lows - b;
  const lostLow = b - (lows - virtualLows) + (low - virtualLows);
  const rest = error + lows;
  const virtualRest = rest - error;
  const lostRest = error - (rest - virtualRest) + (lows - virtualRest);
  if (lostLow !== 0 || lostRest !== 0 || sum >= hugeFrom || sum <= -hugeFrom) return false;
  const whole = sum + rest;
  const virtualWhole = whole - sum;
  pairs[at] = whole;
  pairs[at + 1] = sum - (whole - virtualWhole) + (rest - virtualWhole);
  return true;
}

export class ExactSum {
  // The sum, and what rounding left of it: with `#wide` undefined their exact sum is the whole.
  #high = 0;
  #low = 0;
  #wide: WideSum | undefined;

  /** `value` is finite. */
  add(value: number): void {
    if (this.#wide === undefined && value < hugeFrom && value > -hugeFrom) this.#addPair(value, 0);
    else this.#widened().add(value);
  }

  /** The values [from, to) of a column, all of them finite and within the grid's bound. */
  addColumn(values: Float64Array, from: number, to: number, grid: SumGrid): void {
    for (let start = from; start < to; start += grid.addends) this.#addOnGrid(values, start, Math.min(to, start + grid.addends), grid);
  }

  merge(other: ExactSum): void {
    if (other.#wide === undefined) this.#addPair(other.#high, other.#low);
    else this.#widened().merge(other.#wide);
  }

  /**
   * The sum, correctly rounded (below 2^900; within two roundings above), divided by `divisor`. ±Infinity where that is
   * beyond all doubles.
   */
  value(divisor = 1): number {
    return this.#wide === undefined ? this.#high / divisor : this.#wide.value(divisor);
  }

  /** The sum is exactly `high` + `low`; `undefined` when it takes more than two doubles. */
  pair(): { readonly high: number; readonly low: number } | undefined {
    return this.#wide === undefined ? { high: this.#high, low: this.#low } : undefined;
  }

  /** Adds `high` + `low`, both finite and below 2^900. */
  addPair(high: number, low: number): void {
    this.#addPair(high, low);
  }

  /** The same bytes for the same sum, however it came about. */
  encode(writer: ByteWriter): void {
    if (this.#wide !== undefined) {
      this.#wide.encode(writer);
      return;
    }
    writer.u8(this.#high === 0 ? 0 : this.#low === 0 ? 1 : 2);
    if (this.#high !== 0) writer.f64(this.#high);
    if (this.#low !== 0) writer.f64(this.#low);
    writer.u8(0);
  }

  static decode(reader: ByteReader): ExactSum {
    const sum = new ExactSum();
    const small = readPartials(reader);
    const huge = readPartials(reader);
    if (huge.length === 0 && small.every((partial) => Math.abs(partial) < hugeFrom)) {
      for (const partial of small) sum.add(partial);
      return sum;
    }
    const wide = sum.#widened();
    // Added, not copied: whatever the bytes say, the partials are in order afterwards.
    for (const partial of small) addTo(wide.partials, partial);
    for (const partial of huge) addTo(wide.huge, partial);
    return sum;
  }

  #addPair(high: number, low: number): void {
    if (this.#wide !== undefined) {
      addTo(this.#wide.partials, high);
      addTo(this.#wide.partials, low);
      return;
    }
    // Two-sums (Knuth): each gives the rounded sum and, exactly, its error.
    const a = this.#high;
    const sum = a + high;
    const virtual = sum - a;
    const error = a - (sum - virtual) + (high - virtual);
    const b = this.#low;
    const lows = b + low;
    const virtualLows = lows - b;
    const lostLow = b - (lows - virtualLows) + (low - virtualLows);
    const rest = error + lows;
    const virtualRest = rest - error;
    const lostRest = error - (rest - virtualRest) + (lows - virtualRest);
    if (lostLow === 0 && lostRest === 0 && sum < hugeFrom && sum > -hugeFrom) {
      const whole = sum + rest;
      const virtualWhole = whole - sum;
      this.#high = whole;
      this.#low = sum - (whole - virtualWhole) + (rest - virtualWhole);
      return;
    }
    const wide = this.#widened();
    addTo(wide.partials, high);
    addTo(wide.partials, low);
  }

  #addOnGrid(values: Float64Array, from: number, to: number, { coarse, fine }: SumGrid): void {
    let high = 0;
    let low = 0;
    let fits = true;
    for (let i = from; i < to; i++) {
      const value = values[i] as number;
      const part = value + coarse - coarse;
      const rest = value - part;
      high += part;
      low += rest;
      if (rest + fine - fine !== rest) fits = false;
    }
    if (fits) this.#addPair(high, low);
    else for (let i = from; i < to; i++) this.add(values[i] as number);
  }

  #widened(): WideSum {
    if (this.#wide === undefined) {
      this.#wide = new WideSum();
      addTo(this.#wide.partials, this.#low);
      addTo(this.#wide.partials, this.#high);
    }
    return this.#wide;
  }
}

class WideSum {
  // In order of growing magnitude, without overlap: at most about 40 for doubles below 2^900.
  readonly partials: number[] = [];
  readonly huge: number[] = [];

  add(value: number): void {
    if (value < hugeFrom && value > -hugeFrom) addTo(this.partials, value);
    else addTo(this.huge, value * hugeScale);
  }

  merge(other: WideSum): void {
    // A copy: a sum may be merged with itself.
    for (const partial of [...other.partials]) addTo(this.partials, partial);
    for (const partial of [...other.huge]) addTo(this.huge, partial);
  }

  value(divisor: number): number {
    const small = rounded(this.partials);
    const huge = rounded(this.huge);
    if (huge === 0) return small / divisor;
    // Scaling is exact, but for bits of `small` that are far below the last one of `huge`.
    return (huge + small * hugeScale) / divisor / hugeScale;
  }

  encode(writer: ByteWriter): void {
    for (const partials of [canonical(this.partials), canonical(this.huge)]) {
      writer.varint(partials.length);
      for (const partial of partials) writer.f64(partial);
    }
  }
}

const none: readonly number[] = [];

function readPartials(reader: ByteReader): readonly number[] {
  const count = reader.varintUpTo(partialsMax, "the number of partial sums");
  if (count === 0) return none;
  const partials: number[] = [];
  for (let i = 0; i < count; i++) {
    const partial = reader.f64();
    if (Math.abs(partial) < Number.MAX_VALUE / partialsMax) partials.push(partial);
    else reader.fail("damaged", `a partial sum is ${partial}`);
  }
  return partials;
}

/** Adds exactly: each partial in turn is replaced by the error of a two-sum, and the sum is carried on. */
function addTo(partials: number[], value: number): void {
  let carried = value;
  let kept = 0;
  for (let i = 0; i < partials.length; i++) {
    const partial = partials[i] as number;
    const sum = carried + partial;
    const virtual = sum - carried;
    const error = carried - (sum - virtual) + (partial - virtual);
    if (error !== 0) partials[kept++] = error;
    carried = sum;
  }
  if (carried !== 0) partials[kept++] = carried;
  partials.length = kept;
}

/** The rounded sum, then what rounding left of it, and so on: a pure function of the exact sum. Greatest first. */
function canonical(partials: readonly number[]): number[] {
  const rest = [...partials];
  const parts: number[] = [];
  while (rest.length > 0) {
    const part = rounded(rest);
    parts.push(part);
    addTo(rest, -part);
  }
  return parts;
}

/** The sum of non-overlapping partials, rounded once, half to even. */
function rounded(partials: readonly number[]): number {
  let i = partials.length - 1;
  if (i < 0) return 0;
  let high = partials[i] as number;
  let low = 0;
  while (i > 0 && low === 0) {
    const partial = partials[--i] as number;
    const sum = high + partial;
    low = partial - (sum - high);
    high = sum;
  }
  // Exactly between two doubles as far as `low` tells: what is left below decides.
  if (i > 0 && low < 0 === (partials[i - 1] as number) < 0) {
    const twice = low * 2;
    const up = high + twice;
    if (twice === up - high) return up;
  }
  return high;
}
