/**
 * Which chunks of a series their rollups may answer for: those that share their time with no other chunk and no head. So a
 * late reading takes a rollup out of use by lying inside its chunk's time, until both are one chunk.
 */

import { lowerBound, type SeriesRun } from "../../series/run.ts";
import type { Series } from "./series-index.ts";
import type { ChunkRef } from "./store-keys.ts";

export interface UsRange {
  readonly fromUs: number;
  /** Exclusive. */
  readonly toUs: number;
}

/** A stretch of a series' time. `alone`: all readings in it are those of this chunk. */
export interface Stretch extends UsRange {
  readonly alone: ChunkRef | undefined;
}

/**
 * Stretches in ascending order: everything in the range that the series has at the moment of the call is in exactly one,
 * and between them there is nothing. `mayServe`: whether a chunk can have a rollup that is of use.
 */
export function planRollups(series: Series, { fromUs, toUs }: UsRange, mayServe: (chunk: ChunkRef) => boolean): Stretch[] {
  const heads = (series.sealing === undefined ? [series.head] : [series.head, series.sealing]).map((head) => head.sortedUnique().run);
  const refs = series.chunks.filter((ref) => ref.maxUs >= fromUs && ref.minUs < toUs).sort((a, b) => a.minUs - b.minUs);
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

function anyBetween(heads: readonly SeriesRun[], fromUs: number, toUs: number): boolean {
  return heads.some((head) => {
    const row = lowerBound(head, fromUs);
    return row < head.count && (head.times[row] as number) < toUs;
  });
}
