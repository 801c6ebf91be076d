/**
 * Merges chunks in the background: small neighbours into full ones, overlapping ones into disjoint ones. A round merges
 * chunks of one or many series, bounded in readings and in bytes per second. The new chunks stand verified in the store before
 * they take the old ones' place; the old ones go in one batch with the record that no longer counts them.
 */

import type { Result } from "../../lib/errors.ts";
import { encodeChunk } from "../../series/chunk.ts";
import type { Chunk } from "../../series/chunk-stats.ts";
import { mergeRuns } from "../../series/merge.ts";
import { lowerBound, type SeriesRun, sliceRange, sliceRows } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { cutToChunks } from "./chunk-spans.ts";
import { type CompactionPlan, type CompactionUrge, planCompaction } from "./compaction-plan.ts";
import { BytePacer, Slicer } from "./pacing.ts";
import { rollupPuts } from "./rollups.ts";
import type { ScanPins } from "./scan-pins.ts";
import { addChunk, removeChunks, type Series, type SeriesIndex } from "./series-index.ts";
import { type ChunkRef, chunkKeyBytes } from "./store-keys.ts";
import type { NewChunk, StoreLedger } from "./store-ledger.ts";

export interface CompactorOptions {
  readonly context: GatewayContext;
  readonly index: SeriesIndex;
  readonly ledger: StoreLedger;
  readonly source: ChunkSource;
  readonly pins: ScanPins;
  /** Older readings are worth nothing any more. */
  readonly keptFromUs: (series: Series) => number;
  /** Chunks that are no longer to be read by scans which begin now. */
  readonly retire: (refs: readonly ChunkRef[]) => void;
}

export interface CompactionStats {
  readonly rounds: number;
  readonly chunksIn: number;
  readonly chunksOut: number;
  /** Of the chunks that were written. */
  readonly bytes: number;
}

interface Merge {
  readonly series: Series;
  readonly taken: readonly ChunkRef[];
  readonly made: readonly NewChunk[];
  readonly conflicts: number;
}

interface Round {
  readonly series: Set<Series>;
  readonly merges: Merge[];
  readings: number;
  chunks: number;
  bytes: number;
}

/** Of one look for work: a series that was looked at before costs 1, another as many as it has chunks. */
const lookMax = 20_000;
/** Bytes of chunks merged at once: where texts are long, fewer chunks than readings would allow. */
const mergeBytesMax = 8 << 20;
/** Chunks that a round takes: where they are tiny, deleting them is what costs. */
const roundChunksMax = 256;
const marks: Readonly<Record<CompactionUrge, number>> = { usual: 0, quiet: 1, all: 2 };

export class Compactor {
  readonly #options: CompactorOptions;
  readonly #pacer: BytePacer;
  readonly #slicer: Slicer;
  #cursor = 0;
  #rounds = 0;
  #chunksIn = 0;
  #chunksOut = 0;
  #bytes = 0;
  #conflicts = 0;

  constructor(options: CompactorOptions) {
    const { clock, tuning } = options.context;
    this.#options = options;
    this.#pacer = new BytePacer(clock, tuning.compactionBytesPerSecond);
    this.#slicer = new Slicer(clock);
  }

  stats(): CompactionStats {
    return { rounds: this.#rounds, chunksIn: this.#chunksIn, chunksOut: this.#chunksOut, bytes: this.#bytes };
  }

  /** Different values at one identity that were met in chunks. */
  conflicts(): number {
    return this.#conflicts;
  }

  mayGo(): boolean {
    return this.#pacer.mayGo();
  }

  /** Has the store's turn. False: nothing was to be done. Throws when the store does; then nothing has changed. */
  async round(urge?: "all"): Promise<boolean> {
    const { ledger } = this.#options;
    const round: Round = { series: new Set(), merges: [], readings: 0, chunks: 0, bytes: 0 };
    const { compactionReadingsMax } = this.#options.context.tuning;
    while (round.readings < compactionReadingsMax && round.chunks < roundChunksMax && round.bytes < mergeBytesMax) {
      const found = this.#find(round, urge);
      if (found === undefined) break;
      round.series.add(found.series);
      await this.#prepare(found.series, found.plan, round);
    }
    if (round.merges.length === 0) return round.series.size > 0;
    const made = round.merges.flatMap((merge) => merge.made);
    if (made.length > 0) await ledger.write(made);
    for (const merge of round.merges) this.#replace(merge);
    this.#rounds++;
    await ledger.step();
    return true;
  }

  /** From here on scans list the new chunks. Those that began before still find the old ones in the store. */
  #replace({ series, taken, made, conflicts }: Merge): void {
    removeChunks(series, new Set(taken));
    for (const { ref, value } of made) {
      addChunk(series, ref);
      this.#bytes += value.length + chunkKeyBytes;
    }
    this.#options.retire(taken);
    this.#chunksIn += taken.length;
    this.#chunksOut += made.length;
    this.#conflicts += conflicts;
  }

  #find(round: Round, forced: "all" | undefined): { readonly series: Series; readonly plan: CompactionPlan } | undefined {
    const { index, context } = this.#options;
    const { compactionReadingsMax: readingsMax, compactionFanIn: fanIn, compactionQuietMs } = context.tuning;
    const all = index.all();
    const nowMs = context.clock.monotonicMs();
    let cost = 0;
    for (let looked = 0; looked < all.length && (cost < lookMax || forced === "all"); looked++, cost++) {
      this.#cursor = (this.#cursor + 1) % all.length;
      const series = all[this.#cursor] as Series;
      if (series.chunks.length < 2 || round.series.has(series)) continue;
      const urge = forced ?? (nowMs - series.sealedAtMs >= compactionQuietMs ? "quiet" : "usual");
      const mark = series.changes * 4 + marks[urge];
      if (series.examined === mark) continue;
      cost += series.chunks.length;
      const plan = planCompaction(series.chunks, { readingsMax, fanIn }, urge);
      if (plan !== undefined) return { series, plan };
      series.examined = mark;
    }
    return undefined;
  }

  /** Where a chunk turns out to be damaged it goes into quarantine, and this merge does not take place. */
  async #prepare(series: Series, { refs, boundaryUs }: CompactionPlan, round: Round): Promise<void> {
    const { pins } = this.#options;
    const pin = pins.begin();
    let read: Result<{ readonly chunks: Chunk[]; readonly bytes: number }>;
    try {
      read = await this.#read(series, refs);
    } finally {
      pins.end(pin);
    }
    if (!read.ok) {
      if (read.code === "data-damaged") return;
      throw new Error(read.message);
    }
    const { chunks, bytes } = read.value;
    const taken = refs.slice(0, chunks.length);
    const cutUs = taken.length < refs.length ? Math.min(boundaryUs, (refs[taken.length] as ChunkRef).minUs) : boundaryUs;
    const merged = mergeRuns(chunks.map((chunk) => chunk.run));
    const made = await this.#encode(series, merged.run, cutUs);
    const written = made.reduce((sum, { value }) => sum + value.length + chunkKeyBytes, 0);
    this.#pacer.spent(bytes + written);
    round.readings += merged.run.count;
    round.chunks += taken.length;
    round.bytes += written;
    round.merges.push({ series, taken, made, conflicts: merged.conflicts });
  }

  /** As many from the front as memory allows, at least two. */
  async #read(series: Series, refs: readonly ChunkRef[]): Promise<Result<{ readonly chunks: Chunk[]; readonly bytes: number }>> {
    const chunks: Chunk[] = [];
    let bytes = 0;
    for (const ref of refs) {
      const read = await this.#options.source.fresh(series, ref);
      if (!read.ok) return read;
      chunks.push(read.value.chunk);
      bytes += read.value.bytes;
      if (bytes >= mergeBytesMax && chunks.length >= 2) break;
      if (this.#slicer.due(read.value.chunk.run.count)) await this.#slicer.pause();
    }
    return { ok: true, value: { chunks, bytes } };
  }

  async #encode(series: Series, run: SeriesRun, cutUs: number): Promise<NewChunk[]> {
    const { ledger, keptFromUs, context } = this.#options;
    const kept = sliceRange(run, keptFromUs(series), Number.POSITIVE_INFINITY);
    const cut = lowerBound(kept, cutUs);
    const checkpoint = ledger.nextNumber();
    const made: NewChunk[] = [];
    for (const side of [sliceRows(kept, 0, cut), sliceRows(kept, cut, kept.count)]) {
      for (const piece of cutToChunks(side)) {
        made.push(newChunk(series, piece, { checkpoint, part: made.length, rollups: context.tuning.rollups }));
        if (this.#slicer.due(piece.count)) await this.#slicer.pause();
      }
    }
    return made;
  }
}

/** `run`: sorted, unique, not longer than a chunk. */
export function newChunk(
  series: Series,
  run: SeriesRun,
  options: { readonly checkpoint: number; readonly part: number; readonly rollups: boolean },
): NewChunk {
  return encodedChunk(series, run, encodeChunk(series.hash, run), options);
}

/** `value`: the chunk that `run` makes. */
export function encodedChunk(
  series: Series,
  run: SeriesRun,
  value: Uint8Array,
  { checkpoint, part, rollups }: { readonly checkpoint: number; readonly part: number; readonly rollups: boolean },
): NewChunk {
  const minUs = run.times[0] as number;
  const maxUs = run.times[run.count - 1] as number;
  const ref: ChunkRef = {
    kind: "chunk",
    series: series.id,
    minUs,
    maxUs,
    count: run.count,
    checkpoint,
    part,
    bytes: value.length,
    state: "live",
  };
  return { series, ref, value, rollups: rollups ? rollupPuts(series.hash, ref, run) : [] };
}
