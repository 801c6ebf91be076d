/** Time, as the gateway sees it. Two clocks: one that people read and that may jump, one that only moves forward. */

export interface TimerHandle {
  readonly id: number;
}

/** Whether something keeps the machine's wall clock (NTP or the like), as far as the machine tells. */
export type NtpState = "synchronised" | "unsynchronised" | "unknown";

export interface Clock {
  /** Wall clock in whole milliseconds since the Unix epoch. May jump either way. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. Deadlines and time-outs use this one only. */
  monotonicMs(): number;
  /** What the machine says of its wall clock. */
  ntpState(): NtpState;
  /** Whether the wall clock may be right: false where `ntpState` is "unsynchronised". */
  synchronised(): boolean;
  /** Calls `fire` once, not before `delayMs` milliseconds of monotonic time have passed, never before returning. */
  schedule(delayMs: number, fire: () => void): TimerHandle;
  /** A timer that has fired or was cancelled is ignored. */
  cancel(timer: TimerHandle): void;
}
