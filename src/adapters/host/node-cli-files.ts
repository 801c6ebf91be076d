/** Files as the command line sees them: small, synchronous, with reasons for people instead of error codes. */

import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { failure, type Result, success } from "../../lib/errors.ts";

type ReadOutcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly missing: boolean; readonly reason: string };

export class NodeCliFiles {
  readFile(path: string): ReadOutcome<Uint8Array> {
    return attempt(() => readFileSync(path));
  }

  listFolder(path: string): ReadOutcome<readonly string[]> {
    return attempt(() =>
      readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isFile() || entry.isSymbolicLink())
        .map((entry) => entry.name),
    );
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  makeFolder(path: string): Result<void> {
    return done(() => void mkdirSync(path, { recursive: true }), `cannot make the folder ${path}`);
  }

  createFile(path: string, text: string, options: { readonly mode: number }): Result<void> {
    return done(() => writeFileSync(path, text, { flag: "wx", mode: options.mode }), `cannot write ${path}`);
  }

  temporaryFolder(prefix: string): Result<string> {
    try {
      return success(mkdtempSync(join(tmpdir(), prefix)));
    } catch (error) {
      return failure("usage", `cannot make a temporary folder: ${reasonOf(error)}`);
    }
  }

  removeFolder(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  lines(path: string): AsyncIterable<string> {
    return createInterface({ input: createReadStream(path, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  }

  createWriter(path: string): Result<{ write(text: string): void; close(): void }> {
    try {
      const descriptor = openSync(path, "w");
      return success({ write: (text) => void writeSync(descriptor, text), close: () => closeSync(descriptor) });
    } catch (error) {
      return failure("usage", `cannot write ${path}: ${reasonOf(error)}`);
    }
  }

  bytes(path: string): AsyncIterable<Uint8Array> {
    return createReadStream(path, { highWaterMark: 256 << 10 });
  }

  createWhole(path: string): Result<WholeFile> {
    const part = `${path}.part`;
    try {
      return success(new WholeFile(path, part, openSync(part, "w", 0o600)));
    } catch (error) {
      return failure("usage", `cannot write ${part}: ${reasonOf(error)}`);
    }
  }
}

/** Written beside its place, and moved there once it is on disk. */
class WholeFile {
  readonly #path: string;
  readonly #part: string;
  #descriptor: number | undefined;

  constructor(path: string, part: string, descriptor: number) {
    this.#path = path;
    this.#part = part;
    this.#descriptor = descriptor;
  }

  write(bytes: string | Uint8Array): void {
    const all = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    // One call may write less than it was given.
    for (let at = 0; at < all.length; ) at += writeSync(this.#open(), all, at);
  }

  finish(options: { readonly replace: boolean }): Result<void> {
    try {
      fsyncSync(this.#open());
      this.#close();
      if (!options.replace && existsSync(this.#path)) {
        this.abandon();
        return failure("usage", `cannot write ${this.#path}: it exists already`);
      }
      renameSync(this.#part, this.#path);
      syncFolder(dirname(this.#path));
      return success(undefined);
    } catch (error) {
      this.abandon();
      return failure(codeOf(error) === "ENOSPC" ? "disk-full" : "usage", `cannot write ${this.#path}: ${reasonOf(error)}`);
    }
  }

  abandon(): void {
    this.#close();
    rmSync(this.#part, { force: true });
  }

  #open(): number {
    if (this.#descriptor === undefined) throw new Error(`${this.#part} is closed`);
    return this.#descriptor;
  }

  #close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function attempt<T>(read: () => T): ReadOutcome<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    return { ok: false, missing: codeOf(error) === "ENOENT", reason: reasonOf(error) };
  }
}

function done(action: () => void, what: string): Result<void> {
  try {
    action();
    return success(undefined);
  } catch (error) {
    return failure("usage", `${what}: ${reasonOf(error)}`);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "there is no such file or folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EEXIST":
      return "it exists already";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of the path is no folder";
    case "ENOSPC":
      return "the disk is full";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
