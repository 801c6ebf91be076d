/**
 * Whole numbers of one width, side by side, lowest bits first, without a gap: number i of width w occupies bits i·w … i·w + w − 1,
 * and bit b is bit b mod 8 of byte ⌊b / 8⌋. Widths are 0 … 53. Reading works on 32-bit words of an aligned copy.
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

/** Columns to be read: fields by a `ByteReader`, packed numbers from the same bytes as words. */
export class ColumnSource {
  readonly reader: ByteReader;
  readonly bytes: Uint8Array;
  /** Two words longer than the bytes, so that reading a field needs no check of its own. */
  readonly words: Int32Array;

  /** A copy of `bytes` from `from` to `to`, which need not be aligned. */
  constructor(bytes: Uint8Array, from: number, to: number) {
    const length = to - from;
    this.words = new Int32Array(((length + 3) >>> 2) + 2);
    this.bytes = new Uint8Array(this.words.buffer, 0, length);
    this.bytes.set(bytes.subarray(from, to));
    this.reader = new ByteReader(this.bytes);
  }

  /** Takes the bytes of `count` numbers of `width` bits. The position of the first bit, or −1 when there are too few. */
  takeBits(count: number, width: number): number {
    const start = this.reader.offset;
    const length = Math.ceil((count * width) / 8);
    this.reader.raw(length);
    return this.reader.problem === undefined ? start * 8 : -1;
  }
}

/** Numbers of `width` bits from position `bit` on, each added to `base`, into out[from … to). */
export function unpack(
  words: Int32Array,
  place: { readonly bit: number; readonly width: number; readonly base: number },
  out: Float64Array,
  from: number,
  to: number,
): void {
  const { width, base } = place;
  if (width === 0) out.fill(base, from, to);
  else if (width <= 31) unpackNarrow(words, place.bit, width, base, out, from, to);
  else unpackWide(words, place.bit, width, base, out, from, to);
}

function unpackNarrow(words: Int32Array, bit: number, width: number, base: number, out: Float64Array, from: number, to: number): void {
  const mask = (1 << width) - 1;
  let at = bit;
  for (let i = from; i < to; i++) {
    const word = at >>> 5;
    const shift = at & 31;
    // Shifted in two steps: by 32 when the field begins with the word, which JavaScript cannot.
    out[i] = base + ((((words[word] as number) >>> shift) | (((words[word + 1] as number) << 1) << (31 - shift))) & mask);
    at += width;
  }
}

function unpackWide(words: Int32Array, bit: number, width: number, base: number, out: Float64Array, from: number, to: number): void {
  let at = bit;
  for (let i = from; i < to; i++) {
    out[i] = base + (bitsAt(words, at, 32) >>> 0) + bitsAt(words, at + 32, width - 32) * wordSize;
    at += width;
  }
}

/** One field of up to 32 bits, of which 32 come out signed. */
export function bitsAt(words: Int32Array, bit: number, width: number): number {
  if (width === 0) return 0;
  const word = bit >>> 5;
  const shift = bit & 31;
  return (((words[word] as number) >>> shift) | (((words[word + 1] as number) << 1) << (31 - shift))) & (-1 >>> (32 - width));
}
