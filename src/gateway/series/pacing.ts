/** What keeps background work in the background: bytes per second, and slices between which the event loop runs. */

import type { Clock } from "../../ports/clock.ts";
import { pause } from "../pause.ts";

/** Readings that are encoded or merged in one go: a few milliseconds of a small board's processor. */
const sliceReadingsMax = 8_192;
const sliceSeriesMax = 256;

/** At most so many bytes per second on average; what one piece of work takes beyond that is made up for afterwards. */
export class BytePacer {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  #left: number;
  #asOfMs: number;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#left = bytesPerSecond;
    this.#asOfMs = clock.monotonicMs();
  }

  mayGo(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(this.#bytesPerSecond, this.#left + (this.#bytesPerSecond * (nowMs - this.#asOfMs)) / 1_000);
    this.#asOfMs = nowMs;
    return this.#left > 0;
  }

  spent(bytes: number): void {
    this.#left -= bytes;
  }
}

/** Lets the event loop run between slices of long work. */
export class Slicer {
  readonly #clock: Clock;
  #readings = 0;
  #series = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One more series, or a part of one, was worked on. True: `pause` is due. */
  due(readings: number): boolean {
    this.#readings += readings;
    return this.#readings >= sliceReadingsMax || ++this.#series >= sliceSeriesMax;
  }

  async pause(): Promise<void> {
    this.#readings = 0;
    this.#series = 0;
    await pause(this.#clock, 0);
  }
}
