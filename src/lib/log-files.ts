/**
 * What the log needs of a disk: one folder and its files. The real disk and the simulated one implement it, so that
 * both run the same log. A failed call rejects with (or hands over) an `IoError`.
 */

/** An I/O error with the code of the operating system (EIO, ENOSPC, …). */
export class IoError extends Error {
  override readonly name = "IoError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface LogFiles {
  /** Names of all files in the folder, which is created durably when it is missing. */
  list(): Promise<string[]>;
  /** `create` makes an empty file, whether or not there was one; `open` wants it to be there. */
  open(name: string, how: "create" | "open"): Promise<LogFile>;
  rename(from: string, to: string): Promise<void>;
  /** A file that is not there is no error. */
  remove(name: string): Promise<void>;
  /** Makes creations, renames and removals durable. */
  syncFolder(): Promise<void>;
}

export interface LogFile {
  size(): Promise<number>;
  /** Fills `target` from `position`; fewer bytes (or none) only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes the parts one after the other. `written` may be less than asked. Never calls back before returning. */
  write(parts: readonly Uint8Array[], position: number, done: (error: IoError | undefined, written: number) => void): void;
  /** Makes contents and length durable. Never calls back before returning. */
  sync(done: (error: IoError | undefined, tookMs: number) => void): void;
  /**
   * Where the file can do both in one call, which hands the work to another thread once instead of twice: a `write` whose
   * bytes are durable, as after `sync`, when it calls back. A short one has made durable what it wrote.
   */
  writeDurably?(parts: readonly Uint8Array[], position: number, done: DurableWrite): void;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export type DurableWrite = (error: IoError | undefined, written: number, tookMs: number) => void;

/** Delays and chance for the log; the simulator's are seeded. */
export interface LogHost {
  /** Calls `fire` once, after `delayMs`, unless the returned function was called before. Never at once. */
  after(delayMs: number, fire: () => void): () => void;
  /** An unpredictable 32-bit integer. */
  salt(): number;
}

export async function writeFully(file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const written = await new Promise<number>((resolve, reject) => {
      file.write([bytes.subarray(done)], position + done, (error, count) => (error === undefined ? resolve(count) : reject(error)));
    });
    if (written === 0) throw new IoError("EIO", "a write of several bytes wrote none");
    done += written;
  }
}

export function syncFile(file: LogFile): Promise<void> {
  return new Promise((resolve, reject) => {
    file.sync((error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Replaces `name` atomically and durably: temporary file, fsync, rename, fsync of the folder. */
export async function replaceFile(files: LogFiles, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${name}${temporarySuffix}`;
  const file = await files.open(temporary, "create");
  try {
    await writeFully(file, bytes, 0);
    await syncFile(file);
  } finally {
    await file.close();
  }
  await files.rename(temporary, name);
  await files.syncFolder();
}

export const temporarySuffix = ".tmp";
