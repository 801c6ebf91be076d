/**
 * Counts by bin index, dense, at most `binsMax` bins wide: what lies further below the highest bin is counted in the
 * lowest one kept ("collapsing lowest" of DDSketch). With bins of 1 % that is a factor of 10^17 between the greatest
 * value and the smallest that is still told apart. A pure function of what was added, in any order.
 */

import type { ByteReader } from "../lib/byte-reader.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";

export const binsMax = 4096;

/** Beyond the bins of the smallest and the greatest double. */
const binLimit = 80_000;

export class BinStore {
  #counts = new Float64Array(0);
  /** Bin of `counts[0]`. */
  #offset = 0;
  // The lowest and highest bin with a count, while there is any.
  #lowest = 0;
  #highest = 0;
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(bin: number, count: number): void {
    if (this.#total === 0) {
      this.#lowest = bin;
      this.#highest = bin;
      this.#cover();
    } else if (bin > this.#highest) {
      this.#raise(bin);
    } else if (bin < this.#lowest) {
      this.#lowest = Math.max(bin, this.#highest - binsMax + 1);
      this.#cover();
    }
    // Below the lowest bin only where that one collects.
    const at = Math.max(bin, this.#lowest) - this.#offset;
    this.#counts[at] = (this.#counts[at] as number) + count;
    this.#total += count;
  }

  merge(other: BinStore): void {
    // The bounds are taken first: a store may be merged with itself.
    const { first, last } = { first: other.#lowest, last: other.#highest };
    if (other.#total === 0) return;
    const counts = other.#counts.slice(first - other.#offset, last - other.#offset + 1);
    counts.forEach((count, i) => {
      if (count > 0) this.add(first + i, count);
    });
  }

  /** The bin of the value at `rank` (0 … total − 1) in ascending order of bins. */
  binAtRank(rank: number): number {
    let below = 0;
    for (let bin = this.#lowest; bin < this.#highest; bin++) {
      below += this.#counts[bin - this.#offset] as number;
      if (below > rank) return bin;
    }
    return this.#highest;
  }

  /** Number of bins with a count, then the first bin, then for each its distance to the one before and its count. */
  encode(writer: ByteWriter): void {
    const filled: number[] = [];
    if (this.#total > 0) {
      for (let bin = this.#lowest; bin <= this.#highest; bin++) if ((this.#counts[bin - this.#offset] as number) > 0) filled.push(bin);
    }
    writer.varint(filled.length);
    filled.forEach((bin, i) => {
      if (i === 0) writer.signedVarint(bin);
      else writer.varint(bin - (filled[i - 1] as number));
      writer.varint(this.#counts[bin - this.#offset] as number);
    });
  }

  /** Fills an empty store. */
  decode(reader: ByteReader): void {
    const count = reader.varintUpTo(binsMax, "the number of bins");
    let bin = 0;
    for (let i = 0; i < count; i++) {
      const step = i === 0 ? reader.signedVarint() : reader.varintUpTo(binsMax - 1, "a step between bins");
      const inBin = reader.varint();
      bin += step;
      if (inBin === 0 || (i > 0 && step === 0) || Math.abs(bin) > binLimit)
        reader.fail("damaged", `bin ${bin} of a sketch with a count of ${inBin}`);
      if (reader.problem !== undefined) return;
      this.add(bin, inBin);
    }
  }

  /** A new highest bin: what is too far below it now is collapsed. */
  #raise(bin: number): void {
    const floor = bin - binsMax + 1;
    let collapsed = 0;
    for (let low = this.#lowest; low < floor && low <= this.#highest; low++) {
      collapsed += this.#counts[low - this.#offset] as number;
      this.#counts[low - this.#offset] = 0;
    }
    this.#highest = bin;
    if (collapsed > 0) this.#lowest = floor;
    this.#cover();
    if (collapsed > 0) this.#counts[floor - this.#offset] = (this.#counts[floor - this.#offset] as number) + collapsed;
  }

  /** Makes the array reach from the lowest to the highest bin. */
  #cover(): void {
    if (this.#lowest >= this.#offset && this.#highest < this.#offset + this.#counts.length) return;
    const span = this.#highest - this.#lowest + 1;
    const capacity = Math.max(32, span + (span >>> 1));
    const offset = this.#lowest - ((capacity - span) >>> 1);
    const counts = new Float64Array(capacity);
    for (let i = 0; i < this.#counts.length; i++) {
      const count = this.#counts[i] as number;
      if (count > 0) counts[this.#offset + i - offset] = count;
    }
    this.#counts = counts;
    this.#offset = offset;
  }
}
