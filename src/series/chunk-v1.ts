/**
 * Chunks of version 1, which are read and no longer written: columns as they are, but for the times. `chunk.ts` has verified the first
 * bytes and the checksum.
 *
 * Little-endian, offsets in bytes:
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

import { ByteReader, type Decoded, decodeError } from "../lib/byte-reader.ts";
import { copyBytes } from "../lib/bytes.ts";
import { success } from "../lib/errors.ts";
import { ValueType } from "../lib/reading.ts";
import type { Chunk, ChunkStats } from "./chunk-stats.ts";
import type { SeriesHash } from "./digest.ts";
import type { SeriesRun } from "./run.ts";

const readingsMax = 4096;
const headerBytes = 96;
const checksumBytes = 4;
const mixedTypes = 0;
const flagRawTimes = 1;

/** Verifies everything and gives the readings. `series`: hash of the series that the chunk was found under. */
export function decodeChunkV1(series: SeriesHash, bytes: Uint8Array): Decoded<Chunk> {
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
export function decodeChunkStatsV1(series: SeriesHash, bytes: Uint8Array): Decoded<ChunkStats> {
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
  if (view.getUint32(16, true) !== series.low || view.getUint32(20, true) !== series.high) {
    return decodeError("damaged", "a chunk belongs to another series");
  }
  const type = view.getUint8(5);
  const flags = view.getUint8(6);
  const count = view.getUint32(8, true);
  const numericCount = view.getUint32(48, true);
  const minTimeUs = view.getFloat64(32, true);
  const maxTimeUs = view.getFloat64(40, true);
  const sizes = count >= 1 && count <= readingsMax && numericCount <= count && view.getUint32(52, true) === bytes.length;
  const times = Number.isSafeInteger(minTimeUs) && Number.isSafeInteger(maxTimeUs) && minTimeUs <= maxTimeUs;
  if (!sizes || !times || type > ValueType.Text || flags > flagRawTimes)
    return decodeError("damaged", "a chunk's header contradicts itself");
  const stat = (index: number) => view.getFloat64(56 + index * 8, true);
  const numeric = { count: numericCount, min: stat(0), max: stat(1), sum: stat(2), first: stat(3), last: stat(4) };
  const digest = { count, low: view.getUint32(24, true), high: view.getUint32(28, true) };
  const stats = { count, minTimeUs, maxTimeUs, digest, numeric: numericCount === 0 ? undefined : numeric };
  return success({ stats, type, rawTimes: flags === flagRawTimes });
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
