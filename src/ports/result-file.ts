import type { Result } from "../lib/errors.ts";

/**
 * The `file` sink: one append-only text file of a gateway. `append` resolves when the text is fsynced.
 */
export interface ResultFile {
  /** Cuts the file to `bytes` (what is behind was not committed), or fails when it is shorter than that. */
  truncate(bytes: number): Promise<Result<void>>;
  /** Appends and fsyncs; resolves to the new length in bytes. */
  append(text: string): Promise<Result<number>>;
  close(): Promise<void>;
}

export interface ResultFiles {
  open(name: string): Promise<Result<ResultFile>>;
  /** Where a person finds the file: an absolute path. */
  locate(name: string): string;
}
