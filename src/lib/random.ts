/** Seeded randomness (xoshiro128**, Blackman and Vigna 2018): the same seed gives the same sequence everywhere. */

export interface Random {
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  /** Uniform real in [0, 1). */
  real(): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** An independent generator, derived from this one. */
  fork(): Random;
}

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    // splitmix32 spreads a small seed over the whole state.
    let state = seed >>> 0;
    const next = () => {
      state = (state + 0x9e3779b9) >>> 0;
      let mixed = state;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return (mixed ^ (mixed >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  #next(): number {
    const times5 = Math.imul(this.#b, 5);
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  below(bound: number): number {
    return Math.floor(this.real() * bound);
  }

  real(): number {
    return ((this.#next() >>> 5) * 0x4000000 + (this.#next() >>> 6)) / 0x20000000000000;
  }

  chance(probability: number): boolean {
    return this.real() < probability;
  }

  hex(bytes: number): string {
    let text = "";
    for (let i = 0; i < bytes; i++) text += (this.#next() >>> 24).toString(16).padStart(2, "0");
    return text;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  fork(): Random {
    return new SeededRandom(this.#next());
  }
}
