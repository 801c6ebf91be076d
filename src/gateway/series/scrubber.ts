/**
 * Verifies the checksum of every chunk in the background, again and again, so that damage is found while other owners still
 * have the readings. What is damaged goes into quarantine.
 */

import { decodeChunkStats } from "../../series/chunk.ts";
import type { GatewayContext } from "../context.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { BytePacer } from "./pacing.ts";
import type { ScanPins } from "./scan-pins.ts";
import type { Series, SeriesIndex } from "./series-index.ts";
import { type ChunkRef, chunkKeyBytes } from "./store-keys.ts";

export interface ScrubberOptions {
  readonly context: GatewayContext;
  readonly index: SeriesIndex;
  readonly source: ChunkSource;
  readonly pins: ScanPins;
  readonly chunks: () => number;
}

export interface ScrubStats {
  readonly chunks: number;
  readonly bytes: number;
  /** How often all chunks were gone through. */
  readonly passes: number;
}

/** Chunks read at once. */
const readMax = 32;

export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #pacer: BytePacer;
  #chunks = 0;
  #bytes = 0;
  #passes = 0;
  /** Place of the series under way among all, and its chunks that are still to come. */
  #series = -1;
  #left: ChunkRef[] = [];
  #lastMs: number | undefined;
  /** Chunks that are due, whole and in part. */
  #due = 0;

  constructor(options: ScrubberOptions) {
    const { clock, tuning } = options.context;
    this.#options = options;
    this.#pacer = new BytePacer(clock, tuning.scrubBytesPerSecond);
  }

  stats(): ScrubStats {
    return { chunks: this.#chunks, bytes: this.#bytes, passes: this.#passes };
  }

  /**
   * Looks at as many chunks as the time since the last call asks for: one a second, or all of them within the time of a pass.
   * Throws when the store cannot be read.
   */
  async run(): Promise<void> {
    const { context, chunks } = this.#options;
    const nowMs = context.clock.monotonicMs();
    const sinceMs = Math.min(60_000, nowMs - (this.#lastMs ?? nowMs - 1_000));
    this.#lastMs = nowMs;
    this.#due += sinceMs * Math.max(1 / 1_000, chunks() / context.tuning.scrubPassMs);
    while (this.#due >= 1 && this.#pacer.mayGo()) {
      const looked = await this.#look(Math.min(readMax, Math.floor(this.#due)));
      this.#due -= looked;
      if (looked === 0) break;
    }
    // What the bound on bytes put off is not made up for in one go.
    this.#due = Math.min(this.#due, readMax);
  }

  /** Up to `count` chunks of one series; how many it were. */
  async #look(count: number): Promise<number> {
    const series = this.#nextSeries();
    if (series === undefined) return 0;
    const refs = this.#left.splice(0, count);
    // Retired meanwhile, or known to be damaged.
    const live = refs.filter((ref) => ref.state === "live");
    const { pins, source } = this.#options;
    const pin = pins.begin();
    try {
      const found = await source.judged(series, live, (value) => {
        this.#bytes += value.length;
        this.#pacer.spent(value.length + chunkKeyBytes);
        const stats = decodeChunkStats(series.hash, value);
        return stats.ok ? { ok: true, value: undefined } : stats;
      });
      if (!found.ok && found.code !== "data-damaged") throw new Error(found.message);
    } finally {
      pins.end(pin);
    }
    this.#chunks += live.length;
    return refs.length;
  }

  /** The series under way, or the next that has chunks; `undefined` when no series has. */
  #nextSeries(): Series | undefined {
    const all = this.#options.index.all();
    for (let looked = 0; this.#left.length === 0 && looked < all.length; looked++) {
      this.#series++;
      if (this.#series >= all.length) {
        this.#series = 0;
        this.#passes++;
      }
      this.#left = [...(all[this.#series] as Series).chunks];
    }
    return this.#left.length === 0 ? undefined : all[this.#series];
  }
}
