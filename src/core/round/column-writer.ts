/** Bytes of columns in an array that is large enough from the beginning: no check and no growing on the way of a reading. */

export class ColumnWriter {
  readonly bytes: Uint8Array;
  at = 0;
  readonly #view: DataView;

  /** Writes into `kept` where that is large enough, otherwise into a new array; at most `bytesMax` may be written. */
  constructor(kept: Uint8Array, bytesMax: number) {
    this.bytes = kept.length >= bytesMax ? kept : new Uint8Array(bytesMax + (bytesMax >> 1));
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(value: number): void {
    this.bytes[this.at++] = value;
  }

  u32(value: number): void {
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  raw(bytes: Uint8Array, count: number): void {
    this.bytes.set(bytes.subarray(0, count), this.at);
    this.at += count;
  }

  /** Unsigned LEB128 of a whole number in [0, 2^53). */
  varint(value: number): void {
    const { bytes } = this;
    let at = this.at;
    let rest = value;
    for (; rest >= 0x10000000; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
    let small = rest | 0;
    for (; small >= 0x80; small >>>= 7) bytes[at++] = (small & 0x7f) | 0x80;
    bytes[at++] = small;
    this.at = at;
  }

  /** Zig-zag of a whole number, |value| < 2^52. */
  signed(value: number): void {
    this.varint(value >= 0 ? 2 * value : -2 * value - 1);
  }
}
