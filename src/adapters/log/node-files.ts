/**
 * A folder of the real disk for the log. Writes gather (`writev`) and go to a given position; `fdatasync` makes contents
 * and length durable, `fsync` of the folder makes names durable. Errors keep the code of the operating system.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { type DurableWrite, IoError, type LogFile, type LogFiles } from "../../lib/log-files.ts";

export interface NodeFilesOptions {
  /** Each write is durable when it calls back (O_DSYNC): for a log, whose writes are all followed by an fsync. */
  readonly writeThrough?: boolean;
}

/** What Linux promises of O_DSYNC is what `fdatasync` does; elsewhere the disk's own cache may keep it. */
const writeThroughFlag = process.platform === "linux" ? fs.constants.O_DSYNC : 0;

export class NodeFiles implements LogFiles {
  readonly #folder: string;
  readonly #flag: number;

  constructor(folder: string, options: NodeFilesOptions = {}) {
    this.#folder = folder;
    this.#flag = options.writeThrough === true ? writeThroughFlag : 0;
  }

  async list(): Promise<string[]> {
    return await translated(async () => {
      await createFolder(this.#folder);
      return await fs.promises.readdir(this.#folder);
    });
  }

  async open(name: string, how: "create" | "open"): Promise<LogFile> {
    return await translated(async () => {
      const { O_RDWR, O_CREAT, O_TRUNC } = fs.constants;
      const flags = O_RDWR | (how === "create" ? O_CREAT | O_TRUNC : 0) | this.#flag;
      const handle = await new Promise<number>((resolve, reject) => {
        fs.open(path.join(this.#folder, name), flags, 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)));
      });
      return this.#flag === 0 ? new NodeFile(handle) : new WriteThroughFile(handle);
    });
  }

  async rename(from: string, to: string): Promise<void> {
    await translated(() => fs.promises.rename(path.join(this.#folder, from), path.join(this.#folder, to)));
  }

  async remove(name: string): Promise<void> {
    await translated(() => fs.promises.rm(path.join(this.#folder, name), { force: true }));
  }

  async syncFolder(): Promise<void> {
    await translated(() => syncFolder(this.#folder));
  }
}

/** By file descriptor and callbacks: no promise on the way of a write. */
class NodeFile implements LogFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.#fd, (error, stat) => (error === null ? resolve(stat.size) : reject(ioError(error))));
    });
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const count = await this.#readOnce(target, filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  write(parts: readonly Uint8Array[], position: number, done: (error: IoError | undefined, written: number) => void): void {
    fs.writev(this.#fd, [...parts], position, (error, written) => {
      if (error === null) done(undefined, written);
      else done(systemError(error), 0);
    });
  }

  sync(done: (error: IoError | undefined, tookMs: number) => void): void {
    const beganMs = performance.now();
    fs.fdatasync(this.#fd, (error) => done(error === null ? undefined : systemError(error), performance.now() - beganMs));
  }

  truncate(size: number): Promise<void> {
    return this.#call((done) => fs.ftruncate(this.#fd, size, done));
  }

  close(): Promise<void> {
    return this.#call((done) => fs.close(this.#fd, done));
  }

  #readOnce(target: Uint8Array, offset: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#fd, target, offset, target.length - offset, position, (error, count) =>
        error === null ? resolve(count) : reject(ioError(error)),
      );
    });
  }

  #call(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((error) => (error === null || error === undefined ? resolve() : reject(ioError(error))));
    });
  }
}

/** Opened with O_DSYNC. */
class WriteThroughFile extends NodeFile {
  writeDurably(parts: readonly Uint8Array[], position: number, done: DurableWrite): void {
    const beganMs = performance.now();
    this.write(parts, position, (error, written) => done(error, written, performance.now() - beganMs));
  }
}

/** Creates a folder and its missing parents, durably: each is named in its parent before this resolves. */
export async function createFolder(folder: string): Promise<void> {
  const first = await fs.promises.mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let at = path.resolve(folder); at.length >= path.resolve(first).length; at = path.dirname(at)) await syncFolder(path.dirname(at));
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.promises.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ioError(error);
  }
}

/** What Node reports about a file, as an `IoError`; anything else is a bug and stays itself. */
export function ioError(error: unknown): unknown {
  return error instanceof Error && "code" in error && typeof error.code === "string" && "syscall" in error
    ? new IoError(error.code, error.message)
    : error;
}

function systemError(error: NodeJS.ErrnoException): IoError {
  return new IoError(error.code ?? "EIO", error.message);
}
