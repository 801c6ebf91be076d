/** The `ResultFile` port: append-only files of results, fsynced with every append; partial appends are cut off by `truncate`. */

import { type FileHandle, mkdir, open } from "node:fs/promises";
import path from "node:path";
import { failure, type Result, success } from "../lib/errors.ts";
import type { ResultFile, ResultFiles } from "../ports/result-file.ts";

export class FileResults implements ResultFiles {
  readonly #folder: string;

  constructor(options: { readonly folder: string }) {
    this.#folder = options.folder;
  }

  async open(name: string): Promise<Result<ResultFile>> {
    const file = path.join(this.#folder, name);
    return attempt(file, async () => {
      await mkdir(this.#folder, { recursive: true });
      const handle = await open(file, "a+");
      const folder = await open(this.#folder, "r");
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
      return new AppendedFile(file, handle);
    });
  }
}

class AppendedFile implements ResultFile {
  readonly #file: string;
  readonly #handle: FileHandle;

  constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  async truncate(bytes: number): Promise<Result<void>> {
    const cut = await attempt(this.#file, async () => {
      const { size } = await this.#handle.stat();
      if (size > bytes) {
        await this.#handle.truncate(bytes);
        await this.#handle.sync();
      }
      return size;
    });
    if (!cut.ok) return cut;
    return cut.value >= bytes
      ? success(undefined)
      : failure("data-damaged", `${this.#file} has ${cut.value} bytes where ${bytes} had been written`);
  }

  append(text: string): Promise<Result<number>> {
    return attempt(this.#file, async () => {
      await this.#handle.appendFile(text);
      await this.#handle.sync();
      return (await this.#handle.stat()).size;
    });
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function attempt<T>(file: string, action: () => Promise<T>): Promise<Result<T>> {
  try {
    return success(await action());
  } catch (error) {
    const full = error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
    return failure(full ? "disk-full" : "store-failed", `${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
