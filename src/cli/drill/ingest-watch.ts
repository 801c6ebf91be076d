import type { CliClock } from "../world.ts";

/** How ingest goes on while something befalls a site: from acknowledgements alone, as devices see it. Monotonic milliseconds. */
export class IngestWatch {
  readonly #clock: CliClock;
  #lastMs: number | undefined;
  #pausedMs = 0;
  #slowestMs = 0;
  #newestPublishedMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(clock: CliClock) {
    this.#clock = clock;
  }

  /** A message that was published then is acknowledged now. */
  acknowledged(publishedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#slowestMs = Math.max(this.#slowestMs, nowMs - publishedMs);
    this.#newestPublishedMs = Math.max(this.#newestPublishedMs, publishedMs);
    if (!this.#stopped) this.#pausedMs = Math.max(this.#pausedMs, nowMs - (this.#lastMs ?? nowMs));
    this.#lastMs = nowMs;
  }

  /** The devices publish nothing new: from now on silence means nothing. */
  stop(): void {
    this.#pausedMs = this.pausedMs();
    this.#stopped = true;
  }

  /** Whether a message was acknowledged that was published after this instant. */
  hasGoneOnSince(instantMs: number): boolean {
    return this.#newestPublishedMs > instantMs;
  }

  /** The longest time in which no message of any device was acknowledged, the one that has begun included. */
  pausedMs(): number {
    if (this.#stopped || this.#lastMs === undefined) return this.#pausedMs;
    return Math.max(this.#pausedMs, this.#clock.monotonicMs() - this.#lastMs);
  }

  /** The longest time from a message's first sending to its acknowledgement. */
  slowestMs(): number {
    return this.#slowestMs;
  }
}
