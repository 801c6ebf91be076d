/**
 * The readings of one gateway: heads in memory, chunks in the store, and the readings log behind the heads. Checkpoints
 * (`checkpointer.ts`), compaction, scrub and dropping take turns in changing what the store must hold (`store-ledger.ts`).
 * The log is trimmed only behind a checkpoint that stands. Replaying a record twice does no harm.
 */

import { type Failure, FailureError, failure, type Result, success } from "../../lib/errors.ts";
import { deviceId, type Partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns } from "../../lib/reading-columns.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";
import type { Head } from "../../series/head.ts";
import { type Rollup, RollupLevel, windowUsOf } from "../../series/rollup.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { type CheckpointRecord, type ReadingsLog, RecordKind } from "../readings-log.ts";
import { Checkpointer } from "./checkpointer.ts";
import { ChunkCache } from "./chunk-cache.ts";
import { ChunkSource } from "./chunk-source.ts";
import { Compactor, encodedChunk } from "./compactor.ts";
import { DroppedRoom } from "./dropped-room.ts";
import { type Dropped, Dropper } from "./dropper.ts";
import { Slicer } from "./pacing.ts";
import { blockBytesBefore, bytesBefore, type PartitionUse, partitionUses } from "./partition-use.ts";
import { Quarantine } from "./quarantine.ts";
import { Roller } from "./rolled.ts";
import { ScanPins } from "./scan-pins.ts";
import { Scrubber } from "./scrubber.ts";
import { addChunk, removeChunks, rolledBeforeUs, type Series, SeriesIndex } from "./series-index.ts";
import type { ChunkRef } from "./store-keys.ts";
import { type NewChunk, StoreLedger, wayOut } from "./store-ledger.ts";
import { loadStore } from "./store-loader.ts";
import { Turns } from "./turns.ts";

export interface SeriesStoreOptions {
  readonly context: GatewayContext;
  readonly store: Store;
  /** Stamps up to here may have been given out: kept over the trimming of the log. */
  readonly reservedUs: () => number;
  /** Called before the log is trimmed: writes again to the log what must outlive its front. False: not all of it. */
  readonly carryOver: () => boolean;
}

/** A chunk of another gateway, verified. */
export interface AdoptedChunk {
  readonly device: string;
  readonly metric: string;
  readonly run: SeriesRun;
  /** What `run` was decoded from. */
  readonly value: Uint8Array;
}

/** What a reader of series needs. */
export interface ReadingParts {
  readonly pins: ScanPins;
  readonly source: ChunkSource;
  readonly clock: Clock;
}

/** Readings of a series from `fromUs` to `toUs` have come, can be read again, or are gone. */
export type ChangedReadings = (series: Series, fromUs: number, toUs: number) => void;

/** Readings that heads may hold while no checkpoint succeeds; about 16 bytes each. */
const headReadingsMax = 8_000_000;
const hourUs = windowUsOf(RollupLevel.Hour);
const retryMs = 5_000;
const backgroundRetryMs = 30_000;
/** Times `checkpointLogBytes`: so far the log may grow before heads of a few readings each are sealed. */
const patienceMax = 4;

export class SeriesStore {
  readonly index: SeriesIndex;
  readonly reading: ReadingParts;
  readonly quarantine: Quarantine;
  readonly #options: SeriesStoreOptions;
  readonly #context: GatewayContext;
  readonly #ledger: StoreLedger;
  readonly #cache: ChunkCache;
  readonly #checkpointer: Checkpointer;
  readonly #compactor: Compactor;
  readonly #scrubber: Scrubber;
  /** See `watch`. */
  #changed: ChangedReadings = () => undefined;
  /** See `retain`. */
  #rawUs: (partition: Partition) => number = () => Number.NEGATIVE_INFINITY;
  #rollupUs: (partition: Partition) => number = () => Number.NEGATIVE_INFINITY;
  readonly #room: DroppedRoom;
  readonly #roller: Roller;
  readonly #dropper: Dropper;
  readonly #turns = new Turns();
  #log: ReadingsLog | undefined;
  #appliedSequence = 0;
  #headReadings = 0;
  #filledHeads = 0;
  #checkpointing: Promise<void> | undefined;
  #inBackground: Promise<void> | undefined;
  #stopped = false;
  #bytesAtCheckpoint = 0;
  #retryAtMs = 0;
  #backgroundRetryAtMs = 0;

  constructor(options: SeriesStoreOptions) {
    const { context, store } = options;
    this.#options = options;
    this.#context = context;
    this.index = new SeriesIndex(context.ports.hash64);
    this.quarantine = new Quarantine(context);
    const pins = new ScanPins();
    this.#cache = new ChunkCache(context.tuning.chunkCacheBytes);
    const source = new ChunkSource({ store, cache: this.#cache, quarantine: this.quarantine });
    this.reading = { pins, source, clock: context.clock };
    this.#ledger = new StoreLedger({ store, packing: context.packing, pins, quarantine: this.quarantine });
    const gone: ChangedReadings = (series, fromUs, toUs) => this.#changed(series, fromUs, toUs);
    const parts = { context, index: this.index, ledger: this.#ledger, keptFromUs: (series: Series) => this.keptFromUs(series) };
    this.#checkpointer = new Checkpointer({
      ...parts,
      gone,
      isStopped: () => this.#stopped,
      sealed: (heads, readings) => {
        this.#filledHeads -= heads;
        this.#headReadings -= readings;
      },
    });
    this.#compactor = new Compactor({ ...parts, source, pins, retire: (refs) => this.#retire(refs) });
    this.#room = new DroppedRoom(store);
    this.#roller = new Roller({ context, store, ledger: this.#ledger, source, pins });
    this.#dropper = new Dropper({
      ...parts,
      gone,
      roller: this.#roller,
      room: this.#room,
      horizonsOf: ({ partition }) => ({ rawUs: this.#rawUs(partition), rollupUs: this.#rollupUs(partition) }),
      retire: (refs) => this.#retire(refs),
      isStopped: () => this.#stopped,
    });
    this.#scrubber = new Scrubber({ context, index: this.index, source, pins, chunks: () => this.#ledger.chunks() });
  }

  /** Reads which series and chunks there are. Fails with `store-damaged` when chunks are missing that had been made durable. */
  async load(): Promise<Result<void>> {
    const { store, context } = this.#options;
    const loaded = await loadStore({
      store,
      packing: context.packing,
      index: this.index,
      ledger: this.#ledger,
      quarantine: this.quarantine,
    });
    if (!loaded.ok) return loaded;
    this.#appliedSequence = loaded.value?.position ?? 0;
    const nowMs = context.clock.monotonicMs();
    for (const series of this.index.all()) series.sealedAtMs = nowMs;
    return success(undefined);
  }

  /** Compares what the log says of the last checkpoint with what the store knows of it; called when the log was replayed. */
  checkAgainstLog(logged: CheckpointRecord | undefined, log: ReadingsLog): Result<void> {
    this.#log = log;
    // What the log holds counts towards the next checkpoint; `bytesWritten` begins at 0 with each start.
    this.#bytesAtCheckpoint = -log.log.stats().bytes;
    const stored = this.#ledger.stored();
    if (stored !== undefined && stored.position >= log.log.nextSequence()) {
      return failure(
        "log-damaged",
        `the store holds everything up to record ${stored.position}, but the readings log ends before record ${log.log.nextSequence()}: its end is lost. ${wayOut}`,
      );
    }
    return this.#ledger.checkAgainst(logged);
  }

  /** Readings of a durable record join the heads. Records that a checkpoint covers are skipped. */
  apply(columns: ReadingColumns, sequence: number): void {
    if (sequence <= this.#appliedSequence) return;
    this.#appliedSequence = sequence;
    const table = columns.seriesTable.map((name) => this.index.obtain(name.device, name.metric));
    const series = table.map(({ head }) => head);
    const empty = series.filter((head) => head.count === 0);
    const horizons = table.map((each) => this.keptFromUs(each));
    const { count, times, types, numbers, texts } = columns;
    const hours = new Float64Array(table.length).fill(Number.NaN);
    let taken = 0;
    for (let i = 0; i < count; i++) {
      const ref = columns.series[i] as number;
      const us = times[i] as number;
      // What is given up stays given up, whoever brings it again.
      if (us < (horizons[ref] as number)) continue;
      taken++;
      const number = numbers[i] as number;
      const type = types[i] as ValueType;
      (series[ref] as Head).append(us, type, number, type === ValueType.Text ? texts[number] : undefined);
      const hour = Math.floor(us / hourUs);
      if (hour === hours[ref]) continue;
      hours[ref] = hour;
      this.#changed(table[ref] as Series, us, us);
    }
    this.#headReadings += taken;
    for (const head of empty) if (head.count > 0) this.#filledHeads++;
  }

  /** False when checkpoints have failed for so long that memory would be next. */
  mayTake(): boolean {
    return this.#headReadings < headReadingsMax;
  }

  /**
   * Tells below which instant (µs) the site gives up the readings of a partition, and below which their rollups. They may move up
   * between two calls, never down.
   */
  retain(rawUs: (partition: Partition) => number, rollupUs = rawUs): void {
    this.#rawUs = rawUs;
    this.#rollupUs = rollupUs;
  }

  /** Tells of readings that come, once for each series and hour of a round, and of stretches that can be read again or are gone. */
  watch(changed: ChangedReadings): void {
    this.#changed = changed;
  }

  /** Below it readings are not answered any more. */
  horizonOf(series: Series): number {
    return this.#rawUs(series.partition);
  }

  /** Below it readings are worth nothing any more, not even for a rollup. */
  keptFromUs(series: Series): number {
    const rawUs = this.#rawUs(series.partition);
    const rollupUs = this.#rollupUs(series.partition);
    return rollupUs >= rawUs ? rawUs : Math.min(rawUs, Math.max(rollupUs, rolledBeforeUs(series)));
  }

  /** Called once a second: starts a checkpoint when one is due, else what goes on in the background. */
  maintain(): void {
    if (this.#log === undefined || this.#stopped || this.#checkpointing !== undefined) return;
    const nowMs = this.#context.clock.monotonicMs();
    if (nowMs >= this.#retryAtMs && this.#isCheckpointDue(this.#log)) void this.checkpoint();
    else if (nowMs >= this.#backgroundRetryAtMs) this.#inBackground ??= this.#background();
  }

  /** Two at once are one. Never rejects: a checkpoint that fails is tried again later. */
  checkpoint(): Promise<void> {
    const log = this.#log;
    if (log === undefined || this.#stopped) return Promise.resolve();
    this.#checkpointing ??= this.#turns
      .take(() => this.#checkpoint(log))
      .catch((cause: unknown) => {
        this.#retryAtMs = this.#context.clock.monotonicMs() + retryMs;
        this.#recountHeads();
        if (!this.#stopped) this.#failed("checkpoint-failed", cause, "the log keeps everything; tried again in 5 s");
      })
      .finally(() => {
        this.#checkpointing = undefined;
      });
    return this.#checkpointing;
  }

  /** Merges all that can be merged, as fast as it goes: for a gateway that does nothing else. Throws when the store does. */
  async compactAll(): Promise<void> {
    while (!this.#stopped && (await this.#turns.take(() => this.#compactor.round("all"))));
  }

  /**
   * Deletes up to `chunksMax` chunks and blocks that lie below their horizons; scans that began before still read theirs. Where
   * rollups are kept, blocks take the place of chunks, but not before the oldest is `lagUs` behind the horizon. What it does follows
   * from the horizons, so that after a crash the next call goes on. Fails as the store does: then they go with a later step.
   */
  dropBefore(chunksMax: number, lagUs = 0): Promise<Result<Dropped>> {
    return this.#turns.take(async () => {
      try {
        return success(await this.#dropper.drop(chunksMax, lagUs));
      } catch (cause) {
        return storeFailure(cause);
      }
    });
  }

  /** Another owner's chunks, verified, join those here. Fails as the store does: what stands by then counts with the next step. */
  adoptChunks(chunks: readonly AdoptedChunk[]): Promise<Result<void>> {
    return this.#turns.take(async () => {
      if (this.#stopped) return failure("not-ready", "this gateway stops");
      const { rollups } = this.#context.tuning;
      const checkpoint = this.#ledger.nextNumber();
      const slicer = new Slicer(this.#context.clock);
      const made: NewChunk[] = [];
      for (const { device, metric, run, value } of chunks) {
        const series = this.index.obtain(deviceId(device), metric);
        if ((run.times[run.count - 1] as number) < this.keptFromUs(series)) continue;
        made.push(encodedChunk(series, run, value, { checkpoint, part: made.length, rollups }));
        if (slicer.due(run.count)) await slicer.pause();
      }
      try {
        if (made.length > 0) await this.#ledger.write(made);
        for (const { series, ref } of made) {
          addChunk(series, ref);
          this.#changed(series, ref.minUs, ref.maxUs);
        }
        await this.#ledger.step();
        return success(undefined);
      } catch (cause) {
        return storeFailure(cause);
      }
    });
  }

  /**
   * Lets go of chunks in quarantine whose readings stand elsewhere by now, durable: their records in the quarantine and their rollups
   * go with them. What is not in quarantine any more is passed over. Fails as the store does: then they go with a later step.
   */
  retireDamaged(series: Series, refs: readonly ChunkRef[]): Promise<Result<void>> {
    return this.#turns.take(async () => {
      const gone = refs.filter((ref) => ref.state === "damaged");
      removeChunks(series, new Set(gone));
      this.#retire(gone);
      for (const { minUs, maxUs } of gone) this.#changed(series, minUs, maxUs);
      try {
        await this.#ledger.step();
        return success(undefined);
      } catch (cause) {
        return storeFailure(cause);
      }
    });
  }

  /** Another owner's blocks of a series take the place of those here, where they stand for more readings. Fails as the store does. */
  adoptBlocks(series: Series, rollups: readonly Rollup[]): Promise<Result<void>> {
    return this.#turns.take(async () => {
      const rawUs = this.#rawUs(series.partition);
      const own = [...series.blocks, ...series.chunks].reduce((sum, { maxUs, count }) => sum + (maxUs < rawUs ? count : 0), 0);
      const offered = rollups.reduce((sum, { rows }) => sum + rows.counts.reduce((all, count) => all + count, 0), 0);
      if (offered <= own || this.#stopped) return success(undefined);
      // What a block stands for is not looked at any more: it must not stand for what is still to come.
      if (rollups.some(({ rows: { ends } }) => (ends.times[ends.count - 1] as number) >= rawUs))
        return failure("not-ready", `rollups of ${series.device} ${series.metric} are of readings that are not given up here yet`);
      try {
        await this.#dropper.take(await this.#roller.adopt(series, rollups));
        return success(undefined);
      } catch (cause) {
        return storeFailure(cause);
      }
    });
  }

  /** Resolves when no checkpoint or step is under way that began before: what it leaves out it has left out by then. */
  idle(): Promise<void> {
    return this.#turns.take(() => Promise.resolve());
  }

  /**
   * Takes the step that an adoption could not take: before somebody relies on what was adopted, which a crash would take back until
   * then. Fails as the store does.
   */
  counted(): Promise<Result<void>> {
    return this.#turns.take(async () => {
      try {
        if (this.#ledger.isAhead()) await this.#ledger.step();
        return success(undefined);
      } catch (cause) {
        return storeFailure(cause);
      }
    });
  }

  /** Whether readings that are in memory only keep older chunks from becoming blocks. */
  isHeldUp(): boolean {
    return this.index
      .all()
      .some((series) => series.head.minTimeUs < this.horizonOf(series) && series.head.minTimeUs >= this.keptFromUs(series));
  }

  /** Lets the disk have the room of what was dropped, a piece at a time. True: there is more. Throws when the store fails. */
  giveBack(): Promise<boolean> {
    return this.#turns.take(() => this.#room.giveBack());
  }

  /** What the chunks take that a horizon at `us` would drop, those that are to be dropped anyway left out. */
  bytesBefore(us: number): number {
    return bytesBefore(this.index.all(), us, (series) => this.horizonOf(series));
  }

  /** The same of blocks, whose horizon is that of rollups. */
  blockBytesBefore(us: number): number {
    return blockBytesBefore(this.index.all(), us, ({ partition }) => this.#rollupUs(partition));
  }

  /** Time of the oldest reading that stands in a block. */
  oldestBlockUs(): number | undefined {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { blocks } of this.index.all()) oldest = Math.min(oldest, blocks[0]?.minUs ?? Number.POSITIVE_INFINITY);
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  /** What each partition holds in chunks. */
  partitionUses(): ReadonlyMap<Partition, PartitionUse> {
    return partitionUses(this.index.all());
  }

  /** Time of the oldest reading of a partition, or of all, that is not below its horizon. A chunk counts from its first reading on. */
  oldestUs(of?: Partition): number | undefined {
    let oldest = Number.POSITIVE_INFINITY;
    for (const series of this.index.all()) {
      if (of !== undefined && series.partition !== of) continue;
      const first = Math.min(
        series.head.minTimeUs,
        series.sealing?.minTimeUs ?? Number.POSITIVE_INFINITY,
        series.chunks[0]?.minUs ?? Number.POSITIVE_INFINITY,
      );
      if (first < Number.POSITIVE_INFINITY) oldest = Math.min(oldest, Math.max(first, this.horizonOf(series)));
    }
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  stats() {
    return {
      series: this.index.count(),
      chunks: this.#ledger.chunks(),
      headReadings: this.#headReadings,
      checkpoints: this.#ledger.checkpoints(),
      conflicts: this.#checkpointer.conflicts() + this.#compactor.conflicts(),
      readings: this.#ledger.readings(),
      blocks: this.#ledger.blocks(),
      damagedChunks: this.quarantine.count(),
      compaction: this.#compactor.stats(),
      scrub: this.#scrubber.stats(),
      cache: this.#cache.stats(),
    };
  }

  /** Begins nothing new, and resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#checkpointing;
    await this.#inBackground;
    await this.#turns.take(() => Promise.resolve());
  }

  #isCheckpointDue(log: ReadingsLog): boolean {
    const logBytes = log.log.stats().bytesWritten - this.#bytesAtCheckpoint;
    const { checkpointLogBytes, checkpointReadings, checkpointSeriesReadings } = this.#context.tuning;
    if (this.#headReadings >= checkpointReadings || logBytes >= patienceMax * checkpointLogBytes) return true;
    // Heads of a few readings each would become chunks that are mostly header, to be rewritten soon.
    return logBytes >= checkpointLogBytes && this.#headReadings >= this.#filledHeads * checkpointSeriesReadings;
  }

  async #checkpoint(log: ReadingsLog): Promise<void> {
    const position = this.#appliedSequence;
    await this.#checkpointer.seal();
    const stored = await this.#ledger.step({ position, reservedUs: this.#options.reservedUs() });
    const { chunks, readings, digest, reservedUs, number } = stored;
    this.#trimBehind(log, { position, chunks, readings, digest, reservedUs, number });
  }

  /** What was being sealed became heads again, without the readings that it repeated. */
  #recountHeads(): void {
    this.#filledHeads = 0;
    this.#headReadings = 0;
    for (const { head } of this.index.all()) {
      if (head.count > 0) this.#filledHeads++;
      this.#headReadings += head.count;
    }
  }

  /** The checkpoint's record first, durable; then the records that it covers may go. */
  #trimBehind(log: ReadingsLog, record: CheckpointRecord): void {
    const trim = (): void => {
      log.log.trim(record.position + 1).catch((cause: unknown) => {
        this.#context.diagnostics.error("trim-failed", { cause: cause instanceof Error ? cause.message : String(cause) });
      });
    };
    const carried = this.#options.carryOver();
    const sequence = carried ? log.appendPacked(RecordKind.Checkpoint, record, trim) : undefined;
    // What was just carried over is no reason for the next checkpoint.
    this.#bytesAtCheckpoint = log.log.stats().bytesWritten;
    if (sequence === undefined) this.#context.clock.schedule(100, () => this.#context.inbox.post(() => this.#trimBehind(log, record)));
  }

  async #background(): Promise<void> {
    try {
      while (!this.#stopped && this.#ledger.hasWork()) await this.#turns.take(() => this.#ledger.step());
      while (this.#mayCompact() && (await this.#turns.take(() => this.#compactor.round())));
      await this.#scrubber.run();
    } catch (cause) {
      this.#backgroundRetryAtMs = this.#context.clock.monotonicMs() + backgroundRetryMs;
      this.#failed("compaction-failed", cause, "nothing is lost by it; tried again in 30 s");
    } finally {
      this.#inBackground = undefined;
    }
  }

  #mayCompact(): boolean {
    return !this.#stopped && this.#checkpointing === undefined && this.#compactor.mayGo();
  }

  #retire(refs: readonly ChunkRef[]): void {
    for (const ref of refs) this.#cache.remove(ref);
    this.#ledger.retire(refs);
  }

  #failed(event: string, cause: unknown, next: string): void {
    this.#context.diagnostics.error(event, { cause: cause instanceof Error ? cause.message : String(cause), next });
  }
}

function storeFailure(cause: unknown): Failure {
  if (cause instanceof FailureError) return cause.failure;
  return failure("store-failed", cause instanceof Error ? cause.message : String(cause));
}
