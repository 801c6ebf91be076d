import type { Result } from "../lib/errors.ts";

/**
 * Small node-local JSON documents (identity, cursors). A write is atomic and durable when its promise resolves: write
 * to a temporary file, fsync, rename, fsync the folder. Each file carries a checksum of its content; one that cannot
 * be read or does not match is an error (`data-damaged`), never an empty document.
 */
export interface Documents {
  /** `undefined` when the document was never written. */
  read(name: string): Promise<Result<unknown>>;
  /** Fails with `disk-full` or `store-failed`; the old document stands then. */
  write(name: string, value: unknown): Promise<Result<void>>;
}
