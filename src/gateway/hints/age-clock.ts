/**
 * How old something is that outlives its process, without trusting the wall clock: while a process runs its monotonic clock
 * counts; over a restart the wall clock may add what it says has passed, but never less than nothing and never more than a
 * bound. So a clock that jumps makes things neither all too old at once nor young for ever.
 */

import type { Clock } from "../../ports/clock.ts";
import type { RecordTime } from "./kept-record.ts";

export class AgeClock {
  readonly #clock: Pick<Clock, "monotonicMs" | "wallMs">;
  readonly #offsetMs: number;

  /** `last`: the newest time that an earlier process wrote. */
  constructor(clock: Pick<Clock, "monotonicMs" | "wallMs">, last: RecordTime | undefined, awayMaxMs: number) {
    this.#clock = clock;
    const awayMs = last === undefined ? 0 : Math.min(awayMaxMs, Math.max(0, clock.wallMs() - last.wallMs));
    this.#offsetMs = (last?.ageMs ?? 0) + awayMs - clock.monotonicMs();
  }

  now(): RecordTime {
    return { ageMs: this.#clock.monotonicMs() + this.#offsetMs, wallMs: this.#clock.wallMs() };
  }
}
