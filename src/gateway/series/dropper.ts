/**
 * Gives up what lies below the site's horizons, a step at a time: chunks become blocks or nothing, blocks become nothing. What it
 * does follows from the horizons alone, so that after a crash the next call goes on.
 */

import { FailureError } from "../../lib/errors.ts";
import type { GatewayContext } from "../context.ts";
import type { DroppedRoom } from "./dropped-room.ts";
import { Slicer } from "./pacing.ts";
import { type GivenUp, planGivingUp, type Roller, type Rolling } from "./rolled.ts";
import { removeChunks, type Series, type SeriesIndex } from "./series-index.ts";
import type { ChunkRef } from "./store-keys.ts";
import type { NewChunk, StoreLedger } from "./store-ledger.ts";

export interface DropperOptions {
  readonly context: GatewayContext;
  readonly index: SeriesIndex;
  readonly ledger: StoreLedger;
  readonly roller: Roller;
  readonly room: DroppedRoom;
  readonly horizonsOf: (series: Series) => Omit<GivenUp, "lagUs">;
  /** Chunks that are no longer to be read by scans which begin now. */
  readonly retire: (refs: readonly ChunkRef[]) => void;
  readonly isStopped: () => boolean;
  /** Readings of a series from `fromUs` to `toUs` are not there any more. */
  readonly gone: (series: Series, fromUs: number, toUs: number) => void;
}

export interface Dropped {
  /** Chunks that are gone, and blocks; of a block that grew, the one before. */
  readonly chunks: number;
  readonly readings: number;
  /** Chunks of these that became part of a block. */
  readonly rolled: number;
}

interface Step {
  readonly rollings: Rolling[];
  readonly drops: { readonly series: Series; readonly refs: readonly ChunkRef[] }[];
  chunks: number;
  /** Of the blocks that were made. */
  bytes: number;
}

/** Blocks written at once, as of the chunks of a checkpoint: they are read back and verified in one go. */
const blockBytesMax = 1 << 19;

export class Dropper {
  readonly #options: DropperOptions;
  /** Where the next call begins to look. */
  #cursor = 0;

  constructor(options: DropperOptions) {
    this.#options = options;
  }

  /** Has the store's turn. Up to `chunksMax` chunks. Throws when the store does: then they go with a later step. */
  async drop(chunksMax: number, lagUs: number): Promise<Dropped> {
    const { index, context, horizonsOf, isStopped, roller } = this.#options;
    const slicer = new Slicer(context.clock);
    const step: Step = { rollings: [], drops: [], chunks: 0, bytes: 0 };
    const all = index.all();
    for (let looked = 0; looked < all.length; looked++, this.#cursor++) {
      const left = chunksMax - step.chunks;
      if (isStopped() || left <= 0 || step.bytes >= blockBytesMax) break;
      const series = all[this.#cursor % all.length] as Series;
      if (slicer.due(0)) await slicer.pause();
      const plan = planGivingUp(series, { ...horizonsOf(series), lagUs });
      const refs = plan.drop.slice(0, left);
      step.chunks += refs.length;
      // What is dropped of a series goes first: nothing is joined to a block that goes in the same step.
      if (refs.length > 0) step.drops.push({ series, refs });
      if (refs.length > 0 || plan.roll.length === 0) continue;
      const rolling = await roller.roll(series, plan.roll);
      step.rollings.push(rolling);
      step.chunks += rolling.taken.length;
      for (const { ref } of rolling.made) step.bytes += ref.bytes;
    }
    return this.#take(step);
  }

  /** Has the store's turn. Throws when the store does. */
  async take(rolling: Rolling): Promise<void> {
    await this.#take({ rollings: [rolling], drops: [], chunks: 0, bytes: 0 });
  }

  /** The new blocks stand in the store before anything goes. */
  async #take({ rollings: wanted, drops }: Step): Promise<Dropped> {
    const { ledger } = this.#options;
    const rollings = await this.#written(wanted);
    const gone: ChunkRef[] = [];
    for (const rolling of rollings) {
      this.#options.roller.replace(rolling);
      gone.push(...this.#remove(rolling.series, rolling.taken));
    }
    for (const { series, refs } of drops) {
      // A partition that came back meanwhile keeps what is left of it.
      const { rawUs, rollupUs } = this.#options.horizonsOf(series);
      const stillGoes = ({ kind, maxUs }: ChunkRef): boolean => maxUs < (kind === "chunk" ? Math.min(rawUs, rollupUs) : rollupUs);
      gone.push(...this.#remove(series, refs.filter(stillGoes)));
    }
    // What an earlier call could not delete goes along.
    if (gone.length > 0 || ledger.hasWork()) await ledger.step();
    return {
      chunks: gone.length,
      readings: gone.reduce((sum, { kind, count }) => sum + (kind === "chunk" ? count : 0), 0),
      rolled: rollings.reduce((sum, { taken }) => sum + taken.filter((ref) => ref.kind === "chunk").length, 0),
    };
  }

  /**
   * Writes the blocks. A store that has no room for them gets it back by what goes: then one series at a time, and where not even
   * that fits nothing is left of its readings.
   */
  async #written(rollings: readonly Rolling[]): Promise<readonly Rolling[]> {
    try {
      await this.#write(rollings.flatMap((rolling) => rolling.made));
      return rollings;
    } catch (cause) {
      const [first] = rollings;
      if (first === undefined || !isFull(cause)) throw cause;
      if (rollings.length > 1) return this.#written([first]);
      return [this.#options.roller.giveUp(first, cause.failure.message)];
    }
  }

  /** So many at once as can be verified in one go. What stands when a later one fails goes with the next step. */
  async #write(made: readonly NewChunk[]): Promise<void> {
    const { ledger } = this.#options;
    let written = 0;
    try {
      while (written < made.length) {
        let end = written;
        for (let bytes = 0; end < made.length && bytes < blockBytesMax; end++) bytes += (made[end] as NewChunk).ref.bytes;
        await ledger.write(made.slice(written, end));
        written = end;
      }
    } catch (cause) {
      if (written > 0) ledger.retire(made.slice(0, written).map(({ ref }) => ref));
      throw cause;
    }
  }

  #remove(series: Series, refs: readonly ChunkRef[]): readonly ChunkRef[] {
    const gone = new Set(refs);
    removeChunks(series, gone);
    for (const { kind, minUs, maxUs } of refs) if (kind === "chunk") this.#options.gone(series, minUs, maxUs);
    series.blocks = series.blocks.filter((ref) => !gone.has(ref));
    this.#options.retire(refs);
    this.#options.room.dropped(series, refs);
    return refs;
  }
}

function isFull(cause: unknown): cause is FailureError {
  return cause instanceof FailureError && cause.failure.code === "disk-full";
}
