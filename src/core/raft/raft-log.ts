/**
 * The log in memory. Indexes have no gaps and terms never fall; what stands below `firstIndex` is gone (compaction),
 * and only the term of the entry just before it is known. Lookups by index are O(1), by term O(log n).
 */
import { assert, defined } from "../../lib/assert.ts";
import type { Entry } from "./messages.ts";
import type { LogPosition } from "./rules.ts";

/** What an entry counts for in every bound: its command and a share of the overhead. */
export function entryBytes(entry: Entry): number {
  return entry.command.length + 24;
}

export class RaftLog {
  /** The entry just before the first one that is kept; index 0, term 0 in a log that was never compacted. */
  #before: LogPosition;
  #entries: Entry[] = [];

  constructor(before: LogPosition, entries: readonly Entry[]) {
    this.#before = before;
    for (const entry of entries) this.append(entry);
  }

  /** The position just before the first entry that is kept. */
  get before(): LogPosition {
    return this.#before;
  }

  get firstIndex(): number {
    return this.#before.index + 1;
  }

  get lastIndex(): number {
    return this.#before.index + this.#entries.length;
  }

  /** Index and term of the last entry. */
  get last(): LogPosition {
    const entry = this.#entries[this.#entries.length - 1];
    return entry === undefined ? this.#before : { index: entry.index, term: entry.term };
  }

  /** `undefined` where the log has nothing, or no longer has it. */
  termAt(index: number): number | undefined {
    if (index === this.#before.index) return this.#before.term;
    return this.entryAt(index)?.term;
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.firstIndex];
  }

  append(entry: Entry): void {
    const { index, term } = this.last;
    assert(entry.index === index + 1, `entry ${entry.index} follows ${index}`);
    assert(entry.term >= term, `term ${entry.term} of entry ${entry.index} is not below ${term}`);
    this.#entries.push(entry);
  }

  /** Removes the entry at `index` and all behind it. */
  truncateFrom(index: number): void {
    assert(index >= this.firstIndex, `entry ${index} is still kept`);
    this.#entries.length = Math.min(this.#entries.length, index - this.firstIndex);
  }

  /** Lets go of the entries up to `index`, which stays known with its term. */
  compactTo(index: number): void {
    if (index <= this.#before.index) return;
    const term = defined(this.termAt(index), `term of entry ${index}`);
    this.#entries = this.#entries.slice(index - this.#before.index);
    this.#before = { index, term };
  }

  /** Forgets everything: the log begins behind a snapshot at this position. */
  reset(before: LogPosition): void {
    this.#entries = [];
    this.#before = before;
  }

  /**
   * Up to where the log may be compacted behind a snapshot at `index` so that as many of its entries stay as these bounds
   * allow, for followers that are a little late.
   */
  compactionIndex(index: number, keep: { readonly entriesMax: number; readonly bytesMax: number }): number {
    let bytes = 0;
    let to = index;
    while (to > this.#before.index && index - to < keep.entriesMax) {
      bytes += entryBytes(this.entryAt(to) as Entry);
      if (bytes > keep.bytesMax) break;
      to--;
    }
    return to;
  }

  /** All entries from `from` to `to`, both included. */
  slice(from: number, to: number): readonly Entry[] {
    assert(from >= this.firstIndex && to <= this.lastIndex, `entries ${from} to ${to} are kept`);
    return this.#entries.slice(from - this.firstIndex, to - this.firstIndex + 1);
  }

  /** As many entries from `from` on as fit into `bytesMax`, but at least one where there is one. */
  batchFrom(from: number, bytesMax: number): readonly Entry[] {
    let bytes = 0;
    let to = from - 1;
    while (to < this.lastIndex) {
      bytes += entryBytes(this.entryAt(to + 1) as Entry);
      if (bytes > bytesMax && to >= from) break;
      to++;
    }
    return to < from ? [] : this.slice(from, to);
  }

  /**
   * The greatest position at or below `index` whose term is at most `term`: no entry between the two can be in a log
   * that has `term` at `index`, because terms never fall.
   */
  lastWithTermAtMost(term: number, index: number): LogPosition {
    let low = this.#before.index;
    let high = Math.min(index, this.lastIndex);
    if (high <= low) return this.#before;
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if ((this.termAt(middle) as number) <= term) low = middle;
      else high = middle - 1;
    }
    return { index: low, term: this.termAt(low) as number };
  }
}
