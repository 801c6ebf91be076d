/**
 * A folder that fails as a test says: each change is numbered from 1 and may report an error (having happened or not),
 * or be the last thing that the process does. Shared by tests on real files and on simulated ones.
 */
import { type DurableWrite, IoError, type LogFile, type LogFiles } from "../../src/lib/log-files.ts";

export interface Fault {
  /** The change is done, whatever is reported. */
  readonly happens: boolean;
  /** The code that is reported; without one, the process dies here: this call and all later ones are never answered. */
  readonly code?: string;
}

export type Decide = (operation: string, index: number, fileName: string) => Fault | undefined;

export class FaultyFiles implements LogFiles {
  readonly #inner: LogFiles;
  readonly #decide: Decide;
  /** Changes so far. */
  count = 0;
  dead = false;
  #underWay = 0;
  #whenQuiet: (() => void) | undefined;

  constructor(inner: LogFiles, decide: Decide = () => undefined) {
    this.#inner = inner;
    this.#decide = decide;
  }

  /** The process dies now; resolves when nothing of it touches the files any more. */
  kill(): Promise<void> {
    this.dead = true;
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenQuiet = resolve;
    });
  }

  list(): Promise<string[]> {
    return unlessDead(this.read(() => this.#inner.list()));
  }

  open(name: string, how: "create" | "open"): Promise<LogFile> {
    const open = async () => new FaultyFile(await this.#inner.open(name, how), name, this);
    return unlessDead(how === "create" ? this.change("create", name, open) : this.read(open));
  }

  rename(from: string, to: string): Promise<void> {
    return unlessDead(this.change("rename", to, () => this.#inner.rename(from, to)));
  }

  remove(name: string): Promise<void> {
    return unlessDead(this.change("remove", name, () => this.#inner.remove(name)));
  }

  syncFolder(): Promise<void> {
    return unlessDead(this.change("syncFolder", "", () => this.#inner.syncFolder()));
  }

  /** Something that changes nothing: it is only refused to the dead. */
  async read<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) return await never();
    this.#underWay++;
    try {
      const value = await work();
      if (this.dead) return await never();
      return value;
    } finally {
      this.#ended();
    }
  }

  async change<T>(operation: string, fileName: string, work: () => Promise<T>): Promise<T> {
    if (this.dead) return await never();
    const fault = this.#decide(operation, ++this.count, fileName);
    if (fault !== undefined && fault.code === undefined) this.dead = true;
    this.#underWay++;
    try {
      const value = fault === undefined || fault.happens ? await work() : undefined;
      if (fault?.code !== undefined) throw new IoError(fault.code, `${operation} ${fileName}: injected`);
      if (this.dead) return await never();
      return value as T;
    } finally {
      this.#ended();
    }
  }

  #ended(): void {
    this.#underWay--;
    if (this.#underWay === 0) this.#whenQuiet?.();
  }
}

/** Inside, death is an exception, so that `finally` runs; `unlessDead` and `deliver` turn it into silence. */
function never(): Promise<never> {
  return Promise.reject(new Died());
}

class Died extends Error {}

/** Calls back when `promise` is settled, unless the process died. */
function deliver<T>(promise: Promise<T>, answer: (error: IoError | undefined, value: T | undefined) => void): void {
  promise.then(
    (value) => answer(undefined, value),
    (error: unknown) => {
      if (error instanceof IoError) answer(error, undefined);
      else if (!(error instanceof Died)) throw error;
    },
  );
}

function unlessDead<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, (error: unknown) => (error instanceof Died ? undefined : reject(error)));
  });
}

class FaultyFile implements LogFile {
  readonly #inner: LogFile;
  readonly #name: string;
  readonly #files: FaultyFiles;
  /** As the file beneath: there or not. */
  readonly writeDurably?: (parts: readonly Uint8Array[], position: number, done: DurableWrite) => void;

  constructor(inner: LogFile, name: string, files: FaultyFiles) {
    this.#inner = inner;
    this.#name = name;
    this.#files = files;
    if (inner.writeDurably !== undefined) this.writeDurably = (parts, position, done) => this.#writeDurably(parts, position, done);
  }

  #writeDurably(parts: readonly Uint8Array[], position: number, done: DurableWrite): void {
    const write = () =>
      new Promise<{ readonly written: number; readonly tookMs: number }>((resolve, reject) => {
        this.#inner.writeDurably?.(parts, position, (error, written, tookMs) =>
          error === undefined ? resolve({ written, tookMs }) : reject(error),
        );
      });
    deliver(this.#files.change("write", this.#name, write), (error, value) => done(error, value?.written ?? 0, value?.tookMs ?? 0));
  }

  size(): Promise<number> {
    return unlessDead(this.#files.read(() => this.#inner.size()));
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return unlessDead(this.#files.read(() => this.#inner.read(target, position)));
  }

  write(parts: readonly Uint8Array[], position: number, done: (error: IoError | undefined, written: number) => void): void {
    const write = () =>
      new Promise<number>((resolve, reject) => {
        this.#inner.write(parts, position, (error, written) => (error === undefined ? resolve(written) : reject(error)));
      });
    deliver(this.#files.change("write", this.#name, write), (error, written) => done(error, written ?? 0));
  }

  sync(done: (error: IoError | undefined, tookMs: number) => void): void {
    const sync = () =>
      new Promise<number>((resolve, reject) => {
        this.#inner.sync((error, tookMs) => (error === undefined ? resolve(tookMs) : reject(error)));
      });
    deliver(this.#files.change("sync", this.#name, sync), (error, tookMs) => done(error, tookMs ?? 0));
  }

  truncate(size: number): Promise<void> {
    return unlessDead(this.#files.change("truncate", this.#name, () => this.#inner.truncate(size)));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
