/**
 * A column of whole numbers, |n| < 2^52, in the form that is shortest; entropy coding only where it saves a seventh, since it is slow to read.
 *
 *     u8  form: 0 … 15 blocks of 2^form numbers, 16 tokens, 17 runs, 18 sparse; columns within a column are blocks or tokens
 *     runs: varint how many; a column of their numbers, and one of their lengths less 1
 *     sparse: signed varint, the usual number; varint how many are others; a column of the distances of their places, the first from −1,
 *             less 1; a column of them
 *
 * A column of no numbers is no bytes.
 */

import { type ColumnSource, type Scale, unscaled } from "./bit-packing.ts";
import { blockLogMax, ordersOf, planBlocks, readBlocks, rescale } from "./integer-blocks.ts";
import { planTokens, readTokens } from "./integer-tokens.ts";
import { type Plan, shortest, signedVarintBytes, varintBytes } from "./plan.ts";

const formTokens = 16;
const formRuns = 17;
const formSparse = 18;
const blockLog = 8;
/** For columns that take hardly more than the heads of their blocks. */
const largeBlockLog = 13;
const largeBlockBits = 3;
/** A slower form has to be shorter by a seventh. */
const slowFactor = 6 / 7;
/** Runs are tried when they have so many numbers on average. */
const runLengthMin = 2;

/** Sparse is tried when at most one in so many is not the usual number. */
const sparseOneIn = 8;

const empty: Plan = { bytes: 0, write: () => undefined };

export function planIntegers(values: Float64Array): Plan {
  return planIn(values, false);
}

function planIn(values: Float64Array, within: boolean): Plan {
  if (values.length === 0) return empty;
  const orders = ordersOf(values);
  const blocks = planBlocks(orders, blockLog);
  const plans: [Plan, ...(Plan | undefined)[]] = [formed(blockLog, blocks)];
  if (values.length > 2 ** blockLog && blocks.bytes * 8 < values.length * largeBlockBits)
    plans.push(formed(largeBlockLog, planBlocks(orders, largeBlockLog)));
  if (!within) plans.push(planRuns(values), planSparse(values));
  const fast = shortest(plans);
  const tokens = planTokens(orders, blocks.used);
  return tokens !== undefined && tokens.bytes < fast.bytes * slowFactor ? formed(formTokens, tokens) : fast;
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

function planRuns(values: Float64Array): Plan | undefined {
  let count = 1;
  for (let i = 1; i < values.length; i++) if (values[i] !== values[i - 1]) count++;
  // A run of its own is what sparse is better at.
  if (count === 1 || count * runLengthMin > values.length) return undefined;
  const numbers = new Float64Array(count);
  const lengths = new Float64Array(count);
  let run = -1;
  for (let i = 0; i < values.length; i++) {
    if (i > 0 && values[i] === values[i - 1]) {
      lengths[run] = (lengths[run] as number) + 1;
    } else {
      numbers[++run] = values[i] as number;
    }
  }
  const plans = [planIn(numbers, true), planIn(lengths, true)] as const;
  return formed(formRuns, {
    bytes: varintBytes(count) + plans[0].bytes + plans[1].bytes,
    write: (writer) => {
      writer.varint(count);
      for (const plan of plans) plan.write(writer);
    },
  });
}

function planSparse(values: Float64Array): Plan | undefined {
  const usual = usualOf(values);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] !== usual) count++;
  if (count * sparseOneIn > values.length) return undefined;
  const steps = new Float64Array(count);
  const others = new Float64Array(count);
  let found = 0;
  let last = -1;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === usual) continue;
    steps[found] = i - last - 1;
    others[found++] = values[i] as number;
    last = i;
  }
  const plans = [planIn(steps, true), planIn(others, true)] as const;
  return formed(formSparse, {
    bytes: signedVarintBytes(usual) + varintBytes(count) + plans[0].bytes + plans[1].bytes,
    write: (writer) => {
      writer.signedVarint(usual);
      writer.varint(count);
      for (const plan of plans) plan.write(writer);
    },
  });
}

/** The number that more than half are, if there is one (Boyer and Moore 1981). */
function usualOf(values: Float64Array): number {
  let usual = 0;
  let lead = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (lead === 0) usual = value;
    lead += value === usual ? 1 : -1;
  }
  return usual;
}

/** Fills `out`, scaled. What damaged bytes give may be no whole number: who uses it looks. */
export function readIntegers(source: ColumnSource, out: Float64Array, scale = unscaled): void {
  const { reader } = source;
  if (out.length === 0) return;
  const form = reader.u8();
  if (form === formRuns) readRuns(source, out);
  else if (form === formSparse) readSparse(source, out);
  else readPlain(source, out, form, scale);
  if (form > formTokens) rescale(out, 0, out.length, scale);
}

function readPlain(source: ColumnSource, out: Float64Array, form: number, scale: Scale): void {
  if (form <= blockLogMax) readBlocks(source, out, form, scale);
  else if (form === formTokens) readTokens(source, out, scale);
  else source.reader.fail("damaged", `a column of whole numbers of form ${form}`);
}

function readRuns(source: ColumnSource, out: Float64Array): void {
  const { reader } = source;
  const count = reader.varintUpTo(out.length, "the number of runs");
  const numbers = new Float64Array(count);
  const lengths = new Float64Array(count);
  for (const column of [numbers, lengths]) readPlain(source, column, reader.u8(), unscaled);
  if (reader.problem !== undefined) return;
  let at = 0;
  for (let run = 0; run < count; run++) {
    const length = lengths[run] as number;
    if (!(length >= 0 && length < out.length - at && Number.isInteger(length)))
      return reader.fail("damaged", `a run of ${length + 1} numbers`);
    out.fill(numbers[run] as number, at, at + length + 1);
    at += length + 1;
  }
  if (at !== out.length) reader.fail("damaged", `runs of ${at} numbers in place of ${out.length}`);
}

function readSparse(source: ColumnSource, out: Float64Array): void {
  const { reader } = source;
  const usual = reader.signedVarint();
  const count = reader.varintUpTo(out.length, "the number of unusual numbers");
  const steps = new Float64Array(count);
  const others = new Float64Array(count);
  for (const column of [steps, others]) if (count > 0) readPlain(source, column, reader.u8(), unscaled);
  if (reader.problem !== undefined) return;
  out.fill(usual);
  let at = -1;
  for (let i = 0; i < count; i++) {
    const step = steps[i] as number;
    if (!(step >= 0 && step < out.length - 1 - at && Number.isInteger(step)))
      return reader.fail("damaged", "a number lies outside its column");
    at += step + 1;
    out[at] = others[i] as number;
  }
}

/** Whether each number of a column is whole and from `least` to `most`: damage behind a fitting checksum may have made any. */
export function allWhole(values: Float64Array, least: number, most: number): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!(value >= least && value <= most) || Math.floor(value) !== value) return false;
  }
  return true;
}
