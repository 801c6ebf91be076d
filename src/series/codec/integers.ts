/**
 * A column of whole numbers, |n| < 2^52, in the form that is shortest; entropy coding only where it saves a tenth, since it is slow to read.
 *
 *     u8  form: 0 … 15 blocks of 2^form numbers, 16 tokens, 17 runs
 *     runs: varint how many; a column of their numbers, and one of their lengths less 1; neither of them runs
 *
 * A column of no numbers is no bytes.
 */

import { type ColumnSource, type Scale, unscaled } from "./bit-packing.ts";
import { blockLogMax, ordersOf, planBlocks, readBlocks, rescale } from "./integer-blocks.ts";
import { planTokens, readTokens } from "./integer-tokens.ts";
import { type Plan, shortest, varintBytes } from "./plan.ts";

const formTokens = 16;
const formRuns = 17;
const blockLogs = [8, 13] as const;
/** Slower forms have to be shorter by a tenth. */
const slowFactor = 0.9;
/** Runs are tried when they have so many numbers on average. */
const runLengthMin = 2;

const empty: Plan = { bytes: 0, write: () => undefined };

export function planIntegers(values: Float64Array, inRuns = false): Plan {
  if (values.length === 0) return empty;
  const orders = ordersOf(values);
  let used: readonly number[] = [];
  let blocks: Plan | undefined;
  for (const blockLog of blockLogs) {
    const plan = planBlocks(orders, blockLog);
    if (blocks === undefined || plan.bytes + 1 < blocks.bytes) {
      blocks = formed(blockLog, plan);
      used = plan.used;
    }
    if (2 ** blockLog >= values.length) break;
  }
  const fast = shortest([blocks as Plan, inRuns ? undefined : planRuns(values)]);
  const tokens = planTokens(orders, used);
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
  if (count * runLengthMin > values.length) return undefined;
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
  const plans = [planIntegers(numbers, true), planIntegers(lengths, true)] as const;
  return formed(formRuns, {
    bytes: varintBytes(count) + plans[0].bytes + plans[1].bytes,
    write: (writer) => {
      writer.varint(count);
      for (const plan of plans) plan.write(writer);
    },
  });
}

/** Fills `out`, scaled. What damaged bytes give may be no whole number: who uses it looks. */
export function readIntegers(source: ColumnSource, out: Float64Array, scale = unscaled): void {
  const { reader } = source;
  if (out.length === 0) return;
  const form = reader.u8();
  if (form === formRuns) readRuns(source, out);
  else readPlain(source, out, form, scale);
  if (form > blockLogMax) rescale(out, 0, out.length, scale);
}

function readPlain(source: ColumnSource, out: Float64Array, form: number, scale: Scale): void {
  if (form <= blockLogMax) readBlocks(source, out, form, scale);
  else if (form === formTokens) readTokens(source, out);
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

/** Whether each number of a column is whole and from `least` to `most`: damage behind a fitting checksum may have made any. */
export function allWhole(values: Float64Array, least: number, most: number): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!(value >= least && value <= most) || Math.floor(value) !== value) return false;
  }
  return true;
}
