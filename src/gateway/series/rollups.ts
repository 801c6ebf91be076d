/**
 * Rollups in the store: written in the same batch as their chunk, deleted in the same batch, never changed. Whether a chunk
 * has one follows from its key. One that is missing (an older version sealed the chunk) or damaged means: read the chunk.
 */

import { FailureError } from "../../lib/errors.ts";
import type { Store, StoreOperation } from "../../ports/store.ts";
import type { SeriesHash } from "../../series/digest.ts";
import {
  buildRollup,
  decodeRollup,
  encodeRollup,
  hasRollup,
  type Rollup,
  RollupLevel,
  rollupBytes,
  sketchProblem,
} from "../../series/rollup.ts";
import type { SeriesRun } from "../../series/run.ts";
import { RollupStrips } from "./rollup-strips.ts";
import type { Series } from "./series-index.ts";
import { type ChunkName, type ChunkRef, chunkKey } from "./store-keys.ts";

export interface RollupsOptions {
  readonly store: Store;
  /** Called once for each rollup that cannot be read. */
  readonly damaged: (where: string, why: string) => void;
}

/** Decoded rollups in memory: those of 100 series with a reading a second, by the hour, for a month. */
const cacheBytesMax = 16 << 20;
/** A chunk that is known to have none. */
const absentBytes = 100;

const keyLetters: Readonly<Record<RollupLevel, number>> = { [RollupLevel.Minute]: 0x6e, [RollupLevel.Hour]: 0x68 };
const levels = [RollupLevel.Minute, RollupLevel.Hour] as const;

/** What goes into the store along with a new chunk. `run`: its readings. */
export function rollupPuts(series: SeriesHash, chunk: ChunkName, run: SeriesRun): StoreOperation[] {
  return levels
    .filter((level) => hasRollup(level, chunk))
    .map((level) => ({ type: "put", key: rollupKey(level, chunk), value: encodeRollup(series, buildRollup(series, level, run)) }));
}

/** A chunk goes from the store: these go along. */
export function rollupDeletes(chunk: ChunkName): StoreOperation[] {
  if (chunk.kind === "block") return [];
  return levels.filter((level) => hasRollup(level, chunk)).map((level) => ({ type: "delete", key: rollupKey(level, chunk) }));
}

/** A block is its own rollup by the hour. */
function rollupKey(level: RollupLevel, chunk: ChunkName): Uint8Array {
  const key = chunkKey(chunk);
  if (chunk.kind === "block") return key;
  key[0] = keyLetters[level];
  return key;
}

export interface WantedRollup {
  readonly series: Series;
  readonly chunk: ChunkRef;
}

export interface KnownRollup {
  /** `undefined`: there is none that can be read. */
  readonly rollup: Rollup | undefined;
}

interface Entry {
  rollup: Rollup | undefined;
  areSketchesVerified: boolean;
  readonly bytes: number;
  isUsed: boolean;
}

export class Rollups {
  readonly #options: RollupsOptions;
  readonly strips = new RollupStrips();
  /** By level, the oldest first. */
  readonly #caches: Readonly<Record<RollupLevel, Map<ChunkRef, Entry>>> = {
    [RollupLevel.Minute]: new Map(),
    [RollupLevel.Hour]: new Map(),
  };
  #bytes = 0;

  constructor(options: RollupsOptions) {
    this.#options = options;
  }

  /** What is in memory: the rollup of a chunk, or that it has none and must be read itself. `sketches`: they are needed. */
  known(level: RollupLevel, series: Series, ref: ChunkRef, sketches: boolean): KnownRollup | undefined {
    const entry = this.#caches[level].get(ref);
    if (entry === undefined) return undefined;
    entry.isUsed = true;
    if (sketches && !entry.areSketchesVerified) {
      const problem = entry.rollup === undefined ? undefined : sketchProblem(entry.rollup);
      if (problem !== undefined) {
        this.#report(series, ref, problem.message);
        entry.rollup = undefined;
      }
      entry.areSketchesVerified = true;
    }
    return entry;
  }

  /** Reads rollups, in the order of what is wanted, and remembers them; `undefined` where the chunk itself must be read. */
  async fetch(level: RollupLevel, wanted: readonly WantedRollup[], sketches: boolean): Promise<(Rollup | undefined)[]> {
    const values = await this.#values(wanted.map(({ chunk }) => rollupKey(level, chunk)));
    return wanted.map(({ series, chunk }, at) => {
      const rollup = this.#decode(series, chunk, values[at], sketches);
      this.#keep(level, chunk, rollup, sketches);
      return rollup;
    });
  }

  /** Where one makes the store fail each is looked at by itself: what the store finds damaged is as good as missing. */
  async #values(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const { store } = this.#options;
    try {
      return await store.getMany(keys);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const values: (Uint8Array | undefined)[] = [];
    for (const key of keys) {
      const value = await store.get(key).catch((error: unknown) => {
        if (!isDamage(error)) throw error;
        return undefined;
      });
      values.push(value);
    }
    return values;
  }

  /** Those of a series' blocks that can be read. */
  async blocksOf(series: Series, refs: readonly ChunkRef[]): Promise<Rollup[]> {
    const known = refs.map((ref) => this.known(RollupLevel.Hour, series, ref, true));
    const missing = refs.filter((_, at) => known[at] === undefined).map((chunk) => ({ series, chunk }));
    const fetched = missing.length === 0 ? [] : await this.fetch(RollupLevel.Hour, missing, true);
    let next = 0;
    const blocks = known.map((each) => (each === undefined ? fetched[next++] : each.rollup));
    return blocks.filter((block) => block !== undefined);
  }

  #decode(series: Series, ref: ChunkRef, value: Uint8Array | undefined, sketches: boolean): Rollup | undefined {
    if (value === undefined) return undefined;
    const decoded = decodeRollup(series.hash, value, { sketches });
    const why = decoded.ok ? contradiction(decoded.value, ref) : decoded.message;
    if (decoded.ok && why === undefined) return decoded.value;
    this.#report(series, ref, why ?? "");
    return undefined;
  }

  #report(series: Series, ref: ChunkRef, why: string): void {
    this.#options.damaged(`${series.device} ${series.metric} from ${new Date(ref.minUs / 1_000).toISOString()}`, why);
  }

  #keep(level: RollupLevel, ref: ChunkRef, rollup: Rollup | undefined, areSketchesVerified: boolean): void {
    const cache = this.#caches[level];
    const bytes = rollup === undefined ? absentBytes : rollupBytes(rollup);
    if (cache.has(ref) || bytes > cacheBytesMax / 4) return;
    cache.set(ref, { rollup, bytes, isUsed: false, areSketchesVerified });
    this.#bytes += bytes;
    // Minutes first: an hour answers for more, and takes less.
    for (const each of levels) if (this.#bytes > cacheBytesMax) this.#evict(this.#caches[each]);
  }

  /** The oldest go; what was used since it came, or since it was last spared, is spared once. */
  #evict(cache: Map<ChunkRef, Entry>): void {
    for (let left = cache.size * 2; left > 0 && this.#bytes > cacheBytesMax; left--) {
      const [oldest] = cache;
      if (oldest === undefined) return;
      const [ref, entry] = oldest;
      cache.delete(ref);
      if (entry.isUsed) {
        entry.isUsed = false;
        cache.set(ref, entry);
      } else {
        this.#bytes -= entry.bytes;
      }
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof FailureError && error.failure.code === "store-damaged";
}

/** A rollup says how many readings its chunk has, and from when to when: it must be those of the chunk's key. */
function contradiction({ rows }: Rollup, ref: ChunkRef): string | undefined {
  const readings = rows.counts.reduce((sum, count) => sum + count, 0);
  const { times, count } = rows.ends;
  const fits = readings === ref.count && times[0] === ref.minUs && times[count - 1] === ref.maxUs;
  return fits ? undefined : "it is not of the chunk that its key names";
}
