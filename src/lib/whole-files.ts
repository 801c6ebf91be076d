/**
 * Binary files that are there whole or not at all, over a folder of a real or a simulated disk (it keeps the contract of
 * `ports/snapshot-files.ts`): written under a temporary name, fsynced, renamed, the folder fsynced. What a crash left under
 * a temporary name is removed by the next `list`.
 */
import { assert } from "./assert.ts";
import { type Failure, failure, type Result, success } from "./errors.ts";
import { IoError, type LogFile, type LogFiles, syncFile, temporarySuffix, writeFully } from "./log-files.ts";

export class WholeFiles {
  readonly #files: LogFiles;
  /** Temporary names that are being written. */
  readonly #written = new Set<string>();
  #made = 0;
  /** What stands in the folder stays there: an earlier process may have died between a rename and its fsync. */
  #secured = false;

  constructor(files: LogFiles) {
    this.#files = files;
  }

  async create(name: string): Promise<Result<WholeFile>> {
    assert(/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name), `"${name}" is no name for a file`);
    const temporary = `${name}.${++this.#made}${temporarySuffix}`;
    try {
      await this.#files.list();
      this.#written.add(temporary);
      const file = await this.#files.open(temporary, "create");
      return success(new WholeFile({ files: this.#files, file, temporary, name, ended: () => this.#written.delete(temporary) }));
    } catch (error) {
      this.#written.delete(temporary);
      return asFailure(`${name} cannot be created`, error);
    }
  }

  async write(name: string, parts: readonly Uint8Array[]): Promise<Result<void>> {
    const file = await this.create(name);
    if (!file.ok) return file;
    for (const part of parts) {
      const appended = await file.value.append(part);
      if (!appended.ok) {
        await file.value.abort();
        return appended;
      }
    }
    return await file.value.commit();
  }

  async read(name: string): Promise<Result<Uint8Array | undefined>> {
    try {
      if (!(await this.#files.list()).includes(name)) return success(undefined);
      return success(await this.#with(name, async (file) => await readAt(file, 0, await file.size())));
    } catch (error) {
      return asFailure(`${name} cannot be read`, error);
    }
  }

  async readRange(name: string, offset: number, length: number): Promise<Result<Uint8Array>> {
    try {
      if (!(await this.#files.list()).includes(name)) return failure("not-found", `there is no file ${name}`);
      return success(
        await this.#with(name, async (file) => await readAt(file, offset, Math.max(0, Math.min(length, (await file.size()) - offset)))),
      );
    } catch (error) {
      return asFailure(`${name} cannot be read`, error);
    }
  }

  async list(): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
    const names = await this.#files.list();
    if (!this.#secured) {
      await this.#files.syncFolder();
      this.#secured = true;
    }
    const found: { readonly name: string; readonly bytes: number }[] = [];
    for (const name of names) {
      if (!name.endsWith(temporarySuffix)) {
        const bytes = await this.#sizeOf(name);
        if (bytes !== undefined) found.push({ name, bytes });
      } else if (!this.#written.has(name)) await this.#files.remove(name);
    }
    return found;
  }

  /** `undefined`: it was removed since it was listed. */
  async #sizeOf(name: string): Promise<number | undefined> {
    try {
      return await this.#with(name, (file) => file.size());
    } catch (error) {
      if (!(error instanceof IoError) || (await this.#files.list()).includes(name)) throw error;
      return undefined;
    }
  }

  async remove(name: string): Promise<Result<void>> {
    try {
      await this.#files.remove(name);
      await this.#files.syncFolder();
      return success(undefined);
    } catch (error) {
      return asFailure(`${name} cannot be removed`, error);
    }
  }

  async #with<T>(name: string, work: (file: LogFile) => Promise<T>): Promise<T> {
    const file = await this.#files.open(name, "open");
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }
}

export class WholeFile {
  readonly #options: {
    readonly files: LogFiles;
    readonly file: LogFile;
    readonly temporary: string;
    readonly name: string;
    readonly ended: () => void;
  };
  #size = 0;

  constructor(options: {
    readonly files: LogFiles;
    readonly file: LogFile;
    readonly temporary: string;
    readonly name: string;
    readonly ended: () => void;
  }) {
    this.#options = options;
  }

  async append(bytes: Uint8Array): Promise<Result<void>> {
    try {
      await writeFully(this.#options.file, bytes, this.#size);
      this.#size += bytes.length;
      return success(undefined);
    } catch (error) {
      return asFailure(`${this.#options.name} cannot be written`, error);
    }
  }

  async commit(): Promise<Result<void>> {
    const { files, file, temporary, name, ended } = this.#options;
    try {
      await syncFile(file);
      await file.close();
      await files.rename(temporary, name);
      await files.syncFolder();
      return success(undefined);
    } catch (error) {
      await file.close().catch(() => undefined);
      // The rename may have happened: what is there is whole in any case.
      await files.remove(temporary).catch(() => undefined);
      return asFailure(`${name} cannot be written`, error);
    } finally {
      ended();
    }
  }

  async abort(): Promise<void> {
    const { files, file, temporary, ended } = this.#options;
    await file.close().catch(() => undefined);
    await files.remove(temporary).catch(() => undefined);
    ended();
  }
}

async function readAt(file: LogFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const read = await file.read(bytes.subarray(done), offset + done);
    if (read === 0) return bytes.slice(0, done);
    done += read;
  }
  return bytes;
}

function asFailure(what: string, error: unknown): Failure {
  if (!(error instanceof IoError)) throw error;
  return failure(error.code === "ENOSPC" ? "disk-full" : "store-failed", `${what}: ${error.message}.`);
}
