import type { Result } from "../lib/errors.ts";

/**
 * Binary files that are there whole or not at all: snapshots of the site's state. A file that was committed survives a
 * power cut; one that was not leaves nothing behind, after the next `list` at the latest. What is read may be damaged:
 * the content guards itself. Contract suite: `test/contracts/snapshot-files.ts`.
 */
export interface SnapshotFiles {
  /** Begins a file that takes its place at `commit`. Fails with `store-failed` or `disk-full`. */
  create(name: string): Promise<Result<SnapshotFile>>;
  /** `create`, `append` of all parts, and `commit` in one; on failure nothing is there. */
  write(name: string, parts: readonly Uint8Array[]): Promise<Result<void>>;
  /** `undefined`: there is no such file. The bytes are the caller's. */
  read(name: string): Promise<Result<Uint8Array | undefined>>;
  /** Up to `length` bytes from `offset` on, fewer at the end of the file. Fails with `not-found`. */
  readRange(name: string, offset: number, length: number): Promise<Result<Uint8Array>>;
  /** Committed files. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** A file that is not there is removed already. Fails with `store-failed`. */
  remove(name: string): Promise<Result<void>>;
}

export interface SnapshotFile {
  /** The caller must not change the bytes before this resolves. */
  append(bytes: Uint8Array): Promise<Result<void>>;
  /** fsync, rename, fsync of the folder: from here on the file is there. */
  commit(): Promise<Result<void>>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}
