/**
 * Ascending times. The header knows the first one and what it says of the others: at one distance, they are no bytes at all. Otherwise
 *
 *     steps  varint unit (≥ 1); a column of whole numbers, the steps between neighbours in that unit, whose blocks of order 1 are deltas of deltas
 *     raw    f64 of each but the first and the last, where they are too far apart for exact differences
 */

import type { ByteWriter } from "../../lib/byte-writer.ts";
import type { ColumnSource } from "./bit-packing.ts";
import { integerMax } from "./integer-blocks.ts";
import { planIntegers, readIntegers } from "./integers.ts";
import type { Plan } from "./plan.ts";

/** On disk. Never renumber. */
export const TimesForm = { Regular: 0, Steps: 1, Raw: 2 } as const;
export type TimesForm = (typeof TimesForm)[keyof typeof TimesForm];

/** A step so wide that the sum of many would not be exact. */
export const timeRangeMax = integerMax;

export function timesForm(times: Float64Array, count: number): TimesForm {
  const first = times[0] as number;
  const range = (times[count - 1] as number) - first;
  if (range > timeRangeMax) return TimesForm.Raw;
  const stride = count === 1 ? 0 : range / (count - 1);
  if (!Number.isInteger(stride)) return TimesForm.Steps;
  for (let i = 1; i < count; i++) if (times[i] !== first + i * stride) return TimesForm.Steps;
  return TimesForm.Regular;
}

export function planTimes(times: Float64Array, count: number, form: TimesForm): Plan {
  switch (form) {
    case TimesForm.Regular:
      return { bytes: 0, write: () => undefined };
    case TimesForm.Steps:
      return planSteps(times, count);
    default:
      return { bytes: Math.max(0, count - 2) * 8, write: (writer) => writeRaw(writer, times, count) };
  }
}

function planSteps(times: Float64Array, count: number): Plan {
  const steps = new Float64Array(count - 1);
  let unit = 0;
  for (let i = 0; i < steps.length; i++) {
    const step = (times[i + 1] as number) - (times[i] as number);
    steps[i] = step;
    for (let rest = step; rest !== 0; ) [unit, rest] = [rest, unit % rest];
  }
  if (unit > 1) for (let i = 0; i < steps.length; i++) steps[i] = (steps[i] as number) / unit;
  const plan = planIntegers(steps);
  return {
    bytes: plan.bytes + 4,
    write: (writer) => {
      writer.varint(unit);
      plan.write(writer);
    },
  };
}

function writeRaw(writer: ByteWriter, times: Float64Array, count: number): void {
  for (let i = 1; i < count - 1; i++) writer.f64(times[i] as number);
}

/** Fills `times`, from the first one to the last as the header knows them. */
export function readTimes(
  source: ColumnSource,
  times: Float64Array,
  form: TimesForm,
  ends: { readonly first: number; readonly last: number },
): void {
  const { first, last } = ends;
  const { reader } = source;
  const count = times.length;
  if (form === TimesForm.Steps) return readSteps(source, times, ends);
  if (form === TimesForm.Regular) {
    const stride = count === 1 ? 0 : (last - first) / (count - 1);
    for (let i = 0; i < count; i++) times[i] = first + i * stride;
    return;
  }
  times[0] = first;
  for (let i = 1; i < count - 1; i++) times[i] = reader.f64();
  if (count > 1) times[count - 1] = last;
  for (let i = 1; i < count && reader.problem === undefined; i++) {
    if (!((times[i] as number) > (times[i - 1] as number)) || !Number.isSafeInteger(times[i])) notAscending(source, times, i);
  }
}

function readSteps(source: ColumnSource, times: Float64Array, { first, last }: { readonly first: number; readonly last: number }): void {
  const { reader } = source;
  const unit = reader.varint();
  const steps = times.subarray(1);
  readIntegers(source, steps);
  if (reader.problem !== undefined) return;
  times[0] = first;
  let time = first;
  for (let i = 1; i < times.length; i++) {
    const step = (times[i] as number) * unit;
    // No step is longer than the whole, so no sum is inexact.
    if (!(step >= 1) || step > last - time || Math.floor(step) !== step) return notAscending(source, times, i);
    time += step;
    times[i] = time;
  }
  if (time !== last) reader.fail("damaged", `a chunk ends at ${time} and says ${last}`);
}

function notAscending(source: ColumnSource, times: Float64Array, at: number): void {
  source.reader.fail("damaged", `times of a chunk do not ascend: ${times[at]} after ${times[at - 1]}`);
}
