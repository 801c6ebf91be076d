/**
 * Retention horizons: for each partition the instants below which raw readings, and rollups, are given up. They only grow,
 * whoever asks for what: reads, ingest and repair ignore what is below, so that nothing dropped comes back. When a horizon
 * moves is a decision of those who propose it; applying reads no clock.
 */

import { partitionCount } from "../../lib/ids.ts";
import type { RetentionAdvanceCommand, RetentionLevel } from "./commands.ts";
import { bytes, type Check, count, oneOf, tuple } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

/** One bit for each partition, lowest first. */
const bitmapBytes = partitionCount / 8;

/** Shape of a set of partitions. */
export const partitionBits: Check = (value) => bytes(value) && (value as Uint8Array).length === bitmapBytes;
/** Shape of a level. */
export const retentionLevel: Check = oneOf("raw", "rollup");

type Item = readonly [level: RetentionLevel, horizonUs: number, partitions: Uint8Array];
type Totals = readonly [unprocessedWindows: number];

const isItem = tuple(retentionLevel, count, partitionBits);
const isTotals = tuple(count);
const levels: readonly RetentionLevel[] = ["raw", "rollup"];

export class RetentionHorizons {
  readonly #horizons: Readonly<Record<RetentionLevel, Float64Array>> = {
    raw: new Float64Array(partitionCount),
    rollup: new Float64Array(partitionCount),
  };
  #unprocessedWindows = 0;

  /** Below it nothing of the partition counts any more; 0 where nothing was given up yet. */
  horizonUs(level: RetentionLevel, partition: number): number {
    return this.#horizons[level][partition] ?? 0;
  }

  /** By partition; changes in place with the next command. */
  all(level: RetentionLevel): Float64Array {
    return this.#horizons[level];
  }

  /** Windows of jobs with sinks whose readings were given up before they were committed. */
  unprocessedWindows(): number {
    return this.#unprocessedWindows;
  }

  /** True when a horizon moved. */
  advance(command: RetentionAdvanceCommand): boolean {
    const horizons = this.#horizons[command.level];
    let moved = false;
    for (let at = 0; at < partitionCount; at++) {
      if (!hasPartition(command.partitions, at) || (horizons[at] as number) >= command.horizonUs) continue;
      horizons[at] = command.horizonUs;
      moved = true;
    }
    // Two that ask for the same count it once.
    if (moved) this.#unprocessedWindows += command.unprocessedWindows;
    return moved;
  }

  /** Nothing as long as nothing was given up: an older version would refuse a section that it does not know. */
  capture(): Part[] {
    const items = levels.flatMap((level) => itemsOf(level, this.#horizons[level]));
    if (items.length === 0) return [];
    const totals: Totals = [this.#unprocessedWindows];
    return [
      { section: Section.Retention, size: 1, item: () => totals },
      { section: Section.Horizon, size: items.length, item: (at) => items[at] as Item },
    ];
  }

  restoreTotals(item: unknown): boolean {
    if (!isTotals(item)) return false;
    [this.#unprocessedWindows] = item as Totals;
    return true;
  }

  restoreHorizon(item: unknown): boolean {
    if (!isItem(item)) return false;
    const [level, horizonUs, partitions] = item as Item;
    for (let at = 0; at < partitionCount; at++) if (hasPartition(partitions, at)) this.#horizons[level][at] = horizonUs;
    return true;
  }

  picture(): unknown {
    return [this.#unprocessedWindows, ...levels.map((level) => itemsOf(level, this.#horizons[level]))];
  }
}

/** One item for each horizon that occurs, ascending; most partitions share one. */
function itemsOf(level: RetentionLevel, horizons: Float64Array): Item[] {
  const byHorizon = new Map<number, Uint8Array>();
  for (let at = 0; at < horizons.length; at++) {
    const horizonUs = horizons[at] as number;
    if (horizonUs === 0) continue;
    const bits = byHorizon.get(horizonUs) ?? new Uint8Array(bitmapBytes);
    byHorizon.set(horizonUs, bits);
    addPartition(bits, at);
  }
  return [...byHorizon].sort((a, b) => a[0] - b[0]).map(([horizonUs, bits]) => [level, horizonUs, bits]);
}

/** A set of partitions as commands carry it. */
export function partitionSet(partitions: Iterable<number>): Uint8Array {
  const bits = new Uint8Array(bitmapBytes);
  for (const at of partitions) addPartition(bits, at);
  return bits;
}

function addPartition(bits: Uint8Array, at: number): void {
  bits[at >> 3] = (bits[at >> 3] as number) | (1 << (at & 7));
}

function hasPartition(bits: Uint8Array, at: number): boolean {
  return ((bits[at >> 3] as number) & (1 << (at & 7))) !== 0;
}

/** Ascending. */
export function partitionsIn(bits: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at < partitionCount; at++) if (hasPartition(bits, at)) found.push(at);
  return found;
}
