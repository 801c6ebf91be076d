/**
 * The `Store` port on lowdb: one JSON file for each store, `<name>.json`, for small boards and for looking inside. All of
 * it is in memory, and each synced batch writes the whole file anew (`lowdb-file.ts`); batches that wait for the disk at
 * the same time share one writing. What did not reach the disk is taken back, so that memory never holds what the file may
 * lack. The store is bounded: what it costs grows with all that it holds.
 */
import { stat } from "node:fs/promises";
import * as path from "node:path";
import { Low } from "lowdb";
import { type Failure, FailureError, failure, type Result, success } from "../lib/errors.ts";
import { toHex } from "../lib/hex.ts";
import { IoError } from "../lib/log-files.ts";
import type { Store, StoreDirectory, StoreEntry, StoreOperation, StoreRange } from "../ports/store.ts";
import { createFolder, ioError, syncFolder } from "./log/node-files.ts";
import { type LowdbContents, LowdbFile, LowdbFileDamaged } from "./lowdb-file.ts";
import { exists, foreignStore } from "./store-engine.ts";

export interface LowdbStoreDirectoryOptions {
  /** Holds the stores' files; created when missing. */
  readonly folder: string;
  /** What the file says of a key beside its hex digits, for a reader; nothing where it has no words for it. */
  readonly describeKey?: (key: Uint8Array) => string | undefined;
  /** Bytes of keys and values that a store may hold. Default 32 MiB. */
  readonly bytesMax?: number;
}

const bytesMaxDefault = 32 * 1024 * 1024;
const advice =
  "Check the disk. The way out: put back a copy of the data folder that was made since its last start, or move the folder away and " +
  'admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile.';

export class LowdbStoreDirectory implements StoreDirectory {
  readonly #options: LowdbStoreDirectoryOptions;
  readonly #open = new Set<string>();

  constructor(options: LowdbStoreDirectoryOptions) {
    this.#options = options;
  }

  async open(name: string): Promise<Result<Store>> {
    const { folder, describeKey, bytesMax } = this.#options;
    const file = path.join(folder, `${name}.json`);
    if (this.#open.has(name)) return failure("data-in-use", `The store ${file} is in use. Close it first.`);
    this.#open.add(name);
    let opened: Result<Store> | undefined;
    try {
      await createFolder(folder);
      const foreign = await foreignStore(folder, name, "lowdb");
      if (foreign !== undefined) return foreign;
      const adapter = new LowdbFile({ folder, fileName: `${name}.json`, describeKey });
      const database = new Low<LowdbContents>(adapter, new Map());
      await database.read();
      // An earlier process may have died between a rename and its fsync; and of a new store, the next start must see whose it is.
      if (await exists(file)) await syncFolder(folder);
      else await database.write();
      const released = () => this.#open.delete(name);
      opened = success(new LowdbStore({ file, database, bytesMax: bytesMax ?? bytesMaxDefault, released }));
      return opened;
    } catch (error) {
      if (error instanceof LowdbFileDamaged) return failure("store-damaged", `The store ${file} is damaged: ${error.message}. ${advice}`);
      return ioFailure(`The store ${file} cannot be opened`, error);
    } finally {
      if (opened === undefined) this.#open.delete(name);
    }
  }
}

function ioFailure(what: string, error: unknown): Failure {
  const translated = ioError(error);
  if (!(translated instanceof IoError)) throw error;
  const full = translated.code === "ENOSPC" || translated.code === "EDQUOT";
  return failure(
    full ? "disk-full" : "store-failed",
    `${what}: ${translated.message}. ${full ? "Free some space." : "Check the disk and the rights of the data folder."}`,
  );
}

interface WaitingBatch {
  readonly operations: readonly StoreOperation[];
  readonly sync: boolean;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/** What a key had before a batch changed it. */
interface Undo {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

class LowdbStore implements Store {
  readonly #file: string;
  readonly #database: Low<LowdbContents>;
  readonly #bytesMax: number;
  readonly #released: () => void;
  /** Keys in hex, sorted: the order of hex digits is that of the bytes. */
  #keys: string[];
  #bytes = 0;
  #waiting: WaitingBatch[] = [];
  #writing: Promise<void> | undefined;
  /** Memory holds batches without `sync` that the file lacks. */
  #unsynced = false;
  #closed = false;

  constructor(options: {
    readonly file: string;
    readonly database: Low<LowdbContents>;
    readonly bytesMax: number;
    readonly released: () => void;
  }) {
    this.#file = options.file;
    this.#database = options.database;
    this.#bytesMax = options.bytesMax;
    this.#released = options.released;
    this.#keys = [...options.database.data.keys()].sort();
    for (const [key, value] of options.database.data) this.#bytes += entryBytes(key, value);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    return this.#database.data.get(toHex(key))?.slice();
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#assertOpen();
    return keys.map((key) => this.#database.data.get(toHex(key))?.slice());
  }

  async scan(range: StoreRange): Promise<StoreEntry[]> {
    this.#assertOpen();
    const from = this.#positionOf(toHex(range.from));
    const to = this.#positionOf(toHex(range.to));
    if (from >= to || range.limit <= 0) return [];
    const keys =
      range.reverse === true
        ? this.#keys.slice(Math.max(from, to - range.limit), to).reverse()
        : this.#keys.slice(from, Math.min(to, from + range.limit));
    return keys.map((key) => ({
      key: bytesOf(key),
      value: range.keysOnly === true ? new Uint8Array(0) : (this.#database.data.get(key) as Uint8Array).slice(),
    }));
  }

  async sizeBytes(): Promise<number> {
    return (await stat(this.#file)).size;
  }

  async write(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void> {
    this.#assertOpen();
    const own = operations.map((operation) =>
      operation.type === "put" ? { type: "put" as const, key: operation.key.slice(), value: operation.value.slice() } : operation,
    );
    await new Promise<void>((done, failed) => {
      this.#waiting.push({ operations: own, sync: options.sync, done, failed });
      this.#writing ??= this.#writeWaiting();
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const last = this.#unsynced || this.#writing !== undefined ? this.write([], { sync: true }) : undefined;
    this.#closed = true;
    try {
      await last;
    } finally {
      this.#released();
    }
  }

  /** One group after the other: all that wait when a writing begins. */
  async #writeWaiting(): Promise<void> {
    // What one event writes goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#writeGroup(this.#waiting.splice(0));
    this.#writing = undefined;
  }

  async #writeGroup(group: readonly WaitingBatch[]): Promise<void> {
    const undo: Undo[] = [];
    const applied: WaitingBatch[] = [];
    for (const batch of group) {
      if (this.#fits(batch.operations)) {
        this.#apply(batch.operations, undo);
        applied.push(batch);
      } else {
        batch.failed(
          new FailureError(
            failure(
              "disk-full",
              `The store ${this.#file} holds ${this.#bytes} bytes, and more than ${this.#bytesMax} a lowdb store does not take: ` +
                'keep fewer readings, or admit this gateway anew ("fogbank gateway replace") with store: { engine: level } and an empty data folder.',
            ),
          ),
        );
      }
    }
    try {
      if (applied.some((batch) => batch.sync)) {
        await this.#database.write();
        this.#unsynced = false;
      } else if (undo.length > 0) this.#unsynced = true;
      for (const batch of applied) batch.done();
    } catch (error) {
      for (const { key, value } of undo.reverse()) this.#set(key, value);
      const failed = new FailureError(ioFailure(`The store ${this.#file} cannot be written`, error));
      for (const batch of applied) batch.failed(failed);
    }
  }

  /** Deletions always fit: they are the way back from a full store. */
  #fits(operations: readonly StoreOperation[]): boolean {
    let grows = 0;
    for (const operation of operations) {
      const key = toHex(operation.key);
      const before = this.#database.data.get(key);
      grows += (operation.type === "put" ? entryBytes(key, operation.value) : 0) - (before === undefined ? 0 : entryBytes(key, before));
    }
    return grows <= 0 || this.#bytes + grows <= this.#bytesMax;
  }

  #apply(operations: readonly StoreOperation[], undo: Undo[]): void {
    for (const operation of operations) {
      const key = toHex(operation.key);
      undo.push({ key, value: this.#database.data.get(key) });
      this.#set(key, operation.type === "put" ? operation.value : undefined);
    }
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const { data } = this.#database;
    const before = data.get(key);
    if (before !== undefined) this.#bytes -= entryBytes(key, before);
    if (value !== undefined) {
      if (before === undefined) this.#keys.splice(this.#positionOf(key), 0, key);
      data.set(key, value);
      this.#bytes += entryBytes(key, value);
    } else if (before !== undefined) {
      this.#keys.splice(this.#positionOf(key), 1);
      data.delete(key);
    }
  }

  /** Index of the first key that is not below `key`. */
  #positionOf(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #assertOpen(): void {
    if (this.#closed) throw new FailureError(failure("store-failed", `The store ${this.#file} is closed.`));
  }
}

const entryBytes = (key: string, value: Uint8Array): number => key.length / 2 + value.length;
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
