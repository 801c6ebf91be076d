/**
 * The `Store` port on LevelDB (classic-level), a folder for each store. After a failed write LevelDB refuses all further
 * ones, so the database is closed and opened again before the next. LevelDB drops damaged parts of its journal without
 * a word: no acknowledgement rests on a store alone.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { ClassicLevel } from "classic-level";
import { type Failure, FailureError, failure, type Result, success } from "../lib/errors.ts";
import type { Store, StoreDirectory, StoreEntry, StoreOperation, StoreRange } from "../ports/store.ts";
import { findTableDamage } from "./level-tables.ts";
import { createFolder } from "./log/node-files.ts";
import { foreignStore } from "./store-engine.ts";

export interface LevelStoreDirectoryOptions {
  /** Holds the stores' folders; created when missing. */
  readonly folder: string;
  /** Of LevelDB's block cache, per store. Default 8 MiB. */
  readonly cacheBytes?: number;
}

type Database = ClassicLevel<Uint8Array, Uint8Array>;

export class LevelStoreDirectory implements StoreDirectory {
  readonly #options: LevelStoreDirectoryOptions;

  constructor(options: LevelStoreDirectoryOptions) {
    this.#options = options;
  }

  async open(name: string): Promise<Result<Store>> {
    const folder = path.join(this.#options.folder, name);
    try {
      const foreign = await foreignStore(this.#options.folder, name, "level");
      if (foreign !== undefined) return foreign;
      await createFolder(folder);
      if (await hasLostItsRoot(folder)) {
        return failure("store-damaged", `The store ${folder} is damaged: its file CURRENT is missing. ${advice}`);
      }
      const problem = await findTableDamage(folder);
      if (problem !== undefined) return failure("store-damaged", `The store ${folder} is damaged: ${problem}. ${advice}`);
      const database: Database = new ClassicLevel(folder, {
        keyEncoding: "view",
        valueEncoding: "view",
        cacheSize: this.#options.cacheBytes ?? 8 * 1024 * 1024,
      });
      await database.open();
      return success(new LevelStore(folder, database));
    } catch (error) {
      return openFailure(folder, error);
    }
  }
}

const advice =
  "Check the disk. The way out: put back a copy of the data folder that was made since its last start, or move the folder away and " +
  'admit this gateway anew ("fogbank gateway replace"); the other gateways keep serving meanwhile.';

/** Without CURRENT, LevelDB takes a full folder for an empty one and begins anew. */
async function hasLostItsRoot(folder: string): Promise<boolean> {
  const names = await fs.promises.readdir(folder);
  return !names.includes("CURRENT") && names.some((name) => /\.(ldb|sst)$|^MANIFEST-/.test(name));
}

function openFailure(folder: string, error: unknown): Failure {
  const { code, text } = describe(error);
  if (code === "LEVEL_LOCKED") return failure("data-in-use", `The store ${folder} is in use by another process. Stop that one first.`);
  if (code === "LEVEL_CORRUPTION" || (code === "LEVEL_IO_ERROR" && isAstray(text))) {
    return failure("store-damaged", `The store ${folder} is damaged: ${text}. ${advice}`);
  }
  return ioFailure(`The store ${folder} cannot be opened`, text);
}

/** A file that LevelDB's own books name is missing, or a place of a file that cannot be: that is damage as well. */
function isAstray(text: string): boolean {
  return /No such file|Invalid argument/.test(text);
}

function ioFailure(what: string, text: string): Failure {
  return /No space left|ENOSPC|EDQUOT|quota/i.test(text)
    ? failure("disk-full", `${what}: the disk is full. Free some space.`)
    : failure("store-failed", `${what}: ${text}. Check the disk and the rights of the data folder.`);
}

/** LevelDB's own code and words, which abstract-level hides in the cause. */
function describe(error: unknown): { readonly code: string | undefined; readonly text: string } {
  if (!(error instanceof Error)) throw error;
  const inner = error.cause instanceof Error ? error.cause : error;
  return { code: "code" in inner && typeof inner.code === "string" ? inner.code : undefined, text: inner.message };
}

class LevelStore implements Store {
  readonly #folder: string;
  readonly #database: Database;
  /** How often the database was opened again. */
  #generation = 0;
  /** While the database is closed and opened again after a failed write; everything waits for it. */
  #reopening: Promise<void> | undefined;
  #writeFailed = false;
  #closed = false;

  constructor(folder: string, database: Database) {
    this.#folder = folder;
    this.#database = database;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return plain(await this.#reading(() => this.#database.get(key)));
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return (await this.#reading(() => this.#database.getMany([...keys]))).map(plain);
  }

  async write(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void> {
    if (operations.length === 0 && !options.sync) return;
    await this.#reopenAfterFailure();
    const batch = operations.map((operation) =>
      operation.type === "put"
        ? { type: "put" as const, key: operation.key, value: operation.value }
        : { type: "del" as const, key: operation.key },
    );
    try {
      await this.#database.batch(batch, { sync: options.sync });
    } catch (error) {
      if (isBug(error)) throw error;
      this.#writeFailed = true;
      throw new FailureError(ioFailure(`The store ${this.#folder} cannot be written`, describe(error).text));
    }
  }

  async scan(range: StoreRange): Promise<StoreEntry[]> {
    const keysOnly = range.keysOnly === true;
    return await this.#reading(async () => {
      const iterator = this.#database.iterator({
        gte: range.from,
        lt: range.to,
        limit: range.limit,
        reverse: range.reverse === true,
        values: !keysOnly,
      });
      const entries = await iterator.all();
      return entries.map(([key, value]) => ({ key: plain(key), value: keysOnly ? empty : plain(value) }));
    });
  }

  /** A failure is found by the next write: LevelDB reports none here. */
  async compact(range: { readonly from: Uint8Array; readonly to: Uint8Array }): Promise<void> {
    await this.#reading(() => this.#database.compactRange(range.from, range.to));
  }

  async sizeBytes(): Promise<number> {
    let bytes = 0;
    for (const name of await fs.promises.readdir(this.#folder)) {
      // A compaction may have removed it meanwhile.
      const stat = await fs.promises.stat(path.join(this.#folder, name)).catch(() => undefined);
      bytes += stat?.size ?? 0;
    }
    return bytes;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#reopening?.catch(() => undefined);
    await this.#database.close();
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    for (;;) {
      // Closed and not under way to be opened: the last attempt failed.
      await (this.#database.status === "open" ? this.#reopening : this.#reopenAfterFailure());
      const generation = this.#generation;
      try {
        return await read();
      } catch (error) {
        if (wasClosed(error) && (this.#reopening !== undefined || this.#generation !== generation)) continue;
        if (isBug(error)) throw error;
        const { code, text } = describe(error);
        if (code === "LEVEL_CORRUPTION" || (code === "LEVEL_IO_ERROR" && isAstray(text)))
          throw new FailureError(failure("store-damaged", `The store ${this.#folder} is damaged: ${text}. ${advice}`));
        throw new FailureError(ioFailure(`The store ${this.#folder} cannot be read`, text));
      }
    }
  }

  async #reopenAfterFailure(): Promise<void> {
    if (this.#writeFailed && this.#reopening === undefined && !this.#closed) {
      this.#reopening = this.#reopen().finally(() => {
        this.#reopening = undefined;
      });
    }
    await this.#reopening;
  }

  async #reopen(): Promise<void> {
    try {
      await this.#database.close();
      // Never created here: an empty store must not take the place of one that has gone missing.
      await this.#database.open({ createIfMissing: false });
      this.#writeFailed = false;
      this.#generation++;
    } catch (error) {
      throw new FailureError(openFailure(this.#folder, error));
    }
  }
}

const empty = new Uint8Array(0);

/** LevelDB answers with Buffers, whose `slice` does not copy: a trap for whoever counts on an Uint8Array. */
function plain<T extends Uint8Array | undefined>(bytes: T): T | Uint8Array {
  return bytes === undefined ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The database was closed, to be opened again, while this was under way. */
function wasClosed(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "LEVEL_DATABASE_NOT_OPEN" || error.code === "LEVEL_ITERATOR_NOT_OPEN")
  );
}

/** A caller's mistake (a key that is none), not the disk's failure. */
function isBug(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof Error && "code" in error && String(error.code).startsWith("LEVEL_INVALID_"));
}
