/**
 * Seals heads into chunks, slice by slice: a slice's chunks are written and verified, then take the place of their heads,
 * while readings that arrive meanwhile go to new heads. When all heads are sealed that held anything of the log up to a
 * position, the ledger step says so. If it fails in between, what is sealed stays sealed, the rest becomes heads again, and the
 * log still has everything.
 */

import { Head } from "../../series/head.ts";
import { runValueAt, type SeriesRun, sliceRange } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { cutAtSpans, cutFullChunks, spansOf } from "./chunk-spans.ts";
import { newChunk } from "./compactor.ts";
import { Slicer } from "./pacing.ts";
import { addChunk, type Series, type SeriesIndex } from "./series-index.ts";
import { chunkKeyBytes } from "./store-keys.ts";
import type { NewChunk, StoreLedger } from "./store-ledger.ts";

/** Written at once, with one sync: the store's own work on a batch is not to hold up the event loop either. */
const batchBytesMax = 1 << 19;
const batchSeriesMax = 128;

export interface CheckpointerOptions {
  readonly context: GatewayContext;
  readonly index: SeriesIndex;
  readonly ledger: StoreLedger;
  /** Older readings are worth nothing any more. */
  readonly keptFromUs: (series: Series) => number;
  /** The gateway stops: what is not sealed yet stays in the log. */
  readonly isStopped: () => boolean;
  /** Readings of a series from `fromUs` to `toUs` were left out. */
  readonly gone: (series: Series, fromUs: number, toUs: number) => void;
  /** So many heads were sealed, with so many readings, repeated ones included. */
  readonly sealed: (heads: number, readings: number) => void;
}

/** What the next write makes durable: chunks, and the series that have no more chunks to come. */
interface Batch {
  readonly chunks: NewChunk[];
  readonly complete: Series[];
  /** What was left out of them. */
  readonly gone: { readonly series: Series; readonly fromUs: number; readonly toUs: number }[];
  bytes: number;
}

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #slicer: Slicer;
  /** Series whose head is being sealed. */
  readonly #sealing = new Set<Series>();
  #batch: Batch = emptyBatch();
  #conflicts = 0;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#slicer = new Slicer(options.context.clock);
  }

  /** Different values at one identity that were met in heads. */
  conflicts(): number {
    return this.#conflicts;
  }

  /** Has the store's turn. Seals every head that holds readings now. Throws when the store does. */
  async seal(): Promise<void> {
    const { index, ledger } = this.#options;
    const all = index.all();
    const count = all.length;
    const number = ledger.nextNumber();
    this.#batch = emptyBatch();
    try {
      for (let at = 0; at < count; at++) {
        if (this.#options.isStopped()) throw new Error("the gateway stops");
        const series = all[at] as Series;
        if (series.head.count > 0) await this.#sealSeries(series, number);
      }
      await this.#write();
    } catch (cause) {
      for (const series of this.#sealing) unseal(series);
      this.#sealing.clear();
      throw cause;
    }
  }

  async #sealSeries(series: Series, checkpoint: number): Promise<void> {
    const { head } = series;
    series.sealing = head;
    series.head = new Head();
    this.#sealing.add(series);
    const unique = head.sortedUnique();
    let part = 0;
    const keptFromUs = this.#options.keptFromUs(series);
    const { times, count } = unique.run;
    if (count > 0 && (times[0] as number) < keptFromUs)
      this.#batch.gone.push({ series, fromUs: times[0] as number, toUs: Math.min(keptFromUs, times[count - 1] as number) });
    for (const run of this.#pieces(series, unique.run, keptFromUs)) {
      const chunk = newChunk(series, run, { checkpoint, part: part++, rollups: this.#options.context.tuning.rollups });
      this.#batch.chunks.push(chunk);
      this.#batch.bytes += chunk.value.length + chunkKeyBytes;
      if (this.#slicer.due(run.count)) await this.#slicer.pause();
      if (this.#batch.bytes >= batchBytesMax) await this.#write();
    }
    this.#conflicts += unique.conflicts;
    this.#batch.complete.push(series);
    if (this.#batch.complete.length >= batchSeriesMax) await this.#write();
  }

  #pieces(series: Series, run: SeriesRun, keptFromUs: number): SeriesRun[] {
    // What is given up is not written any more.
    const kept = sliceRange(run, keptFromUs, Number.POSITIVE_INFINITY);
    if (kept.count === 0) return [];
    const fromUs = kept.times[0] as number;
    const toUs = kept.times[kept.count - 1] as number;
    if (fromUs > series.lastUs) return cutFullChunks(kept);
    const spans = spansOf(series.chunks.filter((ref) => ref.maxUs >= fromUs && ref.minUs <= toUs));
    return cutAtSpans(kept, spans).flatMap(cutFullChunks);
  }

  /** Until a head's last chunk stands it is read beside its first ones: the same readings, met twice, count once. */
  async #write(): Promise<void> {
    const { ledger, context, sealed } = this.#options;
    const batch = this.#batch;
    this.#batch = emptyBatch();
    if (batch.chunks.length > 0) await ledger.write(batch.chunks);
    const nowMs = context.clock.monotonicMs();
    for (const { series, ref } of batch.chunks) addChunk(series, ref);
    let readings = 0;
    for (const series of batch.complete) {
      readings += series.sealing?.count ?? 0;
      series.sealing = undefined;
      series.sealedAtMs = nowMs;
      this.#sealing.delete(series);
    }
    for (const { series, fromUs, toUs } of batch.gone) this.#options.gone(series, fromUs, toUs);
    sealed(batch.complete.length, readings);
  }
}

function emptyBatch(): Batch {
  return { chunks: [], complete: [], gone: [], bytes: 0 };
}

/** What was taken becomes the head again. Chunks that were written of it are repetitions. */
function unseal(series: Series): void {
  const { sealing, head } = series;
  if (sealing === undefined) return;
  const { run } = head.sortedUnique();
  for (let row = 0; row < run.count; row++) sealing.appendValue(run.times[row] as number, runValueAt(run, row));
  series.head = sealing;
  series.sealing = undefined;
}
