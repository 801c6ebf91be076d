/**
 * Which chunks the store must hold, as two numbers: a count and an additive digest of the keys. Written with every
 * ledger step to the store, and with every checkpoint to the log; a store that silently lost chunks does not match.
 */

import { crc32c } from "../../lib/crc32c.ts";

export class ChunkLedger {
  #chunks = 0;
  #readings = 0;
  #low = 0;
  #high = 0;

  add(key: Uint8Array, readings: number): void {
    this.#chunks++;
    this.#readings += readings;
    this.#low = (this.#low + crc32c(key)) >>> 0;
    this.#high = (this.#high + crc32c(key, 0x9e3779b9)) >>> 0;
  }

  /** Of a chunk that was added. */
  remove(key: Uint8Array, readings: number): void {
    this.#chunks--;
    this.#readings -= readings;
    this.#low = (this.#low - crc32c(key)) >>> 0;
    this.#high = (this.#high - crc32c(key, 0x9e3779b9)) >>> 0;
  }

  chunks(): number {
    return this.#chunks;
  }

  readings(): number {
    return this.#readings;
  }

  digest(): string {
    return this.#high.toString(16).padStart(8, "0") + this.#low.toString(16).padStart(8, "0");
  }

  copy(): ChunkLedger {
    const copy = new ChunkLedger();
    copy.#chunks = this.#chunks;
    copy.#readings = this.#readings;
    copy.#low = this.#low;
    copy.#high = this.#high;
    return copy;
  }
}
