/**
 * The `Clock` port on Node's timers. A delay of 0 runs once the packets of this turn of the event loop are all in, which
 * is what makes a round of what arrived together.
 */

import { existsSync, statSync } from "node:fs";
import type { Clock, NtpState, TimerHandle } from "../ports/clock.ts";

type Pending = { readonly timeout: NodeJS.Timeout } | { readonly immediate: NodeJS.Immediate };

/** Where the state of the kernel's clock shows: adjtimex(2) itself cannot be called from Node. */
export interface NtpFiles {
  /** Of systemd-timesyncd while it runs; in it `synchronized`, which it touches when it has set the clock. */
  readonly timesyncFolder: string;
  /** chrony and ntpd write them about once an hour, and only while they are synchronised. */
  readonly drifts: readonly string[];
}

const systemFiles: NtpFiles = {
  timesyncFolder: "/run/systemd/timesync",
  drifts: ["/var/lib/chrony/chrony.drift", "/var/lib/chrony/drift", "/var/lib/ntpsec/ntp.drift", "/var/lib/ntp/ntp.drift"],
};
const driftAgeMaxMs = 2 * 3_600_000;
const checkEveryMs = 30_000;
/** A board without a battery wakes up in 1970, or at the time that its image was made. */
const plausibleFromMs = Date.UTC(2025, 0, 1);

export class SystemClock implements Clock {
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  readonly #files: NtpFiles;
  #ntp: NtpState = "unknown";
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(files: NtpFiles = systemFiles) {
    this.#files = files;
  }

  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  ntpState(): NtpState {
    const nowMs = performance.now();
    if (nowMs - this.#checkedMs >= checkEveryMs) {
      this.#checkedMs = nowMs;
      this.#ntp = Date.now() < plausibleFromMs ? "unsynchronised" : ntpStateBy(this.#files, Date.now());
    }
    return this.#ntp;
  }

  synchronised(): boolean {
    return this.ntpState() !== "unsynchronised";
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

function ntpStateBy({ timesyncFolder, drifts }: NtpFiles, wallMs: number): NtpState {
  if (existsSync(timesyncFolder)) return existsSync(`${timesyncFolder}/synchronized`) ? "synchronised" : "unsynchronised";
  return drifts.some((path) => isWrittenLately(path, wallMs)) ? "synchronised" : "unknown";
}

/** Unreadable is not written: some systems keep these folders to themselves. */
function isWrittenLately(path: string, wallMs: number): boolean {
  try {
    return Math.abs(wallMs - statSync(path).mtimeMs) <= driftAgeMaxMs;
  } catch {
    return false;
  }
}
