/**
 * Strips: rollups of neighbouring chunks of a series joined to one, for questions that come again. A day of readings is some twenty chunks
 * with two or three rows each; as a strip it is looked up once, and all its rows are added in one go. A strip is a copy in memory of what
 * rollups say: it is worth something as long as the chunks of its series do not change, and where it is of no use the rollups serve.
 */

import { concatRollups, type Rollup, RollupLevel } from "../../series/rollup.ts";
import type { Stretch, UsRange } from "./rollup-plan.ts";
import type { Series } from "./series-index.ts";
import type { ChunkRef } from "./store-keys.ts";

interface Strip {
  readonly rollup: Rollup;
  /** Of all readings that chunks have in this time, the rollup has rows. */
  readonly covers: UsRange;
}

interface Entry {
  readonly strip: Strip;
  /** `series.changes` at the time. */
  readonly changes: number;
  readonly bytes: number;
  isUsed: boolean;
}

const bytesMax = 8 << 20;
const rowsMax = 4_096;
const bytesPerRow = 120;
const entryBytes = 400;

export class RollupStrips {
  /** The oldest first. */
  readonly #entries: Readonly<Record<RollupLevel, Map<Series, Entry>>> = {
    [RollupLevel.Minute]: new Map(),
    [RollupLevel.Hour]: new Map(),
  };
  #bytes = 0;

  /** The strip that has everything in the range. */
  find(series: Series, level: RollupLevel, { fromUs, toUs }: UsRange): Rollup | undefined {
    const entry = this.#entries[level].get(series);
    if (entry === undefined || entry.changes !== series.changes) return undefined;
    const { rollup, covers } = entry.strip;
    if (covers.fromUs > fromUs || covers.toUs < toUs) return undefined;
    entry.isUsed = true;
    return rollup;
  }

  /** A question was answered from these, without a strip: the next one may find them as one. */
  answered(series: Series, level: RollupLevel, stretches: readonly Stretch[], rollups: readonly (Rollup | undefined)[]): void {
    const entries = this.#entries[level];
    const known = entries.get(series);
    if (known?.isUsed && known.changes === series.changes) {
      // Questions about other times take turns with this one: it stays until there are two of them in a row.
      known.isUsed = false;
      return;
    }
    if (known !== undefined) this.#remove(entries, series, known);
    const strip = stripOf(series, stretches, rollups);
    if (strip === undefined) return;
    const bytes = entryBytes + strip.rollup.rows.count * bytesPerRow;
    if (this.#makeRoom(entries, bytes)) this.#add(entries, series, { strip, changes: series.changes, bytes, isUsed: true });
  }

  /** False where what is there has been of use lately: then it stays. */
  #makeRoom(entries: Map<Series, Entry>, bytes: number): boolean {
    for (let tries = 0; this.#bytes + bytes > bytesMax && tries < 4; tries++) {
      const [oldest] = entries;
      if (oldest === undefined) break;
      const [series, entry] = oldest;
      this.#remove(entries, series, entry);
      if (entry.isUsed) this.#add(entries, series, { ...entry, isUsed: false });
    }
    return this.#bytes + bytes <= bytesMax;
  }

  #add(entries: Map<Series, Entry>, series: Series, entry: Entry): void {
    entries.set(series, entry);
    this.#bytes += entry.bytes;
  }

  #remove(entries: Map<Series, Entry>, series: Series, entry: Entry): void {
    entries.delete(series);
    this.#bytes -= entry.bytes;
  }
}

/** `undefined` where a chunk of the stretches is not answered for by its rollup, and where it is not worth it. */
function stripOf(series: Series, stretches: readonly Stretch[], rollups: readonly (Rollup | undefined)[]): Strip | undefined {
  const parts: Rollup[] = [];
  let [first, last]: (ChunkRef | undefined)[] = [];
  let rows = 0;
  for (const [at, { alone }] of stretches.entries()) {
    const rollup = rollups[at];
    if (alone === undefined) continue;
    if (rollup === undefined) return undefined;
    first ??= alone;
    last = alone;
    parts.push(rollup);
    rows += rollup.rows.count;
  }
  if (first === undefined || last === undefined || parts.length < 2 || rows > rowsMax) return undefined;
  const covers = coverOf(series, first, last, parts.length);
  return covers === undefined ? undefined : { rollup: concatRollups(parts), covers };
}

/** The time from one chunk to another and up to their neighbours; `undefined` where there are others than `count` chunks in it. */
function coverOf({ chunks }: Series, first: ChunkRef, last: ChunkRef, count: number): UsRange | undefined {
  const from = chunks.indexOf(first);
  const to = from + count;
  if (from < 0 || chunks[to - 1] !== last) return undefined;
  // The one before may overlap others, and be the shorter one.
  const fromUs = chunks.slice(0, from).reduce((reach, { maxUs }) => Math.max(reach, maxUs + 1), Number.NEGATIVE_INFINITY);
  return { fromUs, toUs: chunks[to]?.minUs ?? Number.POSITIVE_INFINITY };
}
