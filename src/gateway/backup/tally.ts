/** What became of the items of one block of a backup. */

import type { RestoredBlock } from "../service.ts";

const examplesMax = 20;

/** Counts what becomes of the items of one block. */
export class Tally {
  applied = 0;
  present = 0;
  readonly #kind: string;
  readonly #items: number;
  #missing = 0;
  #conflicts = 0;
  readonly #examples: string[] = [];

  constructor(kind: string, items: number) {
    this.#kind = kind;
    this.#items = items;
  }

  conflict(what: string): void {
    this.#conflicts++;
    if (this.#examples.length < examplesMax) this.#examples.push(`${what}: the site has another one`);
  }

  missed(what: readonly string[]): RestoredBlock {
    this.#missing += what.length;
    for (const one of what.slice(0, examplesMax - this.#examples.length)) this.#examples.push(`${one}: the site has none`);
    return this.done();
  }

  done(): RestoredBlock {
    return {
      kind: this.#kind,
      items: this.#items,
      applied: this.applied,
      present: this.present,
      missing: this.#missing,
      conflicts: this.#conflicts,
      examples: this.#examples,
    };
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
