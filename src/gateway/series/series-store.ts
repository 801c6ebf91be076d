/**
 * The readings of one gateway: heads in memory, chunks in the store, and the readings log behind the heads. A
 * checkpoint seals all heads into chunks, makes them durable and verifies them, writes what the store now must hold to
 * store and log, and only then lets the log be trimmed. Replaying a record twice does no harm.
 */

import { compareBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { deviceId, type Partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns } from "../../lib/reading-columns.ts";
import type { Store, StoreOperation } from "../../ports/store.ts";
import { chunkReadingsMax, decodeChunkStats, encodeChunk } from "../../series/chunk.ts";
import { Head } from "../../series/head.ts";
import { runValueAt, sliceRange, sliceRows } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { type CheckpointRecord, type ReadingsLog, RecordKind } from "../readings-log.ts";
import { ChunkLedger } from "./chunk-ledger.ts";
import { packSealed, unpackSealed } from "./sealed-value.ts";
import { type Series, SeriesIndex } from "./series-index.ts";
import {
  type ChunkRef,
  chunkKey,
  chunkPrefix,
  metaKey,
  parseChunkKey,
  parseSeriesKey,
  prefixRange,
  seriesKey,
  seriesPrefix,
} from "./store-keys.ts";

export interface StoredCheckpoint extends CheckpointRecord {
  /** Counts checkpoints; chunks of a higher number belong to one that was never finished. */
  readonly number: number;
  /** The digest that the log's record of this checkpoint has, where chunks were dropped since. */
  readonly sealedDigest?: string;
}

export interface SeriesStoreOptions {
  readonly context: GatewayContext;
  readonly store: Store;
  /** Stamps up to here may have been given out: kept over the trimming of the log. */
  readonly reservedUs: () => number;
  /** Called before the log is trimmed: writes again to the log what must outlive its front. False: not all of it. */
  readonly carryOver: () => boolean;
}

interface AddedChunk {
  readonly series: Series;
  readonly ref: ChunkRef;
}

/** Readings that heads may hold while no checkpoint succeeds; about 16 bytes each. */
const headReadingsMax = 8_000_000;
const batchBytesMax = 1 << 20;
const scanPage = 1_000;
const retryMs = 5_000;
/** Series with no more chunks than this have their room given back together with the next ones, so many at once. */
const smallSeriesChunks = 64;
const givenBackAtOnce = 256;

export class SeriesStore {
  readonly index: SeriesIndex;
  readonly #options: SeriesStoreOptions;
  readonly #context: GatewayContext;
  #ledger = new ChunkLedger();
  #log: ReadingsLog | undefined;
  #appliedSequence = 0;
  #stored: StoredCheckpoint | undefined;
  #headReadings = 0;
  #checkpointing = false;
  #bytesAtCheckpoint = 0;
  #conflicts = 0;
  #retryAtMs = 0;
  /** Keys that a checkpoint may have written that failed before its record: deleted by the next one, before anything else. */
  #leftovers: Uint8Array[] = [];
  /** Keys of checkpoints whose record failed (it may stand), and of dropped chunks: they go only together with the next record. */
  #doubtful: Uint8Array[] = [];
  /** Below it readings of a partition are given up: see `retain`. */
  #horizonOf: (partition: Partition) => number = () => Number.NEGATIVE_INFINITY;
  /** The highest number whose record may stand in the store. */
  #numberTried = 0;
  /** The last key that was dropped of a series since its room was given back. */
  readonly #droppedTo = new Map<Series, Uint8Array>();
  /** Whether chunks were forgotten that the store may still hold. */
  #dropFailed = false;

  constructor(options: SeriesStoreOptions) {
    this.#options = options;
    this.#context = options.context;
    this.index = new SeriesIndex(options.context.ports.hash64);
  }

  /** Reads which series and chunks there are. Fails with `store-damaged` when chunks are missing that a checkpoint had made durable. */
  async load(): Promise<Result<void>> {
    const stored = await this.#readCheckpoint();
    if (!stored.ok) return stored;
    this.#stored = stored.value;
    this.#appliedSequence = stored.value?.position ?? 0;
    const names = await this.#loadSeries();
    if (!names.ok) return names;
    const chunks = await this.#loadChunks(names.value);
    if (!chunks.ok) return chunks;
    const expected = stored.value;
    const matches =
      expected === undefined
        ? this.#ledger.chunks() === 0
        : expected.chunks === this.#ledger.chunks() && expected.digest === this.#ledger.digest();
    if (matches) return success(undefined);
    return failure(
      "store-damaged",
      `the store has ${this.#ledger.chunks()} chunks where the last checkpoint made ${expected?.chunks ?? 0} durable: some are lost or altered. ${wayOut}`,
    );
  }

  /** Compares what the log says of the last checkpoint with what the store knows of it; called when the log was replayed. */
  checkAgainstLog(logged: CheckpointRecord | undefined, log: ReadingsLog): Result<void> {
    this.#log = log;
    // What the log holds counts towards the next checkpoint; `bytesWritten` begins at 0 with each start.
    this.#bytesAtCheckpoint = -log.log.stats().bytes;
    const stored = this.#stored;
    if (stored !== undefined && stored.position >= log.log.nextSequence()) {
      return failure(
        "log-damaged",
        `the store holds everything up to record ${stored.position}, but the readings log ends before record ${log.log.nextSequence()}: its end is lost. ${wayOut}`,
      );
    }
    const behind = logged !== undefined && (stored?.position ?? 0) < logged.position;
    const differs =
      logged !== undefined &&
      stored !== undefined &&
      stored.position === logged.position &&
      (stored.sealedDigest ?? stored.digest) !== logged.digest;
    if (behind || differs)
      return failure(
        "store-damaged",
        `the log says that everything up to record ${logged.position} stands in ${logged.chunks} chunks, the store knows of ${stored?.chunks ?? 0}. ${wayOut}`,
      );
    return success(undefined);
  }

  /** Readings of a durable record join the heads. Records that a checkpoint covers are skipped. */
  apply(columns: ReadingColumns, sequence: number): void {
    if (sequence <= this.#appliedSequence) return;
    this.#appliedSequence = sequence;
    const table = columns.seriesTable.map((name) => this.index.obtain(name.device, name.metric));
    const series = table.map(({ head }) => head);
    const horizons = table.map(({ partition }) => this.#horizonOf(partition));
    const { count, times, types, numbers, texts } = columns;
    let taken = 0;
    for (let i = 0; i < count; i++) {
      // What is below the horizon was given up, whoever brings it again.
      if ((times[i] as number) < (horizons[columns.series[i] as number] as number)) continue;
      taken++;
      const number = numbers[i] as number;
      const type = types[i] as ValueType;
      (series[columns.series[i] as number] as Head).append(
        times[i] as number,
        type,
        number,
        type === ValueType.Text ? texts[number] : undefined,
      );
    }
    this.#headReadings += taken;
  }

  /** False when checkpoints have failed for so long that memory would be next. */
  mayTake(): boolean {
    return this.#headReadings < headReadingsMax;
  }

  /** Starts a checkpoint when one is due. */
  maintain(): void {
    if (this.#log === undefined || this.#checkpointing || this.#context.clock.monotonicMs() < this.#retryAtMs) return;
    const logBytes = this.#log.log.stats().bytesWritten - this.#bytesAtCheckpoint;
    const { checkpointLogBytes, checkpointReadings } = this.#context.tuning;
    if (logBytes >= checkpointLogBytes || this.#headReadings >= checkpointReadings) void this.checkpoint();
  }

  async checkpoint(): Promise<void> {
    const log = this.#log;
    if (log === undefined || this.#checkpointing) return;
    this.#checkpointing = true;
    try {
      await this.#seal(log);
    } catch (cause) {
      this.#retryAtMs = this.#context.clock.monotonicMs() + retryMs;
      this.#context.diagnostics.error("checkpoint-failed", {
        cause: cause instanceof Error ? cause.message : String(cause),
        next: "the log keeps everything; tried again in 5 s",
      });
      this.#unseal();
    } finally {
      this.#checkpointing = false;
    }
  }

  /** Tells below which instant (µs) readings of a partition are given up. It may move up between two calls, never down. */
  retain(horizonOf: (partition: Partition) => number): void {
    this.#horizonOf = horizonOf;
  }

  /**
   * Drops up to `chunksMax` chunks that end below the horizon of their partition, in one atomic batch with the record that
   * says what the store must hold. Answers how many; `undefined` while a checkpoint is under way. What it drops follows from the
   * horizons, so that after a crash the next call goes on. Throws when the store cannot be written.
   */
  async dropBefore(chunksMax: number): Promise<number | undefined> {
    if (this.#checkpointing) return undefined;
    const stored = this.#stored;
    if (stored === undefined || this.#log === undefined) return 0;
    const keys = this.#forgetDropped(chunksMax);
    // What an earlier call could not write is still to go.
    if (keys.length === 0 && !this.#dropFailed) return 0;
    this.#checkpointing = true;
    this.#dropFailed = true;
    try {
      // Should this write fail, its chunks are gone or not: the next record, of whichever kind, takes them with it.
      const doubtful = [...this.#doubtful, ...keys];
      this.#doubtful = doubtful;
      const left: StoredCheckpoint = {
        ...stored,
        chunks: this.#ledger.chunks(),
        readings: this.#ledger.readings(),
        digest: this.#ledger.digest(),
        sealedDigest: stored.sealedDigest ?? stored.digest,
      };
      await this.#options.store.write(
        [
          { type: "put", key: metaKey("checkpoint"), value: packSealed(this.#context.packing, left) },
          ...doubtful.map((key) => ({ type: "delete" as const, key })),
        ],
        { sync: true },
      );
      this.#stored = left;
      this.#doubtful = [];
      this.#dropFailed = false;
    } finally {
      this.#checkpointing = false;
    }
    return keys.length;
  }

  /** Takes chunks below the horizon out of index and ledger. A reader that had taken one finds that it is not listed any more. */
  #forgetDropped(chunksMax: number): Uint8Array[] {
    const keys: Uint8Array[] = [];
    for (const series of this.index.all()) {
      if (keys.length >= chunksMax) break;
      const horizonUs = this.#horizonOf(series.partition);
      if (!series.chunks.some((ref) => ref.maxUs < horizonUs)) continue;
      let kept = 0;
      for (const ref of series.chunks) {
        if (ref.maxUs >= horizonUs || keys.length >= chunksMax) {
          series.chunks[kept++] = ref;
          continue;
        }
        this.#ledger.remove(ref.key, ref.count);
        keys.push(ref.key);
        const last = this.#droppedTo.get(series);
        if (last === undefined || compareBytes(ref.key, last) > 0) this.#droppedTo.set(series, ref.key);
      }
      series.chunks.length = kept;
    }
    return keys;
  }

  /** Lets the disk have the room of what was dropped, a piece at a time. True: there is more. */
  async giveBack(): Promise<boolean> {
    const { store } = this.#options;
    const range = this.#nextDropped();
    if (range === undefined || store.compact === undefined) return false;
    await store.compact(range);
    return this.#droppedTo.size > 0;
  }

  /** From the beginning of a series to what was dropped of it last; small neighbours together, which share the engine's files. */
  #nextDropped(): { readonly from: Uint8Array; readonly to: Uint8Array } | undefined {
    let range: { from: Uint8Array; to: Uint8Array } | undefined;
    let count = 0;
    for (const [series, to] of this.#droppedTo) {
      const from = chunkKey({ series: series.id, minUs: 0, maxUs: 0, count: 0, checkpoint: 0, part: 0 });
      if (range === undefined) range = { from, to };
      else if (compareBytes(from, range.to) > 0) range.to = to;
      else break;
      this.#droppedTo.delete(series);
      count++;
      if (series.chunks.length > smallSeriesChunks || count === givenBackAtOnce) break;
    }
    return range;
  }

  /** The oldest reading in chunks at or above the horizon; `undefined` when there is none. */
  oldestUs(): number | undefined {
    let oldestUs = Number.POSITIVE_INFINITY;
    for (const { chunks, partition } of this.index.all()) {
      const horizonUs = this.#horizonOf(partition);
      for (const ref of chunks) if (ref.maxUs >= horizonUs) oldestUs = Math.min(oldestUs, Math.max(ref.minUs, horizonUs));
    }
    return oldestUs === Number.POSITIVE_INFINITY ? undefined : oldestUs;
  }

  /** Readings of the chunks that a horizon at `us` would drop, those that are to be dropped anyway left out. */
  readingsBefore(us: number): number {
    let readings = 0;
    for (const { chunks, partition } of this.index.all()) {
      const horizonUs = this.#horizonOf(partition);
      for (const ref of chunks) if (ref.maxUs < us && ref.maxUs >= horizonUs) readings += ref.count;
    }
    return readings;
  }

  stats(): {
    readonly series: number;
    readonly chunks: number;
    readonly headReadings: number;
    readonly checkpoints: number;
    readonly conflicts: number;
    readonly readings: number;
  } {
    const { index } = this;
    return {
      series: index.count(),
      chunks: this.#ledger.chunks(),
      headReadings: this.#headReadings,
      checkpoints: this.#stored?.number ?? 0,
      conflicts: this.#conflicts,
      readings: this.#ledger.readings(),
    };
  }

  /** Values of chunks, in the order of the refs. */
  chunkValues(refs: readonly ChunkRef[]): Promise<(Uint8Array | undefined)[]> {
    return this.#options.store.getMany(refs.map((ref) => ref.key));
  }

  async #seal(log: ReadingsLog): Promise<void> {
    const position = this.#appliedSequence;
    const number = Math.max(this.#stored?.number ?? 0, this.#numberTried) + 1;
    const sealing = this.index.all().filter((series) => series.head.count > 0);
    let sealedReadings = 0;
    for (const series of sealing) {
      series.sealing = series.head;
      series.head = new Head();
      sealedReadings += series.sealing.count;
    }
    const ledger = this.#ledger.copy();
    const added: AddedChunk[] = [];
    let conflicts = 0;
    let operations: StoreOperation[] = this.#leftovers.map((key) => ({ type: "delete", key }));
    let bytes = 0;
    let verified = 0;
    for (const series of sealing) {
      if (!series.named)
        operations.push({
          type: "put",
          key: seriesKey(series.id),
          value: packSealed(this.#context.packing, { d: series.device, m: series.metric }),
        });
      const unique = (series.sealing as Head).sortedUnique();
      conflicts += unique.conflicts;
      // The replay of the log knows no horizon yet: what it brought back from below ends here.
      const kept = sliceRange(unique.run, this.#horizonOf(series.partition), Number.POSITIVE_INFINITY);
      for (let from = 0, part = 0; from < kept.count; from += chunkReadingsMax, part++) {
        const run = sliceRows(kept, from, Math.min(from + chunkReadingsMax, kept.count));
        const minUs = run.times[0] as number;
        const maxUs = run.times[run.count - 1] as number;
        const key = chunkKey({ series: series.id, minUs, maxUs, count: run.count, checkpoint: number, part });
        const value = encodeChunk(series.hash, run);
        operations.push({ type: "put", key, value });
        bytes += value.length;
        this.#leftovers.push(key);
        ledger.add(key, run.count);
        added.push({ series, ref: { series: series.id, minUs, maxUs, count: run.count, checkpoint: number, key } });
        if (bytes >= batchBytesMax) {
          await this.#writeVerified(operations, added.slice(verified));
          verified = added.length;
          operations = [];
          bytes = 0;
        }
      }
    }
    await this.#writeVerified(operations, added.slice(verified));
    const record: CheckpointRecord = {
      position,
      chunks: ledger.chunks(),
      readings: ledger.readings(),
      digest: ledger.digest(),
      reservedUs: this.#options.reservedUs(),
    };
    // With nothing new since the last one, the log may know that one only: it goes on comparing with what was sealed then.
    const before = this.#stored?.position === position ? this.#stored : undefined;
    const sealedDigest = before === undefined ? record.digest : (before.sealedDigest ?? before.digest);
    const stored: StoredCheckpoint = { ...record, number, ...(sealedDigest === record.digest ? {} : { sealedDigest }) };
    // An error does not say that the record is not there: the chunks that it lists must stay until another record stands.
    const doubtful = this.#doubtful;
    this.#doubtful = [...doubtful, ...this.#leftovers];
    this.#leftovers = [];
    this.#numberTried = number;
    await this.#options.store.write(
      [
        { type: "put", key: metaKey("checkpoint"), value: packSealed(this.#context.packing, stored) },
        ...doubtful.map((key) => ({ type: "delete" as const, key })),
      ],
      { sync: true },
    );
    this.#doubtful = [];
    this.#dropFailed = false;
    this.#ledger = ledger;
    this.#stored = stored;
    this.#headReadings -= sealedReadings;
    this.#conflicts += conflicts;
    for (const { series, ref } of added) series.chunks.push(ref);
    for (const series of sealing) {
      series.named = true;
      series.sealing = undefined;
    }
    this.#trimBehind(log, { ...record, digest: sealedDigest });
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

  /** Writes and reads back: a checkpoint that cannot be read must not cost the log its records. */
  async #writeVerified(operations: readonly StoreOperation[], chunks: readonly AddedChunk[]): Promise<void> {
    if (operations.length === 0) return;
    await this.#options.store.write(operations, { sync: true });
    const values = await this.chunkValues(chunks.map((chunk) => chunk.ref));
    for (const [at, chunk] of chunks.entries()) {
      const value = values[at];
      if (value === undefined || !decodeChunkStats(chunk.series.hash, value).ok)
        throw new Error("the store did not give back what was written to it");
    }
  }

  /** A checkpoint failed: what it had taken becomes the heads again. Chunks that it wrote are repetitions, and not listed. */
  #unseal(): void {
    for (const series of this.index.all()) {
      if (series.sealing === undefined) continue;
      const run = series.head.sortedUnique().run;
      for (let i = 0; i < run.count; i++) series.sealing.appendValue(run.times[i] as number, runValueAt(run, i));
      series.head = series.sealing;
      series.sealing = undefined;
    }
    this.#headReadings = this.index.all().reduce((sum, series) => sum + series.head.count, 0);
  }

  async #readCheckpoint(): Promise<Result<StoredCheckpoint | undefined>> {
    const bytes = await this.#options.store.get(metaKey("checkpoint"));
    if (bytes === undefined) return success(undefined);
    const value = unpackSealed(this.#context.packing, bytes);
    if (!value.ok) return failure("store-damaged", `the store's checkpoint cannot be read: ${value.message}. ${wayOut}`);
    return success(value.value as StoredCheckpoint);
  }

  async #loadSeries(): Promise<Result<Map<number, Series>>> {
    const byId = new Map<number, Series>();
    const problem = await this.#scanAll(seriesPrefix, false, (key, value) => {
      const id = parseSeriesKey(key);
      const name = unpackSealed(this.#context.packing, value);
      if (id === undefined || !name.ok) return `the name of series ${id ?? "?"} cannot be read`;
      const { d, m } = name.value as { d: string; m: string };
      byId.set(id, this.index.restore(id, deviceId(d), m));
      return undefined;
    });
    return problem === undefined ? success(byId) : failure("store-damaged", `${problem}. ${wayOut}`);
  }

  async #loadChunks(byId: ReadonlyMap<number, Series>): Promise<Result<void>> {
    const unfinished: StoreOperation[] = [];
    const problem = await this.#scanAll(chunkPrefix, true, (key) => {
      const ref = parseChunkKey(key);
      if (ref === undefined) return "a chunk's key is malformed";
      if (ref.checkpoint > (this.#stored?.number ?? 0)) {
        unfinished.push({ type: "delete", key });
        return undefined;
      }
      const series = byId.get(ref.series);
      if (series === undefined) return `the name of series ${ref.series} is missing`;
      series.chunks.push(ref);
      this.#ledger.add(key, ref.count);
      return undefined;
    });
    if (problem !== undefined) return failure("store-damaged", `${problem}. ${wayOut}`);
    // Left by a checkpoint that a crash cut short; the log still has what they hold.
    if (unfinished.length > 0) await this.#options.store.write(unfinished, { sync: true });
    return success(undefined);
  }

  async #scanAll(
    prefix: Uint8Array,
    keysOnly: boolean,
    visit: (key: Uint8Array, value: Uint8Array) => string | undefined,
  ): Promise<string | undefined> {
    let { from } = prefixRange(prefix);
    const { to } = prefixRange(prefix);
    for (;;) {
      const page = await this.#options.store.scan({ from, to, limit: scanPage, keysOnly });
      for (const { key, value } of page) {
        const problem = visit(key, value);
        if (problem !== undefined) return problem;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < scanPage) return undefined;
      from = new Uint8Array(last.key.length + 1);
      from.set(last.key);
    }
  }
}

const wayOut =
  'This gateway must not serve or acknowledge with data missing. The way out: move its data folder away and admit it anew ("fogbank gateway replace"); the other gateways hold the same readings';
