/**
 * The `file` sink's files: append-only text, fsynced before an append resolves. After a failed append the file is cut
 * back to what it had, so that what is there is always a prefix of what was appended.
 */
import * as path from "node:path";
import { assert } from "../lib/assert.ts";
import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import { IoError, type LogFile, type LogFiles, syncFile, writeFully } from "../lib/log-files.ts";
import type { ResultFile, ResultFiles } from "../ports/result-file.ts";
import { NodeFiles } from "./log/node-files.ts";

export interface FileResultsOptions {
  /** Created when missing. */
  readonly folder: string;
  /** Tests put a disk that fails in between. */
  readonly wrap?: (files: LogFiles) => LogFiles;
}

export class FileResults implements ResultFiles {
  readonly #folder: string;
  readonly #files: LogFiles;

  constructor(options: FileResultsOptions) {
    this.#folder = options.folder;
    this.#files = options.wrap?.(new NodeFiles(options.folder)) ?? new NodeFiles(options.folder);
  }

  locate(name: string): string {
    return path.resolve(this.#folder, name);
  }

  /** `name` is the file's name, e.g. `archive.ndjson`. */
  async open(name: string): Promise<Result<ResultFile>> {
    assert(/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name), `"${name}" is no name for a result file`);
    const where = this.locate(name);
    try {
      const names = await this.#files.list();
      const file = await this.#files.open(name, names.includes(name) ? "open" : "create");
      try {
        await this.#files.syncFolder();
        return success(new AppendedFile({ where, file, length: await file.size() }));
      } catch (error) {
        await file.close().catch(() => undefined);
        throw error;
      }
    } catch (error) {
      return asFailure(where, "opened", error);
    }
  }
}

class AppendedFile implements ResultFile {
  readonly #where: string;
  readonly #file: LogFile;
  #length: number;
  /** What stands behind `#length` is left of a failed append. */
  #dirty = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly where: string; readonly file: LogFile; readonly length: number }) {
    this.#where = options.where;
    this.#file = options.file;
    this.#length = options.length;
  }

  truncate(bytes: number): Promise<Result<void>> {
    return this.#inOrder("cut", async () => {
      if (bytes > this.#length) {
        const message = `The file ${this.#where} has ${this.#length} bytes, but ${bytes} had been written. Restore it, or remove it to have it written anew.`;
        return failure("data-damaged", message);
      }
      await this.#cut(bytes);
      return success(undefined);
    });
  }

  append(text: string): Promise<Result<number>> {
    return this.#inOrder("written", async () => {
      const bytes = new TextEncoder().encode(text);
      if (this.#dirty) await this.#cut(this.#length);
      this.#dirty = true;
      await writeFully(this.#file, bytes, this.#length);
      await syncFile(this.#file);
      this.#dirty = false;
      this.#length += bytes.length;
      return success(this.#length);
    });
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  async #cut(bytes: number): Promise<void> {
    await this.#file.truncate(bytes);
    await syncFile(this.#file);
    this.#length = bytes;
    this.#dirty = false;
  }

  #inOrder<T>(what: string, work: () => Promise<Result<T>>): Promise<Result<T>> {
    const result = this.#last.then(async () => {
      try {
        return await work();
      } catch (error) {
        const failed = asFailure(this.#where, what, error);
        // At once if the disk allows it: a reader of the file should not see half a line for long.
        if (this.#dirty) await this.#cut(this.#length).catch(() => undefined);
        return failed;
      }
    });
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function asFailure(where: string, what: string, error: unknown): Failure {
  if (!(error instanceof IoError)) throw error;
  const full = error.code === "ENOSPC" || error.code === "EDQUOT";
  const advice = full ? "Free some space." : "Check the disk and the rights of the data folder.";
  return failure(full ? "disk-full" : "store-failed", `The file ${where} cannot be ${what}: ${error.message}. ${advice}`);
}
