/**
 * The horizons as questions carry them: stretches of neighbouring partitions that have the same one, so that an owner
 * that has not heard of the newest yet answers as if it had. What was given up is given up for every answer.
 */

import { partitionCount } from "../../lib/ids.ts";

/** Partitions `first` to `last`, and the instant (µs) below which nothing of them counts. Partitions without one are left out. */
export type HorizonRange = readonly [first: number, last: number, horizonUs: number];

/** The stretches over these partitions, ascending; `undefined` where nothing was given up. */
export function horizonRanges(partitions: Iterable<number>, horizonOf: (partition: number) => number): HorizonRange[] | undefined {
  const ranges: [number, number, number][] = [];
  for (const at of partitions) {
    const horizonUs = horizonOf(at);
    if (!(horizonUs > 0)) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === at - 1 && last[2] === horizonUs) last[1] = at;
    else ranges.push([at, at, horizonUs]);
  }
  return ranges.length === 0 ? undefined : ranges;
}

/** A partition's horizon as of own knowledge and of what a peer says; what is no list of ranges says nothing. */
export function withRanges(own: (partition: number) => number, ...said: readonly unknown[]): (partition: number) => number {
  const ranges = said.flatMap((list) => (Array.isArray(list) ? (list as unknown[]) : [])).filter(isRange);
  if (ranges.length === 0) return own;
  const byPartition = new Float64Array(partitionCount);
  for (const [first, last, horizonUs] of ranges)
    for (let at = first; at <= last; at++) byPartition[at] = Math.max(byPartition[at] as number, horizonUs);
  return (at) => Math.max(own(at), byPartition[at] ?? 0);
}

function isRange(value: unknown): value is HorizonRange {
  if (!Array.isArray(value) || value.length !== 3 || !value.every((item) => Number.isSafeInteger(item))) return false;
  const [first, last, horizonUs] = value as unknown as HorizonRange;
  return first >= 0 && first <= last && last < partitionCount && horizonUs >= 0;
}
