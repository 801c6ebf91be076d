/** What the scan benchmark asks, and its readings: one a second for each series, two decimals, a random walk from a seed. */

export const startUs = Date.UTC(2026, 0, 5) * 1_000;
export const stepUs = 1_000_000;

export interface DataSize {
  readonly series: number;
  readonly perSeries: number;
}

export interface Question {
  readonly fromUs: number;
  readonly toUs: number;
  readonly windowMs: number;
  readonly rollups: boolean;
}

export interface Measured {
  /** The first is cold, if it was the first question of its process. */
  readonly ms: readonly number[];
  readonly rows: number;
  /** Equal for equal answers. */
  readonly check: string;
  readonly stallMs: number;
}

export function deviceOf(series: number): string {
  return `device-${String(series).padStart(3, "0")}`;
}

/** Values of one series, from the first on. */
export class Walk {
  #state: number;
  #hundredths: number;

  constructor(series: number) {
    this.#state = (series + 1) * 0x9e3779b1;
    this.#hundredths = 2_000 + (series % 37) * 100;
  }

  next(): number {
    // xorshift32
    let state = this.#state | 0;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    this.#hundredths += ((state >>> 8) % 21) - 10;
    return this.#hundredths / 100;
  }
}
