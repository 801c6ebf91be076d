/**
 * A round on disk and on the wire: one log record, one message to each owner, the same bytes everywhere. `decodeRound`
 * takes bytes that may be anything and gives columns that are valid in every respect, or an error; it never throws.
 * There is no checksum in it: the log record and the mesh link each have their own.
 *
 * Version 2 is for sites of feature level 3 (`compact-round.ts`). Version 1, little-endian, offsets in bytes:
 *
 *      0  "FBRD"                      24  f64 round number
 *      4  u8  version (1)             32  f64 ring epoch
 *      5  u8  flags: 1 clock was synchronised, 2 all values are numbers
 *      6  u16 length of the coordinator's id        40  u32 bytes of the string section
 *      8  u32 length of the whole     44  u16 length of the session id
 *     12  u32 readings (n)            46  u16 reserved, 0
 *     16  u32 series (s)              48  f64 times[n], µs
 *     20  u32 texts (t)                   f64 numbers[n] (a number, 0 or 1, or an index into the texts)
 *                                         u32 series[n], index into the series table
 *     then  s × (u16 length of device id, u16 length of metric), t × u32 length of text, u8 types[n] unless flag 2,
 *     and the string section: coordinator, session, device and metric of each series, texts, as one run of UTF-8.
 *
 * Lengths of strings count UTF-16 units, so that the whole section is decoded at once and then cut.
 */

import { assert } from "../../lib/assert.ts";
import { type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { success } from "../../lib/errors.ts";
import { deviceId, type GatewayId, gatewayId, type SessionId, sessionId } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import { decodeCompact } from "./compact-decoder.ts";
import { encodeCompact } from "./compact-encoder.ts";
import { compactVersion } from "./compact-round.ts";
import {
  columnProblem,
  type DecodedRound,
  decodeUtf8,
  flagAllNumbers,
  flagClockSynchronised,
  magic,
  type RoundHeader,
  type RoundScratch,
  roundReadingsMax,
  splitsPair,
} from "./round-format.ts";

/** Never another meaning for a number. */
export type RoundVersion = 1 | 2;

const magicBytes = 4;
const plainVersion = 1;
const headerBytes = 48;
const nameUnitsMax = 0xffff;

const encoder = new TextEncoder();

/** The version that a site of this feature level writes and sends. */
export function roundVersionAt(featureLevel: number): RoundVersion {
  return featureLevel >= 3 ? 2 : 1;
}

/** What to encode, and how; `allNumbers` leaves the types out. The columns are trusted (`RoundBuilder` makes them). */
export interface RoundToEncode {
  readonly header: RoundHeader;
  readonly columns: ReadingColumns;
  readonly allNumbers: boolean;
  readonly version: RoundVersion;
}

export function encodeRound({ header, columns, allNumbers, version }: RoundToEncode, scratch: RoundScratch): Uint8Array {
  return version === compactVersion
    ? encodeCompact(header, columns, allNumbers, scratch)
    : encodePlain(header, columns, allNumbers, scratch);
}

function encodePlain(header: RoundHeader, columns: ReadingColumns, allNumbers: boolean, scratch: RoundScratch): Uint8Array {
  const { count, seriesTable, texts } = columns;
  const stringBytes = encodeStrings(header, columns, scratch);
  const layout = layoutOf(count, seriesTable.length, texts.length, allNumbers);
  const bytes = new Uint8Array(layout.strings + stringBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint8(4, plainVersion);
  view.setUint8(5, (header.clockSynchronised ? flagClockSynchronised : 0) | (allNumbers ? flagAllNumbers : 0));
  view.setUint16(6, header.coordinator.length, true);
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, count, true);
  view.setUint32(16, seriesTable.length, true);
  view.setUint32(20, texts.length, true);
  view.setFloat64(24, header.round, true);
  view.setFloat64(32, header.epoch, true);
  view.setUint32(40, stringBytes, true);
  view.setUint16(44, header.session.length, true);
  // Bulk copies in the machine's byte order: Node runs on little-endian machines only.
  new Float64Array(bytes.buffer, headerBytes, count).set(columns.times.subarray(0, count));
  new Float64Array(bytes.buffer, layout.numbers, count).set(columns.numbers.subarray(0, count));
  new Uint32Array(bytes.buffer, layout.series, count).set(columns.series.subarray(0, count));
  let offset = layout.names;
  for (const name of seriesTable) {
    assert(name.device.length <= nameUnitsMax && name.metric.length <= nameUnitsMax, "names of a series are bounded by MQTT's topics");
    view.setUint16(offset, name.device.length, true);
    view.setUint16(offset + 2, name.metric.length, true);
    offset += 4;
  }
  for (const text of texts) {
    view.setUint32(offset, text.length, true);
    offset += 4;
  }
  if (!allNumbers) bytes.set(columns.types.subarray(0, count), layout.types);
  bytes.set(scratch.strings.subarray(0, stringBytes), layout.strings);
  return bytes;
}

interface Layout {
  readonly numbers: number;
  readonly series: number;
  readonly names: number;
  readonly types: number;
  readonly strings: number;
}

function layoutOf(count: number, seriesCount: number, textCount: number, allNumbers: boolean): Layout {
  const numbers = headerBytes + count * 8;
  const series = numbers + count * 8;
  const names = series + count * 4;
  const types = names + seriesCount * 4 + textCount * 4;
  return { numbers, series, names, types, strings: types + (allNumbers ? 0 : count) };
}

/** Fills the scratch with the string section and gives its length in bytes. */
function encodeStrings(header: RoundHeader, columns: ReadingColumns, scratch: RoundScratch): number {
  let joined: string = header.coordinator + header.session;
  for (const name of columns.seriesTable) joined += name.device + name.metric;
  for (const text of columns.texts) joined += text;
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (scratch.strings.length < joined.length * 3) scratch.strings = new Uint8Array(joined.length * 4);
  const { read, written } = encoder.encodeInto(joined, scratch.strings);
  assert(read === joined.length, "the scratch holds the whole string section");
  return written;
}

/** What `encodeRound` wrote, or what is wrong with the bytes. The arrays of the result are exactly `count` long. */
export function decodeRound(bytes: Uint8Array, versionMax: RoundVersion = compactVersion): Decoded<DecodedRound> {
  if (bytes.length < magicBytes + 2) return decodeError("truncated", `a round of ${bytes.length} bytes is shorter than its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) return decodeError("damaged", "this is no round: its first bytes are not FBRD");
  const version = view.getUint8(magicBytes);
  if (version === plainVersion) return decodePlain(bytes, view);
  if (version === compactVersion && version <= versionMax) return decodeCompact(bytes);
  return decodeError("unsupported-version", `round format ${version}; this version reads up to ${versionMax}`);
}

function decodePlain(bytes: Uint8Array, view: DataView): Decoded<DecodedRound> {
  if (bytes.length < headerBytes) return decodeError("truncated", `a round of ${bytes.length} bytes is shorter than its header`);
  const flags = view.getUint8(5);
  const allNumbers = (flags & flagAllNumbers) !== 0;
  const count = view.getUint32(12, true);
  const seriesCount = view.getUint32(16, true);
  const textCount = view.getUint32(20, true);
  const stringBytes = view.getUint32(40, true);
  const layout = layoutOf(count, seriesCount, textCount, allNumbers);
  if (view.getUint32(8, true) !== bytes.length) {
    return decodeError("truncated", `a round says it has ${view.getUint32(8, true)} bytes and has ${bytes.length}`);
  }
  if (flags > 3 || view.getUint16(46, true) !== 0 || count > roundReadingsMax || layout.strings + stringBytes !== bytes.length) {
    return decodeError("damaged", "a round's header does not fit its length");
  }
  const round = view.getFloat64(24, true);
  const epoch = view.getFloat64(32, true);
  if (!isCounter(round) || !isCounter(epoch)) return decodeError("damaged", `round number ${round} or epoch ${epoch} is no whole number`);
  const strings = decodeStrings(bytes, view, { layout, seriesCount, textCount });
  if (strings === undefined) return decodeError("damaged", "a round's names and texts are not what their lengths say");
  const columns: ReadingColumns = {
    count,
    seriesTable: strings.seriesTable,
    series: uint32Column(bytes, layout.series, count),
    times: float64Column(bytes, headerBytes, count),
    types: allNumbers ? new Uint8Array(count).fill(ValueType.Number) : bytes.subarray(layout.types, layout.strings),
    numbers: float64Column(bytes, layout.numbers, count),
    texts: strings.texts,
  };
  const problem = columnProblem(columns, allNumbers);
  if (problem !== undefined) return decodeError("damaged", problem);
  const { coordinator, session } = strings;
  const clockSynchronised = (flags & flagClockSynchronised) !== 0;
  return success({ header: { coordinator, session, round, epoch, clockSynchronised }, columns });
}

const isCounter = (value: number) => Number.isSafeInteger(value) && value >= 0;

function float64Column(bytes: Uint8Array, offset: number, count: number): Float64Array {
  if ((bytes.byteOffset + offset) % 8 === 0) return new Float64Array(bytes.buffer, bytes.byteOffset + offset, count);
  return new Float64Array(copyBytes(bytes, offset, offset + count * 8).buffer);
}

function uint32Column(bytes: Uint8Array, offset: number, count: number): Uint32Array {
  if ((bytes.byteOffset + offset) % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset + offset, count);
  return new Uint32Array(copyBytes(bytes, offset, offset + count * 4).buffer);
}

interface RoundStrings {
  readonly coordinator: GatewayId;
  readonly session: SessionId;
  readonly seriesTable: SeriesName[];
  readonly texts: string[];
}

function decodeStrings(
  bytes: Uint8Array,
  view: DataView,
  at: { readonly layout: Layout; readonly seriesCount: number; readonly textCount: number },
): RoundStrings | undefined {
  const all = decodeUtf8(bytes.subarray(at.layout.strings));
  if (all === undefined) return undefined;
  const coordinatorEnd = view.getUint16(6, true);
  let end = coordinatorEnd + view.getUint16(44, true);
  if (end > all.length || splitsPair(all, coordinatorEnd) || splitsPair(all, end)) return undefined;
  const coordinator = gatewayId(all.slice(0, coordinatorEnd));
  const session = sessionId(all.slice(coordinatorEnd, end));
  let offset = at.layout.names;
  const seriesTable: SeriesName[] = [];
  for (let i = 0; i < at.seriesCount; i++, offset += 4) {
    const deviceEnd = end + view.getUint16(offset, true);
    const metricEnd = deviceEnd + view.getUint16(offset + 2, true);
    if (metricEnd > all.length || splitsPair(all, deviceEnd) || splitsPair(all, metricEnd)) return undefined;
    seriesTable.push({ device: deviceId(all.slice(end, deviceEnd)), metric: all.slice(deviceEnd, metricEnd) });
    end = metricEnd;
  }
  const texts: string[] = [];
  for (let i = 0; i < at.textCount; i++, offset += 4) {
    const textEnd = end + view.getUint32(offset, true);
    if (textEnd > all.length || splitsPair(all, textEnd)) return undefined;
    texts.push(all.slice(end, textEnd));
    end = textEnd;
  }
  return end === all.length ? { coordinator, session, seriesTable, texts } : undefined;
}
