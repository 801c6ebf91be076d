/**
 * Which chunks of a series are merged next. Neighbours: as soon as they fill a chunk, or when `fanIn` of them come together
 * that lift each other to the next size, so that a reading is rewritten about twice before it is in a full chunk. Chunks that
 * overlap: when the rewriting pays. Once a series has been quiet for a while, what is left of either.
 */

import { chunkReadingsMax } from "../../series/chunk.ts";
import { type ChunkSpan, spansOf } from "./chunk-spans.ts";
import type { ChunkRef } from "./store-keys.ts";

export interface CompactionPlan {
  /** At least two, ascending by their first time. */
  readonly refs: readonly ChunkRef[];
  /** Other chunks that these overlap begin here: what is made is cut there. Infinity: there are none. */
  readonly boundaryUs: number;
}

export interface CompactionLimits {
  /** Readings merged at once, but never fewer than two chunks. */
  readonly readingsMax: number;
  /** Neighbours of one size that are merged to the next. */
  readonly fanIn: number;
}

/** *quiet*: nothing has come for a while. *all*: as small as it gets, whatever it costs. */
export type CompactionUrge = "usual" | "quiet" | "all";

/** Three quarters: from there on a chunk counts as full. */
export const fullReadings = (chunkReadingsMax * 3) / 4;
/** Readings from which a chunk is of the next size. */
const sizes = [16, 256] as const;
/** Overlapping chunks are merged when there are so many, or when one in four readings would be of the smaller ones. */
const layersMax = 8;
const overlayShare = 1 / 4;

/** `refs`: all chunks of a series, ascending by their first time. */
export function planCompaction(refs: readonly ChunkRef[], limits: CompactionLimits, urge: CompactionUrge): CompactionPlan | undefined {
  if (refs.length < 2) return undefined;
  let neighbours: ChunkSpan[] = [];
  for (const span of spansOf(refs)) {
    const damaged = span.refs.some((ref) => ref.state === "damaged");
    if (!damaged && overlapIsDue(span, urge)) return overlapPlan(span, limits);
    if (!damaged && span.readings < fullReadings) {
      neighbours.push(span);
      continue;
    }
    const plan = neighbourPlan(neighbours, limits, urge);
    if (plan !== undefined) return plan;
    neighbours = [];
  }
  return neighbourPlan(neighbours, limits, urge);
}

function overlapIsDue({ refs, readings }: ChunkSpan, urge: CompactionUrge): boolean {
  if (refs.length < 2) return false;
  if (urge !== "usual" || refs.length >= layersMax) return true;
  // Small ones grow together with their neighbours.
  if (readings < fullReadings) return false;
  const largest = Math.max(...refs.map((ref) => ref.count));
  return readings - largest >= largest * overlayShare;
}

/** From the front on, as many as fit: what lies before the others' first time is disjoint from then on. */
function overlapPlan({ refs }: ChunkSpan, { readingsMax }: CompactionLimits): CompactionPlan {
  let readings = 0;
  let end = 0;
  while (end < refs.length && (end < 2 || readings + (refs[end] as ChunkRef).count <= readingsMax))
    readings += (refs[end++] as ChunkRef).count;
  return { refs: refs.slice(0, end), boundaryUs: refs[end]?.minUs ?? Number.POSITIVE_INFINITY };
}

/** `spans`: small ones with nothing between them. */
function neighbourPlan(spans: readonly ChunkSpan[], { fanIn }: CompactionLimits, urge: CompactionUrge): CompactionPlan | undefined {
  for (let from = 0; from < spans.length - 1; from++) {
    const found = packed(spans, from);
    if (found.readings >= fullReadings) return planOf(found.spans);
  }
  for (const size of sizes) {
    for (const group of groupsBelow(spans, size)) {
      const found = packed(group, 0);
      if (found.spans.length >= fanIn && found.readings >= size) return planOf(found.spans);
    }
  }
  return urge === "usual" ? undefined : lastPlan(spans, urge);
}

/** Nothing more is to be expected. A large one is rewritten only for the sake of half as many others. */
function lastPlan(spans: readonly ChunkSpan[], urge: CompactionUrge): CompactionPlan | undefined {
  for (let from = 0; from < spans.length - 1; from++) {
    const found = packed(spans, from);
    if (found.spans.length < 2) continue;
    const largest = Math.max(...found.spans.map((span) => span.readings));
    if (urge === "all" || found.readings - largest >= largest / 2) return planOf(found.spans);
  }
  return undefined;
}

/** Spans from `from` on that fit into one chunk together. */
function packed(spans: readonly ChunkSpan[], from: number): { readonly spans: ChunkSpan[]; readonly readings: number } {
  let readings = 0;
  let end = from;
  while (end < spans.length && readings + (spans[end] as ChunkSpan).readings <= chunkReadingsMax)
    readings += (spans[end++] as ChunkSpan).readings;
  return { spans: spans.slice(from, end), readings: end - from < 2 ? 0 : readings };
}

function* groupsBelow(spans: readonly ChunkSpan[], readings: number): Iterable<ChunkSpan[]> {
  let group: ChunkSpan[] = [];
  for (const span of spans) {
    if (span.readings < readings) {
      group.push(span);
    } else {
      yield group;
      group = [];
    }
  }
  yield group;
}

function planOf(spans: readonly ChunkSpan[]): CompactionPlan {
  return { refs: spans.flatMap((span) => span.refs), boundaryUs: Number.POSITIVE_INFINITY };
}
