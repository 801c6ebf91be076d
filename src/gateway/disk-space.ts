/**
 * Keeps room on the disk for Raft: below a reserve this gateway takes no more readings, neither from devices nor from
 * peers, while votes, settings, documents, snapshots and the checkpoint that frees the readings log go on. It resumes by
 * itself when there is half as much again, so that it does not change its mind every second.
 */
import type { Diagnostics } from "../ports/diagnostics.ts";
import type { DiskSpace, Space } from "../ports/disk-space.ts";

/** Times the reserve: from there on readings are taken again. */
export const resumeFactor = 1.5;
const bytesPerMiB = 1 << 20;

export interface SpaceWatchOptions {
  readonly space: DiskSpace;
  readonly reserveBytes: number;
  readonly diagnostics: Pick<Diagnostics, "info" | "error">;
}

export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #space: Space | undefined;
  #full = false;
  #asking: Promise<void> | undefined;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  /** Asks the disk, one question at a time: while a disk does not answer, what it said last holds. */
  look(): Promise<void> {
    this.#asking ??= this.#options.space.space().then(
      (space) => {
        this.#asking = undefined;
        this.#judge(space);
      },
      () => {
        this.#asking = undefined;
      },
    );
    return this.#asking;
  }

  /** Whether readings may be written. */
  mayTake(): boolean {
    return !this.#full;
  }

  /** As of the last look; `undefined` where the file system does not say. */
  freeBytes(): number | undefined {
    return this.#space?.freeBytes;
  }

  /** Likewise. */
  space(): Space | undefined {
    return this.#space;
  }

  /** A sentence, while readings are refused. */
  troubles(): string[] {
    if (!this.#full) return [];
    const { reserveBytes } = this.#options;
    const free = this.#space === undefined ? "an unknown number of" : mebibytes(this.#space.freeBytes);
    return [
      `the disk is nearly full: ${free} MiB are free, and ${mebibytes(reserveBytes)} MiB are kept for the site's own state; ` +
        `no readings are taken until ${mebibytes(resumeFactor * reserveBytes)} MiB are free`,
    ];
  }

  #judge(space: Space | undefined): void {
    this.#space = space;
    const free = space?.freeBytes;
    const { reserveBytes, diagnostics } = this.#options;
    const full = free !== undefined && free < (this.#full ? resumeFactor * reserveBytes : reserveBytes);
    if (full === this.#full) return;
    this.#full = full;
    if (full) diagnostics.error("disk-nearly-full", { what: this.troubles()[0] ?? "", freeBytes: free });
    else diagnostics.info("disk-has-room-again", { freeBytes: free });
  }
}

const mebibytes = (bytes: number): string => (bytes / bytesPerMiB).toFixed(bytes < 10 * bytesPerMiB ? 1 : 0);
