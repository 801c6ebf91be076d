/**
 * When horizons move, as pure rules: by age, by what is free on a disk, and what holds them back. Times in whole µs but where
 * the name says ms.
 */

import type { Space } from "../../ports/disk-space.ts";

const hourMs = 3_600_000;
const stepsOfShort = 100;

/**
 * Below this instant readings are older than `keepMs`. Rounded down to the hour, for short retentions to a hundredth of them,
 * so that a horizon is not proposed every minute.
 */
export function ageHorizonUs(nowMs: number, keepMs: number): number {
  const stepMs = Math.max(1, Math.min(hourMs, Math.floor(keepMs / stepsOfShort)));
  return Math.max(0, Math.floor((nowMs - keepMs) / stepMs) * stepMs * 1_000);
}

/** The oldest window that a job with sinks has not committed yet; it may still be open. */
export interface OpenWindow {
  readonly job: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Held {
  readonly horizonUs: number;
  /** Whose window made it lower than the age asks for. */
  readonly by: OpenWindow | undefined;
}

/**
 * What jobs still need stays: the horizon does not pass the start of a window that is to be committed. But not for ever: a job
 * that cannot commit holds it back by `holdMaxMs` at most.
 */
export function heldHorizon(horizonUs: number, windows: readonly OpenWindow[], holdMaxMs: number): Held {
  let by: OpenWindow | undefined;
  for (const window of windows) {
    if (window.fromMs * 1_000 >= horizonUs) continue;
    if (by === undefined || window.fromMs < by.fromMs) by = window;
  }
  if (by === undefined) return { horizonUs, by };
  return { horizonUs: Math.max(0, by.fromMs * 1_000, horizonUs - holdMaxMs * 1_000), by };
}

/** What a gateway's store says of its readings, or of its rollups, for the space that dropping them gives back. */
export interface Stock {
  /** The oldest reading in it; `undefined` where there is none. */
  oldestUs(): number | undefined;
  /** About how many bytes of disk a horizon at `us` would give back. */
  bytesBefore(us: number): number;
}

const searchSteps = 12;

/**
 * The lowest horizon, as far as a short search finds it, that gives back as many bytes as are missing, and never above
 * `limitUs`; `undefined` where nothing can be given back.
 */
export function spaceHorizonUs(stock: Stock, wanted: { readonly missingBytes: number; readonly limitUs: number }): number | undefined {
  const oldestUs = stock.oldestUs();
  const { missingBytes, limitUs } = wanted;
  if (oldestUs === undefined || oldestUs >= limitUs || stock.bytesBefore(limitUs) <= 0) return undefined;
  let low = oldestUs;
  let high = limitUs;
  for (let step = 0; step < searchSteps && high - low > 1; step++) {
    const middle = Math.floor((low + high) / 2);
    if (stock.bytesBefore(middle) >= missingBytes) high = middle;
    else low = middle;
  }
  return high;
}

export type DiskState = "unknown" | "ok" | "low" | "disk-full";

/** Where to stop, once begun: so that a disk at its limit is not "low" and "ok" in turns. */
const enough = 1.05;

/** Whether the oldest readings have to go, and how many bytes of them. */
export class SpacePressure {
  #low = false;

  /** `wantedBytes` 0: never. */
  look(space: Space | undefined, wantedBytes: number): { readonly low: boolean; readonly missingBytes: number } {
    if (space === undefined || wantedBytes === 0) {
      this.#low = false;
      return { low: false, missingBytes: 0 };
    }
    const aim = this.#low ? wantedBytes * enough : wantedBytes;
    this.#low = space.freeBytes < aim;
    return { low: this.#low, missingBytes: this.#low ? Math.ceil(wantedBytes * enough) - space.freeBytes : 0 };
  }

  isLow(): boolean {
    return this.#low;
  }
}
