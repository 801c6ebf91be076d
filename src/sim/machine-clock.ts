/**
 * The two clocks of one simulated machine. Both run at the machine's own rate; the wall clock may also jump and stand
 * still. The monotonic one never does either: it only begins anew, at some other value, when the machine loses power.
 */

import type { Scheduler } from "./scheduler.ts";

/** Later than asked rather than earlier, by less than anybody measures: rounding must not make a timer early. */
const slackMs = 1e-6;

export class MachineClock {
  readonly #scheduler: Scheduler;
  readonly #epochMs: number;
  #rate = 1;
  /** Own milliseconds that had passed at the true instant `#sinceMs`, when the rate was set last. */
  #elapsedMs = 0;
  #sinceMs = 0;
  /** Own milliseconds at which the machine was switched on. */
  #bootedMs = 0;
  #offsetMs = 0;
  #stuckAtMs: number | undefined;
  #onRate: (() => void) | undefined;
  /** Whether the machine believes that its wall clock is right. */
  synchronised = true;

  constructor(options: { readonly scheduler: Scheduler; readonly epochMs: number }) {
    this.#scheduler = options.scheduler;
    this.#epochMs = options.epochMs;
  }

  wallMs(): number {
    return this.#stuckAtMs ?? Math.floor(this.#epochMs + this.#ownMs() + this.#offsetMs);
  }

  monotonicMs(): number {
    return this.#ownMs() - this.#bootedMs;
  }

  /** True milliseconds until this machine's monotonic clock will have reached an instant, if it goes on as now. */
  trueMsUntil(monotonicMs: number): number {
    return (monotonicMs - this.monotonicMs()) / this.#rate + slackMs;
  }

  /** The wall clock is moved, either way. */
  jump(byMs: number): void {
    this.#offsetMs += byMs;
    if (this.#stuckAtMs !== undefined) this.#stuckAtMs += Math.trunc(byMs);
  }

  /** Own milliseconds to a true one, from now on: 1.02 is a clock that gains two percent. */
  run(rate: number): void {
    this.#elapsedMs = this.#ownMs();
    this.#sinceMs = this.#scheduler.nowMs();
    if (rate === this.#rate) return;
    this.#rate = rate;
    this.#onRate?.();
  }

  /** Calls back whenever the clock goes on at another rate, until the machine's next process asks for it. */
  rateChanged(callback: () => void): void {
    this.#onRate = callback;
  }

  /** The wall clock stands still. */
  stick(): void {
    this.#stuckAtMs = this.wallMs();
  }

  /** The wall clock goes on, from where it would be. */
  unstick(): void {
    this.#stuckAtMs = undefined;
  }

  /** The machine has lost power: its monotonic clock began `agoMs` ago. */
  reboot(agoMs: number): void {
    this.#bootedMs = this.#ownMs() - agoMs;
  }

  /** Somebody sets the machine's time: right, and running right. */
  set(): void {
    this.run(1);
    this.unstick();
    this.#offsetMs = this.#sinceMs - this.#elapsedMs;
  }

  #ownMs(): number {
    return this.#elapsedMs + (this.#scheduler.nowMs() - this.#sinceMs) * this.#rate;
  }
}
