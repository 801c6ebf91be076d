// How long many calls took.

const bucketsPerMs = 20;
const bucketsMax = 200_000;

/** Buckets of equal width: adding one costs next to nothing, and millions need no more memory than one. */
export class Latencies {
  readonly #buckets = new Uint32Array(bucketsMax);
  count = 0;

  add(ms: number): void {
    const at = Math.min(bucketsMax - 1, Math.floor(ms * bucketsPerMs));
    this.#buckets[at] = (this.#buckets[at] as number) + 1;
    this.count++;
  }

  quantile(q: number): number {
    let left = Math.floor(q * (this.count - 1));
    for (let at = 0; at < bucketsMax; at++) {
      left -= this.#buckets[at] as number;
      if (left < 0) return (at + 0.5) / bucketsPerMs;
    }
    return Number.NaN;
  }
}
