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
  return levels.filter((level) => hasRollup(level, chunk)).map((level) => ({ type: "delete", key: rollupKey(level, chunk) }));
}

function rollupKey(level: RollupLevel, chunk: ChunkName): Uint8Array {
  const key = chunkKey(chunk);
  key[0] = keyLetters[level];
  return key;
}

interface Entry {
  /** `undefined`: there is none that can be read. */
  readonly rollup: Rollup | undefined;
  readonly bytes: number;
}

export class Rollups {
  readonly #options: RollupsOptions;
  /** By level, in the order of their last use. */
  readonly #caches: Readonly<Record<RollupLevel, Map<ChunkRef, Entry>>> = {
    [RollupLevel.Minute]: new Map(),
    [RollupLevel.Hour]: new Map(),
  };
  #bytes = 0;

  constructor(options: RollupsOptions) {
    this.#options = options;
  }

  /** In the order of the refs; `undefined` where the chunk itself must be read. Without a wait when all are in memory. */
  load(series: Series, level: RollupLevel, refs: readonly ChunkRef[]): (Rollup | undefined)[] | Promise<(Rollup | undefined)[]> {
    const missing = refs.filter((ref) => hasRollup(level, ref) && !this.#caches[level].has(ref));
    if (missing.length === 0) return refs.map((ref) => this.#used(level, ref));
    return this.#fetch(series, level, missing).then((fetched) => refs.map((ref) => fetched.get(ref) ?? this.#used(level, ref)));
  }

  stats(): { readonly rollups: number; readonly bytes: number } {
    return { rollups: this.#caches[RollupLevel.Minute].size + this.#caches[RollupLevel.Hour].size, bytes: this.#bytes };
  }

  async #fetch(series: Series, level: RollupLevel, refs: readonly ChunkRef[]): Promise<Map<ChunkRef, Rollup>> {
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

  #used(level: RollupLevel, ref: ChunkRef): Rollup | undefined {
    const cache = this.#caches[level];
    const entry = cache.get(ref);
    if (entry === undefined) return undefined;
    cache.delete(ref);
    cache.set(ref, entry);
    return entry.rollup;
  }

  #keep(level: RollupLevel, ref: ChunkRef, rollup: Rollup | undefined): void {
    const cache = this.#caches[level];
    const bytes = rollup === undefined ? absentBytes : rollupBytes(rollup);
    if (cache.has(ref) || bytes > cacheBytesMax / 4) return;
    cache.set(ref, { rollup, bytes });
    this.#bytes += bytes;
    // Minutes first: an hour answers for more, and takes less.
    for (const each of levels) {
      for (const [oldest, entry] of this.#caches[each]) {
        if (this.#bytes <= cacheBytesMax) return;
        this.#caches[each].delete(oldest);
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
