/**
 * A mergeable quantile sketch: DDSketch (Masson, Rim, Lee 2019) with a relative accuracy of 0.5 %, exact up to 64 values.
 * Its state is a pure function of the multiset of values: order, and how it was split and merged, leave no trace.
 * Infinities count at the ends; NaN is not for it.
 */

import type { ByteReader } from "../lib/byte-reader.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import { compareNumbers } from "../lib/reading.ts";
import { BinStore } from "./bin-store.ts";

const relativeAccuracy = 0.005;
const exactMax = 64;
const gamma = (1 + relativeAccuracy) / (1 - relativeAccuracy);
const logGamma = Math.log(gamma);
const exactForm = 0;
const binForm = 1;

export class QuantileSketch {
  /** All finite values while they are few. */
  #exact: number[] | undefined = [];
  readonly #positive = new BinStore();
  /** By magnitude. */
  readonly #negative = new BinStore();
  #zeros = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #negativeInfinities = 0;
  #positiveInfinities = 0;

  get count(): number {
    return this.#finiteCount() + this.#negativeInfinities + this.#positiveInfinities;
  }

  add(value: number): void {
    if (value === Number.POSITIVE_INFINITY) this.#positiveInfinities++;
    else if (value === Number.NEGATIVE_INFINITY) this.#negativeInfinities++;
    else this.#addFinite(value + 0);
  }

  /** `other` stays as it is. */
  merge(other: QuantileSketch): void {
    this.#negativeInfinities += other.#negativeInfinities;
    this.#positiveInfinities += other.#positiveInfinities;
    if (other.#exact !== undefined) {
      for (const value of [...other.#exact]) this.#addFinite(value);
      return;
    }
    this.#toBins();
    this.#positive.merge(other.#positive);
    this.#negative.merge(other.#negative);
    this.#zeros += other.#zeros;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }

  /** The value at rank ⌊q(n−1)⌋ of the n values in ascending order, within 0.5 %; `undefined` when there is none. */
  quantile(q: number): number | undefined {
    const count = this.count;
    if (count === 0) return undefined;
    const rank = Math.floor(q * (count - 1)) - this.#negativeInfinities;
    const finite = this.#finiteCount();
    if (rank < 0) return Number.NEGATIVE_INFINITY;
    if (rank >= finite) return Number.POSITIVE_INFINITY;
    if (this.#exact !== undefined) return this.#exact.toSorted(compareNumbers)[rank];
    // The extremes are known exactly.
    if (rank === 0) return this.#min;
    if (rank === finite - 1) return this.#max;
    return Math.min(this.#max, Math.max(this.#min, this.#estimate(rank)));
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#negativeInfinities);
    writer.varint(this.#positiveInfinities);
    if (this.#exact !== undefined) {
      writer.u8(exactForm);
      writer.varint(this.#exact.length);
      for (const value of this.#exact.toSorted(compareNumbers)) writer.f64(value);
      return;
    }
    writer.u8(binForm);
    writer.f64(this.#min);
    writer.f64(this.#max);
    writer.varint(this.#zeros);
    this.#positive.encode(writer);
    this.#negative.encode(writer);
  }

  static decode(reader: ByteReader): QuantileSketch {
    const sketch = new QuantileSketch();
    sketch.#negativeInfinities = reader.varint();
    sketch.#positiveInfinities = reader.varint();
    const form = reader.u8();
    if (form === exactForm) {
      const count = reader.varintUpTo(exactMax, "the number of exact values");
      for (let i = 0; i < count; i++) {
        const value = reader.f64();
        if (Number.isFinite(value)) sketch.#addFinite(value + 0);
        else reader.fail("damaged", `a finite value of a sketch is ${value}`);
      }
    } else if (form === binForm) {
      sketch.#exact = undefined;
      sketch.#min = reader.f64();
      sketch.#max = reader.f64();
      sketch.#zeros = reader.varint();
      sketch.#positive.decode(reader);
      sketch.#negative.decode(reader);
      if (
        !Number.isFinite(sketch.#min) ||
        !Number.isFinite(sketch.#max) ||
        sketch.#min > sketch.#max ||
        sketch.#finiteCount() <= exactMax
      ) {
        reader.fail("damaged", "a sketch contradicts itself");
      }
    } else {
      reader.fail("damaged", `a sketch of form ${form}`);
    }
    if (!Number.isSafeInteger(sketch.count)) reader.fail("damaged", "a sketch counts too many values");
    return sketch;
  }

  #finiteCount(): number {
    return this.#exact?.length ?? this.#zeros + this.#positive.total + this.#negative.total;
  }

  #addFinite(value: number): void {
    if (this.#exact !== undefined) {
      if (this.#exact.length < exactMax) {
        this.#exact.push(value);
        return;
      }
      this.#toBins();
    }
    this.#addToBins(value);
  }

  #toBins(): void {
    const values = this.#exact;
    if (values === undefined) return;
    this.#exact = undefined;
    for (const value of values) this.#addToBins(value);
  }

  #addToBins(value: number): void {
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
    if (value > 0) this.#positive.add(binOf(value), 1);
    else if (value < 0) this.#negative.add(binOf(-value), 1);
    else this.#zeros++;
  }

  #estimate(rank: number): number {
    const negatives = this.#negative.total;
    // Negative values ascend as their magnitudes descend.
    if (rank < negatives) return -middleOf(this.#negative.binAtRank(negatives - 1 - rank));
    if (rank < negatives + this.#zeros) return 0;
    return middleOf(this.#positive.binAtRank(rank - negatives - this.#zeros));
  }
}

/** Bin i holds the magnitudes in (γ^(i−1), γ^i]. */
function binOf(magnitude: number): number {
  return Math.ceil(Math.log(magnitude) / logGamma);
}

/** The value that is within the relative accuracy of all in the bin: 2γ^i / (γ + 1). */
function middleOf(bin: number): number {
  return Math.exp(bin * logGamma) * (2 / (gamma + 1));
}
