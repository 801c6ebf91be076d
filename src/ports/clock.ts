/** Time, as the gateway sees it. Two clocks: one that people read and that may jump, one that only moves forward. */

export interface TimerHandle {
  readonly id: number;
}

export interface Clock {
  /** Wall clock in whole milliseconds since the Unix epoch. May jump either way. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. Deadlines and time-outs use this one only. */
  monotonicMs(): number;
  /** Whether the wall clock is believed to be synchronised (NTP or the like). */
  synchronised(): boolean;
  /** Calls `fire` once, not before `delayMs` milliseconds of monotonic time have passed, never before returning. */
  schedule(delayMs: number, fire: () => void): TimerHandle;
  /** A timer that has fired or was cancelled is ignored. */
  cancel(timer: TimerHandle): void;
}
