/**
 * Numbers as decimals: m · g / 10^a / 10^b with a whole m, each division rounded as the processor does, rounded once more to single
 * precision where the numbers came from there. What rounding errors of whoever computed them left (51.846000000000004) is a column of its
 * own: how many doubles further the number is. The rest (−0, NaN, infinities, noise) are exceptions. After ALP (Afroozeh, Kuffo, Boncz 2023), which
 * multiplies; dividing gets decimals right that were parsed, and b = 2 percentages that were computed from ratios.
 *
 *     u8      a (0 … 22)
 *     u8      b (lower two bits), 4 single precision, 8 distances follow, 16 exceptions follow
 *     varint  g
 *     column  m of each number (`integers.ts`), any for an exception
 *     column  distance of each number
 *     varint  exceptions; a column of their places; a column of their numbers (`numbers.ts`)
 */

import type { ByteWriter } from "../../lib/byte-writer.ts";
import type { ColumnSource } from "./bit-packing.ts";
import { integerMax } from "./integer-blocks.ts";
import { allWhole, planIntegers, readIntegers } from "./integers.ts";
import { type Plan, varintBytes } from "./plan.ts";

/** How whole numbers become the column's. */
export interface DecimalShape {
  readonly first: number;
  readonly second: number;
  readonly single: boolean;
}

/** Whole powers of ten that are doubles. */
const powers: readonly number[] = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const exponentMax = 17;
const secondMax = 3;
/** Doubles between a number and its decimal, beyond which it is an exception. */
export const distanceMax = 2 ** 20;
const distanceTriedMax = 32;
const sampleMax = 96;
const exceptionBits = 80;
const flagSingle = 4;
const flagDistances = 8;
const flagExceptions = 16;

export function decimalOf(whole: number, { first, second, single }: DecimalShape): number {
  const quotient = whole / (powers[first] as number);
  const value = second === 0 ? quotient : quotient / (powers[second] as number);
  return single ? Math.fround(value) : value;
}

/** The whole number nearest to a value's decimal; NaN when there is none. */
export function wholeOf(value: number, { first, second }: DecimalShape): number {
  const whole = Math.round(value * (powers[first + second] as number));
  // No −0: the column does not keep it.
  return Math.abs(whole) <= integerMax ? whole + 0 : Number.NaN;
}

/** How many doubles `to` is further from zero than `from`; NaN when they do not have one sign. */
export class Distances {
  readonly #numbers = new Float64Array(2);
  readonly #words = new Int32Array(this.#numbers.buffer);

  between(from: number, to: number): number {
    this.#numbers[0] = from;
    this.#numbers[1] = to;
    const high = (this.#words[3] as number) - (this.#words[1] as number);
    if (high > 1 || high < -1) return Number.NaN;
    return high * 2 ** 32 + ((this.#words[2] as number) >>> 0) - ((this.#words[0] as number) >>> 0);
  }

  /** The double that is `distance` further, |distance| ≤ 2^31. */
  move(from: number, distance: number): number {
    this.#numbers[0] = from;
    const low = ((this.#words[0] as number) >>> 0) + distance;
    this.#words[0] = low;
    this.#words[1] = (this.#words[1] as number) + Math.floor(low / 2 ** 32);
    return this.#numbers[0] as number;
  }
}

/** The shape whose column is likely the shortest, from a sample; `undefined` when decimals do not fit these numbers. */
export function chooseDecimals(numbers: Float64Array): DecimalShape | undefined {
  const sample = sampleOf(numbers);
  if (sample.length === 0) return undefined;
  const distances = new Distances();
  let best: DecimalShape | undefined;
  // Half a double's width: more is no saving.
  let bestBits = 48;
  for (let exponent = 0; exponent <= exponentMax; exponent++) {
    let exact = false;
    for (const single of [false, true]) {
      for (let second = 0; second <= Math.min(secondMax, exponent); second++) {
        const shape = { first: exponent - second, second, single };
        const { bits, rounded } = judge(sample, shape, distances);
        if (bits < bestBits) {
          best = shape;
          bestBits = bits;
        }
        exact ||= rounded === 0;
        if (exact) break;
      }
      if (exact) break;
    }
    // More digits would be more bits.
    if (exact) break;
  }
  return best;
}

function sampleOf(numbers: Float64Array): Float64Array {
  const step = Math.max(1, Math.floor(numbers.length / sampleMax));
  const sample: number[] = [];
  for (let i = 0; i < numbers.length && sample.length < sampleMax; i += step) {
    const value = numbers[i] as number;
    if (Number.isFinite(value) && value !== 0) sample.push(value);
  }
  // Zeros are decimals of any shape: only when there is nothing else they speak.
  if (sample.length === 0 && numbers.some((value) => Object.is(value, 0))) sample.push(0);
  return Float64Array.from(sample);
}

/** Estimated bits a number, and how many of the sample are not exactly what the shape gives. */
function judge(sample: Float64Array, shape: DecimalShape, distances: Distances): { readonly bits: number; readonly rounded: number } {
  let exceptions = 0;
  let off = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < sample.length; i++) {
    const value = sample[i] as number;
    const whole = wholeOf(value, shape);
    const distance = Number.isNaN(whole) ? whole : distances.between(decimalOf(whole, shape), value);
    if (!(Math.abs(distance) <= distanceTriedMax)) {
      exceptions++;
      continue;
    }
    if (distance !== 0) off++;
    if (whole < least) least = whole;
    if (whole > most) most = whole;
  }
  const count = sample.length;
  if (exceptions * 2 > count) return { bits: Number.POSITIVE_INFINITY, rounded: count };
  const share = off / count;
  const distanceBits = off === 0 ? 0 : share * 2 + Math.min(2, share * (1 - Math.log2(share)));
  const bits = Math.log2(most - least + 1) + distanceBits + (exceptions / count) * exceptionBits;
  return { bits, rounded: off + exceptions };
}

/** `planNumbers`: for the exceptions, which are numbers again. */
export function planDecimals(numbers: Float64Array, shape: DecimalShape, planNumbers: (numbers: Float64Array) => Plan): Plan {
  const count = numbers.length;
  const wholes = new Float64Array(count);
  const distances = new Float64Array(count);
  const meter = new Distances();
  const places: number[] = [];
  let divisor = 0;
  let off = false;
  let whole = 0;
  for (let i = 0; i < count; i++) {
    const value = numbers[i] as number;
    const nearest = wholeOf(value, shape);
    const decimal = decimalOf(nearest, shape);
    // Equal and not 0 is the same number; 0 may be −0.
    const distance = decimal === value && value !== 0 ? 0 : Number.isNaN(nearest) ? nearest : meter.between(decimal, value);
    if (Math.abs(distance) <= distanceMax) {
      whole = nearest;
      distances[i] = distance;
      off ||= distance !== 0;
      if (divisor !== 1) divisor = commonDivisor(divisor, Math.abs(whole));
    } else {
      places.push(i);
    }
    wholes[i] = whole;
  }
  const factor = Math.max(divisor, 1);
  if (factor > 1) for (let i = 0; i < count; i++) wholes[i] = (wholes[i] as number) / factor;
  const parts = [planIntegers(wholes)];
  if (off) parts.push(planIntegers(distances));
  const exceptions = Float64Array.from(places, (place) => numbers[place] as number);
  const exceptionParts = places.length === 0 ? [] : [planIntegers(Float64Array.from(places)), planNumbers(exceptions)];
  const flags = shape.second | (shape.single ? flagSingle : 0) | (off ? flagDistances : 0) | (places.length > 0 ? flagExceptions : 0);
  let bytes = 2 + varintBytes(factor) + (places.length > 0 ? varintBytes(places.length) : 0);
  for (const part of [...parts, ...exceptionParts]) bytes += part.bytes;
  return {
    bytes,
    write: (writer: ByteWriter) => {
      writer.u8(shape.first);
      writer.u8(flags);
      writer.varint(factor);
      for (const part of parts) part.write(writer);
      if (places.length > 0) writer.varint(places.length);
      for (const part of exceptionParts) part.write(writer);
    },
  };
}

function commonDivisor(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}

/** Fills `out`; `readNumbers` reads the exceptions. */
export function readDecimals(source: ColumnSource, out: Float64Array, readNumbers: (out: Float64Array) => void): void {
  const { reader } = source;
  const first = reader.u8();
  const flags = reader.u8();
  const factor = reader.varint();
  const shape = { first, second: flags & 3, single: (flags & flagSingle) !== 0 };
  if (first >= powers.length || flags >= flagExceptions * 2 || factor === 0) reader.fail("damaged", `decimals of shape ${first}, ${flags}`);
  readIntegers(source, out, { factor, divisor: powers[first] ?? 1 });
  if (reader.problem !== undefined) return;
  finishDecimals(out, shape);
  if ((flags & flagDistances) !== 0) readDistances(source, out);
  if ((flags & flagExceptions) !== 0) readExceptions(source, out, readNumbers);
}

/** What is to be done after the first division. */
function finishDecimals(out: Float64Array, shape: DecimalShape): void {
  const second = powers[shape.second] as number;
  if (second > 1) for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) / second;
  if (shape.single) for (let i = 0; i < out.length; i++) out[i] = Math.fround(out[i] as number);
}

function readDistances(source: ColumnSource, out: Float64Array): void {
  const distances = new Float64Array(out.length);
  readIntegers(source, distances);
  if (source.reader.problem !== undefined) return;
  const meter = new Distances();
  for (let i = 0; i < out.length; i++) {
    const distance = distances[i] as number;
    if (distance === 0) continue;
    if (!(Math.abs(distance) <= distanceMax) || !Number.isInteger(distance))
      return source.reader.fail("damaged", "a number is too far from its decimal");
    out[i] = meter.move(out[i] as number, distance);
  }
}

function readExceptions(source: ColumnSource, out: Float64Array, readNumbers: (out: Float64Array) => void): void {
  const { reader } = source;
  const count = reader.varintUpTo(out.length, "the number of exceptions");
  const places = new Float64Array(count);
  const numbers = new Float64Array(count);
  readIntegers(source, places);
  if (reader.problem === undefined) readNumbers(numbers);
  if (reader.problem !== undefined) return;
  if (!allWhole(places, 0, out.length - 1)) return reader.fail("damaged", "an exception lies outside its column");
  for (let i = 0; i < count; i++) out[places[i] as number] = numbers[i] as number;
}
