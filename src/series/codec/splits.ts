/**
 * Numbers as the whole numbers that their bits are, in the order of the numbers: z zero bits at the end cut off (29 where single precision
 * was widened), complemented below zero. The upper bits are a column of whole numbers, so neighbours differ by little; the lower `l` bits, which are
 * noise, follow as they are. Takes the place of XOR with the number before (Gorilla, Chimp), which sees the same common bits, but
 * not that 15.99 is near 16.01; and of ALP's second scheme, which keeps a dictionary for the upper bits.
 *
 *     u8      z (0 … 52)
 *     u8      l, such that 64 − z − l ≤ 52
 *     column  of the upper bits
 *     bits    l of each number
 */

import type { ByteWriter } from "../../lib/byte-writer.ts";
import { BitWriter, bitLength, type ColumnSource, unpack, unscaled } from "./bit-packing.ts";
import { integerMax } from "./integer-blocks.ts";
import { allWhole, planIntegers, readIntegers } from "./integers.ts";
import type { Plan } from "./plan.ts";

const zerosMax = 52;
const lowMax = 52;
const upperMax = 52;
/** Bits of the range that the upper column is given, beyond which they are taken for noise. */
const structuredBits = 14;

/** Bits of doubles as two words: the sign and the upper ones; the lower ones, unsigned. */
interface Keys {
  readonly high: Float64Array;
  readonly low: Float64Array;
}

export function planSplit(numbers: Float64Array): Plan {
  const zeros = commonZeros(numbers);
  const keys = keysOf(numbers, zeros);
  const lowMin = Math.max(0, 64 - zeros - upperMax);
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < numbers.length; i++) {
    const key = (keys.high[i] as number) * 2 ** 32 + (keys.low[i] as number);
    if (key < least) least = key;
    if (key > most) most = key;
  }
  const rangeBits = most - least < 2 ** 53 ? bitLength(most - least) : 64 - zeros;
  const low = Math.min(lowMax, Math.max(lowMin, rangeBits - structuredBits));
  const { upper, lower } = splitKeys(keys, low);
  const plan = planIntegers(upper);
  return {
    bytes: 2 + plan.bytes + Math.ceil((numbers.length * low) / 8),
    write: (writer: ByteWriter) => {
      writer.u8(zeros);
      writer.u8(low);
      plan.write(writer);
      const bits = new BitWriter(numbers.length * low);
      for (let i = 0; i < lower.length; i++) bits.write(lower[i] as number, low);
      writer.raw(bits.bytes());
    },
  };
}

/** Zero bits that all numbers end with. */
function commonZeros(numbers: Float64Array): number {
  const words = new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
  let low = 0;
  let high = 0;
  for (let i = 0; i < words.length; i += 2) {
    low |= words[i] as number;
    high |= words[i + 1] as number;
  }
  return Math.min(zerosMax, low !== 0 ? trailingZeros(low) : 32 + trailingZeros(high));
}

function trailingZeros(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}

function keysOf(numbers: Float64Array, zeros: number): Keys {
  const words = new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
  const high = new Float64Array(numbers.length);
  const low = new Float64Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) {
    const sign = (words[i * 2 + 1] as number) >> 31;
    const upper = (words[i * 2 + 1] as number) & 0x7fffffff;
    const lower = words[i * 2] as number;
    // −1 − key for a negative number, which orders −0 below 0.
    high[i] = (zeros < 32 ? upper >>> zeros : 0) ^ sign;
    low[i] = ((zeros < 32 ? shiftedRight(lower, upper, zeros) : upper >>> (zeros - 32)) ^ sign) >>> 0;
  }
  return { high, low };
}

/** The lower word of a 64-bit number shifted right, by less than 32. */
function shiftedRight(lower: number, upper: number, by: number): number {
  return (lower >>> by) | ((upper << 1) << (31 - by));
}

function splitKeys(keys: Keys, bits: number): { readonly upper: Float64Array; readonly lower: Float64Array } {
  const upper = new Float64Array(keys.high.length);
  const lower = new Float64Array(keys.high.length);
  const unit = 2 ** bits;
  for (let i = 0; i < upper.length; i++) {
    const high = keys.high[i] as number;
    const low = keys.low[i] as number;
    if (bits <= 32) {
      const quotient = Math.floor(low / unit);
      upper[i] = high * (2 ** 32 / unit) + quotient;
      lower[i] = low - quotient * unit;
    } else {
      const highUnit = unit / 2 ** 32;
      const quotient = Math.floor(high / highUnit);
      upper[i] = quotient;
      lower[i] = (high - quotient * highUnit) * 2 ** 32 + low;
    }
  }
  return { upper, lower };
}

/** Fills `out`. */
export function readSplit(source: ColumnSource, out: Float64Array): void {
  const { reader } = source;
  const zeros = reader.u8();
  const low = reader.u8();
  if (zeros > zerosMax || low > lowMax || 64 - zeros - low > upperMax) reader.fail("damaged", `numbers split at ${zeros} and ${low}`);
  const upper = new Float64Array(out.length);
  const lower = new Float64Array(out.length);
  readIntegers(source, upper);
  const bit = source.takeBits(out.length, low);
  if (reader.problem !== undefined) return;
  const most = Math.min(integerMax + 1, 2 ** Math.max(0, 63 - zeros - low));
  if (!allWhole(upper, -most, most - 1)) return reader.fail("damaged", "a number's upper bits are out of range");
  unpack(source.view, { bit, width: low, base: 0 }, unscaled, lower, 0, lower.length);
  join(upper, lower, { zeros, low }, out);
}

function join(
  uppers: Float64Array,
  lowers: Float64Array,
  { zeros, low }: { readonly zeros: number; readonly low: number },
  out: Float64Array,
): void {
  const words = new Int32Array(out.buffer, out.byteOffset, out.length * 2);
  const unit = 2 ** low;
  for (let i = 0; i < out.length; i++) {
    const upper = uppers[i] as number;
    const sign = upper < 0 ? -1 : 0;
    // Complementing the parts complements the whole.
    const magnitude = sign < 0 ? -1 - upper : upper;
    const rest = sign < 0 ? unit - 1 - (lowers[i] as number) : (lowers[i] as number);
    let highWord: number;
    let lowWord: number;
    if (low <= 32) {
      const units = 2 ** 32 / unit;
      highWord = Math.floor(magnitude / units);
      lowWord = ((magnitude - highWord * units) * unit + rest) >>> 0;
    } else {
      const restHigh = Math.floor(rest / 2 ** 32);
      highWord = magnitude * (unit / 2 ** 32) + restHigh;
      lowWord = (rest - restHigh * 2 ** 32) >>> 0;
    }
    words[i * 2 + 1] =
      ((zeros < 32 ? (zeros === 0 ? highWord : (highWord << zeros) | (lowWord >>> (32 - zeros))) : lowWord << (zeros - 32)) & 0x7fffffff) |
      (sign << 31);
    words[i * 2] = zeros < 32 ? lowWord << zeros : 0;
  }
}
