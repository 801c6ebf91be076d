/** Shared by the tests of the series engine: arbitrary readings, the rules of identity spelled out naively, conversions. */
import fc from "fast-check";
import { compareValues, type ReadingValue, ValueType, valueTypeOf } from "../../src/lib/reading.ts";
import { runValueAt, type SeriesRun } from "../../src/series/run.ts";

export type Reading = readonly [timeUs: number, value: ReadingValue];

export const anyValue: fc.Arbitrary<ReadingValue> = fc.oneof(
  { weight: 3, arbitrary: fc.double({ noNaN: true }) },
  { weight: 2, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 1, arbitrary: fc.boolean() },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 4 }) },
);

/** Times from a small range (many identities meet) or from the whole one. */
export const anyTime: fc.Arbitrary<number> = fc.oneof(fc.integer({ min: -20, max: 20 }), fc.maxSafeInteger());

export const anyReadings: fc.Arbitrary<Reading[]> = fc.array(fc.tuple(anyTime, anyValue), { maxLength: 120 });

export const numberReadings: fc.Arbitrary<Reading[]> = fc.array(fc.tuple(anyTime, fc.double({ noNaN: true })), { maxLength: 120 });

/** Identity and conflict rule, the obvious way. */
export function uniqueOf(readings: readonly Reading[]): { readings: Reading[]; conflicts: number } {
  const distinct = new Map<number, ReadingValue[]>();
  for (const [time, value] of readings) {
    const values = distinct.get(time) ?? [];
    if (!values.some((known) => compareValues(known, value) === 0)) values.push(value);
    distinct.set(time, values);
  }
  const times = [...distinct.keys()].sort((a, b) => a - b);
  const unique = times.map((time): Reading => [time, (distinct.get(time) ?? []).reduce((a, b) => (compareValues(a, b) >= 0 ? a : b))]);
  const conflicts = times.reduce((sum, time) => sum + (distinct.get(time) ?? []).length - 1, 0);
  return { readings: unique, conflicts };
}

export function runOf(readings: readonly Reading[]): SeriesRun {
  const texts: string[] = [];
  const allNumbers = readings.every(([, value]) => typeof value === "number");
  return {
    count: readings.length,
    times: Float64Array.from(readings, ([time]) => time),
    types: allNumbers ? undefined : Uint8Array.from(readings, ([, value]) => valueTypeOf(value)),
    numbers: Float64Array.from(readings, ([, value]) =>
      valueTypeOf(value) === ValueType.Text ? texts.push(String(value)) - 1 : Number(value),
    ),
    texts,
  };
}

export function readingsOf(run: SeriesRun): Reading[] {
  return Array.from({ length: run.count }, (_, i): Reading => [run.times[i] as number, runValueAt(run, i)]);
}

/** Same readings, bit for bit: deep equality would take −0 for 0. */
export function sameReadings(a: readonly Reading[], b: readonly Reading[]): boolean {
  return a.length === b.length && a.every(([time, value], i) => time === b[i]?.[0] && Object.is(value, b[i]?.[1]));
}
