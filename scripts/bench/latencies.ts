// How long many calls took.

const bucketsPerMs = 20;
const bucketsMax = 200_000;

/** Buckets of equal width: adding one costs next to nothing, and millions need no more memory than one. */
export class Latencies {
  readonly #buckets = new Uint32Array(bucketsMax);
  count = 0;

  add(ms: number): void {
    this.#put(Math.min(bucketsMax - 1, Math.floor(ms * bucketsPerMs)), 1);
  }

  quantile(q: number): number {
    let left = Math.floor(q * (this.count - 1));
    for (let at = 0; at < bucketsMax; at++) {
      left -= this.#buckets[at] as number;
      if (left < 0) return (at + 0.5) / bucketsPerMs;
    }
    return Number.NaN;
  }

  /** Pairs of bucket and count, for `merge` in another process. */
  pairs(): number[] {
    return [...this.#buckets.entries()].filter(([, count]) => count > 0).flat();
  }

  merge(pairs: readonly number[]): void {
    for (let i = 0; i + 1 < pairs.length; i += 2) this.#put(pairs[i] as number, pairs[i + 1] as number);
  }

  #put(at: number, count: number): void {
    this.#buckets[at] = (this.#buckets[at] as number) + count;
    this.count += count;
  }
}
