/**
 * The header of a chunk of version 2, behind its first five bytes. `chunk.ts` tells where it stands.
 *
 *     u8            type of all values, 0 when mixed (2 bits); form of the times (2 bits, `codec/times.ts`); unit of the times, 0 for 1 µs, 1 for
 *                   1 ms, 2 for 1 s (2 bits); 64: not all values are numeric
 *     u32 × 2       hash of the series (low, high)
 *     u32 × 2       content digest (low, high)
 *     varint        readings (n)
 *     signed varint time of the first, in units
 *     varint        n > 1, regular times: from one to the next, in units; steps: from the first to the last; raw: signed, time of the last
 *     varint        numeric values, when flagged
 *     u16           when there are any: the form of min, max, first, last and sum of the numeric values, 2 bits each, and an exponent e above;
 *                   then what each form is followed by: 0 f64; 1 signed varint m, for m / 10^e; 2 signed varints of m, and how many doubles further
 *                   it is; 3 nothing: for max, first and sum the same as min, for last the same as max
 */

import type { ByteReader } from "../lib/byte-reader.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import { ValueType } from "../lib/reading.ts";
import type { ChunkStats, NumericStats } from "./chunk-stats.ts";
import { type DecimalShape, Distances, decimalOf, distanceMax, wholeOf } from "./codec/decimals.ts";
import { signedVarintBytes } from "./codec/plan.ts";
import { TimesForm, timeRangeMax } from "./codec/times.ts";
import type { SeriesHash } from "./digest.ts";

export interface ChunkHeader {
  readonly stats: ChunkStats;
  /** 0 when the values are of more than one. */
  readonly type: number;
  readonly times: TimesForm;
  /** From one reading to the next, when times are regular and there are two. */
  readonly stride: number | undefined;
}

export const mixedTypes = 0;
const timesShift = 2;
const unitShift = 4;
const flagPartlyNumeric = 64;
const units: readonly number[] = [1, 1_000, 1_000_000];

export function writeHeader(
  writer: ByteWriter,
  series: SeriesHash,
  header: Omit<ChunkHeader, "stride">,
  shape: DecimalShape | undefined,
): void {
  const { stats, type, times } = header;
  const { count, digest, minTimeUs, maxTimeUs, numeric } = stats;
  const stride = times === TimesForm.Regular && count > 1 ? (maxTimeUs - minTimeUs) / (count - 1) : maxTimeUs - minTimeUs;
  const whole = (unit: number) => minTimeUs % unit === 0 && (times === TimesForm.Raw ? unit === 1 : stride % unit === 0);
  const unitIndex = units.findLastIndex(whole);
  const unit = units[unitIndex] as number;
  const partly = numeric?.count !== count;
  writer.u8(type | (times << timesShift) | (unitIndex << unitShift) | (partly ? flagPartlyNumeric : 0));
  for (const word of [series.low, series.high, digest.low, digest.high]) writer.u32(word);
  writer.varint(count);
  // No −0, which a varint of 0 is not.
  writer.signedVarint(minTimeUs / unit + 0);
  if (count > 1) {
    if (times === TimesForm.Raw) writer.signedVarint(maxTimeUs);
    else writer.varint(stride / unit);
  }
  if (partly) writer.varint(numeric?.count ?? 0);
  if (numeric !== undefined) writeNumeric(writer, numeric, shape === undefined ? 0 : shape.first + shape.second);
}

const formF64 = 0;
const formDecimal = 1;
const formNearDecimal = 2;
const formSame = 3;
const exponentShift = 10;
const exponentMax = 22;
/** For min, max, first, last, sum: which of them it may be the same as. */
const sameAs: readonly number[] = [-1, 0, 0, 1, 0];

function writeNumeric(writer: ByteWriter, { min, max, first, last, sum }: NumericStats, exponent: number): void {
  const shape: DecimalShape = { first: exponent, second: 0, single: false };
  const values = [min, max, first, last, sum];
  const distances = new Distances();
  const decimals = values.map((value) => {
    const whole = wholeOf(value, shape);
    return { whole, distance: Number.isNaN(whole) ? whole : distances.between(decimalOf(whole, shape), value) };
  });
  const forms = values.map((value, i) => {
    const { whole, distance } = decimals[i] as { whole: number; distance: number };
    if (Object.is(value, values[sameAs[i] as number])) return formSame;
    if (distance === 0) return formDecimal;
    const near = Math.abs(distance) <= distanceMax && signedVarintBytes(whole) + signedVarintBytes(distance) < 8;
    return near ? formNearDecimal : formF64;
  });
  writer.u16(forms.reduce((bits, form, i) => bits | (form << (i * 2)), exponent << exponentShift));
  values.forEach((value, i) => {
    const { whole, distance } = decimals[i] as { whole: number; distance: number };
    if (forms[i] === formF64) writer.f64(value);
    if (forms[i] === formDecimal || forms[i] === formNearDecimal) writer.signedVarint(whole);
    if (forms[i] === formNearDecimal) writer.signedVarint(distance);
  });
}

/** What is wrong is noted in the reader, whose next byte is the first of the columns'. `countMax`: readings a chunk may have. */
export function readHeader(reader: ByteReader, series: SeriesHash, countMax: number): ChunkHeader {
  const head = reader.u8();
  const type = head & 3;
  const times = ((head >> timesShift) & 3) as TimesForm;
  const unit = units[(head >> unitShift) & 3];
  if (head > (flagPartlyNumeric | 0x3f) || unit === undefined || times > TimesForm.Raw)
    reader.fail("damaged", `a chunk's header begins with ${head}`);
  const hash = { low: reader.u32(), high: reader.u32() };
  if (reader.problem === undefined && (hash.low !== series.low || hash.high !== series.high))
    reader.fail("damaged", "a chunk belongs to another series");
  const low = reader.u32();
  const high = reader.u32();
  const count = reader.varintUpTo(countMax, "the number of readings");
  const minTimeUs = reader.signedVarint() * (unit ?? 1);
  let maxTimeUs = minTimeUs;
  let stride: number | undefined;
  if (count > 1) {
    const rest = (times === TimesForm.Raw ? reader.signedVarint() : reader.varint()) * (unit ?? 1);
    if (times === TimesForm.Raw) maxTimeUs = rest;
    else maxTimeUs += times === TimesForm.Regular ? rest * (count - 1) : rest;
    if (times === TimesForm.Regular) stride = rest;
  }
  const ascending = count === 1 || maxTimeUs > minTimeUs;
  const exact =
    Number.isSafeInteger(minTimeUs) &&
    Number.isSafeInteger(maxTimeUs) &&
    (times === TimesForm.Raw || maxTimeUs - minTimeUs <= timeRangeMax);
  if (count === 0 || !ascending || !exact) reader.fail("damaged", `${count} readings of a chunk from ${minTimeUs} to ${maxTimeUs}`);
  const numericCount = (head & flagPartlyNumeric) === 0 ? count : reader.varintUpTo(count, "the number of numeric readings");
  const numeric = numericCount === 0 ? undefined : readNumeric(reader, numericCount);
  if (type !== mixedTypes && type !== ValueType.Number && numericCount !== (type === ValueType.Boolean ? count : 0))
    reader.fail("damaged", `${numericCount} numeric readings of ${count} of type ${type}`);
  return { stats: { count, minTimeUs, maxTimeUs, digest: { count, low, high }, numeric }, type, times, stride };
}

function readNumeric(reader: ByteReader, count: number): NumericStats {
  const bits = reader.u16();
  const exponent = bits >> exponentShift;
  if (exponent > exponentMax) reader.fail("damaged", `statistics of exponent ${exponent}`);
  const shape: DecimalShape = { first: Math.min(exponent, exponentMax), second: 0, single: false };
  const distances = new Distances();
  const values: number[] = [];
  for (let i = 0; i < sameAs.length; i++) {
    const form = (bits >> (i * 2)) & 3;
    if (form === formF64) {
      values.push(reader.f64());
    } else if (form === formSame) {
      values.push(values[sameAs[i] as number] ?? Number.NaN);
    } else {
      const decimal = decimalOf(reader.signedVarint(), shape);
      const distance = form === formNearDecimal ? reader.signedVarint() : 0;
      if (Math.abs(distance) > distanceMax) reader.fail("damaged", "a statistic is too far from its decimal");
      values.push(distance === 0 ? decimal : distances.move(decimal, distance));
    }
  }
  const [min, max, first, last, sum] = values as [number, number, number, number, number];
  if (!(min <= first && first <= max && min <= last && last <= max)) reader.fail("damaged", "statistics of a chunk contradict each other");
  return { count, min, max, sum, first, last };
}
