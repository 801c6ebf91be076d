/**
 * Version 2 of a round's bytes (`round-codec.ts` says what a round is and who reads it): columns of small differences
 * instead of eight bytes each, and names that say only where they part from the name before. What devices send, whole
 * milliseconds and decimal fractions, takes a fraction of version 1; what does not fit that mould is kept bit by bit.
 *
 *     "FBRD" | version u8 (2) | flags u8: 1 clock was synchronised, 2 all values are numbers
 *     varints: round number, ring epoch, readings (n), series (s), texts (t), bytes of the string section,
 *              length of the coordinator's id, of the session id
 *     names    s × two of: u8 (high nibble: units shared with the device, the metric of the series before; low nibble: units
 *              of its own; 15 in either: a varint with 15 less follows, that of the high one first)
 *     texts    t × varint length
 *     types    u8[n], unless flag 2
 *     series   mode u8: 0 row i is of series i modulo s | 1 u8[n] | 2 varint[n]
 *     times    mode u8: 0 f64[n] µs | otherwise bits: 1 always, 2 against the series' time before instead of the row's,
 *              4 whole milliseconds plus a constant remainder (varint µs follows); zig-zag varint[n] of differences
 *     numbers  mode u8: 0 f64[n] | d + 1, d decimals: varint[n], 0: an f64 follows, otherwise zig-zag of the difference
 *              of value × 10^d to the series' one before, plus 1
 *     the string section: coordinator, session, the own part of each device and metric, texts, as one run of UTF-8
 *
 * Differences start from 0; a series' first time is told against the row before it. Lengths of strings count UTF-16 units.
 */

import { assert } from "../../lib/assert.ts";
import { ByteReader, type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { success } from "../../lib/errors.ts";
import { deviceId, gatewayId, sessionId } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import { ColumnWriter } from "./column-writer.ts";
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

export const compactVersion = 2;

const fixedBytes = 6;
/** Names may be said in few bytes and be long: so many UTF-16 units of them are believed. No round that is made comes near. */
const nameUnitsMax = 16 << 20;
const nameLengthMax = 0xffff;
const nibbleMax = 15;
const SeriesMode = { Cyclic: 0, Bytes: 1, Varints: 2 } as const;
const timeDifferences = 1;
const timeBySeries = 2;
const timeMilliseconds = 4;
const decimalsMax = 6;
const powersOfTen = [1, 10, 100, 1e3, 1e4, 1e5, 1e6] as const;
/** Beyond it (the year 2109), or before 1970, the zig-zag of a difference might not be exact. */
const differenceMaxUs = 4.4e15;
/** Differences of two such numbers, and their zig-zag, are exact. */
const wholeMax = 2 ** 50;
const exceptionsTolerated = 8;

const encoder = new TextEncoder();

/** See `encodeRound`. */
export function encodeCompact(header: RoundHeader, columns: ReadingColumns, allNumbers: boolean, scratch: RoundScratch): Uint8Array {
  const { count, seriesTable, texts } = columns;
  // A reading: series 5, time 8, type 1, number 9 at most.
  const out = new ColumnWriter(scratch.columns, 128 + count * 23 + seriesTable.length * 14 + texts.length * 5);
  scratch.columns = out.bytes;
  out.u32(magic);
  out.u8(compactVersion);
  out.u8((header.clockSynchronised ? flagClockSynchronised : 0) | (allNumbers ? flagAllNumbers : 0));
  out.varint(header.round);
  out.varint(header.epoch);
  out.varint(count);
  out.varint(seriesTable.length);
  out.varint(texts.length);
  const names = new ColumnWriter(scratch.names, 16 + seriesTable.length * 14);
  scratch.names = names.bytes;
  let strings: string = header.coordinator + header.session + encodeNames(names, seriesTable);
  for (const text of texts) strings += text;
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (scratch.strings.length < strings.length * 3) scratch.strings = new Uint8Array(strings.length * 4);
  const { read, written } = encoder.encodeInto(strings, scratch.strings);
  assert(read === strings.length, "the scratch holds the whole string section");
  out.varint(written);
  out.varint(header.coordinator.length);
  out.varint(header.session.length);
  out.raw(names.bytes, names.at);
  for (const text of texts) out.varint(text.length);
  if (!allNumbers) out.raw(columns.types, count);
  encodeSeries(out, columns);
  encodeTimes(out, columns, scratch);
  encodeNumbers(out, columns);
  const bytes = new Uint8Array(out.at + written);
  bytes.set(out.bytes.subarray(0, out.at));
  bytes.set(scratch.strings.subarray(0, written), out.at);
  return bytes;
}

/** Writes the lengths, gives the names' own parts. */
function encodeNames(out: ColumnWriter, seriesTable: readonly SeriesName[]): string {
  let strings = "";
  let device = "";
  let metric = "";
  for (const name of seriesTable) {
    assert(name.device.length <= nameLengthMax && name.metric.length <= nameLengthMax, "names of a series are bounded by MQTT's topics");
    const sharedDevice = sharedUnits(device, name.device);
    const sharedMetric = sharedUnits(metric, name.metric);
    putLengths(out, sharedDevice, name.device.length - sharedDevice);
    putLengths(out, sharedMetric, name.metric.length - sharedMetric);
    strings += name.device.slice(sharedDevice) + name.metric.slice(sharedMetric);
    ({ device, metric } = name);
  }
  return strings;
}

/** Never the first half of a surrogate pair alone: what is left must be UTF-8. */
function sharedUnits(before: string, name: string): number {
  const max = Math.min(before.length, name.length);
  let shared = 0;
  while (shared < max && before.charCodeAt(shared) === name.charCodeAt(shared)) shared++;
  return shared > 0 && (name.charCodeAt(shared - 1) & 0xfc00) === 0xd800 ? shared - 1 : shared;
}

function putLengths(out: ColumnWriter, shared: number, own: number): void {
  out.u8((Math.min(shared, nibbleMax) << 4) | Math.min(own, nibbleMax));
  if (shared >= nibbleMax) out.varint(shared - nibbleMax);
  if (own >= nibbleMax) out.varint(own - nibbleMax);
}

function encodeSeries(out: ColumnWriter, { count, series, seriesTable }: ReadingColumns): void {
  const size = seriesTable.length;
  let cyclic = 0;
  while (cyclic < count && series[cyclic] === cyclic % size) cyclic++;
  if (cyclic === count) {
    out.u8(SeriesMode.Cyclic);
    return;
  }
  out.u8(size <= 256 ? SeriesMode.Bytes : SeriesMode.Varints);
  if (size <= 256) for (let i = 0; i < count; i++) out.u8(series[i] as number);
  else for (let i = 0; i < count; i++) out.varint(series[i] as number);
}

function encodeTimes(out: ColumnWriter, columns: ReadingColumns, scratch: RoundScratch): void {
  const { count, times } = columns;
  const remainder = count === 0 ? 0 : positiveModulo(times[0] as number);
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let whole = true;
  for (let i = 0; i < count; i++) {
    const time = times[i] as number;
    if (time < min) min = time;
    if (time > max) max = time;
    whole = whole && (time - remainder) % 1_000 === 0;
  }
  if (max > differenceMaxUs || min < 0) {
    out.u8(0);
    for (let i = 0; i < count; i++) out.f64(times[i] as number);
    return;
  }
  const { byRow, bySeries, seriesPays } = differences(columns, { divisor: whole ? 1_000 : 1, remainder: whole ? remainder : 0 }, scratch);
  out.u8(timeDifferences | (seriesPays ? timeBySeries : 0) | (whole ? timeMilliseconds : 0));
  if (whole) out.varint(remainder);
  const chosen = seriesPays ? bySeries : byRow;
  for (let i = 0; i < count; i++) out.signed(chosen[i] as number);
}

const positiveModulo = (time: number): number => ((time % 1_000) + 1_000) % 1_000;

/** Against the row before and against the series' own time before, and which of them takes fewer bytes. */
function differences(columns: ReadingColumns, unit: { readonly divisor: number; readonly remainder: number }, scratch: RoundScratch) {
  const { count, times, series, seriesTable } = columns;
  if (scratch.byRow.length < count) {
    scratch.byRow = new Float64Array(2 * count);
    scratch.bySeries = new Float64Array(2 * count);
  }
  const { byRow, bySeries } = scratch;
  // Times in such a round are at least 0.
  const last = new Float64Array(seriesTable.length).fill(-1);
  let before = 0;
  let rowCost = 0;
  let seriesCost = 0;
  for (let i = 0; i < count; i++) {
    const time = ((times[i] as number) - unit.remainder) / unit.divisor;
    const at = series[i] as number;
    const own = last[at] as number;
    const toRow = time - before;
    const toOwn = own < 0 ? toRow : time - own;
    rowCost += costOf(toRow);
    seriesCost += costOf(toOwn);
    byRow[i] = toRow;
    bySeries[i] = toOwn;
    last[at] = time;
    before = time;
  }
  return { byRow, bySeries, seriesPays: seriesCost < rowCost };
}

/** A measure of the bytes, not their number. */
function costOf(difference: number): number {
  return difference >= -64 && difference < 64 ? 1 : difference >= -8_192 && difference < 8_192 ? 2 : 4;
}

function encodeNumbers(out: ColumnWriter, { count, numbers, series, seriesTable }: ReadingColumns): void {
  const decimals = decimalsOf(numbers, count);
  if (decimals === undefined) {
    out.u8(0);
    for (let i = 0; i < count; i++) out.f64(numbers[i] as number);
    return;
  }
  out.u8(decimals + 1);
  const power = powersOfTen[decimals] as number;
  const last = new Float64Array(seriesTable.length);
  for (let i = 0; i < count; i++) {
    const number = numbers[i] as number;
    const scaled = Math.round(number * power);
    if (isExact(number, scaled, power)) {
      const at = series[i] as number;
      const difference = scaled - (last[at] as number);
      out.varint((difference >= 0 ? 2 * difference : -2 * difference - 1) + 1);
      last[at] = scaled;
    } else {
      out.u8(0);
      out.f64(number);
    }
  }
}

/** Division rounds correctly: a double that was read from so many decimals is found again, bit by bit. */
function isExact(number: number, scaled: number, power: number): boolean {
  return scaled / power === number && scaled <= wholeMax && scaled >= -wholeMax && (number !== 0 || 1 / number > 0);
}

/** The decimals that most numbers have at most; `undefined` where differences would not pay. */
function decimalsOf(numbers: Float64Array, count: number): number | undefined {
  let decimals = 0;
  let exceptions = 0;
  for (let i = 0; i < count; i++) {
    const number = numbers[i] as number;
    let tried = decimals;
    while (tried <= decimalsMax && !isExact(number, Math.round(number * (powersOfTen[tried] as number)), powersOfTen[tried] as number))
      tried++;
    if (tried <= decimalsMax) decimals = tried;
    else if (++exceptions > exceptionsTolerated && 2 * exceptions > i) return undefined;
  }
  return 2 * exceptions > count ? undefined : decimals;
}

/** See `decodeRound`. The first four bytes and the version were looked at. */
export function decodeCompact(bytes: Uint8Array): Decoded<DecodedRound> {
  const reader = new ByteReader(bytes, fixedBytes);
  const flags = bytes[fixedBytes - 1] as number;
  if (flags > (flagClockSynchronised | flagAllNumbers)) return decodeError("damaged", `a round has flags ${flags}`);
  const allNumbers = (flags & flagAllNumbers) !== 0;
  const round = reader.varint();
  const epoch = reader.varint();
  const count = reader.varint();
  const seriesCount = reader.varint();
  const textCount = reader.varint();
  const stringBytes = reader.varint();
  const coordinatorUnits = reader.varint();
  const sessionUnits = reader.varint();
  // Nothing is allocated for more than the bytes can hold: two bytes a reading and a series, one a text.
  if (count > roundReadingsMax || stringBytes > reader.remaining || 2 * (count + seriesCount) + textCount > reader.remaining - stringBytes)
    return reader.problem ?? decodeError("truncated", "a round has fewer bytes than its counts need");
  const strings = decodeUtf8(bytes.subarray(bytes.length - stringBytes));
  if (strings === undefined) return decodeError("damaged", "a round's names and texts are not UTF-8");
  const columnsReader = new ByteReader(bytes, reader.offset, bytes.length - stringBytes);
  const cutter = new Cutter(strings);
  const coordinator = gatewayId(cutter.next(coordinatorUnits));
  const session = sessionId(cutter.next(sessionUnits));
  const seriesTable = decodeNames(columnsReader, cutter, seriesCount);
  const texts: string[] = [];
  for (let i = 0; i < textCount; i++) texts.push(cutter.next(columnsReader.varint()));
  if (!cutter.isDone()) return columnsReader.problem ?? decodeError("damaged", "a round's names and texts are not what their lengths say");
  const types = allNumbers ? new Uint8Array(count).fill(ValueType.Number) : columnsReader.raw(count);
  const series = decodeSeries(columnsReader, count, seriesCount);
  const times = decodeTimes(columnsReader, series, { count, seriesCount });
  const numbers = decodeNumbers(columnsReader, series, { count, seriesCount });
  const read = columnsReader.finish(undefined);
  if (!read.ok) return read;
  const columns: ReadingColumns = { count, seriesTable, series, times, types, numbers, texts };
  const problem = columnProblem(columns, allNumbers);
  if (problem !== undefined) return decodeError("damaged", problem);
  const clockSynchronised = (flags & flagClockSynchronised) !== 0;
  return success({ header: { coordinator, session, round, epoch, clockSynchronised }, columns });
}

/** Cuts one run of text into pieces, none of which begins or ends within a surrogate pair. */
class Cutter {
  readonly #all: string;
  #at = 0;
  #failed = false;

  constructor(all: string) {
    this.#all = all;
  }

  next(units: number): string {
    const end = this.#at + units;
    if (end > this.#all.length || splitsPair(this.#all, end)) {
      this.#failed = true;
      return "";
    }
    const piece = this.#all.slice(this.#at, end);
    this.#at = end;
    return piece;
  }

  fail(): void {
    this.#failed = true;
  }

  isDone(): boolean {
    return !this.#failed && this.#at === this.#all.length;
  }
}

function decodeNames(reader: ByteReader, cutter: Cutter, seriesCount: number): SeriesName[] {
  const table: SeriesName[] = [];
  let device = "";
  let metric = "";
  let units = 0;
  for (let i = 0; i < seriesCount && units <= nameUnitsMax; i++) {
    device = decodeName(reader, cutter, device);
    metric = decodeName(reader, cutter, metric);
    units += device.length + metric.length;
    table.push({ device: deviceId(device), metric });
  }
  if (units > nameUnitsMax) cutter.fail();
  return table;
}

function decodeName(reader: ByteReader, cutter: Cutter, before: string): string {
  const lengths = reader.u8();
  const shared = lengths >> 4 < nibbleMax ? lengths >> 4 : nibbleMax + reader.varint();
  const own = (lengths & nibbleMax) < nibbleMax ? lengths & nibbleMax : nibbleMax + reader.varint();
  if (shared > before.length || splitsPair(before, shared) || shared + own > nameLengthMax) {
    cutter.fail();
    return "";
  }
  return shared === 0 ? cutter.next(own) : before.slice(0, shared) + cutter.next(own);
}

function decodeSeries(reader: ByteReader, count: number, seriesCount: number): Uint32Array {
  const series = new Uint32Array(count);
  const mode = reader.u8();
  if (mode === SeriesMode.Cyclic) {
    if (seriesCount === 0 && count > 0) reader.fail("damaged", "readings of no series");
    else for (let i = 0; i < count; i++) series[i] = i % seriesCount;
  } else if (mode === SeriesMode.Bytes) {
    series.set(reader.raw(count));
  } else if (mode === SeriesMode.Varints) {
    for (let i = 0; i < count; i++) series[i] = reader.varintUpTo(0xffffffff, "a series");
  } else reader.fail("damaged", `series of mode ${mode}`);
  // Before anything is looked up by it.
  for (let i = 0; i < count; i++) {
    if ((series[i] as number) < seriesCount) continue;
    reader.fail("damaged", `reading ${i} is of series ${series[i]} of ${seriesCount}`);
    series.fill(0);
    break;
  }
  return series;
}

interface Counts {
  readonly count: number;
  readonly seriesCount: number;
}

function decodeTimes(reader: ByteReader, series: Uint32Array, { count, seriesCount }: Counts): Float64Array {
  const mode = reader.u8();
  if (mode === 0) return decodeDoubles(reader, count);
  const times = new Float64Array(count);
  if ((mode & timeDifferences) === 0 || mode > (timeDifferences | timeBySeries | timeMilliseconds)) {
    reader.fail("damaged", `times of mode ${mode}`);
    return times;
  }
  const whole = (mode & timeMilliseconds) !== 0;
  const factor = whole ? 1_000 : 1;
  const remainder = whole ? reader.varintUpTo(999, "a remainder of times") : 0;
  const last = new Float64Array((mode & timeBySeries) === 0 ? 0 : seriesCount).fill(Number.NaN);
  let before = 0;
  for (let i = 0; i < count; i++) {
    const at = series[i] as number;
    const own = last[at];
    before = (own !== undefined && !Number.isNaN(own) ? own : before) + zigZag(reader.varint());
    if (own !== undefined) last[at] = before;
    times[i] = before * factor + remainder;
  }
  return times;
}

function decodeNumbers(reader: ByteReader, series: Uint32Array, { count, seriesCount }: Counts): Float64Array {
  const mode = reader.u8();
  if (mode === 0) return decodeDoubles(reader, count);
  const numbers = new Float64Array(count);
  const power = powersOfTen[mode - 1];
  if (power === undefined) {
    reader.fail("damaged", `numbers of mode ${mode}`);
    return numbers;
  }
  const last = new Float64Array(seriesCount);
  for (let i = 0; i < count; i++) {
    const coded = reader.varint();
    if (coded === 0) {
      numbers[i] = reader.f64();
      continue;
    }
    const at = series[i] as number;
    const scaled = (last[at] as number) + zigZag(coded - 1);
    last[at] = scaled;
    numbers[i] = scaled / power;
  }
  return numbers;
}

function decodeDoubles(reader: ByteReader, count: number): Float64Array {
  const doubles = new Float64Array(count);
  const bytes = reader.raw(8 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 8 * count) for (let i = 0; i < count; i++) doubles[i] = view.getFloat64(8 * i, true);
  return doubles;
}

const zigZag = (coded: number): number => (coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2);
