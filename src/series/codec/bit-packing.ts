/**
 * Whole numbers of one width, side by side, lowest bits first, without a gap: number i of width w occupies bits i·w … i·w + w − 1,
 * and bit b is bit b mod 8 of byte ⌊b / 8⌋. Widths are 0 … 53.
 */

import { ByteReader } from "../../lib/byte-reader.ts";

export const widthMax = 53;
const wordSize = 2 ** 32;

/** Bits that a whole number in [0, 2^53] needs; 0 for 0. */
export function bitLength(value: number): number {
  return value < wordSize ? 32 - Math.clz32(value) : 64 - Math.clz32(value / wordSize);
}

/** A growing sequence of bits. */
export class BitWriter {
  readonly #words: Uint32Array;
  #bit = 0;

  /** `bits`: how many will be written at most. */
  constructor(bits: number) {
    // One word more, which a field at the end may touch.
    this.#words = new Uint32Array((bits >>> 5) + 3);
  }

  /** The lowest `width` bits of `value`, a whole number in [0, 2^53). */
  write(value: number, width: number): void {
    if (width <= 32) {
      this.#write32(value >>> 0, width);
      return;
    }
    this.#write32(value >>> 0, 32);
    this.#write32((value / wordSize) >>> 0, width - 32);
  }

  /** What was written, as bytes; the last one filled up with zeros. Little-endian, as all machines that run Node are. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer, 0, (this.#bit + 7) >>> 3);
  }

  #write32(value: number, width: number): void {
    if (width === 0) return;
    const words = this.#words;
    const at = this.#bit >>> 5;
    const shift = this.#bit & 31;
    const field = width === 32 ? value : value & ((1 << width) - 1);
    words[at] = (words[at] as number) | (field << shift);
    if (shift + width > 32) words[at + 1] = field >>> (32 - shift);
    this.#bit += width;
  }
}

/** Columns to be read: fields by a `ByteReader`, packed numbers by their position in bits. */
export class ColumnSource {
  readonly reader: ByteReader;
  readonly bytes: Uint8Array;
  /** Eight bytes longer than `bytes`, so that reading a packed number needs no check of its own. */
  readonly view: DataView;

  /** A copy of `bytes` from `from` to `to`. */
  constructor(bytes: Uint8Array, from: number, to: number) {
    const padded = new Uint8Array(to - from + 8);
    padded.set(bytes.subarray(from, to));
    this.bytes = padded.subarray(0, to - from);
    this.view = new DataView(padded.buffer);
    this.reader = new ByteReader(this.bytes);
  }

  /** Takes the bytes of `count` numbers of `width` bits. The position of the first bit, or −1 when there are too few. */
  takeBits(count: number, width: number): number {
    const start = this.reader.offset;
    this.reader.raw(Math.ceil((count * width) / 8));
    return this.reader.problem === undefined ? start * 8 : -1;
  }
}

/** One number of up to 32 bits, of which 32 come out signed. */
export function bitsAt(view: DataView, bit: number, width: number): number {
  if (width === 0) return 0;
  const at = bit >>> 3;
  const shift = bit & 7;
  // Shifted in two steps: by 32 when the number begins with the byte, which JavaScript cannot.
  const upper = (view.getInt32(at + 4, true) << 1) << (31 - shift);
  return ((view.getInt32(at, true) >>> shift) | upper) & (-1 >>> (32 - width));
}

/** One number of up to 53 bits. */
export function wideBitsAt(view: DataView, bit: number, width: number): number {
  if (width <= 32) return bitsAt(view, bit, width) >>> 0;
  return (bitsAt(view, bit, 32) >>> 0) + bitsAt(view, bit + 32, width - 32) * wordSize;
}

/** Packed numbers, each less than what it stands for by `base`. */
export interface Packed {
  readonly bit: number;
  readonly width: number;
  readonly base: number;
}

/** What is done to each whole number on its way out: times `factor`, through `divisor`. */
export interface Scale {
  readonly factor: number;
  readonly divisor: number;
}

export const unscaled: Scale = { factor: 1, divisor: 1 };

/** A 32-bit word at the byte where a number begins holds all of it up to this width. */
const oneLoadMax = 25;

/** The numbers into out[from … to). */
export function unpack(view: DataView, packed: Packed, { factor, divisor }: Scale, out: Float64Array, from: number, to: number): void {
  const { width, base } = packed;
  let at = packed.bit;
  if (width > oneLoadMax) {
    unpackWide(view, packed, out, from, to);
    if (factor !== 1 || divisor !== 1) for (let i = from; i < to; i++) out[i] = ((out[i] as number) * factor) / divisor;
    return;
  }
  const mask = (1 << width) - 1;
  for (let i = from; i < to; i++) {
    const number = base + ((view.getInt32(at >>> 3, true) >>> (at & 7)) & mask);
    out[i] = (number * factor) / divisor;
    at += width;
  }
}

/** The sums of the numbers up to each, from `start` on, into out[from … to). Gives the last. */
export function unpackSums(
  view: DataView,
  packed: Packed,
  start: number,
  { factor, divisor }: Scale,
  out: Float64Array,
  from: number,
  to: number,
): number {
  const { width, base } = packed;
  let at = packed.bit;
  let sum = start;
  if (width > oneLoadMax) {
    unpackWide(view, packed, out, from, to);
    for (let i = from; i < to; i++) {
      sum += out[i] as number;
      out[i] = (sum * factor) / divisor;
    }
    return sum;
  }
  const mask = (1 << width) - 1;
  for (let i = from; i < to; i++) {
    sum += base + ((view.getInt32(at >>> 3, true) >>> (at & 7)) & mask);
    out[i] = (sum * factor) / divisor;
    at += width;
  }
  return sum;
}

function unpackWide(view: DataView, { bit, width, base }: Packed, out: Float64Array, from: number, to: number): void {
  let at = bit;
  if (width > 32) {
    for (let i = from; i < to; i++, at += width) out[i] = base + wideBitsAt(view, at, width);
    return;
  }
  const mask = -1 >>> (32 - width);
  for (let i = from; i < to; i++) {
    const byte = at >>> 3;
    const shift = at & 7;
    const upper = (view.getInt32(byte + 4, true) << 1) << (31 - shift);
    out[i] = base + ((((view.getInt32(byte, true) >>> shift) | upper) & mask) >>> 0);
    at += width;
  }
}
