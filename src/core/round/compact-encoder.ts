/** Makes version 2 of a round's bytes (`compact-round.ts`). */

import { assert } from "../../lib/assert.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import { ColumnWriter } from "./column-writer.ts";
import { compactVersion, nameLengthMax, nibbleMax, powersOfTen, SeriesMode, TimeFlag } from "./compact-round.ts";
import { flagAllNumbers, flagClockSynchronised, magic, type RoundHeader, type RoundScratch } from "./round-format.ts";

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
  out.u8(TimeFlag.Differences | (seriesPays ? TimeFlag.BySeries : 0) | (whole ? TimeFlag.Milliseconds : 0));
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
    while (
      tried < powersOfTen.length &&
      !isExact(number, Math.round(number * (powersOfTen[tried] as number)), powersOfTen[tried] as number)
    )
      tried++;
    if (tried < powersOfTen.length) decimals = tried;
    else if (++exceptions > exceptionsTolerated && 2 * exceptions > i) return undefined;
  }
  return 2 * exceptions > count ? undefined : decimals;
}
