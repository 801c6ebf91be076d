/**
 * A column of numbers, any doubles, in the form that is shortest. A NaN comes back as the NaN.
 *
 *     u8  form: 0 as they are (f64 each), 1 decimals, 2 split, 3 dictionary
 *     dictionary: varint entries; a column of them, no dictionary; a column of whole numbers, the entry of each number
 *
 * Exceptions of decimals, and entries, are columns of numbers themselves, up to three deep. A column of no numbers is no bytes.
 */

import type { ColumnSource } from "./bit-packing.ts";
import { chooseDecimals, type DecimalShape, planDecimals, readDecimals } from "./decimals.ts";
import { dictionaryOf } from "./dictionary.ts";
import { allWhole, planIntegers, readIntegers } from "./integers.ts";
import { type Plan, shortest, varintBytes } from "./plan.ts";
import { planSplit, readSplit } from "./splits.ts";

const formRaw = 0;
const formDecimals = 1;
const formSplit = 2;
const formDictionary = 3;
const depthMax = 3;
/** A decimal column of so many bits a number leaves nothing for the others to save. */
const decimalBitsGood = 40;
/** Indexes take less than chance would have it where neighbours are alike, but hardly by more. */
const indexFactor = 1.3;
/** Numbers of so many bytes each may be in a dictionary even where they come but twice. */
const repeatedBytes = 3;

export interface NumbersPlan extends Plan {
  /** The shape of decimals that the numbers have, whether or not they are written so. */
  readonly shape: DecimalShape | undefined;
}

export function planNumbers(values: Float64Array): NumbersPlan {
  if (values.length === 0) return { bytes: 0, write: () => undefined, shape: undefined };
  const numbers = canonical(values);
  const shape = chooseDecimals(numbers);
  return { ...planAt(numbers, shape, 0), shape };
}

/** Aligned, and every NaN the same one. */
function canonical(values: Float64Array): Float64Array {
  const numbers = values.slice();
  for (let i = 0; i < numbers.length; i++) if (Number.isNaN(numbers[i])) numbers[i] = Number.NaN;
  return numbers;
}

function planAt(numbers: Float64Array, shape: DecimalShape | undefined, depth: number): Plan {
  const raw = formed(formRaw, {
    bytes: numbers.length * 8,
    write: (writer) => writer.raw(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)),
  });
  const nested = (values: Float64Array) => planAt(values, chooseDecimals(values), depth + 1);
  const decimals = shape !== undefined && depth < depthMax ? formed(formDecimals, planDecimals(numbers, shape, nested)) : undefined;
  const good = decimals !== undefined && decimals.bytes * 8 < numbers.length * decimalBitsGood;
  const split = good ? undefined : formed(formSplit, planSplit(numbers));
  const best = shortest([raw, decimals, split]);
  if (depth > 0 && depth !== 1) return best;
  const entriesMax = Math.ceil(numbers.length / (best.bytes < numbers.length * repeatedBytes ? 4 : 2));
  const dictionary = planDictionary(numbers, { entriesMax, bytesMax: best.bytes }, (values) => planAt(values, shape, 2));
  return shortest([best, dictionary]);
}

function formed(form: number, plan: Plan): Plan {
  return {
    bytes: 1 + plan.bytes,
    write: (writer) => {
      writer.u8(form);
      plan.write(writer);
    },
  };
}

/** `bytesMax`: what another form takes. */
function planDictionary(
  numbers: Float64Array,
  { entriesMax, bytesMax }: { readonly entriesMax: number; readonly bytesMax: number },
  planEntries: (entries: Float64Array) => Plan,
): Plan | undefined {
  const found = dictionaryOf(numbers, entriesMax);
  if (found === undefined) return undefined;
  const { entries, indexes, indexBits } = found;
  if (indexBits > bytesMax * 8 * indexFactor) return undefined;
  const entriesPlan = planEntries(entries);
  if (entriesPlan.bytes >= bytesMax) return undefined;
  const indexesPlan = planIntegers(indexes);
  return formed(formDictionary, {
    bytes: varintBytes(entries.length) + entriesPlan.bytes + indexesPlan.bytes,
    write: (writer) => {
      writer.varint(entries.length);
      entriesPlan.write(writer);
      indexesPlan.write(writer);
    },
  });
}

/** Fills `out`. */
export function readNumbers(source: ColumnSource, out: Float64Array, depth = 0): void {
  const { reader } = source;
  if (out.length === 0) return;
  const form = reader.u8();
  if (form === formRaw) readRaw(source, out);
  else if (form === formDecimals && depth < depthMax) readDecimals(source, out, (exceptions) => readNumbers(source, exceptions, depth + 1));
  else if (form === formSplit) readSplit(source, out);
  else if (form === formDictionary && depth < depthMax) readDictionary(source, out, depth);
  else reader.fail("damaged", `a column of numbers of form ${form}`);
}

function readRaw(source: ColumnSource, out: Float64Array): void {
  const bytes = source.reader.raw(out.length * 8);
  if (bytes.length > 0) new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
}

function readDictionary(source: ColumnSource, out: Float64Array, depth: number): void {
  const { reader } = source;
  const entries = new Float64Array(reader.varintUpTo(out.length, "the number of entries"));
  readNumbers(source, entries, depth + 1);
  readIntegers(source, out);
  if (reader.problem !== undefined) return;
  if (!allWhole(out, 0, entries.length - 1)) return reader.fail("damaged", "a dictionary has no such entry");
  for (let i = 0; i < out.length; i++) out[i] = entries[out[i] as number] as number;
}
