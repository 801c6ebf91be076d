/**
 * A round under construction: readings of one owner set, appended column by column while the round before is under way.
 * Appending hashes nothing and allocates nothing (but when an array grows): series are named by the caller's interned
 * numbers, and a generation stamp tells whether a series is in this round already. The builder is reused round after round.
 */

import { assert } from "../../lib/assert.ts";
import { grownFloat64, grownUint8, grownUint32 } from "../../lib/growable.ts";
import { type ReadingValue, ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import { encodeRound, type RoundVersion } from "./round-codec.ts";
import { newRoundScratch, type RoundHeader, type RoundScratch, roundReadingsMax } from "./round-format.ts";

const readingBytes = 21;
const headerBytesEstimate = 192;

export class RoundBuilder {
  readonly #nameOf: (seriesRef: number) => SeriesName;
  readonly #scratch: RoundScratch = newRoundScratch();
  #count = 0;
  #series = new Uint32Array(256);
  #times = new Float64Array(256);
  #types = new Uint8Array(256);
  #numbers = new Float64Array(256);
  #texts: string[] = [];
  #textIndex = new Map<string, number>();
  #seriesTable: SeriesName[] = [];
  #allNumbers = true;
  #stringUnits = 0;
  // seriesRef -> index in this round, valid where the stamp is this generation's.
  #stamps = new Uint32Array(256);
  #indexes = new Uint32Array(256);
  #generation = 1;

  /** `nameOf` gives the name behind a series number; it is asked once for each series in a round. */
  constructor(nameOf: (seriesRef: number) => SeriesName) {
    this.#nameOf = nameOf;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes that `encode` will give in version 1, within a few per cent (names that are not ASCII take more); version 2 is smaller. */
  get byteEstimate(): number {
    return headerBytesEstimate + this.#count * readingBytes + this.#stringUnits + this.#seriesTable.length * 4 + this.#texts.length * 4;
  }

  /**
   * One reading. `timeUs`: whole µs; `number`: the number, or 0/1 for a boolean (ignored for a text); `text`: the text of a
   * `ValueType.Text`, otherwise ignored. Lone surrogates in a text become U+FFFD, as they would on the wire.
   */
  append(seriesRef: number, timeUs: number, type: ValueType, number: number, text: string | undefined): void {
    const row = this.#count;
    if (row === this.#times.length) this.#grow();
    this.#series[row] = this.#stamps[seriesRef] === this.#generation ? (this.#indexes[seriesRef] as number) : this.#addSeries(seriesRef);
    this.#times[row] = timeUs;
    this.#types[row] = type;
    if (type !== ValueType.Number) this.#allNumbers = false;
    this.#numbers[row] = type === ValueType.Text ? this.#addText(text ?? "") : number;
    this.#count = row + 1;
  }

  /** `append` for a value as programs see it. */
  appendValue(seriesRef: number, timeUs: number, value: ReadingValue): void {
    if (typeof value === "number") this.append(seriesRef, timeUs, ValueType.Number, value, undefined);
    else if (typeof value === "string") this.append(seriesRef, timeUs, ValueType.Text, 0, value);
    else this.append(seriesRef, timeUs, ValueType.Boolean, value ? 1 : 0, undefined);
  }

  /** The readings so far, as views of the builder's own arrays: valid until the next `append` or `reset`. */
  columns(): ReadingColumns {
    return {
      count: this.#count,
      seriesTable: this.#seriesTable,
      series: this.#series,
      times: this.#times,
      types: this.#types,
      numbers: this.#numbers,
      texts: this.#texts,
    };
  }

  /** The readings so far, in arrays of their own. */
  copyColumns(): ReadingColumns {
    return {
      count: this.#count,
      seriesTable: this.#seriesTable.slice(),
      series: this.#series.slice(0, this.#count),
      times: this.#times.slice(0, this.#count),
      types: this.#types.slice(0, this.#count),
      numbers: this.#numbers.slice(0, this.#count),
      texts: this.#texts.slice(),
    };
  }

  /** The round in its on-disk and wire form (`round-codec.ts`), in an array of its own. */
  encode(header: RoundHeader, version: RoundVersion = 1): Uint8Array {
    return encodeRound({ header, columns: this.columns(), allNumbers: this.#allNumbers, version }, this.#scratch);
  }

  /** Empties the builder. Arrays that an encoded round or `columns()` of before refers to are reused. */
  reset(): void {
    this.#count = 0;
    this.#texts = [];
    this.#textIndex.clear();
    this.#seriesTable = [];
    this.#allNumbers = true;
    this.#stringUnits = 0;
    if (this.#generation === 0xffffffff) {
      this.#stamps.fill(0);
      this.#generation = 0;
    }
    this.#generation++;
  }

  #addSeries(seriesRef: number): number {
    if (seriesRef >= this.#stamps.length) {
      const capacity = Math.max(seriesRef + 1, this.#stamps.length * 2);
      this.#stamps = grownUint32(this.#stamps, capacity);
      this.#indexes = grownUint32(this.#indexes, capacity);
    }
    const name = this.#nameOf(seriesRef);
    const index = this.#seriesTable.push(name) - 1;
    this.#stringUnits += name.device.length + name.metric.length;
    this.#stamps[seriesRef] = this.#generation;
    this.#indexes[seriesRef] = index;
    return index;
  }

  #addText(raw: string): number {
    const known = this.#textIndex.get(raw);
    if (known !== undefined) return known;
    const text = wellFormed(raw);
    const index = this.#texts.push(text) - 1;
    this.#textIndex.set(raw, index);
    this.#stringUnits += text.length;
    return index;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    assert(capacity <= roundReadingsMax, `a round takes at most ${roundReadingsMax} readings; the caller closes it long before`);
    this.#series = grownUint32(this.#series, capacity);
    this.#times = grownFloat64(this.#times, capacity);
    this.#types = grownUint8(this.#types, capacity);
    this.#numbers = grownFloat64(this.#numbers, capacity);
  }
}

/** In a `u` pattern, `\p{Surrogate}` matches only a surrogate without its partner. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
