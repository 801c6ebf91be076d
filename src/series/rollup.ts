/**
 * Rollups: the readings of one chunk aggregated by windows of a minute or an hour of UTC, one row for each window that the
 * chunk touches. A row holds what an `AggregateState` of any functions would hold (quantiles at the hour only), exactly, and
 * the content digest of its readings: an answer from rollups is the answer from raw readings, digests included.
 *
 * Version 1, little-endian:
 *
 *      0  u32 "FBRU"              8  u32 × 2 hash of the series
 *      4  u8  version (1)        16  varint rows (n), then columns:
 *      5  u8  level                  readings: varint; of these not numeric: varint
 *      6  u16 flags                  infinities, with flag 1: varint −∞, varint +∞
 *                                    digest: u32 low, u32 high
 *                                    times of the first readings, then of the last: `writeTimes`
 *                                    sums: as in `exact-sum.ts`
 *                                    min, max: `writeNumbers`, where there is no number +∞ and −∞
 *                                    with flag 2: types of first and last readings in turn, u8; varint texts, the texts
 *                                    values of first and last readings in turn: `writeNumbers`; a text is its index
 *                                    with flag 4: quantile sketches, each behind its length
 *    end  u32 CRC-32C of all before
 *
 * Flags 8: times are f64. Numbers: u8 d + 1, then signed varints of the differences of value × 10^d; or u8 0, then f64.
 */

import type { AggregateFunction } from "../lib/aggregate-function.ts";
import { assert } from "../lib/assert.ts";
import { ByteReader, type Decoded, type DecodeError, decodeError } from "../lib/byte-reader.ts";
import { ByteWriter } from "../lib/byte-writer.ts";
import { crc32c } from "../lib/crc32c.ts";
import { ValueType } from "../lib/reading.ts";
import { AggregateState } from "./aggregate.ts";
import { AggregateRows } from "./aggregate-rows.ts";
import { digestRun, type SeriesHash } from "./digest.ts";
import { ExactSum } from "./exact-sum.ts";
import { profileOf } from "./number-profile.ts";
import { lowerBound, type SeriesRun } from "./run.ts";
import { QuantileSketch } from "./sketch.ts";

/** On disk: never renumber. */
export const RollupLevel = { Minute: 1, Hour: 2 } as const;
export type RollupLevel = (typeof RollupLevel)[keyof typeof RollupLevel];

export interface Rollup {
  readonly level: RollupLevel;
  readonly rows: AggregateRows;
  /** Low and high lane of each row, in turn. */
  readonly digests: Uint32Array;
}

/** What the key of a chunk says of it. */
interface Extent {
  readonly minUs: number;
  readonly maxUs: number;
  readonly count: number;
}

/** With fewer readings to a window, the readings themselves are read as fast. */
const readingsPerWindowMin = 16;
const rowsMax = 65_536;
const magic = 0x55524246; // "FBRU"
const version = 1;
const checksumBytes = 4;
const flagInfinities = 1;
const flagTypes = 2;
const flagSketches = 4;
const flagRawTimes = 8;
const decimalsMax = 6;
const scaledMax = 2 ** 51;
/** Differences of differences stay below 2^53 as long as the whole range does not exceed this. */
const varintRangeMax = 2 ** 50;

const minuteParts: readonly AggregateFunction[] = [{ kind: "sum" }, { kind: "min" }, { kind: "first" }];
const hourParts: readonly AggregateFunction[] = [...minuteParts, { kind: "quantile", q: 0.5 }];

/** A row holds what a state of these functions holds. */
export function partsOfLevel(level: RollupLevel): readonly AggregateFunction[] {
  return level === RollupLevel.Hour ? hourParts : minuteParts;
}

export function windowUsOf(level: RollupLevel): number {
  return level === RollupLevel.Minute ? 60_000_000 : 3_600_000_000;
}

/** Whether a chunk has a rollup of this level: it depends on the chunk's key alone. */
export function hasRollup(level: RollupLevel, { minUs, maxUs, count }: Extent): boolean {
  const windowUs = windowUsOf(level);
  return count >= readingsPerWindowMin * (Math.floor(maxUs / windowUs) - Math.floor(minUs / windowUs) + 1);
}

/** `run`: all readings of a chunk, sorted and unique. */
export function buildRollup(series: SeriesHash, level: RollupLevel, run: SeriesRun): Rollup {
  const windowUs = windowUsOf(level);
  const ends: number[] = [];
  for (let from = 0; from < run.count; from = ends.at(-1) as number) {
    const window = Math.floor((run.times[from] as number) / windowUs);
    ends.push(lowerBound(run, (window + 1) * windowUs));
  }
  const functions = partsOfLevel(level);
  const rows = new AggregateRows(ends.length, { sketches: level === RollupLevel.Hour });
  const digests = new Uint32Array(ends.length * 2);
  const profile = profileOf(run);
  let from = 0;
  for (const [row, to] of ends.entries()) {
    const state = new AggregateState(functions);
    state.add(run, from, to, profile);
    state.toRow(rows, row);
    const { low, high } = digestRun(series, run, from, to);
    digests[row * 2] = low;
    digests[row * 2 + 1] = high;
    from = to;
  }
  return { level, rows, digests };
}

/** Rollups of one level, in ascending order, one behind the other: its rows are the rows of all, without sketches. `parts`: at least one. */
export function concatRollups(parts: readonly Rollup[]): Rollup {
  const count = parts.reduce((sum, { rows }) => sum + rows.count, 0);
  const rows = new AggregateRows(count, { sketches: false });
  const digests = new Uint32Array(count * 2);
  let from = 0;
  for (const part of parts) {
    rows.copyFrom(part.rows, from);
    digests.set(part.digests, from * 2);
    from += part.rows.count;
  }
  return { level: (parts[0] as Rollup).level, rows, digests };
}

export function encodeRollup(series: SeriesHash, { level, rows, digests }: Rollup): Uint8Array {
  const { count, ends, sketches } = rows;
  assert(count >= 1 && count <= rowsMax, `a rollup of ${count} rows`);
  const hasInfinities = rows.negativeInfinities.some(isPositive) || rows.positiveInfinities.some(isPositive);
  const types = ends.types as Uint8Array;
  const hasTypes = types.some((type) => type !== ValueType.Number);
  const rawTimes = (ends.times[count * 2 - 1] as number) - (ends.times[0] as number) > varintRangeMax;
  const writer = new ByteWriter(64 + count * 48);
  writer.u32(magic);
  writer.u8(version);
  writer.u8(level);
  writer.u16(
    (hasInfinities ? flagInfinities : 0) |
      (hasTypes ? flagTypes : 0) |
      (sketches === undefined ? 0 : flagSketches) |
      (rawTimes ? flagRawTimes : 0),
  );
  writer.u32(series.low);
  writer.u32(series.high);
  writer.varint(count);
  for (const readings of rows.counts) writer.varint(readings);
  for (let row = 0; row < count; row++) writer.varint((rows.counts[row] as number) - (rows.numericCounts[row] as number));
  if (hasInfinities) {
    for (let row = 0; row < count; row++) {
      writer.varint(rows.negativeInfinities[row] as number);
      writer.varint(rows.positiveInfinities[row] as number);
    }
  }
  for (const word of digests) writer.u32(word);
  writeTimes(writer, ends.times, rawTimes);
  for (let row = 0; row < count; row++) sumOf(rows, row).encode(writer);
  writeNumbers(writer, rows.mins);
  writeNumbers(writer, rows.maxes);
  if (hasTypes) {
    writer.raw(types);
    writer.varint(ends.texts.length);
    for (const text of ends.texts) writer.text(text);
  }
  writeNumbers(writer, ends.numbers);
  for (const sketch of sketches ?? []) writer.blob(sketch);
  writer.u32(crc32c(writer.view()));
  return writer.finish();
}

/**
 * Verifies everything, sketches only with `sketches`: they take as long as all the rest, and most questions need none. `series`: hash of
 * the series that the rollup was found under.
 */
export function decodeRollup(
  series: SeriesHash,
  bytes: Uint8Array,
  { sketches = true }: { readonly sketches?: boolean } = {},
): Decoded<Rollup> {
  const end = bytes.length - checksumBytes;
  if (end < 0) return decodeError("truncated", `a rollup of ${bytes.length} bytes`);
  const checksum = new ByteReader(bytes, end).u32();
  if (crc32c(bytes, 0, 0, end) !== checksum) return decodeError("damaged", "a rollup's checksum does not fit");
  const reader = new ByteReader(bytes, 0, end);
  if (reader.u32() !== magic) return decodeError("damaged", "this is no rollup: its first bytes are not FBRU");
  const format = reader.u8();
  if (format !== version) return decodeError("unsupported-version", `rollup format ${format}; this version reads ${version}`);
  const level = reader.u8();
  const flags = reader.u16();
  if (level !== RollupLevel.Minute && level !== RollupLevel.Hour) return decodeError("damaged", `a rollup of level ${level}`);
  if (reader.u32() !== series.low || reader.u32() !== series.high) return decodeError("damaged", "a rollup belongs to another series");
  const count = reader.varintUpTo(Math.min(rowsMax, reader.remaining), "the number of rows of a rollup");
  if (count === 0) reader.fail("damaged", "a rollup has no rows");
  if (reader.problem !== undefined) return reader.problem;
  const rows = new AggregateRows(count, { sketches: (flags & flagSketches) !== 0 });
  const digests = new Uint32Array(count * 2);
  readColumns(reader, flags, rows, digests);
  if (reader.problem === undefined) verify(reader, level, rows);
  if (reader.problem === undefined && sketches) verifySketches(reader, rows);
  return reader.finish({ level, rows, digests });
}

/** What is wrong with the sketches of a rollup that was decoded without a look at them. */
export function sketchProblem({ rows }: Rollup): DecodeError | undefined {
  const reader = new ByteReader(new Uint8Array(0));
  verifySketches(reader, rows);
  return reader.problem;
}

/** About how much memory it takes. */
export function rollupBytes({ rows }: Rollup): number {
  let bytes = 400 + rows.count * 120;
  for (const text of rows.ends.texts) bytes += 24 + text.length * 2;
  for (const sketch of rows.sketches ?? []) bytes += 100 + sketch.length;
  return bytes;
}

function isPositive(value: number): boolean {
  return value > 0;
}

function sumOf(rows: AggregateRows, row: number): ExactSum {
  const wide = rows.wideSums.get(row);
  if (wide !== undefined) return wide;
  const sum = new ExactSum();
  sum.addPair(rows.sums[row * 2] as number, rows.sums[row * 2 + 1] as number);
  return sum;
}

function readColumns(reader: ByteReader, flags: number, rows: AggregateRows, digests: Uint32Array): void {
  const { count, counts, ends } = rows;
  for (let row = 0; row < count; row++) counts[row] = reader.varint();
  for (let row = 0; row < count; row++) {
    const readings = counts[row] as number;
    rows.numericCounts[row] = readings - reader.varintUpTo(readings, "the number of readings that are not numeric");
  }
  if ((flags & flagInfinities) !== 0) {
    for (let row = 0; row < count; row++) {
      rows.negativeInfinities[row] = reader.varint();
      rows.positiveInfinities[row] = reader.varint();
    }
  }
  for (let i = 0; i < digests.length; i++) digests[i] = reader.u32();
  readTimes(reader, ends.times, (flags & flagRawTimes) !== 0);
  for (let row = 0; row < count && reader.problem === undefined; row++) rows.setSum(row, ExactSum.decode(reader));
  readNumbers(reader, rows.mins);
  readNumbers(reader, rows.maxes);
  const types = ends.types as Uint8Array;
  const texts: string[] = [];
  if ((flags & flagTypes) === 0) {
    types.fill(ValueType.Number);
  } else {
    types.set(reader.raw(count * 2));
    const textCount = reader.varintUpTo(count * 2, "the number of texts");
    for (let i = 0; i < textCount; i++) texts.push(reader.text());
  }
  readNumbers(reader, ends.numbers);
  rows.setTexts(texts);
  if (rows.sketches === undefined) return;
  for (let row = 0; row < count; row++) rows.sketches.push(reader.blob().slice());
}

/** Whatever the bytes say, rows that are used are such that `buildRollup` could have made them. */
function verify(reader: ByteReader, level: RollupLevel, rows: AggregateRows): void {
  const windowUs = windowUsOf(level);
  const { times, types, numbers, texts } = rows.ends;
  let before = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < rows.count; row++) {
    const first = times[row * 2] as number;
    const last = times[row * 2 + 1] as number;
    const window = Math.floor(first / windowUs);
    const readings = rows.counts[row] as number;
    const numeric = rows.numericCounts[row] as number;
    const infinities = (rows.negativeInfinities[row] as number) + (rows.positiveInfinities[row] as number);
    const min = rows.mins[row] as number;
    const max = rows.maxes[row] as number;
    const isTimely =
      Number.isSafeInteger(first) &&
      Number.isSafeInteger(last) &&
      first <= last &&
      window > before &&
      Math.floor(last / windowUs) === window;
    const isNumeric = numeric === 0 ? min === Number.POSITIVE_INFINITY && max === Number.NEGATIVE_INFINITY : min <= max;
    if (!isTimely || readings < 1 || infinities > numeric || !isNumeric)
      reader.fail("damaged", `row ${row} of a rollup contradicts itself`);
    before = window;
  }
  for (const [at, type] of (types as Uint8Array).entries()) {
    const value = numbers[at] as number;
    const isPossible =
      type === ValueType.Number ||
      (type === ValueType.Boolean && (value === 0 || value === 1)) ||
      (type === ValueType.Text && Number.isInteger(value) && value >= 0 && value < texts.length);
    if (!isPossible) reader.fail("damaged", `a rollup has value ${value} of type ${type}`);
  }
}

function verifySketches(reader: ByteReader, rows: AggregateRows): void {
  for (const [row, sketch] of (rows.sketches ?? []).entries()) {
    const own = new ByteReader(sketch);
    const decoded = own.finish(QuantileSketch.decode(own));
    if (!decoded.ok) reader.fail(decoded.code, decoded.message);
    else if (decoded.value.count !== rows.numericCounts[row]) reader.fail("damaged", "a sketch of a rollup has another number of readings");
  }
}

/** The first ones, then how far behind each its last one is. */
function writeTimes(writer: ByteWriter, times: Float64Array, raw: boolean): void {
  if (raw) {
    for (const time of times) writer.f64(time);
    return;
  }
  let time = times[0] as number;
  let step = 0;
  writer.f64(time);
  for (let i = 2; i < times.length; i += 2) {
    const next = (times[i] as number) - time;
    writer.signedVarint(next - step);
    step = next;
    time = times[i] as number;
  }
  let length = 0;
  for (let i = 0; i < times.length; i += 2) {
    const next = (times[i + 1] as number) - (times[i] as number);
    writer.signedVarint(next - length);
    length = next;
  }
}

function readTimes(reader: ByteReader, times: Float64Array, raw: boolean): void {
  if (raw) {
    for (let i = 0; i < times.length; i++) times[i] = reader.f64();
    return;
  }
  let time = reader.f64();
  let step = 0;
  times[0] = time;
  for (let i = 2; i < times.length; i += 2) {
    step += reader.signedVarint();
    time += step;
    times[i] = time;
  }
  let length = 0;
  for (let i = 0; i < times.length; i += 2) {
    length += reader.signedVarint();
    times[i + 1] = (times[i] as number) + length;
  }
}

function writeNumbers(writer: ByteWriter, values: Float64Array): void {
  const decimals = decimalsOf(values);
  writer.u8(decimals === undefined ? 0 : decimals + 1);
  if (decimals === undefined) {
    for (const value of values) writer.f64(value);
    return;
  }
  const scale = 10 ** decimals;
  let before = 0;
  for (const value of values) {
    const scaled = Math.round(value * scale);
    writer.signedVarint(scaled - before);
    before = scaled;
  }
}

function readNumbers(reader: ByteReader, values: Float64Array): void {
  const form = reader.u8();
  if (form === 0) {
    for (let i = 0; i < values.length; i++) values[i] = reader.f64();
    return;
  }
  if (form > decimalsMax + 1) reader.fail("damaged", `numbers of a rollup have form ${form}`);
  const scale = 10 ** (form - 1);
  let scaled = 0;
  for (let i = 0; i < values.length; i++) {
    scaled += reader.signedVarint();
    values[i] = scaled / scale;
  }
}

/** With how many decimals all values can be written as whole numbers that give back the same bits. */
function decimalsOf(values: Float64Array): number | undefined {
  for (let decimals = 0; decimals <= decimalsMax; decimals++) {
    const scale = 10 ** decimals;
    if (
      values.every((value) => {
        const scaled = Math.round(value * scale);
        return Math.abs(scaled) <= scaledMax && Object.is(scaled / scale, value) && !Object.is(scaled, -0);
      })
    )
      return decimals;
  }
  return undefined;
}
