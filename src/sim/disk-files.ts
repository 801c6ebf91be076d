/**
 * Files of a simulated disk, as the log uses them. Between a write and its fsync the bytes are in the page cache: a
 * crash of the process keeps them, a power cut loses any subset of their sectors. An fsync that failed leaves pages
 * that count as clean and may not be on the disk, which is what Linux does.
 */
import { IoError, type LogFile, type LogFiles } from "../lib/log-files.ts";
import type { Random } from "../lib/random.ts";
import type { DiskSession } from "./disk-session.ts";

const sectorBytes = 512;
const shortWriteProbability = 0.01;

/** A change of a file that a power cut may undo. */
interface Change {
  start: number;
  end: number;
  /** What stood there; shorter than the range where the file was. */
  readonly before: Uint8Array;
  readonly lengthBefore: number;
}

export class SimulatedFile {
  #bytes = new Uint8Array(1024);
  length = 0;
  /** In order. Lost in any subset by a power cut. */
  #unsynced: Change[] = [];
  /** Of a failed fsync: clean in the cache, perhaps not on the disk, whatever later fsyncs say. */
  #stale: Change[] = [];

  contents(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  write(parts: readonly Uint8Array[], position: number, bytesMax: number): void {
    let end = position;
    for (const part of parts) end += part.length;
    end = Math.min(end, position + bytesMax);
    this.#reserve(end);
    const before = position < this.length ? this.#bytes.slice(position, Math.min(end, this.length)) : new Uint8Array(0);
    this.#unsynced.push({ start: position, end, before, lengthBefore: this.length });
    let at = position;
    for (const part of parts) {
      const fits = part.length <= end - at ? part : part.subarray(0, end - at);
      this.#bytes.set(fits, at);
      at += fits.length;
    }
    this.length = Math.max(this.length, end);
  }

  truncate(size: number): void {
    if (size >= this.length) return;
    this.#unsynced.push({ start: size, end: this.length, before: this.#bytes.slice(size, this.length), lengthBefore: this.length });
    this.#bytes.fill(0, size, this.length);
    this.length = size;
    for (const change of this.#stale) change.end = Math.min(change.end, size);
    this.#stale = this.#stale.filter((change) => change.start < change.end);
  }

  /** How many changes an fsync that begins now covers. */
  changes(): number {
    return this.#unsynced.length;
  }

  synced(changes: number): void {
    const written = this.#unsynced.splice(0, changes);
    // Written anew and synced: no longer stale.
    for (const change of written) this.#stale = this.#stale.flatMap((stale) => outside(stale, change));
  }

  syncFailed(changes: number): void {
    this.#stale.push(...this.#unsynced.splice(0, changes));
  }

  /** Each change that is not certainly on the disk is kept, lost, or torn at sectors. */
  powerCut(random: Random): void {
    const syncedLength = this.#unsynced[0]?.lengthBefore ?? this.length;
    const changes = [...this.#stale, ...this.#unsynced];
    for (const change of changes.reverse()) {
      const fate = random.below(3);
      if (fate === 0) continue;
      this.length = Math.max(this.length, change.start + change.before.length);
      this.#reserve(this.length);
      for (let start = change.start; start < change.end; ) {
        const end = Math.min(change.end, start - (start % sectorBytes) + sectorBytes);
        if (fate === 1 || random.chance(0.5)) this.#undo(change, start, end);
        start = end;
      }
    }
    // The length may have reached the disk before the bytes did, or not at all.
    if (this.length > syncedLength && random.chance(0.5)) this.length = syncedLength + random.below(this.length - syncedLength + 1);
    this.#bytes.fill(0, this.length);
    this.#unsynced = [];
    this.#stale = [];
  }

  flip(offset: number, bit: number): void {
    this.#bytes[offset] = (this.#bytes[offset] as number) ^ (1 << bit);
  }

  /** A copy that is wholly on the disk. */
  copy(): SimulatedFile {
    const file = new SimulatedFile();
    file.#bytes = this.#bytes.slice();
    file.length = this.length;
    return file;
  }

  #undo(change: Change, start: number, end: number): void {
    this.#bytes.fill(0, start, end);
    this.#bytes.set(change.before.subarray(start - change.start, end - change.start), start);
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
    grown.set(this.contents());
    this.#bytes = grown;
  }
}

/** What of a change another one has not written anew. */
function outside(change: Change, other: Change): Change[] {
  const parts = [
    { start: change.start, end: Math.min(change.end, other.start) },
    { start: Math.max(change.start, other.end), end: change.end },
  ];
  return parts
    .filter(({ start, end }) => start < end)
    .map(({ start, end }) => ({ ...change, start, end, before: change.before.subarray(start - change.start, end - change.start) }));
}

type Rename = (names: Map<string, SimulatedFile>) => void;

/** A folder: its names as the process sees them, and as the disk has them. */
export class SimulatedFolder {
  names = new Map<string, SimulatedFile>();
  #onDisk = new Map<string, SimulatedFile>();
  #unsynced: Rename[] = [];

  apply(change: Rename): void {
    change(this.names);
    this.#unsynced.push(change);
  }

  changes(): number {
    return this.#unsynced.length;
  }

  synced(changes: number): void {
    for (const change of this.#unsynced.splice(0, changes)) change(this.#onDisk);
  }

  /** Changes of names reach the disk in order (as with a journal), the last perhaps not at all; or in any subset (without). */
  powerCut(random: Random): void {
    const journalled = random.chance(0.5);
    if (!journalled) this.#unsynced = this.#unsynced.filter(() => random.chance(0.5));
    this.synced(journalled ? random.below(this.#unsynced.length + 1) : this.#unsynced.length);
    this.#unsynced = [];
    this.names = new Map(this.#onDisk);
    for (const file of new Set(this.names.values())) file.powerCut(random);
  }

  bytes(): number {
    let bytes = 0;
    for (const file of this.names.values()) bytes += file.length;
    return bytes;
  }

  copy(): SimulatedFolder {
    const folder = new SimulatedFolder();
    for (const [name, file] of this.names) folder.names.set(name, file.copy());
    folder.#onDisk = new Map(folder.names);
    return folder;
  }
}

/** A folder through the eyes of one session. */
export class SimulatedFiles implements LogFiles {
  readonly #folder: SimulatedFolder;
  readonly #session: DiskSession;

  constructor(folder: SimulatedFolder, session: DiskSession) {
    this.#folder = folder;
    this.#session = session;
  }

  list(): Promise<string[]> {
    return this.#session.perform(this.#session.accessMs(), () => [...this.#folder.names.keys()].sort());
  }

  open(name: string, how: "create" | "open"): Promise<LogFile> {
    const folder = this.#folder;
    return this.#session.perform(this.#session.accessMs(), () => {
      if (how === "create") {
        const { reported, done } = this.#session.outcome(true);
        if (done) this.#create(name);
        if (reported !== undefined) throw reported;
      }
      const file = folder.names.get(name);
      if (file === undefined) throw new IoError("ENOENT", `no such file (simulated): ${name}`);
      return new OpenFile(file, this.#session);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#session.change(this.#session.accessMs(), false, () => {
      this.#folder.apply((names) => {
        const file = names.get(from);
        if (file === undefined) return;
        names.delete(from);
        names.set(to, file);
      });
    });
  }

  remove(name: string): Promise<void> {
    return this.#session.change(this.#session.accessMs(), false, () => this.#folder.apply((names) => names.delete(name)));
  }

  syncFolder(): Promise<void> {
    const changes = this.#folder.changes();
    return this.#session.change(this.#session.fsyncMs(), false, () => this.#folder.synced(Math.min(changes, this.#folder.changes())));
  }

  #create(name: string): void {
    const existing = this.#folder.names.get(name);
    if (existing !== undefined) {
      existing.truncate(0);
      return;
    }
    const file = new SimulatedFile();
    this.#folder.apply((names) => names.set(name, file));
  }
}

class OpenFile implements LogFile {
  readonly #file: SimulatedFile;
  readonly #session: DiskSession;

  constructor(file: SimulatedFile, session: DiskSession) {
    this.#file = file;
    this.#session = session;
  }

  size(): Promise<number> {
    return this.#session.perform(this.#session.accessMs(), () => this.#file.length);
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#session.perform(this.#session.accessMs(), () => {
      const bytes = this.#file.contents().subarray(position, position + target.length);
      target.set(bytes);
      return bytes.length;
    });
  }

  write(parts: readonly Uint8Array[], position: number, done: (error: IoError | undefined, written: number) => void): void {
    const session = this.#session;
    if (!session.alive) return;
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    const outcome = session.outcome(position + bytes > this.#file.length);
    const failed = outcome.reported !== undefined;
    // At once: what a crash finds under way may have reached the disk.
    let written = bytes;
    if (failed) written = outcome.done ? bytes : session.random.below(bytes);
    else if (bytes > 1 && session.random.chance(shortWriteProbability)) written = 1 + session.random.below(bytes - 1);
    this.#file.write(parts, position, written);
    session.later(session.accessMs(), () => (failed ? done(outcome.reported, 0) : done(undefined, written)));
  }

  sync(done: (error: IoError | undefined, tookMs: number) => void): void {
    const session = this.#session;
    const tookMs = session.fsyncMs();
    const changes = this.#file.changes();
    session.later(tookMs, () => {
      const { reported, done: happened } = session.outcome(false);
      if (happened) this.#file.synced(changes);
      else this.#file.syncFailed(changes);
      done(reported, tookMs);
    });
  }

  truncate(size: number): Promise<void> {
    return this.#session.change(this.#session.accessMs(), false, () => this.#file.truncate(size));
  }

  close(): Promise<void> {
    return this.#session.perform(this.#session.accessMs(), () => undefined);
  }
}
