/**
 * A sum of doubles that is exact until it is read: the non-overlapping partials of Shewchuk (1997). So it does not depend
 * on the order of the values or of merges, and a window that is computed again gives the same last digit.
 */

import type { ByteReader } from "../lib/byte-reader.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";

// Values above this are summed apart, scaled down, so that no intermediate sum overflows (2^124 of them would).
const hugeFrom = 2 ** 900;
const hugeScale = 2 ** -200;
const partialsMax = 64;

export class ExactSum {
  // In order of growing magnitude, without overlap: at most about 40 for doubles below 2^900.
  #partials: number[] = [];
  #huge: number[] = [];

  /** `value` is finite. */
  add(value: number): void {
    if (value < hugeFrom && value > -hugeFrom) addTo(this.#partials, value);
    else addTo(this.#huge, value * hugeScale);
  }

  merge(other: ExactSum): void {
    // A copy: a sum may be merged with itself.
    for (const partial of [...other.#partials]) addTo(this.#partials, partial);
    for (const partial of [...other.#huge]) addTo(this.#huge, partial);
  }

  /**
   * The sum, correctly rounded (below 2^900; within two roundings above), divided by `divisor`. ±Infinity where that is
   * beyond all doubles.
   */
  value(divisor = 1): number {
    const small = rounded(this.#partials);
    const huge = rounded(this.#huge);
    if (huge === 0) return small / divisor;
    // Scaling is exact, but for bits of `small` that are far below the last one of `huge`.
    return (huge + small * hugeScale) / divisor / hugeScale;
  }

  /** The same bytes for the same sum, however it came about. */
  encode(writer: ByteWriter): void {
    for (const partials of [canonical(this.#partials), canonical(this.#huge)]) {
      writer.varint(partials.length);
      for (const partial of partials) writer.f64(partial);
    }
  }

  static decode(reader: ByteReader): ExactSum {
    const sum = new ExactSum();
    for (const partials of [sum.#partials, sum.#huge]) {
      const count = reader.varintUpTo(partialsMax, "the number of partial sums");
      for (let i = 0; i < count; i++) {
        const partial = reader.f64();
        // Added, not copied: whatever the bytes say, the partials are in order afterwards.
        if (Math.abs(partial) < Number.MAX_VALUE / partialsMax) addTo(partials, partial);
        else reader.fail("damaged", `a partial sum is ${partial}`);
      }
    }
    return sum;
  }
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
