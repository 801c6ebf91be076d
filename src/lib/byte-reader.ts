/**
 * Reads what `ByteWriter` wrote, from bytes that may be anything. The first problem sticks: from then on every read gives
 * zero or empty, and `problem` says what was wrong, so that a decoder checks once, at its end. Nothing is allocated on the
 * word of a length field before the bytes behind it are known to be there.
 */

import { type Success, success } from "./errors.ts";

/** Bytes that are not what they should be. `message` is for a person. */
export interface DecodeError {
  readonly ok: false;
  readonly code: "truncated" | "damaged" | "unsupported-version";
  readonly message: string;
}

export type Decoded<T> = Success<T> | DecodeError;

export const decodeError = (code: DecodeError["code"], message: string): DecodeError => ({ ok: false, code, message });

const noBytes = new Uint8Array(0);
// Each call without `stream` starts afresh, so the decoder is a constant, not state.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ByteReader {
  readonly #bytes: Uint8Array;
  /** Made when it is needed: most messages are varints. */
  #made: DataView | undefined;
  readonly #end: number;
  #offset: number;
  #problem: DecodeError | undefined;

  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#offset = from;
    this.#end = to;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  get problem(): DecodeError | undefined {
    return this.#problem;
  }

  /** Notes a problem of the content; the first one is kept. */
  fail(code: DecodeError["code"], message: string): void {
    this.#problem ??= decodeError(code, message);
    this.#offset = this.#end;
  }

  /** `value`, or the problem; bytes left over are one. */
  finish<T>(value: T): Decoded<T> {
    if (this.#problem === undefined && this.#offset !== this.#end) this.fail("damaged", `${this.remaining} bytes too many`);
    return this.#problem ?? success(value);
  }

  u8(): number {
    return this.#has(1) ? (this.#bytes[this.#offset++] as number) : 0;
  }

  u16(): number {
    if (!this.#has(2)) return 0;
    this.#offset += 2;
    return this.#view().getUint16(this.#offset - 2, true);
  }

  u32(): number {
    if (!this.#has(4)) return 0;
    this.#offset += 4;
    return this.#view().getUint32(this.#offset - 4, true);
  }

  f64(): number {
    if (!this.#has(8)) return 0;
    this.#offset += 8;
    return this.#view().getFloat64(this.#offset - 8, true);
  }

  /** A whole number in [0, 2^53). Only the shortest form is accepted, so that equal values have equal bytes. */
  varint(): number {
    // Most are short: a difference, a length, an index.
    const at = this.#offset;
    if (at + 1 < this.#end) {
      const first = this.#bytes[at] as number;
      if (first < 0x80) {
        this.#offset = at + 1;
        return first;
      }
      const second = this.#bytes[at + 1] as number;
      if (second < 0x80 && second > 0) {
        this.#offset = at + 2;
        return (first & 0x7f) | (second << 7);
      }
    }
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= 8; length++) {
      if (!this.#has(1)) return 0;
      const byte = this.#bytes[this.#offset++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value <= Number.MAX_SAFE_INTEGER && (byte !== 0 || length === 1)) return value;
        break;
      }
      scale *= 0x80;
    }
    this.fail("damaged", "a variable-length number is too long");
    return 0;
  }

  /** A varint that must not exceed `max`: a count, an index. */
  varintUpTo(max: number, what: string): number {
    const value = this.varint();
    if (value <= max) return value;
    this.fail("damaged", `${what} is ${value}, more than ${max}`);
    return 0;
  }

  signedVarint(): number {
    const first = this.u8();
    let magnitude = (first & 0x7f) >>> 1;
    if (first >= 0x80) {
      const rest = this.varint();
      if (rest === 0) this.fail("damaged", "a variable-length number is too long");
      magnitude += rest * 0x40;
      if (magnitude > Number.MAX_SAFE_INTEGER) {
        this.fail("damaged", "a variable-length number is too large");
        return 0;
      }
    }
    if (first === 1) this.fail("damaged", "a variable-length number is minus zero");
    return (first & 1) === 1 ? 0 - magnitude : magnitude;
  }

  text(): string {
    const bytes = this.blob();
    try {
      return bytes.length === 0 ? "" : utf8.decode(bytes);
    } catch {
      this.fail("damaged", "a text is not UTF-8");
      return "";
    }
  }

  blob(): Uint8Array {
    return this.raw(this.varint());
  }

  /** A view of the next `length` bytes, not a copy. */
  raw(length: number): Uint8Array {
    if (!this.#has(length)) return noBytes;
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  #view(): DataView {
    this.#made ??= new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return this.#made;
  }

  #has(length: number): boolean {
    if (this.#end - this.#offset >= length) return true;
    this.fail("truncated", "the bytes end too early");
    return false;
  }
}
