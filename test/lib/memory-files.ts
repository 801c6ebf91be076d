/** A folder in memory that never fails: for tests that try thousands of damaged files. */
import { IoError, type LogFile, type LogFiles, type LogHost } from "../../src/lib/log-files.ts";

export class MemoryFiles implements LogFiles {
  readonly contents: Map<string, Uint8Array>;

  constructor(contents: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.contents = new Map(contents);
  }

  async list(): Promise<string[]> {
    return [...this.contents.keys()];
  }

  async open(name: string, how: "create" | "open"): Promise<LogFile> {
    if (how === "create") this.contents.set(name, new Uint8Array(0));
    if (!this.contents.has(name)) throw new IoError("ENOENT", `no such file: ${name}`);
    return new MemoryFile(this.contents, name);
  }

  async rename(from: string, to: string): Promise<void> {
    this.contents.set(to, this.contents.get(from) as Uint8Array);
    this.contents.delete(from);
  }

  async remove(name: string): Promise<void> {
    this.contents.delete(name);
  }

  async syncFolder(): Promise<void> {}
}

class MemoryFile implements LogFile {
  readonly #contents: Map<string, Uint8Array>;
  readonly #name: string;

  constructor(contents: Map<string, Uint8Array>, name: string) {
    this.#contents = contents;
    this.#name = name;
  }

  #bytes(): Uint8Array {
    return this.#contents.get(this.#name) as Uint8Array;
  }

  async size(): Promise<number> {
    return this.#bytes().length;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const bytes = this.#bytes().subarray(position, position + target.length);
    target.set(bytes);
    return bytes.length;
  }

  write(parts: readonly Uint8Array[], position: number, done: (error: IoError | undefined, written: number) => void): void {
    const written = Buffer.concat(parts);
    const bytes = new Uint8Array(Math.max(this.#bytes().length, position + written.length));
    bytes.set(this.#bytes());
    bytes.set(written, position);
    this.#contents.set(this.#name, bytes);
    queueMicrotask(() => done(undefined, written.length));
  }

  sync(done: (error: IoError | undefined, tookMs: number) => void): void {
    queueMicrotask(() => done(undefined, 0));
  }

  async truncate(size: number): Promise<void> {
    this.#contents.set(this.#name, this.#bytes().slice(0, size));
  }

  async close(): Promise<void> {}
}

/** Delays of zero only: what waits longer (idle markers, retries) never comes. */
export function memoryHost(salt = 0x5eed1234): LogHost {
  return {
    after(delayMs, fire) {
      if (delayMs === 0) queueMicrotask(fire);
      return () => undefined;
    },
    salt: () => salt++,
  };
}
