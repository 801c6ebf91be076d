import type { LogDamageReport } from "../lib/log-damage.ts";

/**
 * An append-only log of records on one disk: what a gateway acknowledged stands here, and nowhere else until a
 * checkpoint. The contract, which `test/contracts/log.ts` holds every implementation to:
 *
 * - `append` never fails once it was accepted: `durable` is called, in sequence order, after the record and all before
 *   it are fsynced. While the disk fails (I/O error, full), it is simply late; `health()` says why. After any failed
 *   write or fsync the log is closed, reopened and verified, everything not known to be durable is written again to a
 *   new segment, and only then is anything acknowledged.
 * - Several appends may be under way; one fsync covers all that had arrived when it began. With `commitDelayMs` a write
 *   waits that long for more to come: fewer fsyncs, and fewer pages that are written twice, for a later `durable`.
 * - A torn tail (records that were never durable) is cut when the log is opened. A damaged or missing record that had
 *   been durable is reported, and the log does not open: nothing of it is served. With `salvage` it opens over damage
 *   where the rest can be told apart from what is lost; it never opens without the newest record that had been durable.
 */
export interface Log {
  /**
   * Appends one record (the parts are concatenated) and returns its sequence number, or `undefined` when
   * `pendingBytesMax` bytes are waiting for the disk: nothing was taken then. `durable` is never called before
   * `append` returns. The caller must not change the parts afterwards.
   */
  append(parts: readonly Uint8Array[], durable: () => void): number | undefined;
  /** Forgets records with a sequence number below `before`; frees whole segments, so some may stay. Idempotent. */
  trim(before: number): Promise<void>;
  /** The sequence number that the next append gets. Sequence numbers start at 1 and have no gaps. */
  nextSequence(): number;
  /** The highest sequence number known to be durable; 0 when there is none. */
  durableSequence(): number;
  health(): LogHealth;
  /** What was lost; only of a log that was opened with `salvage`, and only until `trim` has freed what is damaged. */
  damage(): LogDamageReport | undefined;
  stats(): LogStats;
  /** How long the longest fsync took that ended since the last call; 0 when none did. For one watcher. */
  takeLongestFsyncMs(): number;
  /** Makes everything accepted durable, where the disk allows it, and releases the files. */
  close(): Promise<void>;
}

export interface LogHealth {
  readonly ok: boolean;
  /** `disk-full`, or the error code of the operating system (EIO, EROFS, …). */
  readonly code?: string;
  readonly message?: string;
}

export interface LogStats {
  readonly segments: number;
  /** Bytes of all segments on disk. */
  readonly bytes: number;
  readonly bytesWritten: number;
  readonly fsyncs: number;
  readonly lastFsyncMs: number;
  /** Bytes that were cut as a torn tail when the log was opened. */
  readonly tornTailBytes: number;
}

export interface LogOptions {
  /** Called for every retained record in sequence order, during `open`; the payload is only valid within the call. */
  readonly visit: (sequence: number, payload: Uint8Array) => void;
  /**
   * Opens a damaged log without its lost records: `visit` then sees the true sequence numbers, with gaps. For a log
   * whose records can be had again from elsewhere. Nothing is appended to a damaged segment any more.
   */
  readonly salvage?: boolean;
  readonly segmentBytesMax?: number;
  /** Bytes that may wait for the disk before `append` refuses. */
  readonly pendingBytesMax?: number;
  /**
   * How long a record may wait for others that share its write and fsync, in ms; 0 when absent. Counted from the first
   * record of a batch. A batch that has grown to `batchBytesMax` leaves at once, and `close` waits for nothing.
   */
  readonly commitDelayMs?: number;
}

export interface LogDirectory {
  /** Opens or creates the log `name`. Fails with `log-damaged` (naming file, offset and sequence number) or `store-failed`. */
  open(name: string, options: LogOptions): Promise<import("../lib/errors.ts").Result<Log>>;
}
