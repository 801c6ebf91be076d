/**
 * A chunk: readings of one series as bytes, sealed. It says which series it is of, and `decodeChunk` believes neither
 * its place nor its content before the checksum, the series and every field have been verified: damage is an error value,
 * never a wrong reading.
 *
 * Version 2, little-endian. Each column is written in the form that is shortest for it:
 *
 *      0  "FBCH"
 *      4  u8  version (2)
 *      5  header: what the chunk says of itself (`chunk-header.ts`)
 *         times, unless regular (`codec/times.ts`)
 *         types of the values, when mixed: a column of whole numbers (`codec/integers.ts`)
 *         numbers in order (`codec/numbers.ts`)
 *         booleans in order, 0 or 1: a column of whole numbers
 *         texts in order (`codec/texts.ts`)
 *    end  u32 CRC-32C of all before
 *
 * A type that does not occur has no column. Version 1 (`chunk-v1.ts`) is read, never written.
 */

import { assert } from "../lib/assert.ts";
import { ByteReader, type Decoded, decodeError } from "../lib/byte-reader.ts";
import { ByteWriter } from "../lib/byte-writer.ts";
import { crc32c } from "../lib/crc32c.ts";
import { success } from "../lib/errors.ts";
import { ValueType } from "../lib/reading.ts";
import { type ChunkHeader, mixedTypes, readHeader, writeHeader } from "./chunk-header.ts";
import { type Chunk, type ChunkStats, numericStats } from "./chunk-stats.ts";
import { decodeChunkStatsV1, decodeChunkV1 } from "./chunk-v1.ts";
import { ColumnSource } from "./codec/bit-packing.ts";
import { allWhole, planIntegers, readIntegers } from "./codec/integers.ts";
import { planNumbers, readNumbers } from "./codec/numbers.ts";
import { readTexts, writeTexts } from "./codec/texts.ts";
import { planTimes, readTimes, timesForm } from "./codec/times.ts";
import { digestRun, type SeriesHash } from "./digest.ts";
import { compactTexts, runTypeAt, type SeriesRun } from "./run.ts";

export const chunkReadingsMax = 4096;

const magic = 0x48434246; // "FBCH"
const version = 2;
const versionOffset = 4;
const headerOffset = 5;
const checksumBytes = 4;

/** `run`: sorted, unique, 1 … `chunkReadingsMax` readings of the series that `series` is the hash of. */
export function encodeChunk(series: SeriesHash, run: SeriesRun): Uint8Array {
  const { count, times } = run;
  assert(count >= 1 && count <= chunkReadingsMax, `a chunk of ${count} readings`);
  for (let i = 1; i < count; i++) assert((times[i] as number) > (times[i - 1] as number), "a chunk is made of a sorted unique run");
  const type = commonType(run);
  const form = timesForm(times, count);
  const numbers = planNumbers(ofType(run, type, ValueType.Number));
  const stats: ChunkStats = {
    count,
    minTimeUs: times[0] as number,
    maxTimeUs: times[count - 1] as number,
    digest: digestRun(series, run),
    numeric: numericStats(run),
  };
  const writer = new ByteWriter(128 + numbers.bytes);
  writer.u32(magic);
  writer.u8(version);
  writeHeader(writer, series, { stats, type, times: form }, numbers.shape);
  planTimes(times, count, form).write(writer);
  if (type === mixedTypes) planIntegers(Float64Array.from((run.types as Uint8Array).subarray(0, count))).write(writer);
  numbers.write(writer);
  if (type !== ValueType.Number) {
    planIntegers(ofType(run, type, ValueType.Boolean).map((value) => (value === 0 ? 0 : 1))).write(writer);
    const compact = compactTexts(run);
    writeTexts(writer, compact.texts, ofType(compact, type, ValueType.Text));
  }
  writer.u32(crc32c(writer.view()));
  return writer.finish();
}

/** The numbers of the rows of one type, in order. `common`: the type of all rows, if there is one. */
function ofType(run: SeriesRun, common: number, type: ValueType): Float64Array {
  if (common === type) return run.numbers.subarray(0, run.count);
  if (common !== mixedTypes) return new Float64Array(0);
  return run.numbers.subarray(0, run.count).filter((_, row) => runTypeAt(run, row) === type);
}

/** Columns that chunks are decoded into one after the other, each of `chunkReadingsMax` numbers or more. */
export interface ChunkColumns {
  readonly times: Float64Array;
  readonly numbers: Float64Array;
}

/**
 * Verifies everything and gives the readings. `series`: hash of the series that the chunk was found under. With `columns`, times and
 * numbers of the run may be views of them, until they are used again; what they hold after an error is nothing.
 */
export function decodeChunk(series: SeriesHash, bytes: Uint8Array, columns?: ChunkColumns): Decoded<Chunk> {
  const found = versionOf(bytes);
  if (!found.ok) return found;
  if (found.value === 1) return decodeChunkV1(series, bytes);
  const end = bytes.length - checksumBytes;
  const reader = new ByteReader(bytes, headerOffset, end);
  const header = readHeader(reader, series, chunkReadingsMax);
  if (reader.problem !== undefined) return reader.problem;
  const source = new ColumnSource(bytes, reader.offset, end);
  return source.reader.finish({ stats: header.stats, run: readColumns(source, header, columns) });
}

/** What the chunk says of itself, its checksum and series verified but its columns not decoded. */
export function decodeChunkStats(series: SeriesHash, bytes: Uint8Array): Decoded<ChunkStats> {
  const found = versionOf(bytes);
  if (!found.ok) return found;
  if (found.value === 1) return decodeChunkStatsV1(series, bytes);
  const reader = new ByteReader(bytes, headerOffset, bytes.length - checksumBytes);
  const header = readHeader(reader, series, chunkReadingsMax);
  return reader.problem ?? success(header.stats);
}

/** The version of a chunk that is whole. */
function versionOf(bytes: Uint8Array): Decoded<1 | 2> {
  const end = bytes.length - checksumBytes;
  if (end < headerOffset) return decodeError("truncated", `a chunk of ${bytes.length} bytes is shorter than its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) return decodeError("damaged", "this is no chunk: its first bytes are not FBCH");
  if (view.getUint32(end, true) !== crc32c(bytes, 0, 0, end)) return decodeError("damaged", "a chunk's checksum does not fit");
  const found = view.getUint8(versionOffset);
  if (found === 1 || found === version) return success(found);
  return decodeError("unsupported-version", `chunk format ${found}; this version reads 1 and ${version}`);
}

function commonType(run: SeriesRun): number {
  const type = runTypeAt(run, 0);
  for (let i = 1; i < run.count; i++) if (runTypeAt(run, i) !== type) return mixedTypes;
  return type;
}

/** The run of what is damaged is made of zeros: the problem is the reader's. */
function readColumns(source: ColumnSource, header: ChunkHeader, into: ChunkColumns | undefined): SeriesRun {
  const { stats, type, stride } = header;
  const { count, minTimeUs, maxTimeUs } = stats;
  const times = into?.times.subarray(0, count) ?? new Float64Array(count);
  readTimes(source, times, header.times, { first: minTimeUs, last: maxTimeUs });
  const regular = stride === undefined ? {} : { stride };
  if (type === ValueType.Number) {
    const numbers = into?.numbers.subarray(0, count) ?? new Float64Array(count);
    readNumbers(source, numbers);
    return { count, times, types: undefined, numbers, texts: [], ...regular };
  }
  const types = type === mixedTypes ? readTypes(source, count) : new Uint8Array(count).fill(type);
  const columns = [ValueType.Number, ValueType.Boolean, ValueType.Text].map((each) => new Float64Array(countOf(types, each)));
  const [numbers, booleans, indexes] = columns as [Float64Array, Float64Array, Float64Array];
  readNumbers(source, numbers);
  readIntegers(source, booleans);
  if (!allWhole(booleans, 0, 1)) source.reader.fail("damaged", "a boolean is neither 0 nor 1");
  const texts = readTexts(source, indexes);
  return { count, times, types, numbers: interleaved(types, numbers, booleans, indexes), texts, ...regular };
}

function readTypes(source: ColumnSource, count: number): Uint8Array {
  const types = new Float64Array(count);
  readIntegers(source, types);
  if (!allWhole(types, ValueType.Boolean, ValueType.Text)) source.reader.fail("damaged", "a value of a chunk has no known type");
  return Uint8Array.from(types);
}

function countOf(types: Uint8Array, type: ValueType): number {
  let count = 0;
  for (const each of types) if (each === type) count++;
  return count;
}

function interleaved(types: Uint8Array, numbers: Float64Array, booleans: Float64Array, indexes: Float64Array): Float64Array {
  if (numbers.length === types.length) return numbers;
  if (booleans.length === types.length) return booleans;
  if (indexes.length === types.length) return indexes;
  const all = new Float64Array(types.length);
  let number = 0;
  let boolean = 0;
  let text = 0;
  for (let row = 0; row < types.length; row++) {
    const type = types[row];
    if (type === ValueType.Number) all[row] = numbers[number++] as number;
    else if (type === ValueType.Boolean) all[row] = booleans[boolean++] as number;
    else all[row] = indexes[text++] as number;
  }
  return all;
}
