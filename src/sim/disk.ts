/**
 * The disk of one simulated gateway: logs, stores, documents and result files over state in memory that survives
 * crashes. Logs are the real log on simulated files. Everything follows from the schedule and the random generator.
 */
import { assert, defined } from "../lib/assert.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import type { LogHost } from "../lib/log-files.ts";
import {
  decodeHead,
  decodeRecordHeader,
  decodeSegmentHeader,
  headFileName,
  isLogName,
  parseSegmentFileName,
  RecordKind,
  recordHeaderBytes,
  recordIsIntact,
  segmentHeaderBytes,
} from "../lib/log-format.ts";
import type { Random } from "../lib/random.ts";
import { openSegmentedLog } from "../lib/segmented-log.ts";
import { WholeFiles } from "../lib/whole-files.ts";
import type { DiskSpace } from "../ports/disk-space.ts";
import type { Documents } from "../ports/documents.ts";
import type { LogDirectory } from "../ports/log.ts";
import type { ResultFiles } from "../ports/result-file.ts";
import type { SnapshotFiles } from "../ports/snapshot-files.ts";
import type { StoreDirectory } from "../ports/store.ts";
import { DocumentContents, ResultContents, SimulatedDocuments, SimulatedResultFile } from "./disk-documents.ts";
import { type SimulatedFile, SimulatedFiles, SimulatedFolder } from "./disk-files.ts";
import { type DiskFaults, DiskSession, type LatencyRange } from "./disk-session.ts";
import { SimulatedStore, StoreContents } from "./disk-store.ts";

export interface SimulatedDiskOptions {
  /** Calls `fire` once, later, in virtual time. */
  readonly schedule: (delayMs: number, fire: () => void) => unknown;
  readonly random: Random;
  /** Default 0.5 to 4 ms. */
  readonly fsync?: LatencyRange;
}

/** What one process uses. After `crash`, `wipe` or `restore` it is dead: nothing that it has under way is answered. */
export interface DiskPorts {
  readonly logs: LogDirectory;
  readonly stores: StoreDirectory;
  readonly documents: Documents;
  readonly results: ResultFiles;
  readonly snapshots: SnapshotFiles;
  readonly space: DiskSpace;
}

/** All that stands on a disk; as a copy also what `restore` brings back. */
export class DiskContents {
  readonly logs = new Map<string, SimulatedFolder>();
  readonly stores = new Map<string, StoreContents>();
  documents = new DocumentContents();
  readonly results = new Map<string, ResultContents>();
  snapshots = new SimulatedFolder();

  /** What a document holds, for checkers; `undefined` when there is none. */
  document(name: string): unknown {
    const text = this.documents.texts.get(name);
    return text === undefined ? undefined : JSON.parse(text);
  }

  bytes(): number {
    let bytes = this.snapshots.bytes();
    for (const folder of this.logs.values()) bytes += folder.bytes();
    for (const store of this.stores.values()) bytes += store.sizeBytes();
    for (const result of this.results.values()) bytes += result.bytes.length;
    for (const text of this.documents.texts.values()) bytes += text.length;
    return bytes;
  }

  flippable(): { readonly name: string; readonly bytes: number; readonly flip: (at: number, bit: number) => void }[] {
    const folders = [...this.logs].map(([name, folder]) => ({ name: `log ${name}`, folder }));
    const files = [...folders, { name: "snapshot", folder: this.snapshots }].flatMap(({ name, folder }) =>
      [...folder.names].map(([fileName, file]) => ({
        name: `${name} ${fileName}`,
        bytes: file.length,
        flip: (at: number, bit: number) => file.flip(at, bit),
      })),
    );
    const documents = [...this.documents.texts].map(([name, text]) => ({
      name: `document ${name}`,
      bytes: text.length,
      flip: () => this.documents.damaged.add(name),
    }));
    const stores = [...this.stores].flatMap(([name, store]) =>
      (["key", "value"] as const).map((what) => ({
        name: `${what} of store ${name}`,
        bytes: store.bytesOf(what),
        flip: (at: number, bit: number) => store.flip(at, bit, what),
      })),
    );
    return [...files, ...documents, ...stores].filter(({ bytes }) => bytes > 0);
  }

  copy(): DiskContents {
    const copy = new DiskContents();
    for (const [name, folder] of this.logs) copy.logs.set(name, folder.copy());
    for (const [name, store] of this.stores) copy.stores.set(name, store.copy());
    copy.documents = this.documents.copy();
    for (const [name, result] of this.results) copy.results.set(name, result.copy());
    copy.snapshots = this.snapshots.copy();
    return copy;
  }
}

// First bytes of keys (`gateway/series/store-keys.ts`).
const chunkKind = 0x63;
const quarantineKind = 0x71;

const fsyncDefault: LatencyRange = { minMs: 0.5, maxMs: 4 };

export class SimulatedDisk {
  readonly #options: SimulatedDiskOptions;
  readonly #faults: DiskFaults;
  /** How often it lost what was durable: wiped, replaced by an old copy, damaged. */
  losses = 0;
  #contents = new DiskContents();
  #session: DiskSession;

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
    this.#faults = { fsync: options.fsync ?? fsyncDefault, ioErrorProbability: 0, full: false, capacityBytes: undefined };
    this.#session = this.#begin();
  }

  /** The ports for a process that starts now. */
  ports(): DiskPorts {
    const session = this.#session;
    const contents = this.#contents;
    return {
      logs: logDirectory(contents, session),
      stores: storeDirectory(contents, session),
      documents: new SimulatedDocuments(contents.documents, session),
      results: resultFiles(contents, session),
      space: { space: () => Promise.resolve(session.space()) },
      snapshots: new WholeFiles(new SimulatedFiles(contents.snapshots, session)),
    };
  }

  /** The process dies; with `power` (the default) the machine does: unsynced writes are lost in part. */
  crash(options: { readonly power: boolean } = { power: true }): void {
    this.#session.alive = false;
    const { random } = this.#options;
    const { logs, stores, documents, results } = this.#contents;
    documents.queue.crash(random);
    for (const result of results.values()) result.queue.crash(random);
    for (const store of stores.values()) store.openIn = undefined;
    if (options.power) {
      for (const folder of logs.values()) folder.powerCut(random);
      this.#contents.snapshots.powerCut(random);
      for (const store of stores.values()) store.powerCut(random);
    }
    this.#session = this.#begin();
  }

  /** An empty disk stands in its place; the process that used the old one is dead. */
  wipe(): void {
    this.#replace(new DiskContents());
  }

  /** A copy of everything, as the process sees it now. */
  image(): DiskContents {
    return this.#contents.copy();
  }

  /** Brings an old copy back (it stays usable); the process that used the disk is dead. */
  restore(image: DiskContents): void {
    this.#replace(image.copy());
  }

  setFsync(range: LatencyRange | undefined): void {
    this.#faults.fsync = range ?? this.#options.fsync ?? fsyncDefault;
  }

  /** Probability that a change reports EIO (half of those happened nevertheless); 0 ends it. */
  setIoErrors(probability: number): void {
    this.#faults.ioErrorProbability = probability;
  }

  setFull(full: boolean): void {
    this.#faults.full = full;
  }

  /** From `bytes` on nothing can grow; `undefined` takes the bound away. */
  setCapacity(bytes: number | undefined): void {
    this.#faults.capacityBytes = bytes;
  }

  /** Bytes of all that stands on it. */
  usedBytes(): number {
    return this.#contents.bytes();
  }

  /**
   * Flips one bit of a log where later bytes prove that it had been durable, so that opening it must report
   * `log-damaged`. False when there is no such bit yet. To be used between a crash and a start.
   */
  flipLogBit(log: string): boolean {
    const folder = this.#contents.logs.get(log);
    const head = decodeHead(folder?.names.get(headFileName)?.contents() ?? new Uint8Array(0));
    if (folder === undefined || typeof head === "string") return false;
    const targets: { readonly file: SimulatedFile; readonly bytes: number }[] = [];
    for (const [name, file] of folder.names) {
      const ordinal = parseSegmentFileName(name)?.ordinal ?? 0;
      if (ordinal >= head.firstOrdinal && ordinal <= head.lastOrdinal) targets.push({ file, bytes: vouchedBytes(file) });
    }
    if (targets.every(({ bytes }) => bytes === 0)) return false;
    const { random } = this.#options;
    const { file, bytes } = random.pick(targets.filter((target) => target.bytes > 0));
    file.flip(random.below(bytes), random.below(8));
    this.losses++;
    return true;
  }

  /** Names of a log's files, the head file among them. */
  logFiles(log: string): string[] {
    return [...(this.#contents.logs.get(log)?.names.keys() ?? [])].sort();
  }

  /** Names of the snapshot files, unfinished ones among them. */
  snapshotFiles(): string[] {
    return [...this.#contents.snapshots.names.keys()].sort();
  }

  /** Flips one bit of a log's file. To be used between a crash (or a close) and a start. */
  flipLogFile(log: string, where: { readonly file: string; readonly offset: number; readonly bit: number }): void {
    const file = defined(this.#contents.logs.get(log)?.names.get(where.file), `file ${where.file} of the log ${log}`);
    assert(where.offset < file.length, `${where.file} has ${file.length} bytes`);
    file.flip(where.offset, where.bit);
    this.losses++;
  }

  /**
   * Flips any one bit of all that stands on the disk but the results' text, and tells which; `undefined` on an empty disk.
   * To be used between a crash (or a close) and a start. A document guards itself by a checksum: it is unreadable then.
   */
  flipBit(random: Random): string | undefined {
    const targets = this.#contents.flippable();
    let at = random.below(
      Math.max(
        1,
        targets.reduce((sum, { bytes }) => sum + bytes, 0),
      ),
    );
    for (const { name, bytes, flip } of targets) {
      if (at < bytes) {
        this.losses++;
        const bit = random.below(8);
        flip(at, bit);
        return `${name}, byte ${at}, bit ${bit}`;
      }
      at -= bytes;
    }
    return undefined;
  }

  /**
   * A chunk of readings rots, at any time. Gives what puts it back and forgets that it was found, to be called between a crash
   * and a start; `undefined` when there is no chunk.
   */
  rotChunk(name: string, random: Random): (() => void) | undefined {
    const store = this.#contents.stores.get(name);
    const rotten = store?.rot(chunkKind, random);
    if (store === undefined || rotten === undefined) return undefined;
    const { key, value } = rotten;
    const recordKey = new Uint8Array([quarantineKind, ...key]);
    return () => {
      // Dropped meanwhile, there is nothing to put back.
      if (store.get(key) !== undefined) store.mend(key, value);
      store.mend(recordKey, undefined);
    };
  }

  /** Opening the store then fails with `store-damaged`. False when there is none of that name. */
  damageStore(name: string): boolean {
    const store = this.#contents.stores.get(name);
    if (store !== undefined) store.damaged = true;
    return store !== undefined;
  }

  /** Reading the document then fails with `data-damaged`. False when there is none of that name. */
  damageDocument(name: string): boolean {
    const exists = this.#contents.documents.texts.has(name);
    if (exists) this.#contents.documents.damaged.add(name);
    return exists;
  }

  /** What a document holds, for checkers; `undefined` when there is none. */
  document(name: string): unknown {
    return this.#contents.document(name);
  }

  /** What a result file holds, for checkers. */
  resultText(name: string): string | undefined {
    const result = this.#contents.results.get(name);
    return result === undefined ? undefined : new TextDecoder().decode(result.bytes);
  }

  #replace(contents: DiskContents): void {
    this.losses++;
    this.#session.alive = false;
    this.#contents = contents;
    this.#session = this.#begin();
  }

  #begin(): DiskSession {
    const contents = this.#contents;
    const { random, schedule } = this.#options;
    return new DiskSession({ faults: this.#faults, random, schedule, usedBytes: () => contents.bytes() });
  }
}

function existing<T>(map: Map<string, T>, name: string, make: () => T): T {
  const found = map.get(name);
  if (found !== undefined) return found;
  const made = make();
  map.set(name, made);
  return made;
}

function logDirectory(contents: DiskContents, session: DiskSession): LogDirectory {
  const host: LogHost = {
    after(delayMs, fire) {
      let cancelled = false;
      session.later(delayMs, () => {
        if (!cancelled) fire();
      });
      return () => {
        cancelled = true;
      };
    },
    salt: () => 1 + session.random.below(0xffffffff),
  };
  return {
    open(name, options) {
      assert(isLogName(name), `"${name}" is no name for a log`);
      const folder = existing(contents.logs, name, () => new SimulatedFolder());
      return openSegmentedLog({ ...options, name, host, files: new SimulatedFiles(folder, session) });
    },
  };
}

function storeDirectory(contents: DiskContents, session: DiskSession): StoreDirectory {
  return {
    open(name) {
      return session.perform(session.accessMs(), (): Result<SimulatedStore> => {
        const store = existing(contents.stores, name, () => new StoreContents());
        if (store.openIn !== undefined) return failure("data-in-use", `The store ${name} is in use by another process.`);
        if (store.damaged) return failure("store-damaged", `The store ${name} is damaged (simulated).`);
        store.openIn = session;
        return success(new SimulatedStore(store, session));
      });
    },
  };
}

function resultFiles(contents: DiskContents, session: DiskSession): ResultFiles {
  return {
    locate: (name) => `/simulated/sinks/${name}`,
    open(name) {
      return session.perform(session.accessMs(), () => {
        const result = existing(contents.results, name, () => new ResultContents());
        return success(new SimulatedResultFile(name, result, session));
      });
    },
  };
}

/** How many bytes at the beginning of a segment are proven to have been durable: up to its highest watermark. */
function vouchedBytes(file: SimulatedFile): number {
  const bytes = file.contents();
  const header = decodeSegmentHeader(bytes);
  if (typeof header === "string") return 0;
  const ends: { readonly sequence: number; readonly end: number }[] = [];
  let watermark = header.base - 1;
  for (let offset = segmentHeaderBytes; offset < bytes.length; ) {
    const record = decodeRecordHeader(bytes, offset, header.salt);
    if (record === undefined || !recordIsIntact(bytes, offset, header.salt, record)) break;
    offset += recordHeaderBytes + record.length;
    if (record.kind === RecordKind.Data) ends.push({ sequence: record.sequence, end: offset });
    watermark = Math.max(watermark, record.watermark);
  }
  return ends.findLast(({ sequence }) => sequence <= watermark)?.end ?? segmentHeaderBytes;
}
