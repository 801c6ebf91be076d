/**
 * Decoded chunks, up to a number of bytes, the least recently used one leaves first. While there is room everything is
 * kept; afterwards only what is asked for a second time, so that one scan of everything does not evict what is hot. The same
 * chunk is the same object for as long as it stays.
 */

import type { Chunk } from "../../series/chunk-stats.ts";
import type { ChunkRef } from "./store-keys.ts";

/** Chunks that were asked for once and not kept, remembered. */
const seenOnceMax = 8_192;
/** Of the objects around the columns. */
const entryBytes = 600;
const bytesPerReading = 16;

interface Entry {
  readonly chunk: Chunk;
  readonly bytes: number;
}

export class ChunkCache {
  readonly #bytesMax: number;
  /** In the order of their last use. */
  readonly #entries = new Map<ChunkRef, Entry>();
  readonly #seenOnce = new Set<ChunkRef>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether it is here; counted neither way. */
  has(ref: ChunkRef): boolean {
    return this.#entries.has(ref);
  }

  get(ref: ChunkRef): Chunk | undefined {
    const entry = this.#entries.get(ref);
    if (entry === undefined) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    this.#entries.delete(ref);
    this.#entries.set(ref, entry);
    return entry.chunk;
  }

  /** Whether it can be kept and nothing has to leave for it, as far as can be told before it is decoded. */
  hasRoomFor(ref: ChunkRef): boolean {
    return ref.state === "live" && this.#bytes + entryBytes + ref.count * bytesPerReading <= this.#bytesMax;
  }

  /** Whether so many readings are more than it holds. */
  isExceededBy(readings: number): boolean {
    return readings * bytesPerReading > this.#bytesMax;
  }

  /** Offers what was decoded. Chunks that are no longer live are not kept. */
  offer(ref: ChunkRef, chunk: Chunk): void {
    if (ref.state !== "live" || this.#entries.has(ref)) return;
    const bytes = bytesOf(chunk);
    if (bytes > this.#bytesMax) return;
    if (this.#bytes + bytes > this.#bytesMax && !this.#seenOnce.delete(ref)) {
      this.#seenOnce.add(ref);
      for (const oldest of this.#seenOnce) {
        if (this.#seenOnce.size <= seenOnceMax) break;
        this.#seenOnce.delete(oldest);
      }
      return;
    }
    this.#entries.set(ref, { chunk, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.remove(oldest);
    }
  }

  remove(ref: ChunkRef): void {
    this.#bytes -= this.#entries.get(ref)?.bytes ?? 0;
    this.#entries.delete(ref);
    this.#seenOnce.delete(ref);
  }

  stats(): { readonly chunks: number; readonly bytes: number; readonly hits: number; readonly misses: number } {
    return { chunks: this.#entries.size, bytes: this.#bytes, hits: this.#hits, misses: this.#misses };
  }
}

function bytesOf({ run }: Chunk): number {
  let bytes = entryBytes + run.count * bytesPerReading + (run.types?.length ?? 0);
  for (const text of run.texts) bytes += 24 + text.length * 2;
  return bytes;
}
