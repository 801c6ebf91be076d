/**
 * What is left of readings that were given up. Chunks below the raw horizon that are not below the rollup horizon become
 * *blocks*, and go: a block is the rollup by the hour of a stretch of a series. Blocks are made in ascending order, and what is
 * behind the last one's end is not looked at any more, whoever brings it: each reading counts in a block or in a chunk, never in
 * both, also where a crash has left both.
 */

import { FailureError } from "../../lib/errors.ts";
import type { Store } from "../../ports/store.ts";
import { joinRollups } from "../../series/join-rollups.ts";
import { mergeRuns } from "../../series/merge.ts";
import { buildRollup, decodeRollup, encodeRollup, type Rollup, RollupLevel } from "../../series/rollup.ts";
import { type SeriesRun, sliceRange } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import type { ChunkSource } from "./chunk-source.ts";
import { type ChunkSpan, spansOf } from "./chunk-spans.ts";
import { Slicer } from "./pacing.ts";
import type { ScanPins } from "./scan-pins.ts";
import { rolledBeforeUs, type Series } from "./series-index.ts";
import { type ChunkRef, chunkKey } from "./store-keys.ts";
import type { NewChunk, StoreLedger } from "./store-ledger.ts";

/** Below `rawUs` readings are given up, below `rollupUs` rollups are. */
export interface GivenUp {
  readonly rawUs: number;
  readonly rollupUs: number;
  /** How far behind the raw horizon the oldest chunk may be before it becomes part of a block: more at once make fewer blocks. */
  readonly lagUs: number;
}

export interface GivingUp {
  /** Chunks and blocks of which nothing is to be left. */
  readonly drop: readonly ChunkRef[];
  /** Chunks that become blocks, ascending. */
  readonly roll: readonly ChunkSpan[];
}

/** One series' way from chunks to blocks. */
export interface Rolling {
  readonly series: Series;
  /** These go: chunks, and blocks that were joined. */
  readonly taken: readonly ChunkRef[];
  readonly made: readonly NewChunk[];
}

export interface RollerOptions {
  readonly context: GatewayContext;
  readonly store: Store;
  readonly ledger: StoreLedger;
  readonly source: ChunkSource;
  readonly pins: ScanPins;
}

const hourUs = 3_600_000_000;
/** A last block that is shorter is joined with what follows it: there are not many small ones. */
const blockHoursMin = 168;
const blockRowsMax = 1_024;
/** Where texts make the hours long a block has fewer of them, but so many. */
const blockBytesMax = 1 << 20;
const blockRowsMin = 16;
/** As far as a key can count. */
const blockReadingsMax = 0xffffffff;
/** Chunks of one series that become a block at once: what memory is taken for. */
const chunksAtOnce = 64;

export function planGivingUp(series: Series, { rawUs, rollupUs, lagUs }: GivenUp): GivingUp {
  const goneUs = Math.min(rawUs, rollupUs);
  const drop = [...series.chunks, ...series.blocks].filter((ref) => ref.maxUs < (ref.kind === "chunk" ? goneUs : rollupUs));
  const roll: ChunkSpan[] = [];
  let chunks = 0;
  // What is in memory only would come too late for the block of its time.
  const endUs = Math.min(rawUs, series.head.minTimeUs, series.sealing?.minTimeUs ?? Number.POSITIVE_INFINITY);
  for (const span of spansOf(series.chunks.filter((ref) => ref.maxUs >= goneUs && ref.minUs < endUs))) {
    if (span.maxUs >= endUs || chunks >= chunksAtOnce) break;
    chunks += span.refs.length;
    roll.push(span);
  }
  const first = roll[0];
  return { drop, roll: first !== undefined && first.minUs < rawUs - lagUs ? roll : [] };
}

/** What a start has found: sorts the blocks, and gives the chunks and blocks that newer blocks have taken the place of. */
export function restoreBlocks(series: Series): ChunkRef[] {
  const replaced: ChunkRef[] = [];
  const kept: ChunkRef[] = [];
  for (const ref of series.blocks.toSorted((a, b) => b.checkpoint - a.checkpoint)) {
    const isReplaced = kept.some((newer) => newer.checkpoint > ref.checkpoint && newer.minUs <= ref.maxUs && newer.maxUs >= ref.minUs);
    (isReplaced ? replaced : kept).push(ref);
  }
  series.blocks = kept.sort((a, b) => a.minUs - b.minUs);
  const beforeUs = rolledBeforeUs(series);
  const rolled = series.chunks.filter((ref) => ref.maxUs < beforeUs);
  if (rolled.length > 0) series.chunks = series.chunks.filter((ref) => ref.maxUs >= beforeUs);
  return [...replaced, ...rolled];
}

export class Roller {
  readonly #options: RollerOptions;
  readonly #slicer: Slicer;

  constructor(options: RollerOptions) {
    this.#options = options;
    this.#slicer = new Slicer(options.context.clock);
  }

  /** Has the store's turn. What is damaged leaves nothing. Throws when the store cannot be read. */
  async roll(series: Series, spans: readonly ChunkSpan[]): Promise<Rolling> {
    const { pins } = this.#options;
    const parts: Rollup[] = [];
    const taken: ChunkRef[] = [];
    const fromUs = rolledBeforeUs(series);
    const pin = pins.begin();
    try {
      const last = series.blocks.at(-1);
      const joined = last === undefined || last.maxUs - last.minUs >= blockHoursMin * hourUs ? undefined : await this.#read(series, last);
      if (last !== undefined && joined !== undefined) {
        parts.push(joined);
        taken.push(last);
      }
      for (const { refs } of spans) {
        const run = sliceRange(await this.#runOf(series, refs), fromUs, Number.POSITIVE_INFINITY);
        taken.push(...refs);
        if (run.count > 0) parts.push(buildRollup(series.hash, RollupLevel.Hour, run));
        if (this.#slicer.due(run.count)) await this.#slicer.pause();
      }
    } finally {
      pins.end(pin);
    }
    return { series, taken, made: this.#blocks(series, parts) };
  }

  /** What another owner has of a series takes the place of all blocks here. An hour may be in two of them. */
  async adopt(series: Series, parts: readonly Rollup[]): Promise<Rolling> {
    const made: NewChunk[] = [];
    for (const part of parts) {
      made.push(...this.#blocks(series, [part]));
      await this.#slicer.pause();
    }
    return { series, taken: [...series.blocks], made };
  }

  /** Nothing is to be left of these: there is no room for it. */
  giveUp({ series, taken }: Rolling, why: string): Rolling {
    const chunks = taken.filter((ref) => ref.kind === "chunk");
    const readings = chunks.reduce((sum, { count }) => sum + count, 0);
    this.#options.context.diagnostics.warn("no-rollup-left", { why, device: series.device, metric: series.metric, readings });
    return { series, taken: chunks, made: [] };
  }

  /** From here on these count. */
  replace({ series, taken, made }: Rolling): void {
    const gone = new Set(taken);
    series.blocks = [...series.blocks.filter((ref) => !gone.has(ref)), ...made.map(({ ref }) => ref)].sort((a, b) => a.minUs - b.minUs);
  }

  #blocks(series: Series, parts: readonly Rollup[]): NewChunk[] {
    const checkpoint = this.#options.ledger.nextNumber();
    for (let rowsMax = blockRowsMax; ; rowsMax /= 2) {
      const made = joinRollups(parts, rowsMax).map((rollup, part) => newBlock(series, rollup, { checkpoint, part }));
      const areSmall = made.every(({ ref: { bytes, count } }) => bytes <= blockBytesMax && count <= blockReadingsMax);
      if (areSmall || rowsMax <= blockRowsMin) return made;
    }
  }

  async #runOf(series: Series, refs: readonly ChunkRef[]): Promise<SeriesRun> {
    const runs: SeriesRun[] = [];
    for (const ref of refs) {
      const read = ref.state === "damaged" ? this.#options.source.refusal(series, [ref]) : await this.#options.source.fresh(series, ref);
      if (read?.ok === true) {
        runs.push(read.value.chunk.run);
      } else if (read !== undefined && read.code === "data-damaged") {
        this.#options.context.diagnostics.warn("no-rollup-left", { why: read.message, readings: ref.count });
      } else {
        throw new Error(read?.message ?? "a chunk cannot be read");
      }
    }
    return mergeRuns(runs).run;
  }

  /** `undefined` for a block that is damaged: it stays what it is, and nothing is joined to it. */
  async #read(series: Series, ref: ChunkRef): Promise<Rollup | undefined> {
    try {
      const value = await this.#options.store.get(chunkKey(ref));
      const decoded = value === undefined ? undefined : decodeRollup(series.hash, value);
      return decoded?.ok === true ? decoded.value : undefined;
    } catch (error) {
      if (error instanceof FailureError && error.failure.code === "store-damaged") return undefined;
      throw error;
    }
  }
}

function newBlock(series: Series, rollup: Rollup, { checkpoint, part }: { readonly checkpoint: number; readonly part: number }): NewChunk {
  const { counts, ends } = rollup.rows;
  const value = encodeRollup(series.hash, rollup);
  const ref: ChunkRef = {
    kind: "block",
    series: series.id,
    minUs: ends.times[0] as number,
    maxUs: ends.times[ends.count - 1] as number,
    count: counts.reduce((sum, count) => sum + count, 0),
    checkpoint,
    part,
    bytes: value.length,
    state: "live",
  };
  return { series, ref, value, rollups: [] };
}
