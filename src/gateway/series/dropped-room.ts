/**
 * The room of chunks that were dropped: engines keep it until they are asked for it. Given back a piece at a time, from the
 * beginning of a series to what was dropped of it last, small neighbours together, which share the engine's files.
 */

import { compareBytes } from "../../lib/bytes.ts";
import type { Store } from "../../ports/store.ts";
import type { Series } from "./series-index.ts";
import { type ChunkRef, chunkKey, chunkLetters } from "./store-keys.ts";

/** Series with no more chunks than this have their room given back together with the next ones, so many at once. */
const smallSeriesChunks = 64;
const seriesAtOnce = 256;

export class DroppedRoom {
  readonly #store: Store;
  /** The last key that was dropped of a series since its room was given back. At most one for each series. */
  readonly #droppedTo = new Map<Series, Uint8Array>();

  constructor(store: Store) {
    this.#store = store;
  }

  dropped(series: Series, refs: readonly ChunkRef[]): void {
    for (const ref of refs) {
      // Blocks are few and small: their room comes back as the engine goes about it.
      if (ref.kind === "block") continue;
      const key = chunkKey(ref);
      const last = this.#droppedTo.get(series);
      if (last === undefined || compareBytes(key, last) > 0) this.#droppedTo.set(series, key);
    }
  }

  /** One piece. True: there is more. Throws when the store fails; then that piece waits for the next drop. */
  async giveBack(): Promise<boolean> {
    const range = this.#next();
    if (range === undefined || this.#store.compact === undefined) return false;
    for (const letter of chunkLetters) await this.#store.compact({ from: under(letter, range.from), to: under(letter, range.to) });
    return this.#droppedTo.size > 0;
  }

  #next(): { readonly from: Uint8Array; readonly to: Uint8Array } | undefined {
    let range: { from: Uint8Array; to: Uint8Array } | undefined;
    let count = 0;
    for (const [series, to] of this.#droppedTo) {
      const from = chunkKey({ kind: "chunk", series: series.id, minUs: 0, maxUs: 0, count: 0, checkpoint: 0, part: 0 });
      if (range === undefined) range = { from, to };
      else if (compareBytes(from, range.to) > 0) range.to = to;
      else break;
      this.#droppedTo.delete(series);
      count++;
      if (series.chunks.length > smallSeriesChunks || count === seriesAtOnce) break;
    }
    return range;
  }
}

function under(letter: number, chunkKey: Uint8Array): Uint8Array {
  const key = chunkKey.slice();
  key[0] = letter;
  return key;
}
