/**
 * The `Clock` port on Node's timers. A delay of 0 runs once the packets of this turn of the event loop are all in, which
 * is what makes a round of what arrived together.
 */

import { existsSync } from "node:fs";
import type { Clock, TimerHandle } from "../ports/clock.ts";

type Pending = { readonly timeout: NodeJS.Timeout } | { readonly immediate: NodeJS.Immediate };

/** systemd-timesyncd touches this file when it has set the clock. */
const timesyncMarker = "/run/systemd/timesync/synchronized";
const timesyncFolder = "/run/systemd/timesync";
const checkEveryMs = 30_000;
/** A board without a battery wakes up in 1970, or at the time that its image was made. */
const plausibleFromMs = Date.UTC(2025, 0, 1);

export class SystemClock implements Clock {
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #synchronised = false;
  #checkedMs = Number.NEGATIVE_INFINITY;

  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  /** Plausible, and confirmed by systemd-timesyncd where that keeps the time. */
  synchronised(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#checkedMs >= checkEveryMs) {
      this.#checkedMs = nowMs;
      this.#synchronised = Date.now() >= plausibleFromMs && (!existsSync(timesyncFolder) || existsSync(timesyncMarker));
    }
    return this.#synchronised;
  }

  schedule(delayMs: number, fire: () => void): TimerHandle {
    const id = this.#nextId++;
    const dueMs = performance.now() + delayMs;
    const run = (): void => {
      // Node counts from the beginning of the loop's turn, which may be before the call: a timer can be early.
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) {
        this.#pending.set(id, { timeout: setTimeout(run, Math.ceil(leftMs)) });
        return;
      }
      this.#pending.delete(id);
      fire();
    };
    this.#pending.set(id, delayMs <= 0 ? { immediate: setImmediate(run) } : { timeout: setTimeout(run, Math.ceil(delayMs)) });
    return { id };
  }

  cancel(timer: TimerHandle): void {
    const pending = this.#pending.get(timer.id);
    if (pending === undefined) return;
    this.#pending.delete(timer.id);
    if ("timeout" in pending) clearTimeout(pending.timeout);
    else clearImmediate(pending.immediate);
  }

  /** Lets the process end: nothing scheduled will fire. */
  cancelAll(): void {
    for (const id of [...this.#pending.keys()]) this.cancel({ id });
  }
}
