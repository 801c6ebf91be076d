/**
 * What the store must hold, and the steps that change it. Chunks are first written, synced, read back and verified; a step
 * then is ONE synced batch: the record with number, count and digest of the chunks, and the deletion of what goes. Whatever
 * a crash finds, the store matches its newest record, but for chunks of a higher number, which belong to a step that was
 * never taken and are left out. A batch that reports an error may stand all the same: the next step, under a higher
 * number, takes it in either case.
 */

import { type Failure, failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import type { Store, StoreOperation } from "../../ports/store.ts";
import { decodeChunkStats } from "../../series/chunk.ts";
import { decodeRollup } from "../../series/rollup.ts";
import type { CheckpointRecord } from "../readings-log.ts";
import { ChunkLedger } from "./chunk-ledger.ts";
import type { Quarantine } from "./quarantine.ts";
import { rollupDeletes } from "./rollups.ts";
import type { ScanPins } from "./scan-pins.ts";
import { packSealed, unpackSealed } from "./sealed-value.ts";
import type { Series } from "./series-index.ts";
import {
  type ChunkKind,
  type ChunkRef,
  chunkIndexKey,
  chunkIndexValue,
  chunkKey,
  metaKey,
  quarantineKey,
  seriesKey,
} from "./store-keys.ts";

/** The store's record of the last step. Written without `version` and `checkpoints` before there was compaction. */
export interface StoredCheckpoint extends CheckpointRecord {
  /** Counts steps; chunks of a higher number belong to one that was never taken. */
  readonly number: number;
  readonly version?: 2;
  readonly checkpoints?: number;
  /** Of the blocks; left out while there was never one. */
  readonly blocks?: { readonly count: number; readonly readings: number; readonly digest: string };
}

/** A chunk or a block that is to be written. */
export interface NewChunk {
  readonly series: Series;
  readonly ref: ChunkRef;
  readonly value: Uint8Array;
  /** Written along with it. */
  readonly rollups: readonly StoreOperation[];
}

type Present = Readonly<Record<ChunkKind, ChunkLedger>>;

interface Retired {
  readonly ref: ChunkRef;
  readonly damaged: boolean;
  readonly epoch: number;
}

export interface StoreLedgerOptions {
  readonly store: Store;
  readonly packing: Packing;
  readonly pins: ScanPins;
  readonly quarantine: Quarantine;
}

/** Chunks that one step deletes: what a store does with a batch is not to hold up the event loop. */
const deletionsMax = 384;

export class StoreLedger {
  readonly #options: StoreLedgerOptions;
  #stored: StoredCheckpoint | undefined;
  /** What is durable in the store and counts, retired chunks included until they are deleted. */
  #present: Present = { chunk: new ChunkLedger(), block: new ChunkLedger() };
  #number = 0;
  /** Chunks stand in the store that its record does not count yet: a crash would take them back. */
  #ahead = false;
  /** What a failed write may have left: deleted before anything else is written. */
  #leftovers: ChunkRef[] = [];
  /** Chunks of a store of before there was an index: they get into it with the first step. */
  #unindexed: ChunkRef[] = [];
  #retired: Retired[] = [];
  /** Retired, read by nobody any more, and perhaps deleted already: by a step that reported an error. */
  #deleting: Retired[] = [];

  constructor(options: StoreLedgerOptions) {
    this.#options = options;
  }

  /** Reads the record of the last step. */
  async load(): Promise<Result<StoredCheckpoint | undefined>> {
    const bytes = await this.#options.store.get(metaKey("checkpoint"));
    if (bytes === undefined) return success(undefined);
    const value = unpackSealed(this.#options.packing, bytes);
    if (!value.ok) return failure("store-damaged", `the store's checkpoint cannot be read: ${value.message}. ${wayOut}`);
    this.#stored = value.value as StoredCheckpoint;
    this.#number = this.#stored.number;
    return success(this.#stored);
  }

  /** A chunk that the store's index names; where there is none yet, that stands in the store. */
  restore(ref: ChunkRef): void {
    this.#present[ref.kind].add(chunkKey(ref), ref.count);
    if (this.#stored?.version !== 2) this.#unindexed.push(ref);
  }

  /** A chunk of a step that was never taken. */
  restoreLeftover(ref: ChunkRef): void {
    this.#number = Math.max(this.#number, ref.checkpoint);
    this.#leftovers.push(ref);
  }

  /** Whether what was restored is what the last step left. */
  check(): Result<void> {
    const { chunk, block } = this.#present;
    const blocks = this.#stored?.blocks;
    return (
      mismatch("chunks", chunk, this.#stored && { count: this.#stored.chunks, digest: this.#stored.digest }) ??
      mismatch("blocks of rollups", block, blocks) ??
      success(undefined)
    );
  }

  /** Compares what the log says of the last checkpoint with what the store knows of it. */
  checkAgainst(logged: CheckpointRecord | undefined): Result<void> {
    const stored = this.#stored;
    if (logged === undefined || !isBehind(stored, logged)) return success(undefined);
    return failure(
      "store-damaged",
      `the log says that everything up to record ${logged.position} stands in ${logged.chunks} chunks, the store knows of ${stored?.chunks ?? 0}${
        logged.number === undefined ? "" : ` (step ${logged.number}, in the store ${stored?.number ?? 0})`
      }. ${wayOut}`,
    );
  }

  stored(): StoredCheckpoint | undefined {
    return this.#stored;
  }

  checkpoints(): number {
    return this.#stored === undefined ? 0 : (this.#stored.checkpoints ?? this.#stored.number);
  }

  chunks(): number {
    return this.#present.chunk.chunks() - this.#gone().length;
  }

  blocks(): number {
    return this.#present.block.chunks() - [...this.#retired, ...this.#deleting].filter(({ ref }) => ref.kind === "block").length;
  }

  readings(): number {
    return this.#present.chunk.readings() - this.#gone().reduce((sum, { ref }) => sum + ref.count, 0);
  }

  /** Chunks that still stand in the store and do not count any more. */
  #gone(): Retired[] {
    return [...this.#retired, ...this.#deleting].filter(({ ref }) => ref.kind === "chunk");
  }

  /** For chunks that are about to be written. */
  nextNumber(): number {
    return ++this.#number;
  }

  /**
   * Makes chunks, and the names of their series, durable, and reads them back: what cannot be read must not cost the log its
   * records. From then on they count. Throws when that fails.
   */
  async write(chunks: readonly NewChunk[]): Promise<void> {
    const { store, packing } = this.#options;
    await this.#deleteLeftovers();
    const operations: StoreOperation[] = [];
    const keys: Uint8Array[] = [];
    for (const { series, ref, value, rollups } of chunks) {
      if (!series.named)
        operations.push({ type: "put", key: seriesKey(series.id), value: packSealed(packing, { d: series.device, m: series.metric }) });
      const key = chunkKey(ref);
      keys.push(key);
      operations.push({ type: "put", key, value }, indexed(ref), ...rollups);
    }
    this.#leftovers = chunks.map(({ ref }) => ref);
    await store.write(operations, { sync: true });
    const values = await store.getMany(keys);
    for (const at of chunks.keys()) {
      const value = values[at];
      if (value === undefined || !isReadable(chunks[at] as NewChunk, value))
        throw new Error("the store did not give back what was written to it");
    }
    this.#leftovers = [];
    this.#ahead = true;
    for (const [at, { series, ref }] of chunks.entries()) {
      series.named = true;
      this.#present[ref.kind].add(keys[at] as Uint8Array, ref.count);
    }
  }

  /** These are replaced or dropped: they go with the first step after the last scan that may read them. */
  retire(refs: Iterable<ChunkRef>): void {
    const epoch = this.#options.pins.advance();
    for (const ref of refs) {
      this.#retired.push({ ref, damaged: ref.state === "damaged", epoch });
      if (ref.state === "damaged") this.#options.quarantine.forget(ref);
      ref.state = "retired";
    }
  }

  /** Whether something was written that counts with the next step only. */
  isAhead(): boolean {
    return this.#ahead;
  }

  /** Whether a step would delete or record anything. */
  hasWork(): boolean {
    const { pins, quarantine } = this.#options;
    const first = this.#retired[0];
    return this.#deleting.length > 0 || quarantine.hasUnwritten() || (first !== undefined && pins.drained(first.epoch));
  }

  /** Takes a step. With `checkpoint`: everything up to a position of the log now stands in chunks. Throws when it fails. */
  async step(checkpoint?: { readonly position: number; readonly reservedUs: number }): Promise<StoredCheckpoint> {
    const { store, packing, pins, quarantine } = this.#options;
    await this.#deleteLeftovers();
    while (this.#deleting.length < deletionsMax && this.#retired[0] !== undefined && pins.drained(this.#retired[0].epoch)) {
      const count = deletionsMax - this.#deleting.length;
      const { epoch } = this.#retired[0];
      const end = this.#retired.findIndex((retired) => retired.epoch !== epoch);
      this.#deleting.push(...this.#retired.splice(0, Math.min(count, end < 0 ? this.#retired.length : end)));
    }
    const ledger: Present = { chunk: this.#present.chunk.copy(), block: this.#present.block.copy() };
    const deletions: StoreOperation[] = [];
    for (const { ref, damaged } of this.#deleting) {
      const key = chunkKey(ref);
      ledger[ref.kind].remove(key, ref.count);
      deletions.push({ type: "delete", key }, { type: "delete", key: chunkIndexKey(ref) }, ...rollupDeletes(ref));
      if (damaged) deletions.push({ type: "delete", key: quarantineKey(ref) });
    }
    const stored: StoredCheckpoint = {
      position: checkpoint?.position ?? this.#stored?.position ?? 0,
      reservedUs: checkpoint?.reservedUs ?? this.#stored?.reservedUs ?? 0,
      chunks: ledger.chunk.chunks(),
      readings: ledger.chunk.readings(),
      digest: ledger.chunk.digest(),
      number: this.nextNumber(),
      version: 2,
      checkpoints: this.checkpoints() + (checkpoint === undefined ? 0 : 1),
      ...(this.#stored?.blocks === undefined && ledger.block.chunks() === 0
        ? {}
        : { blocks: { count: ledger.block.chunks(), readings: ledger.block.readings(), digest: ledger.block.digest() } }),
    };
    const value = packSealed(packing, stored);
    const damage = quarantine.records();
    const record: StoreOperation = { type: "put", key: metaKey("checkpoint"), value };
    await store.write([record, ...this.#unindexed.map(indexed), ...deletions, ...damage.operations], { sync: true });
    const found = await store.get(metaKey("checkpoint"));
    if (found === undefined || !sameBytes(found, value)) throw new Error("the store did not give back the record that was written to it");
    damage.written();
    this.#unindexed = [];
    this.#deleting = [];
    this.#present = ledger;
    this.#stored = stored;
    this.#ahead = false;
    return stored;
  }

  async #deleteLeftovers(): Promise<void> {
    if (this.#leftovers.length === 0) return;
    const operations = this.#leftovers.flatMap((ref): StoreOperation[] => [
      { type: "delete", key: chunkKey(ref) },
      { type: "delete", key: chunkIndexKey(ref) },
      ...rollupDeletes(ref),
    ]);
    await this.#options.store.write(operations, { sync: true });
    this.#leftovers = [];
  }
}

function mismatch(
  what: string,
  present: ChunkLedger,
  expected: { readonly count: number; readonly digest: string } | undefined,
): Failure | undefined {
  const matches =
    expected === undefined ? present.chunks() === 0 : expected.count === present.chunks() && expected.digest === present.digest();
  if (matches) return undefined;
  return failure(
    "store-damaged",
    `the store has ${present.chunks()} ${what} where the last checkpoint made ${expected?.count ?? 0} durable: some are lost or altered. ${wayOut}`,
  );
}

function isReadable({ series, ref }: NewChunk, value: Uint8Array): boolean {
  return ref.kind === "chunk" ? decodeChunkStats(series.hash, value).ok : decodeRollup(series.hash, value).ok;
}

function indexed(ref: ChunkRef): StoreOperation {
  return { type: "put", key: chunkIndexKey(ref), value: chunkIndexValue(ref.bytes) };
}

function isBehind(stored: StoredCheckpoint | undefined, logged: CheckpointRecord): boolean {
  if (logged.number !== undefined) {
    const number = stored?.number ?? 0;
    return number < logged.number || (number === logged.number && stored?.digest !== logged.digest);
  }
  // A record of before there was compaction: it says no number, and only an equally old one of the store must equal it.
  if ((stored?.position ?? 0) < logged.position) return true;
  return stored !== undefined && stored.version === undefined && stored.position === logged.position && stored.digest !== logged.digest;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export const wayOut =
  'This gateway must not serve or acknowledge with data missing. The way out: move its data folder away and admit it anew ("fogbank gateway replace"); the other gateways hold the same readings';
