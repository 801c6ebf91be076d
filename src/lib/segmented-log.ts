/**
 * The log itself (format: `log-format.ts`): group commit with one write and one fsync under way, and everything that
 * arrives meanwhile in the next; segments; recovery after a failed write. It promises what `ports/log.ts` says and runs
 * on any `LogFiles`, the simulator's included, so it reads no clock and touches no disk itself.
 */
import { assert } from "./assert.ts";
import { type Failure, failure, type Result, success } from "./errors.ts";
import { type Batch, BatchEncoder, remainingParts, type WaitingRecord } from "./log-batch.ts";
import { LogDamage, type LogDamageReport } from "./log-damage.ts";
import { IoError, type LogFile, type LogFiles, type LogHost, replaceFile } from "./log-files.ts";
import {
  encodeHead,
  headFileName,
  type LogHead,
  payloadBytesMax,
  recordHeaderBytes,
  type SegmentHeader,
  segmentHeaderBytes,
} from "./log-format.ts";
import { openLog } from "./log-open.ts";
import type { OpenedLog } from "./log-read.ts";
import { createSegment, replaceSegment, type Segment, verifySegment } from "./log-segment.ts";

export interface SegmentedLogOptions {
  readonly name: string;
  readonly files: LogFiles;
  readonly host: LogHost;
  readonly visit: (sequence: number, payload: Uint8Array) => void;
  /** See `ports/log.ts`. */
  readonly salvage?: boolean;
  readonly segmentBytesMax?: number;
  readonly pendingBytesMax?: number;
  readonly commitDelayMs?: number;
  /** Called once, when the log has been closed and its files are free. */
  readonly released?: () => void;
}

const segmentBytesDefault = 16 * 1024 * 1024;
const pendingBytesDefault = 64 * 1024 * 1024;
/** What waits for company under `commitDelayMs` leaves when it has come to so many bytes. */
const delayedBytesMax = 256 * 1024;
/** After this time without an append, a marker vouches for the last records. */
const idleMarkerMs = 1000;
const retryFirstMs = 100;
const retryMaxMs = 5000;
/** While the log is closed, a failing disk is tried this often. */
const closeAttemptsMax = 2;

/**
 * idle: nothing under way, or records that wait for company (`#delay`). scheduled: a flush begins as soon as the current event is over. busy: a write, an fsync, a
 * new segment or acknowledgements are under way. failed: waits to try the disk again. damaged, closed: for ever.
 */
type State = "idle" | "scheduled" | "busy" | "failed" | "damaged" | "closed";

interface Active {
  readonly file: LogFile;
  readonly segment: Segment;
  readonly header: SegmentHeader;
}

/** Opens or creates a log. Fails with `log-damaged`, `disk-full` or `store-failed`. */
export async function openSegmentedLog(options: SegmentedLogOptions): Promise<Result<SegmentedLog>> {
  try {
    return success(new SegmentedLog(options, await openLog(options)));
  } catch (error) {
    if (error instanceof LogDamage) return error.failure;
    if (error instanceof IoError) return ioFailure(options.name, error);
    throw error;
  }
}

function ioFailure(name: string, error: IoError): Failure {
  const full = isDiskFull(error);
  const advice = full ? "Free some space." : "Check the disk and the rights of the data folder.";
  return failure(full ? "disk-full" : "store-failed", `The log "${name}" cannot be opened: ${error.message}. ${advice}`);
}

const isDiskFull = (error: IoError): boolean => error.code === "ENOSPC" || error.code === "EDQUOT";

export class SegmentedLog {
  readonly #name: string;
  readonly #files: LogFiles;
  readonly #host: LogHost;
  readonly #segmentBytesMax: number;
  readonly #pendingBytesMax: number;
  readonly #commitDelayMs: number;
  readonly #released: () => void;
  readonly #encoder = new BatchEncoder();

  #state: State = "idle";
  #health: { readonly ok: boolean; readonly code?: string; readonly message?: string } = { ok: true };
  #head: LogHead;
  /** Oldest first. The last is the active one, or one that is not in use yet (`#spare`). */
  readonly #segments: Segment[];
  #active: Active;
  /** A segment that holds its header only, and that the head file may or may not name by now. */
  #spare: Active | undefined;
  /** Whether `#active.file` is closed: after a failure, until it was verified. */
  #fileClosed = false;
  #position: number;
  /** Checksum of the last record. */
  #chain: number;
  /** Checksum of the last data record: markers may get lost, so no segment's header builds on one. */
  #dataChain: number;
  #endsWithMarker: boolean;
  /** Every record up to this one is durable. The queue begins with the next. */
  #durable: number;
  #queue: WaitingRecord[] = [];
  #queueStart = 0;
  #pendingBytes = 0;
  /** Of what waits, the bytes that the batch under way does not hold. */
  #unbatchedBytes = 0;
  /** Runs since the oldest record came that is in no batch; only with a delay. */
  #cancelDelay: (() => void) | undefined;
  /** What waits has waited long enough, or is large enough. */
  #due = false;

  #retryMs = retryFirstMs;
  #cancelRetry: (() => void) | undefined;
  #cancelIdle: (() => void) | undefined;
  /** Changes of the head file and of the list of segments come one after the other. */
  #structure: Promise<unknown> = Promise.resolve();
  #closing: { readonly done: () => void; readonly promise: Promise<void>; attempts: number } | undefined;

  #bytesWritten = 0;
  #fsyncs = 0;
  #lastFsyncMs = 0;
  #longestFsyncMs = 0;
  readonly #tornTailBytes: number;
  readonly #damage: { readonly report: LogDamageReport | undefined; readonly lastOrdinal: number };

  constructor(options: SegmentedLogOptions, opened: OpenedLog) {
    this.#name = options.name;
    this.#files = options.files;
    this.#host = options.host;
    this.#segmentBytesMax = options.segmentBytesMax ?? segmentBytesDefault;
    this.#pendingBytesMax = options.pendingBytesMax ?? pendingBytesDefault;
    this.#commitDelayMs = options.commitDelayMs ?? 0;
    this.#released = options.released ?? (() => undefined);
    this.#head = opened.head;
    this.#segments = opened.segments;
    const segment = opened.segments.at(-1);
    assert(segment !== undefined, "an open log has a segment");
    this.#active = { file: opened.file, segment, header: opened.header };
    this.#position = segment.bytes;
    this.#chain = opened.chain;
    this.#dataChain = opened.dataChain;
    this.#endsWithMarker = opened.endsWithMarker || opened.sequence < opened.header.base;
    this.#durable = opened.sequence;
    this.#tornTailBytes = opened.tornTailBytes;
    this.#damage = { report: opened.damage.report(), lastOrdinal: opened.damage.lastOrdinal };
    this.#settle();
  }

  append(parts: readonly Uint8Array[], durable: () => void): number | undefined {
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    assert(bytes <= payloadBytesMax, `a record of ${bytes} bytes is larger than ${payloadBytesMax}`);
    if (this.#closing !== undefined) return undefined;
    // One record is always taken when nothing waits, however large it is.
    if (this.#pendingBytes > 0 && this.#pendingBytes + recordHeaderBytes + bytes > this.#pendingBytesMax) return undefined;
    const sequence = this.nextSequence();
    this.#queue.push({ parts, bytes, durable });
    this.#pendingBytes += recordHeaderBytes + bytes;
    this.#unbatchedBytes += recordHeaderBytes + bytes;
    if (this.#mayWait()) this.#armDelay();
    else if (this.#state === "idle") {
      // Not at once: what else the current event appends shares the fsync.
      this.#state = "scheduled";
      this.#host.after(0, () => this.#flush());
    }
    return sequence;
  }

  /** Whether what waits may wait on for more to come. */
  #mayWait(): boolean {
    return this.#commitDelayMs > 0 && !this.#due && this.#closing === undefined && this.#unbatchedBytes < delayedBytesMax;
  }

  #armDelay(): void {
    this.#cancelDelay ??= this.#host.after(this.#commitDelayMs, () => {
      this.#cancelDelay = undefined;
      this.#due = true;
      if (this.#state === "idle") this.#settle();
    });
  }

  nextSequence(): number {
    return this.#durable + 1 + this.#queue.length - this.#queueStart;
  }

  durableSequence(): number {
    return this.#durable;
  }

  health(): { readonly ok: boolean; readonly code?: string; readonly message?: string } {
    return this.#health;
  }

  stats() {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.bytes;
    return {
      segments: this.#segments.length,
      bytes,
      bytesWritten: this.#bytesWritten,
      fsyncs: this.#fsyncs,
      lastFsyncMs: this.#lastFsyncMs,
      tornTailBytes: this.#tornTailBytes,
    };
  }

  takeLongestFsyncMs(): number {
    const longestMs = this.#longestFsyncMs;
    this.#longestFsyncMs = 0;
    return longestMs;
  }

  damage(): LogDamageReport | undefined {
    const { report, lastOrdinal } = this.#damage;
    // A head file (0) was repaired, and is whole from the next start on.
    return lastOrdinal === 0 || lastOrdinal >= this.#head.firstOrdinal ? report : undefined;
  }

  /** Deletes whole segments, oldest first, once the head file says durably that they are not needed. */
  async trim(before: number): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#state === "damaged" || this.#state === "closed") return;
      let count = 0;
      while (this.#segments[count] !== this.#active.segment && (this.#segments[count + 1]?.base ?? before + 1) <= before) count++;
      const first = this.#segments[count];
      if (first === undefined || (count === 0 && (first.ordinal === this.#head.firstOrdinal || first.base > before))) return;
      try {
        if (first.ordinal > this.#head.firstOrdinal) await this.#writeHead({ firstOrdinal: first.ordinal });
        while (this.#segments[0] !== first) {
          await this.#files.remove((this.#segments[0] as Segment).fileName);
          this.#segments.shift();
        }
      } catch (error) {
        // They stay for now: the next trim, or opening the log again, removes them.
        if (!(error instanceof IoError)) throw error;
      }
    });
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      let done: () => void = () => undefined;
      const promise = new Promise<void>((resolve) => {
        done = resolve;
      });
      this.#closing = { done, promise, attempts: 0 };
      this.#cancelIdle?.();
      if (this.#state === "idle") this.#settle();
      else if (this.#state === "failed") {
        this.#cancelRetry?.();
        this.#recover();
      } else if (this.#state === "damaged") this.#release();
    }
    return this.#closing.promise;
  }

  /** Nothing is under way: go on with what waits, or with what idleness calls for. */
  #settle(): void {
    this.#state = "idle";
    if (this.#queueStart < this.#queue.length) {
      if (this.#mayWait()) this.#armDelay();
      else this.#flush();
    } else if (this.#closing !== undefined) this.#finish();
    else this.#armIdleMarker();
  }

  #flush(): void {
    this.#state = "busy";
    if (this.#position >= this.#segmentBytesMax) {
      this.#attempt(() => this.#rotate());
      return;
    }
    this.#cancelDelay?.();
    this.#cancelDelay = undefined;
    const batch = this.#encoder.encode(this.#queue, this.#queueStart, this.#batchBegin());
    // After a failure the same records are in a batch again.
    this.#unbatchedBytes = Math.max(0, this.#pendingBytes - batch.bytes);
    // What did not fit into the batch has waited as long.
    this.#due = this.#queueStart + batch.records < this.#queue.length;
    this.#writeBatch(batch);
  }

  #writeMarker(): void {
    this.#state = "busy";
    this.#writeBatch(this.#encoder.encodeMarker(this.#batchBegin()));
  }

  #batchBegin() {
    const bytesMax = this.#segmentBytesMax - this.#position;
    return { salt: this.#active.header.salt, chain: this.#chain, sequence: this.#durable, bytesMax };
  }

  #writeBatch(batch: Batch): void {
    const { file } = this.#active;
    const write = (parts: readonly Uint8Array[], done: number) => {
      const then = (error: IoError | undefined, written: number, syncedMs?: number): void => {
        if (error !== undefined) this.#failed(error);
        else if (written === 0) this.#failed(new IoError("EIO", "a write of several bytes wrote none"));
        else if (done + written < batch.bytes) write(remainingParts(parts, written), done + written);
        else if (syncedMs !== undefined) this.#synced(batch, syncedMs);
        else file.sync((syncError, tookMs) => (syncError === undefined ? this.#synced(batch, tookMs) : this.#failed(syncError)));
      };
      if (file.writeDurably === undefined) file.write(parts, this.#position + done, then);
      else file.writeDurably(parts, this.#position + done, then);
    };
    write(batch.parts, 0);
  }

  #synced(batch: Batch, tookMs: number): void {
    this.#lastFsyncMs = tookMs;
    this.#longestFsyncMs = Math.max(this.#longestFsyncMs, tookMs);
    this.#written(batch);
  }

  /** A batch is durable: acknowledge its records, in order. */
  #written(batch: Batch): void {
    const start = this.#queueStart;
    const queue = this.#queue;
    this.#position += batch.bytes;
    this.#active.segment.bytes = this.#position;
    this.#chain = batch.chain;
    if (batch.records > 0) this.#dataChain = batch.chain;
    this.#endsWithMarker = batch.records === 0;
    this.#bytesWritten += batch.bytes;
    this.#fsyncs++;
    this.#recovered();
    this.#durable += batch.records;
    this.#queueStart += batch.records;
    for (let i = start; i < start + batch.records; i++) this.#pendingBytes -= recordHeaderBytes + (queue[i] as WaitingRecord).bytes;
    // The state stays busy: what the callbacks append joins the next batch.
    for (let i = start; i < start + batch.records; i++) (queue[i] as WaitingRecord).durable();
    this.#dropWritten();
    this.#settle();
  }

  #dropWritten(): void {
    if (this.#queueStart === this.#queue.length) {
      this.#queue = [];
      this.#queueStart = 0;
    } else if (this.#queueStart > 1024 && this.#queueStart > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#queueStart);
      this.#queueStart = 0;
    }
  }

  #armIdleMarker(): void {
    if (this.#cancelIdle !== undefined || this.#endsWithMarker) return;
    const fsyncs = this.#fsyncs;
    this.#cancelIdle = this.#host.after(idleMarkerMs, () => {
      this.#cancelIdle = undefined;
      if (this.#state !== "idle" || this.#closing !== undefined) return;
      if (this.#queueStart < this.#queue.length) return;
      if (this.#fsyncs === fsyncs) this.#writeMarker();
      else this.#armIdleMarker();
    });
  }

  /** Everything accepted is durable: vouch for it, and release the files. */
  #finish(): void {
    this.#state = "busy";
    if (!this.#endsWithMarker) {
      this.#writeMarker();
      return;
    }
    const vouch = async () => {
      // Without it, the marker alone vouches for the last records.
      if (this.#head.durable < this.#durable) await this.#writeHead({}).catch(ignoreIoError);
    };
    void this.#exclusively(vouch).then(() => this.#release());
  }

  #release(): void {
    this.#state = "closed";
    this.#cancelDelay?.();
    const files = this.#fileClosed ? [] : [this.#active.file];
    if (this.#spare !== undefined) files.push(this.#spare.file);
    const closed = files.map((file) => file.close().catch(ignoreIoError));
    void Promise.all(closed).then(() => {
      this.#released();
      this.#closing?.done();
    });
  }

  /** Runs one change of the segments, then goes on; a failure of the disk leads to another attempt later. */
  #attempt(work: () => Promise<void>): void {
    void this.#exclusively(work).then(
      () => this.#settle(),
      (error: unknown) => this.#failed(error),
    );
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#structure.then(work);
    this.#structure = run.catch(() => undefined);
    return run;
  }

  async #writeHead(change: Partial<LogHead>): Promise<void> {
    const head = { ...this.#head, durable: this.#durable, ...change };
    await replaceFile(this.#files, headFileName, encodeHead(head));
    this.#head = head;
  }

  /** The active segment is full. The files so far are intact, so the next one continues it. */
  async #rotate(): Promise<void> {
    const before = this.#active.file;
    await this.#beginSegment(this.#dataChain, false);
    await before.close().catch(ignoreIoError);
  }

  /** Makes the next segment, in two durable steps: the segment, then the head file that names it. */
  async #beginSegment(chain: number, supersedes: boolean): Promise<void> {
    const ordinal = this.#active.segment.ordinal + 1;
    if (this.#spare === undefined) {
      const base = this.#durable + 1;
      this.#spare = await createSegment(this.#files, { name: this.#name, ordinal, base, chain, salt: this.#host.salt(), supersedes });
      this.#segments.push(this.#spare.segment);
    }
    // A failure that nevertheless happened leaves a head file that names the spare; it is then taken as it is.
    await this.#writeHead({ lastOrdinal: ordinal });
    this.#activate(this.#spare);
    this.#spare = undefined;
  }

  #activate(next: Active): void {
    this.#active = next;
    this.#fileClosed = false;
    this.#position = segmentHeaderBytes;
    this.#chain = next.header.chain;
    this.#dataChain = next.header.chain;
    this.#endsWithMarker = true;
  }

  /** A write, an fsync or a change of the segments failed: nothing is acknowledged until the disk was verified. */
  #failed(error: unknown): void {
    if (error instanceof LogDamage) {
      this.#state = "damaged";
      this.#health = { ok: false, code: "log-damaged", message: error.message };
      if (this.#closing !== undefined) this.#release();
      return;
    }
    if (!(error instanceof IoError)) throw error;
    this.#state = "failed";
    // What was in the batch has waited long enough.
    this.#due = true;
    this.#health = {
      ok: false,
      code: isDiskFull(error) ? "disk-full" : error.code,
      message: `The log "${this.#name}" cannot be written: ${error.message}`,
    };
    if (this.#closing !== undefined) {
      if (++this.#closing.attempts >= closeAttemptsMax) this.#release();
      else this.#recover();
      return;
    }
    this.#cancelRetry = this.#host.after(this.#retryMs, () => this.#recover());
    this.#retryMs = Math.min(2 * this.#retryMs, retryMaxMs);
  }

  #recover(): void {
    this.#state = "busy";
    this.#attempt(() => this.#reopen());
  }

  /**
   * Closes and reopens the active segment, reads back what is durable in it, and begins a new segment behind that. A
   * segment without any durable record is replaced by a fresh file of the same name, so that a disk that fails for days
   * does not fill up with segments.
   */
  async #reopen(): Promise<void> {
    const { segment, header, file } = this.#active;
    if (!this.#fileClosed) {
      this.#fileClosed = true;
      await file.close().catch(ignoreIoError);
    }
    if (segment.base === this.#durable + 1 && this.#spare === undefined) {
      this.#activate(await replaceSegment(this.#files, segment, { ...header, salt: this.#host.salt() }));
    } else {
      await verifySegment(this.#files, { log: this.#name, segment, header, durable: this.#durable, dataChain: this.#dataChain });
      await this.#beginSegment(this.#dataChain, true);
    }
    // With records waiting, the disk counts as well again only when they are written.
    if (this.#queueStart === this.#queue.length) this.#recovered();
  }

  #recovered(): void {
    if (this.#health.ok) return;
    this.#health = { ok: true };
    this.#retryMs = retryFirstMs;
  }
}

function ignoreIoError(error: unknown): void {
  if (!(error instanceof IoError)) throw error;
}
