/**
 * Documents and result files of a simulated disk. One change at a time is under way, in the order in which they were
 * asked for; a crash may find the one under way done, undone, or (for a result file) done in part.
 */
import { type Failure, failure, type Result, success } from "../lib/errors.ts";
import type { IoError } from "../lib/log-files.ts";
import type { Random } from "../lib/random.ts";
import type { Documents } from "../ports/documents.ts";
import type { ResultFile } from "../ports/result-file.ts";
import type { DiskSession } from "./disk-session.ts";

const changeFailure = (what: string, error: IoError): Failure =>
  failure(error.code === "ENOSPC" ? "disk-full" : "store-failed", `${what} cannot be written: ${error.message}.`);

/** Changes one after the other; `interrupted` is what a crash makes of the one under way. */
class ChangeQueue {
  #last: Promise<unknown> = Promise.resolve();
  interrupted: ((random: Random) => void) | undefined;

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  crash(random: Random): void {
    this.interrupted?.(random);
    this.interrupted = undefined;
    this.#last = Promise.resolve();
  }
}

export class DocumentContents {
  /** JSON texts. */
  readonly texts = new Map<string, string>();
  readonly damaged = new Set<string>();
  readonly queue = new ChangeQueue();

  copy(): DocumentContents {
    const contents = new DocumentContents();
    for (const [name, text] of this.texts) contents.texts.set(name, text);
    for (const name of this.damaged) contents.damaged.add(name);
    return contents;
  }
}

export class SimulatedDocuments implements Documents {
  readonly #contents: DocumentContents;
  readonly #session: DiskSession;

  constructor(contents: DocumentContents, session: DiskSession) {
    this.#contents = contents;
    this.#session = session;
  }

  read(name: string): Promise<Result<unknown>> {
    return this.#session.perform(this.#session.accessMs(), () => {
      if (this.#contents.damaged.has(name)) return failure("data-damaged", `The document ${name} is damaged (simulated).`);
      const text = this.#contents.texts.get(name);
      return success(text === undefined ? undefined : JSON.parse(text));
    });
  }

  async write(name: string, value: unknown): Promise<Result<void>> {
    const { texts, damaged, queue } = this.#contents;
    const text = JSON.stringify(value);
    const set = () => {
      texts.set(name, text);
      damaged.delete(name);
    };
    return await queue.run(() => {
      if (!this.#session.alive) return new Promise<Result<void>>(() => undefined);
      queue.interrupted = (random) => (random.chance(0.5) ? set() : undefined);
      return this.#session.perform(this.#session.fsyncMs(), () => {
        queue.interrupted = undefined;
        const { reported, done } = this.#session.outcome(true);
        // The old document stands when the write reports an error: the rename is the last step that can fail visibly.
        if (done && reported === undefined) set();
        return reported === undefined ? success(undefined) : changeFailure(`The document ${name}`, reported);
      });
    });
  }
}

export class ResultContents {
  bytes = new Uint8Array(0);
  readonly queue = new ChangeQueue();

  append(more: Uint8Array): void {
    const joined = new Uint8Array(this.bytes.length + more.length);
    joined.set(this.bytes);
    joined.set(more, this.bytes.length);
    this.bytes = joined;
  }

  copy(): ResultContents {
    const contents = new ResultContents();
    contents.bytes = this.bytes.slice();
    return contents;
  }
}

export class SimulatedResultFile implements ResultFile {
  readonly #name: string;
  readonly #contents: ResultContents;
  readonly #session: DiskSession;

  constructor(name: string, contents: ResultContents, session: DiskSession) {
    this.#name = name;
    this.#contents = contents;
    this.#session = session;
  }

  truncate(bytes: number): Promise<Result<void>> {
    const cut = () => {
      this.#contents.bytes = this.#contents.bytes.slice(0, bytes);
    };
    return this.#change(cut, () => {
      if (this.#contents.bytes.length < bytes) {
        return failure("data-damaged", `The file ${this.#name} has ${this.#contents.bytes.length} bytes, but ${bytes} had been written.`);
      }
      const { reported } = this.#session.outcome(false);
      if (reported !== undefined) return changeFailure(`The file ${this.#name}`, reported);
      cut();
      return success(undefined);
    });
  }

  append(text: string): Promise<Result<number>> {
    const bytes = new TextEncoder().encode(text);
    const inPart = (random: Random) => this.#contents.append(bytes.subarray(0, random.below(bytes.length + 1)));
    return this.#change(inPart, () => {
      const { reported } = this.#session.outcome(true);
      if (reported !== undefined) return changeFailure(`The file ${this.#name}`, reported);
      this.#contents.append(bytes);
      return success(this.#contents.bytes.length);
    });
  }

  close(): Promise<void> {
    return this.#session.perform(this.#session.accessMs(), () => undefined);
  }

  #change<T>(interrupted: (random: Random) => void, work: () => Result<T>): Promise<Result<T>> {
    const { queue } = this.#contents;
    return queue.run(() => {
      if (!this.#session.alive) return new Promise<Result<T>>(() => undefined);
      queue.interrupted = interrupted;
      return this.#session.perform(this.#session.fsyncMs(), () => {
        queue.interrupted = undefined;
        return work();
      });
    });
  }
}
