/**
 * Chunks, decoded: from the cache, else from the store. What is missing there or does not decode is read once more, then put
 * into quarantine, and is an error, never a gap.
 */

import { type Failure, FailureError, failure, type Result, success } from "../../lib/errors.ts";
import type { Store } from "../../ports/store.ts";
import { type ChunkColumns, chunkReadingsMax, decodeChunk } from "../../series/chunk.ts";
import type { Chunk } from "../../series/chunk-stats.ts";
import type { ChunkCache } from "./chunk-cache.ts";
import { describe, type Quarantine } from "./quarantine.ts";
import type { Series } from "./series-index.ts";
import { type ChunkRef, chunkKey } from "./store-keys.ts";

export interface ChunkSourceOptions {
  readonly store: Store;
  readonly cache: ChunkCache;
  readonly quarantine: Quarantine;
}

/** What came of looking at one chunk's bytes. */
type Judged<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

type Judge<T> = (value: Uint8Array, ref: ChunkRef) => Judged<T>;

export class ChunkSource {
  readonly #options: ChunkSourceOptions;
  /** What chunks are decoded into that nobody keeps: they hold nothing from one turn of the event loop to the next. */
  readonly #columns: ChunkColumns = { times: new Float64Array(chunkReadingsMax), numbers: new Float64Array(chunkReadingsMax) };

  constructor(options: ChunkSourceOptions) {
    this.#options = options;
  }

  /** A failure if one of them is in quarantine. */
  refusal(series: Series, refs: readonly ChunkRef[]): Failure | undefined {
    for (const ref of refs) if (ref.state === "damaged") return this.#damaged(series, ref);
    return undefined;
  }

  /** Whether so many readings are more than the cache holds. */
  isLarge(readings: number): boolean {
    return this.#options.cache.isExceededBy(readings);
  }

  /** The chunk, if it is in memory. */
  known(ref: ChunkRef): Chunk | undefined {
    const { cache } = this.#options;
    return cache.has(ref) ? cache.get(ref) : undefined;
  }

  /** The chunks in the order of the refs; whoever asks holds a pin. Fails with `data-damaged` or as the store does. */
  async chunks(series: Series, refs: readonly ChunkRef[]): Promise<Result<Chunk[]>> {
    const { cache } = this.#options;
    const chunks = refs.map((ref) => cache.get(ref));
    const missing = refs.filter((_, at) => chunks[at] === undefined);
    if (missing.length === 0) return success(chunks as Chunk[]);
    const judge = (value: Uint8Array): Judged<Chunk> => decodeChunk(series.hash, value);
    const found = await this.judged(series, missing, judge);
    if (!found.ok) return found;
    let next = 0;
    for (const [at, ref] of refs.entries()) {
      if (chunks[at] !== undefined) continue;
      const chunk = found.value[next++] as Chunk;
      cache.offer(ref, chunk);
      chunks[at] = chunk;
    }
    return success(chunks as Chunk[]);
  }

  /**
   * Hands the chunks out in the order of the refs, one at a time, until one is answered with false; gives whether none was. For what
   * reads more than the cache holds: nothing leaves the cache for it, and a run is worth something until `take` returns only.
   */
  async stream(series: Series, refs: readonly ChunkRef[], take: (at: number, chunk: Chunk) => boolean): Promise<Result<boolean>> {
    const { cache } = this.#options;
    const known = refs.map((ref) => cache.get(ref));
    const missing = refs.filter((_, at) => known[at] === undefined);
    let next = 0;
    let goesOn = true;
    const takeKnown = (): void => {
      for (; goesOn && next < refs.length; next++) {
        const chunk = known[next];
        if (chunk === undefined) return;
        goesOn = take(next, chunk);
      }
    };
    const judge = (value: Uint8Array, ref: ChunkRef): Judged<undefined> => {
      takeKnown();
      if (!goesOn) return success(undefined);
      // One that is damaged is not taken: the next one is not in its place.
      next = refs.indexOf(ref, next);
      const keeps = cache.hasRoomFor(ref);
      const decoded = decodeChunk(series.hash, value, keeps ? undefined : this.#columns);
      if (!decoded.ok) return decoded;
      if (keeps) cache.offer(ref, decoded.value);
      goesOn = take(next++, decoded.value);
      return success(undefined);
    };
    if (missing.length > 0) {
      const found = await this.judged(series, missing, judge);
      if (!found.ok) return found;
    }
    takeKnown();
    return success(goesOn);
  }

  /** A chunk from the store, past the cache, with the length of its value. */
  async fresh(series: Series, ref: ChunkRef): Promise<Result<{ readonly chunk: Chunk; readonly bytes: number }>> {
    const judge = (value: Uint8Array): Judged<{ readonly chunk: Chunk; readonly bytes: number }> => {
      const decoded = decodeChunk(series.hash, value);
      return decoded.ok ? success({ chunk: decoded.value, bytes: value.length }) : decoded;
    };
    const found = await this.judged(series, [ref], judge);
    return found.ok ? success(found.value[0] as { readonly chunk: Chunk; readonly bytes: number }) : found;
  }

  /** Reads values and judges each; what fails twice goes into quarantine. Whoever asks holds a pin. */
  async judged<T>(series: Series, refs: readonly ChunkRef[], judge: Judge<T>): Promise<Result<T[]>> {
    const values = await this.#values(refs);
    if (!values.ok) return values;
    const found: T[] = [];
    let damaged: ChunkRef | undefined;
    for (const [at, ref] of refs.entries()) {
      const value = values.value[at];
      const first = value === undefined ? undefined : judge(value, ref);
      const judged = first?.ok === true ? success(first) : await this.#again(ref, judge);
      if (!judged.ok) return judged;
      if (judged.value.ok) {
        found.push(judged.value.value);
      } else {
        this.#options.quarantine.add(series, ref, judged.value.message);
        this.#options.cache.remove(ref);
        damaged ??= ref;
      }
    }
    return damaged === undefined ? success(found) : this.#damaged(series, damaged);
  }

  async #again<T>(ref: ChunkRef, judge: Judge<T>): Promise<Result<Judged<T>>> {
    try {
      const value = await this.#options.store.get(chunkKey(ref));
      return success(value === undefined ? { ok: false, message: "it is missing from the store" } : judge(value, ref));
    } catch (error) {
      const failed = asFailure(error);
      return failed.code === "store-damaged" ? success({ ok: false, message: failed.message }) : failed;
    }
  }

  /** `undefined` for what is missing, and for all of them where one makes the store fail: each is then looked at by itself. */
  async #values(refs: readonly ChunkRef[]): Promise<Result<(Uint8Array | undefined)[]>> {
    try {
      return success(await this.#options.store.getMany(refs.map(chunkKey)));
    } catch (error) {
      const failed = asFailure(error);
      return failed.code === "store-damaged" ? success(refs.map(() => undefined)) : failed;
    }
  }

  #damaged(series: Series, ref: ChunkRef): Failure {
    const reason = this.#options.quarantine.reasonOf(ref) ?? "it cannot be read";
    return failure("data-damaged", `the ${describe({ series, ref, reason })}`);
  }
}

function asFailure(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  throw error;
}
