/**
 * How the parts of a simulated disk take time and fail. A session lasts from one start of the gateway to its crash:
 * whatever was under way then is never answered, and what the dead process still asks for is never done.
 */
import { IoError } from "../lib/log-files.ts";
import type { Random } from "../lib/random.ts";
import type { Space } from "../ports/disk-space.ts";

export interface LatencyRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Faults that are switched on and off while the simulation runs. */
export interface DiskFaults {
  fsync: LatencyRange;
  /** Probability that a change (write, fsync, rename, …) reports EIO. Half of those happened nevertheless. */
  ioErrorProbability: number;
  /** No file can grow, none can be made. */
  full: boolean;
  /** All that stands on the disk may not grow beyond so many bytes. */
  capacityBytes: number | undefined;
}

/** What to do about one change. `reported` is the error that the caller gets, `done` whether it happened. */
export interface Outcome {
  readonly reported: IoError | undefined;
  readonly done: boolean;
}

const happened: Outcome = { reported: undefined, done: true };
const access: LatencyRange = { minMs: 0.02, maxMs: 0.2 };

export class DiskSession {
  alive = true;
  readonly faults: DiskFaults;
  readonly random: Random;
  readonly #schedule: (delayMs: number, fire: () => void) => unknown;
  readonly #usedBytes: () => number;

  constructor(options: {
    readonly faults: DiskFaults;
    readonly random: Random;
    readonly schedule: (delayMs: number, fire: () => void) => unknown;
    readonly usedBytes: () => number;
  }) {
    this.faults = options.faults;
    this.random = options.random;
    this.#schedule = options.schedule;
    this.#usedBytes = options.usedBytes;
  }

  /** `undefined`: as much as anybody may want. */
  freeBytes(): number | undefined {
    const { full, capacityBytes } = this.faults;
    if (full) return 0;
    return capacityBytes === undefined ? undefined : Math.max(0, capacityBytes - this.#usedBytes());
  }

  /** Of a disk that was said to be full without a size, what is used is all that there is. */
  space(): Space | undefined {
    const freeBytes = this.freeBytes();
    return freeBytes === undefined ? undefined : { freeBytes, totalBytes: this.faults.capacityBytes ?? this.#usedBytes() };
  }

  /** Calls `fire` after the delay, unless the session is over by then. */
  later(delayMs: number, fire: () => void): void {
    if (!this.alive) return;
    this.#schedule(delayMs, () => {
      if (this.alive) fire();
    });
  }

  accessMs(): number {
    return this.#within(access);
  }

  fsyncMs(): number {
    return this.#within(this.faults.fsync);
  }

  /** Runs `work` after the delay; what it throws rejects. Never settles once the session is over. */
  perform<T>(delayMs: number, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.later(delayMs, () => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Decides over one change; `grows` when it needs space. */
  outcome(grows: boolean): Outcome {
    const { ioErrorProbability } = this.faults;
    if (grows && this.freeBytes() === 0) return { reported: new IoError("ENOSPC", "no space left on device (simulated)"), done: false };
    if (ioErrorProbability === 0 || !this.random.chance(ioErrorProbability)) return happened;
    return { reported: new IoError("EIO", "input/output error (simulated)"), done: this.random.chance(0.5) };
  }

  /** Like `perform`, for a change that may fail. */
  change(delayMs: number, grows: boolean, work: () => void): Promise<void> {
    return this.perform(delayMs, () => {
      const outcome = this.outcome(grows);
      if (outcome.done) work();
      if (outcome.reported !== undefined) throw outcome.reported;
    });
  }

  #within(range: LatencyRange): number {
    return range.minMs + this.random.real() * (range.maxMs - range.minMs);
  }
}
