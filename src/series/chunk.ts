/**
 * A chunk: readings of one series as bytes, sealed. It says which series it is of, and `decodeChunk` believes neither
 * its place nor its content before the checksum, the series and every field have been verified: damage is an error value,
 * never a wrong reading.
 *
 * Version 1, little-endian, offsets in bytes:
 *
 *      0  "FBCH"                                      32  f64 time of the first reading, µs
 *      4  u8  version (1)                             40  f64 time of the last
 *      5  u8  type of all values, 0 when mixed        48  u32 numeric values (numbers but NaN, booleans)
 *      6  u8  flags: 1 times are raw                  52  u32 length of the whole
 *      7  u8  reserved, 0                             56  f64 min, max, sum, first, last of the numeric values (0 if none)
 *      8  u32 readings (n)                            96  u8 types[n], when mixed
 *     12  u32 reserved, 0                                 f64 numbers[], the numbers in order
 *     16  u32 × 2 hash of the series (low, high)          booleans in order, a bit each, lowest first
 *     24  u32 × 2 content digest (low, high)              texts: varint count, that many texts; a varint index for each
 *                                                         times 2 … n: signed varints of the delta of deltas, or f64
 *     end u32 CRC-32C of all before
 */

import { assert } from "../lib/assert.ts";
import { ByteReader, type Decoded, decodeError } from "../lib/byte-reader.ts";
import { ByteWriter } from "../lib/byte-writer.ts";
import { copyBytes } from "../lib/bytes.ts";
import { crc32c } from "../lib/crc32c.ts";
import { success } from "../lib/errors.ts";
import { ValueType } from "../lib/reading.ts";
import { type Digest, digestRun, type SeriesHash } from "./digest.ts";
import { ExactSum } from "./exact-sum.ts";
import { compactTexts, runTypeAt, type SeriesRun } from "./run.ts";

export const chunkReadingsMax = 4096;

const magic = 0x48434246; // "FBCH"
const version = 1;
const headerBytes = 96;
const checksumBytes = 4;
const mixedTypes = 0;
const flagRawTimes = 1;
// Deltas of deltas stay below 2^53 as long as the whole range does not exceed this.
const varintRangeMax = 2 ** 52;

/** What a chunk says of itself. Numeric: numbers that are not NaN, and booleans as 0 and 1. */
export interface ChunkStats {
  readonly count: number;
  readonly minTimeUs: number;
  readonly maxTimeUs: number;
  readonly digest: Digest;
  readonly numeric: NumericStats | undefined;
}

export interface NumericStats {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly first: number;
  readonly last: number;
}

export interface Chunk {
  readonly stats: ChunkStats;
  /** Sorted and unique; arrays of its own. */
  readonly run: SeriesRun;
}

/** `run`: sorted, unique, 1 … `chunkReadingsMax` readings of the series that `series` is the hash of. */
export function encodeChunk(series: SeriesHash, run: SeriesRun): Uint8Array {
  assert(run.count >= 1 && run.count <= chunkReadingsMax, `a chunk of ${run.count} readings`);
  const first = run.times[0] as number;
  const last = run.times[run.count - 1] as number;
  const rawTimes = last - first > varintRangeMax;
  const type = commonType(run);
  const digest = digestRun(series, run);
  const numeric = numericStats(run);
  const writer = new ByteWriter(headerBytes + run.count * 12 + 64);
  writer.u32(magic);
  writer.u8(version);
  writer.u8(type);
  writer.u8(rawTimes ? flagRawTimes : 0);
  writer.u8(0);
  writer.u32(run.count);
  writer.u32(0);
  for (const word of [series.low, series.high, digest.low, digest.high]) writer.u32(word);
  writer.f64(first);
  writer.f64(last);
  writer.u32(numeric?.count ?? 0);
  writer.u32(0); // the length, known at the end
  for (const value of [numeric?.min, numeric?.max, numeric?.sum, numeric?.first, numeric?.last]) writer.f64(value ?? 0);
  writeValues(writer, run, type);
  writeTimes(writer, run, rawTimes);
  writer.patchU32(52, writer.length + checksumBytes);
  writer.u32(crc32c(writer.view()));
  return writer.finish();
}

/** Verifies everything and gives the readings. `series`: hash of the series that the chunk was found under. */
export function decodeChunk(series: SeriesHash, bytes: Uint8Array): Decoded<Chunk> {
  const header = decodeHeader(series, bytes);
  if (!header.ok) return header;
  const { stats, type, rawTimes } = header.value;
  const reader = new ByteReader(bytes, headerBytes, bytes.length - checksumBytes);
  const values = readValues(reader, bytes, stats.count, type);
  const times = new Float64Array(stats.count);
  if (reader.problem === undefined) readTimes(reader, times, { stats, rawTimes });
  const { types, numbers, texts } = values;
  return reader.finish({ stats, run: { count: stats.count, times, types, numbers, texts } });
}

/** What the chunk says of itself, its checksum and series verified but its columns not decoded. */
export function decodeChunkStats(series: SeriesHash, bytes: Uint8Array): Decoded<ChunkStats> {
  const header = decodeHeader(series, bytes);
  return header.ok ? success(header.value.stats) : header;
}

interface Header {
  readonly stats: ChunkStats;
  readonly type: number;
  readonly rawTimes: boolean;
}

function decodeHeader(series: SeriesHash, bytes: Uint8Array): Decoded<Header> {
  if (bytes.length < headerBytes + checksumBytes)
    return decodeError("truncated", `a chunk of ${bytes.length} bytes is shorter than its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) return decodeError("damaged", "this is no chunk: its first bytes are not FBCH");
  const end = bytes.length - checksumBytes;
  if (view.getUint32(end, true) !== crc32c(bytes, 0, 0, end)) return decodeError("damaged", "a chunk's checksum does not fit");
  if (view.getUint8(4) !== version)
    return decodeError("unsupported-version", `chunk format ${view.getUint8(4)}; this version reads ${version}`);
  if (view.getUint32(16, true) !== series.low || view.getUint32(20, true) !== series.high) {
    return decodeError("damaged", "a chunk belongs to another series");
  }
  const type = view.getUint8(5);
  const flags = view.getUint8(6);
  const count = view.getUint32(8, true);
  const numericCount = view.getUint32(48, true);
  const minTimeUs = view.getFloat64(32, true);
  const maxTimeUs = view.getFloat64(40, true);
  const sizes = count >= 1 && count <= chunkReadingsMax && numericCount <= count && view.getUint32(52, true) === bytes.length;
  const times = Number.isSafeInteger(minTimeUs) && Number.isSafeInteger(maxTimeUs) && minTimeUs <= maxTimeUs;
  if (!sizes || !times || type > ValueType.Text || flags > flagRawTimes)
    return decodeError("damaged", "a chunk's header contradicts itself");
  const stat = (index: number) => view.getFloat64(56 + index * 8, true);
  const numeric = { count: numericCount, min: stat(0), max: stat(1), sum: stat(2), first: stat(3), last: stat(4) };
  const digest = { count, low: view.getUint32(24, true), high: view.getUint32(28, true) };
  const stats = { count, minTimeUs, maxTimeUs, digest, numeric: numericCount === 0 ? undefined : numeric };
  return success({ stats, type, rawTimes: flags === flagRawTimes });
}

function commonType(run: SeriesRun): number {
  const type = runTypeAt(run, 0);
  for (let i = 1; i < run.count; i++) if (runTypeAt(run, i) !== type) return mixedTypes;
  return type;
}

function numericStats(run: SeriesRun): NumericStats | undefined {
  const sum = new ExactSum();
  let infinities = 0;
  let count = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let first = 0;
  let last = 0;
  for (let i = 0; i < run.count; i++) {
    // −0 counts as 0 here; the column keeps it.
    const value = (run.numbers[i] as number) + 0;
    if (runTypeAt(run, i) === ValueType.Text || Number.isNaN(value)) continue;
    if (Number.isFinite(value)) sum.add(value);
    else infinities += value;
    if (count++ === 0) first = value;
    last = value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return count === 0 ? undefined : { count, min, max, sum: infinities === 0 ? sum.value() : infinities, first, last };
}

function writeValues(writer: ByteWriter, run: SeriesRun, type: number): void {
  if (type === mixedTypes) writer.raw((run.types as Uint8Array).subarray(0, run.count));
  if (type === ValueType.Number) {
    writer.raw(new Uint8Array(run.numbers.buffer, run.numbers.byteOffset, run.count * 8));
    return;
  }
  for (let i = 0; i < run.count; i++) if (runTypeAt(run, i) === ValueType.Number) writer.f64(run.numbers[i] as number);
  let bits = 0;
  let used = 0;
  for (let i = 0; i < run.count; i++) {
    if (runTypeAt(run, i) !== ValueType.Boolean) continue;
    if (run.numbers[i] !== 0) bits |= 1 << used;
    if (++used === 8) {
      writer.u8(bits);
      bits = 0;
      used = 0;
    }
  }
  if (used > 0) writer.u8(bits);
  const compact = compactTexts(run);
  writer.varint(compact === run ? 0 : compact.texts.length);
  if (compact === run) return;
  for (const text of compact.texts) writer.text(text);
  for (let i = 0; i < run.count; i++) if (runTypeAt(run, i) === ValueType.Text) writer.varint(compact.numbers[i] as number);
}

type Values = Pick<SeriesRun, "types" | "numbers" | "texts">;

function readValues(reader: ByteReader, bytes: Uint8Array, count: number, type: number): Values {
  if (type === ValueType.Number) {
    const start = reader.offset;
    if (reader.raw(count * 8).length < count * 8) return { types: undefined, numbers: new Float64Array(0), texts: [] };
    return { types: undefined, numbers: new Float64Array(copyBytes(bytes, start, reader.offset).buffer), texts: [] };
  }
  const types = type === mixedTypes ? copyBytes(reader.raw(count)) : new Uint8Array(count).fill(type);
  const numbers = new Float64Array(count);
  let booleanCount = 0;
  for (let i = 0; i < types.length; i++) {
    const each = types[i] as number;
    if (each === ValueType.Number) numbers[i] = reader.f64();
    else if (each === ValueType.Boolean) booleanCount++;
    else if (each !== ValueType.Text) reader.fail("damaged", `a chunk has value type ${each}`);
  }
  const bits = reader.raw(Math.ceil(booleanCount / 8));
  for (let i = 0, bit = 0; i < types.length && bits.length > 0; i++) {
    if (types[i] !== ValueType.Boolean) continue;
    numbers[i] = ((bits[bit >> 3] as number) >> (bit & 7)) & 1;
    bit++;
  }
  const texts: string[] = [];
  const textCount = reader.varintUpTo(count, "the number of texts");
  for (let i = 0; i < textCount; i++) texts.push(reader.text());
  for (let i = 0; i < types.length; i++)
    if (types[i] === ValueType.Text) numbers[i] = reader.varintUpTo(textCount - 1, "the index of a text");
  return { types, numbers, texts };
}

function writeTimes(writer: ByteWriter, run: SeriesRun, raw: boolean): void {
  let delta = 0;
  for (let i = 1; i < run.count; i++) {
    const time = run.times[i] as number;
    const next = time - (run.times[i - 1] as number);
    assert(next > 0, "a chunk is made of a sorted unique run");
    if (raw) {
      writer.f64(time);
    } else {
      writer.signedVarint(next - delta);
      delta = next;
    }
  }
}

function readTimes(reader: ByteReader, times: Float64Array, header: { readonly stats: ChunkStats; readonly rawTimes: boolean }): void {
  const { minTimeUs, maxTimeUs } = header.stats;
  times[0] = minTimeUs;
  let time = minTimeUs;
  let delta = 0;
  for (let i = 1; i < times.length; i++) {
    if (header.rawTimes) {
      const next = reader.f64();
      delta = next - time;
      time = next;
    } else {
      delta += reader.signedVarint();
      time += delta;
    }
    if (!(delta > 0) || !Number.isSafeInteger(time)) {
      reader.fail("damaged", `times of a chunk do not ascend: ${time} after ${times[i - 1]}`);
      return;
    }
    times[i] = time;
  }
  if (time !== maxTimeUs) reader.fail("damaged", `a chunk ends at ${time} and says ${maxTimeUs}`);
}
