/**
 * A run of a log's entries while its records are folded (`replay.ts`), and what is known of the entry just before them.
 * Immutable but for appending at its end, which only the newest version of a log does.
 */
import { assert } from "../../lib/assert.ts";
import type { Entry } from "./messages.ts";
import type { LogPosition } from "./rules.ts";

export interface Before {
  readonly index: number;
  /** Its term; or only that it was committed, or nothing. */
  readonly term: number | "committed" | undefined;
}

export class FoldedLog {
  readonly before: Before;
  readonly #entries: Entry[];

  constructor(before: Before, entries: readonly Entry[]) {
    this.before = { index: before.index, term: before.term };
    this.#entries = [...entries];
  }

  get lastIndex(): number {
    return this.before.index + this.#entries.length;
  }

  termAt(index: number): number | "committed" | undefined {
    return index === this.before.index ? this.before.term : this.#entries[index - this.before.index - 1]?.term;
  }

  /** Whether the entry at this position of a committed log is this log's; `undefined` where this log does not tell. */
  holds(position: LogPosition): boolean | undefined {
    const term = this.termAt(position.index);
    return term === undefined ? undefined : term === "committed" || term === position.term;
  }

  /** The entry there is another one than in the committed log. */
  contradicts(position: LogPosition): boolean {
    return this.holds(position) === false;
  }

  /** All entries behind a position of the committed log, if this log is known to go on from there. */
  entriesBehind(position: LogPosition): readonly Entry[] {
    return this.holds(position) === true ? this.#entries.slice(position.index - this.before.index) : [];
  }

  /** Entries in place of everything at and above `firstIndex`. The old log is not to be used again. */
  replacedFrom(firstIndex: number, entries: readonly Entry[]): FoldedLog {
    assert(firstIndex > this.before.index && firstIndex <= this.lastIndex + 1, `entry ${firstIndex} follows ${this.lastIndex}`);
    this.#entries.length = firstIndex - this.before.index - 1;
    for (const entry of entries) this.#entries.push(entry);
    return this;
  }

  /** Without the entries behind `index`; nothing is left when it stands before this run. */
  cutBehind(index: number): FoldedLog | undefined {
    if (index < this.before.index) return undefined;
    this.#entries.length = Math.min(this.#entries.length, index - this.before.index);
    return this;
  }
}
