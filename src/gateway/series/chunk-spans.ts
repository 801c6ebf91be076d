/** Chunks of one series on the time line: which of them overlap, and where a run is cut so that it joins none of them. */

import { chunkReadingsMax } from "../../series/chunk.ts";
import { lowerBound, type SeriesRun, sliceRows } from "../../series/run.ts";
import type { ChunkRef } from "./store-keys.ts";

/** Chunks that overlap, directly or by way of others. */
export interface ChunkSpan {
  readonly refs: ChunkRef[];
  readonly minUs: number;
  maxUs: number;
  readings: number;
}

/** `refs`: ascending by their first time. The spans are disjoint and ascend. */
export function spansOf(refs: readonly ChunkRef[]): ChunkSpan[] {
  const spans: ChunkSpan[] = [];
  let last: ChunkSpan | undefined;
  for (const ref of refs) {
    if (last !== undefined && ref.minUs <= last.maxUs) {
      last.refs.push(ref);
      last.readings += ref.count;
      last.maxUs = Math.max(last.maxUs, ref.maxUs);
    } else {
      last = { refs: [ref], minUs: ref.minUs, maxUs: ref.maxUs, readings: ref.count };
      spans.push(last);
    }
  }
  return spans;
}

/**
 * Cuts a sorted run at the boundaries of spans, so that a piece overlaps one of them at most: a late batch then joins each
 * chunk by itself, and not all of them to one.
 */
export function cutAtSpans(run: SeriesRun, spans: readonly ChunkSpan[]): SeriesRun[] {
  const pieces: SeriesRun[] = [];
  let from = 0;
  const cut = (to: number): void => {
    if (to > from) pieces.push(sliceRows(run, from, to));
    from = to;
  };
  for (const { minUs, maxUs } of spans) {
    if (from === run.count) break;
    cut(Math.max(from, lowerBound(run, minUs)));
    // Times are whole microseconds.
    cut(Math.max(from, lowerBound(run, maxUs + 1)));
  }
  cut(run.count);
  return pieces;
}

/** Pieces of nearly equal length that each fit into a chunk. */
export function cutToChunks(run: SeriesRun): SeriesRun[] {
  const parts = Math.ceil(run.count / chunkReadingsMax);
  const pieces: SeriesRun[] = [];
  for (let part = 0; part < parts; part++)
    pieces.push(sliceRows(run, Math.floor((run.count * part) / parts), Math.floor((run.count * (part + 1)) / parts)));
  return pieces;
}

/** Full chunks first, and the rest as one: what grows at its end is not cut into halves. */
export function cutFullChunks(run: SeriesRun): SeriesRun[] {
  const pieces: SeriesRun[] = [];
  for (let from = 0; from < run.count; from += chunkReadingsMax)
    pieces.push(sliceRows(run, from, Math.min(from + chunkReadingsMax, run.count)));
  return pieces;
}
