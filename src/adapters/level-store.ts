/**
 * The `Store` port on classic-level (LevelDB). A batch is atomic, and fsynced with `sync`. LevelDB can lose synced writes
 * silently when its journal is damaged: nothing acknowledged may depend on it alone (see `ports/store.ts`).
 */

import { mkdir, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { ClassicLevel } from "classic-level";
import { failure, type Result, success } from "../lib/errors.ts";
import type { Store, StoreDirectory, StoreEntry, StoreOperation, StoreRange } from "../ports/store.ts";

const binary = { keyEncoding: "view", valueEncoding: "view" } as const;
type Database = ClassicLevel<Uint8Array, Uint8Array>;

export class LevelStoreDirectory implements StoreDirectory {
  readonly #folder: string;

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async open(name: string): Promise<Result<Store>> {
    const folder = path.join(this.#folder, name);
    let database: Database;
    try {
      await mkdir(folder, { recursive: true });
      database = new ClassicLevel<Uint8Array, Uint8Array>(folder, binary);
      await database.open();
    } catch (error) {
      return openFailure(folder, error);
    }
    return success(new LevelStore(database, folder));
  }
}

class LevelStore implements Store {
  readonly #database: Database;
  readonly #folder: string;

  constructor(database: Database, folder: string) {
    this.#database = database;
    this.#folder = folder;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return await this.#database.get(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return await this.#database.getMany([...keys]);
  }

  async write(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void> {
    await this.#database.batch(
      operations.map((operation) =>
        operation.type === "put" ? { type: "put", key: operation.key, value: operation.value } : { type: "del", key: operation.key },
      ),
      { sync: options.sync },
    );
  }

  async scan(range: StoreRange): Promise<StoreEntry[]> {
    const options = { gte: range.from, lt: range.to, limit: range.limit, reverse: range.reverse === true };
    if (range.keysOnly === true) {
      const keys = await this.#database.keys(options).all();
      return keys.map((key) => ({ key, value: new Uint8Array(0) }));
    }
    const entries = await this.#database.iterator(options).all();
    return entries.map(([key, value]) => ({ key, value }));
  }

  async sizeBytes(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#folder)) bytes += await sizeOf(path.join(this.#folder, name));
    return bytes;
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** LevelDB removes files while they are being counted. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return 0;
  }
}

function openFailure(folder: string, error: unknown): Result<never> {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const text = cause instanceof Error ? cause.message : String(cause);
  if (code === "LEVEL_LOCKED")
    return failure(
      "data-in-use",
      `the store in ${folder} is in use by another process: stop it first, or choose another data folder (--data)`,
    );
  if (code === "LEVEL_CORRUPTION") return failure("store-damaged", `the store in ${folder} is damaged: ${text}`);
  return failure("store-failed", `the store in ${folder} cannot be opened: ${text}`);
}
