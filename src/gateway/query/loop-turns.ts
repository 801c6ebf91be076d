/** Lets the event loop run in the course of a long question: frames, acknowledgements and elections do not wait for it. */

import type { Clock } from "../../ports/clock.ts";
import { pause } from "../pause.ts";

/** Readings that are aggregated in one go: a few milliseconds of a small board's processor. */
const readingsMax = 400_000;
/** A row of a rollup, of a reply or of an answer takes as long as so many readings. */
const readingsPerRow = 20;

export class LoopTurns {
  readonly #clock: Clock;
  #readings = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  worked({ readings = 0, rows = 0 }: { readonly readings?: number; readonly rows?: number }): void {
    this.#readings += readings + rows * readingsPerRow;
  }

  isDue(): boolean {
    return this.#readings >= readingsMax;
  }

  async end(): Promise<void> {
    this.#readings = 0;
    await pause(this.#clock, 0);
  }
}
