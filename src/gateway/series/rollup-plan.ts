/**
 * Which chunks of a series their rollups may answer for: those that share their time with no other chunk and no head. So a
 * late reading takes a rollup out of use by lying inside its chunk's time, until both are one chunk.
 */

import type { Rollup } from "../../series/rollup.ts";
import { lowerBound, type SeriesRun } from "../../series/run.ts";
import { chunksBetween, type Series } from "./series-index.ts";
import type { ChunkRef } from "./store-keys.ts";

export interface UsRange {
  readonly fromUs: number;
  /** Exclusive. */
  readonly toUs: number;
}

/** A stretch of a series' time. `alone`: all readings in it are those of this chunk; `strip`: or those that this has rows of. */
export interface Stretch extends UsRange {
  readonly alone: ChunkRef | undefined;
  readonly strip?: Rollup;
}

/**
 * Stretches in ascending order: everything in the range that the series has at the moment of the call is in exactly one,
 * and between them there is nothing. `mayServe`: whether a chunk can have a rollup that is of use.
 */
export function planRollups(series: Series, { fromUs, toUs }: UsRange, mayServe: (chunk: ChunkRef) => boolean): Stretch[] {
  const heads = headsOf(series);
  const refs = chunksBetween(series, fromUs, toUs);
  const stretches: Stretch[] = [];
  const leave = (begin: number, end: number): void => {
    if (begin >= end) return;
    const last = stretches.at(-1);
    if (last === undefined || last.alone !== undefined) stretches.push({ fromUs: begin, toUs: end, alone: undefined });
    else stretches[stretches.length - 1] = { fromUs: last.fromUs, toUs: end, alone: undefined };
  };
  let coveredUs = fromUs;
  for (let at = 0; at < refs.length; ) {
    const first = refs[at] as ChunkRef;
    let lastUs = first.maxUs;
    let next = at + 1;
    for (; next < refs.length && (refs[next] as ChunkRef).minUs <= lastUs; next++)
      lastUs = Math.max(lastUs, (refs[next] as ChunkRef).maxUs);
    const beginUs = Math.max(first.minUs, fromUs);
    const endUs = Math.min(lastUs + 1, toUs);
    if (anyBetween(heads, coveredUs, beginUs)) leave(coveredUs, beginUs);
    const isAlone = next === at + 1 && mayServe(first) && !anyBetween(heads, first.minUs, first.maxUs + 1);
    if (isAlone) stretches.push({ fromUs: beginUs, toUs: endUs, alone: first });
    else leave(beginUs, endUs);
    coveredUs = endUs;
    at = next;
  }
  if (anyBetween(heads, coveredUs, toUs)) leave(coveredUs, toUs);
  return stretches;
}

/**
 * The same where a strip has everything of the range that chunks have, whose rows each are of one window; `undefined` where heads hold
 * something among it. `mayServe` as above: of chunks whose rows the range cuts, there may be finer ones.
 */
export function planStrip(series: Series, { fromUs, toUs }: UsRange, strip: Rollup): Stretch[] | undefined {
  const { times, count } = strip.rows.ends;
  const heads = headsOf(series);
  let beginUs = Math.max(times[0] as number, fromUs);
  let endUs = Math.min((times[count - 1] as number) + 1, toUs);
  if (anyBetween(heads, beginUs, endUs)) return undefined;
  const stretches: Stretch[] = [];
  if (anyBetween(heads, fromUs, Math.min(beginUs, toUs))) stretches.push({ fromUs, toUs: Math.min(beginUs, toUs), alone: undefined });
  const behind: Stretch[] = anyBetween(heads, Math.max(endUs, fromUs), toUs)
    ? [{ fromUs: Math.max(endUs, fromUs), toUs, alone: undefined }]
    : [];
  const first = isCutAt(strip, beginUs) ? chunksBetween(series, beginUs, beginUs + 1)[0] : undefined;
  if (first !== undefined && beginUs < endUs) {
    const cutUs = Math.min(first.maxUs + 1, endUs);
    stretches.push({ fromUs: beginUs, toUs: cutUs, alone: first });
    beginUs = cutUs;
  }
  const last = beginUs < endUs && isCutAt(strip, endUs) ? chunksBetween(series, endUs, endUs + 1)[0] : undefined;
  if (last !== undefined) {
    endUs = Math.max(last.minUs, beginUs);
    behind.unshift({ fromUs: endUs, toUs: Math.min(last.maxUs + 1, toUs), alone: last });
  }
  if (beginUs < endUs) stretches.push({ fromUs: beginUs, toUs: endUs, alone: undefined, strip });
  return [...stretches, ...behind];
}

/** Whether a row of the strip has readings on both sides of this instant. */
function isCutAt({ rows }: Rollup, us: number): boolean {
  const row = rows.firstEndingFrom(us);
  return row < rows.count && (rows.ends.times[row * 2] as number) < us;
}

/** What heads hold: mostly they hold nothing, or what is behind all chunks. */
function headsOf({ head, sealing }: Series): readonly SeriesRun[] {
  const runs: SeriesRun[] = [];
  for (const each of [head, sealing]) if (each !== undefined && each.count > 0) runs.push(each.sortedUnique().run);
  return runs;
}

function anyBetween(heads: readonly SeriesRun[], fromUs: number, toUs: number): boolean {
  for (const head of heads) {
    if ((head.times[head.count - 1] as number) < fromUs || (head.times[0] as number) >= toUs) continue;
    const row = lowerBound(head, fromUs);
    if ((head.times[row] as number) < toUs) return true;
  }
  return false;
}
