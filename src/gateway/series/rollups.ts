/**
 * Rollups in the store: written in the same batch as their chunk, deleted in the same batch, never changed. Whether a chunk
 * has one follows from its key. One that is missing (an older version sealed the chunk) or damaged means: read the chunk.
 */

import type { Store, StoreOperation } from "../../ports/store.ts";
import type { SeriesHash } from "../../series/digest.ts";
import { buildRollup, decodeRollup, encodeRollup, hasRollup, type Rollup, RollupLevel, rollupBytes } from "../../series/rollup.ts";
import type { SeriesRun } from "../../series/run.ts";
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

interface Entry {
  /** `undefined`: there is none that can be read. */
  readonly rollup: Rollup | undefined;
  readonly bytes: number;
  isUsed: boolean;
}

export class Rollups {
  readonly #options: RollupsOptions;
  /** By level, the oldest first. */
  readonly #caches: Readonly<Record<RollupLevel, Map<ChunkRef, Entry>>> = {
    [RollupLevel.Minute]: new Map(),
    [RollupLevel.Hour]: new Map(),
  };
  #bytes = 0;

  constructor(options: RollupsOptions) {
    this.#options = options;
  }

  /** Whether it is in memory what rollup a chunk has, if any. */
  isKnown(level: RollupLevel, ref: ChunkRef): boolean {
    return this.#caches[level].has(ref);
  }

  /** The rollup of a chunk that is known; `undefined` where the chunk itself must be read. */
  known(level: RollupLevel, ref: ChunkRef): Rollup | undefined {
    const entry = this.#caches[level].get(ref);
    if (entry === undefined) return undefined;
    entry.isUsed = true;
    return entry.rollup;
  }

  /** Reads those of these chunks, and remembers them or that there is none. */
  async fetch(series: Series, level: RollupLevel, refs: readonly ChunkRef[]): Promise<Map<ChunkRef, Rollup>> {
    const values = await this.#options.store.getMany(refs.map((ref) => rollupKey(level, ref)));
    const fetched = new Map<ChunkRef, Rollup>();
    for (const [at, ref] of refs.entries()) {
      const rollup = this.#decode(series, ref, values[at]);
      if (rollup !== undefined) fetched.set(ref, rollup);
      this.#keep(level, ref, rollup);
    }
    return fetched;
  }

  #decode(series: Series, ref: ChunkRef, value: Uint8Array | undefined): Rollup | undefined {
    if (value === undefined) return undefined;
    const decoded = decodeRollup(series.hash, value);
    const why = decoded.ok ? contradiction(decoded.value, ref) : decoded.message;
    if (decoded.ok && why === undefined) return decoded.value;
    this.#options.damaged(`${series.device} ${series.metric} from ${new Date(ref.minUs / 1_000).toISOString()}`, why ?? "");
    return undefined;
  }

  #keep(level: RollupLevel, ref: ChunkRef, rollup: Rollup | undefined): void {
    const cache = this.#caches[level];
    const bytes = rollup === undefined ? absentBytes : rollupBytes(rollup);
    if (cache.has(ref) || bytes > cacheBytesMax / 4) return;
    cache.set(ref, { rollup, bytes, isUsed: false });
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

/** A rollup says how many readings its chunk has, and from when to when: it must be those of the chunk's key. */
function contradiction({ rows }: Rollup, ref: ChunkRef): string | undefined {
  const readings = rows.counts.reduce((sum, count) => sum + count, 0);
  const { times, count } = rows.ends;
  const fits = readings === ref.count && times[0] === ref.minUs && times[count - 1] === ref.maxUs;
  return fits ? undefined : "it is not of the chunk that its key names";
}
