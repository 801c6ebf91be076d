/**
 * An ordered key-value store on one disk. A batch is atomic; with `sync` it is on disk when the promise resolves.
 * No acknowledgement rests on it alone: every value carries a checksum of ours, and the log is trimmed only behind a
 * synced, verified checkpoint. Contract suite: `test/contracts/store.ts`.
 */
export interface Store {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Values in the order of the keys. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  write(operations: readonly StoreOperation[], options: { readonly sync: boolean }): Promise<void>;
  /** Up to `limit` entries with `from` <= key < `to` in byte order of the keys (or the reverse). */
  scan(range: StoreRange): Promise<StoreEntry[]>;
  /**
   * Gives back the room of what was deleted between these keys, as far as the engine keeps it. Absent where there is nothing
   * to it. Fails like a write; nothing that is in the store changes.
   */
  compact?(range: { readonly from: Uint8Array; readonly to: Uint8Array }): Promise<void>;
  /** Bytes on disk, as far as the engine knows. */
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

export type StoreOperation =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: Uint8Array };

export interface StoreRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly limit: number;
  readonly reverse?: boolean;
  /** Leaves the values out (empty arrays). */
  readonly keysOnly?: boolean;
}

export interface StoreEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface StoreDirectory {
  /**
   * Opens or creates the store `name`. Fails with `data-in-use`, `data-foreign` (another engine's), `store-damaged` or
   * `store-failed`.
   */
  open(name: string): Promise<import("../lib/errors.ts").Result<Store>>;
}
