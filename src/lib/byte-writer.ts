/** A growable little-endian byte buffer: fixed-width numbers, LEB128 varints, zig-zag, length-prefixed UTF-8. */

import { assert } from "./assert.ts";

const encoder = new TextEncoder();

export class ByteWriter {
  #bytes: Uint8Array;
  /** Made when it is needed: most messages are varints, and small arrays without a view are cheap. */
  #view: DataView | undefined;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Makes the writer empty again; the buffer is kept for reuse. */
  reset(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = value;
    this.#bytes[this.#length++] = value >>> 8;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#length += 4;
    this.patchU32(this.#length - 4, value);
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view ??= new DataView(this.#bytes.buffer);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Unsigned LEB128 of a whole number in [0, 2^53). One to eight bytes. */
  varint(value: number): void {
    // The message is made only when it is needed: this is called for every field of everything.
    if (!(Number.isSafeInteger(value) && value >= 0)) assert(false, `varint of ${value}`);
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A signed whole number, |value| < 2^53: its sign in the lowest bit of the first byte, six bits, then LEB128 of the rest. */
  signedVarint(value: number): void {
    if (!Number.isSafeInteger(value)) assert(false, `signed varint of ${value}`);
    this.#reserve(8);
    const magnitude = value < 0 ? -value : value;
    const sign = value < 0 ? 1 : 0;
    if (magnitude < 0x40) {
      this.#bytes[this.#length++] = (magnitude << 1) | sign;
      return;
    }
    this.#bytes[this.#length++] = ((magnitude % 0x40) << 1) | sign | 0x80;
    this.varint(Math.floor(magnitude / 0x40));
  }

  /** UTF-8 with its byte length as a varint in front. Lone surrogates become U+FFFD. */
  text(value: string): void {
    if (!this.#shortAscii(value)) this.blob(encoder.encode(value));
  }

  /** Ids and keys are short and plain: the encoder, and the array that it makes, would cost more than they do. */
  #shortAscii(value: string): boolean {
    const { length } = value;
    if (length >= 0x80) return false;
    this.#reserve(1 + length);
    const start = this.#length + 1;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      this.#bytes[start + i] = code;
    }
    this.#bytes[this.#length] = length;
    this.#length = start + length;
    return true;
  }

  /** Bytes with their length as a varint in front. */
  blob(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Overwrites four bytes written before. */
  patchU32(offset: number, value: number): void {
    assert(offset + 4 <= this.#length, "a patch lies inside what was written");
    this.#bytes[offset] = value;
    this.#bytes[offset + 1] = value >>> 8;
    this.#bytes[offset + 2] = value >>> 16;
    this.#bytes[offset + 3] = value >>> 24;
  }

  /** What was written, without a copy; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2, 64));
    grown.set(this.view());
    this.#bytes = grown;
    this.#view = undefined;
  }
}
