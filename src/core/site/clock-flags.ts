/**
 * Which stamps were given by a clock that nobody confirmed. A stamp ends in the slot of the gateway that gave it, so that ranges of stamps
 * by slot tell it of each reading, without a bit beside it. Bounded: where there would be too many ranges, the two next to each other
 * become one, and what was confirmed between them is flagged too. Never the other way round.
 */

import type { ClockUnconfirmedCommand } from "./commands.ts";
import { count, list, tuple } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

export const slotsMax = 1_000;
/** Of a slot. */
export const flaggedRangesMax = 64;
export const flaggedOpenMax = 8;

/** From, inclusive, and to, exclusive, in µs. */
type FlaggedRange = readonly [fromUs: number, toUs: number];

interface SlotFlags {
  /** Ascending and apart. */
  readonly closed: readonly FlaggedRange[];
  /** Where ranges began whose end is not known yet, ascending. */
  readonly open: readonly number[];
}

type Item = readonly [slot: number, open: readonly number[], bounds: readonly number[]];
const isItem = tuple(count, list(count), list(count));

const none: SlotFlags = { closed: [], open: [] };

export class ClockFlags {
  readonly #slots = new Map<number, SlotFlags>();

  /** A range begins, or, with `toUs`, is known whole. */
  apply({ slot, fromUs, toUs }: ClockUnconfirmedCommand): void {
    const { closed, open } = this.#slots.get(slot) ?? none;
    if (toUs === undefined) {
      if (open.includes(fromUs)) return;
      // The lowest stand for all: what is open reaches to the end of time.
      const all = [...open, fromUs].sort((a, b) => a - b).slice(0, flaggedOpenMax);
      this.#slots.set(slot, { closed, open: all });
      return;
    }
    const left = open.filter((began) => began !== fromUs);
    this.#slots.set(slot, { closed: toUs > fromUs ? withRange(closed, [fromUs, toUs]) : closed, open: left });
  }

  /** Whether a stamp was given by a clock that nobody confirmed. Of a device's own time nothing can be said. */
  has(stampUs: number): boolean {
    const flags = this.#slots.get(stampUs % slotsMax);
    if (flags === undefined) return false;
    const [first] = flags.open;
    return (first !== undefined && stampUs >= first) || flags.closed.some(([fromUs, toUs]) => stampUs >= fromUs && stampUs < toUs);
  }

  /** Beginnings of this slot whose end is not known. */
  openOf(slot: number): readonly number[] {
    return (this.#slots.get(slot) ?? none).open;
  }

  /** Nothing as long as nothing was flagged: an older version would refuse a section that it does not know. */
  capture(): Part[] {
    const items = [...this.#slots].sort((a, b) => a[0] - b[0]).map(([slot, { closed, open }]): Item => [slot, open, closed.flat()]);
    return items.length === 0 ? [] : [{ section: Section.ClockFlags, size: items.length, item: (at) => items[at] as Item }];
  }

  restore(item: unknown): boolean {
    if (!isItem(item)) return false;
    const [slot, open, bounds] = item as Item;
    if (slot >= slotsMax || bounds.length % 2 !== 0 || this.#slots.has(slot)) return false;
    const closed = Array.from(
      { length: bounds.length / 2 },
      (_, at): FlaggedRange => [bounds[2 * at] as number, bounds[2 * at + 1] as number],
    );
    this.#slots.set(slot, { closed, open: [...open] });
    return true;
  }

  picture(): unknown {
    return this.capture().flatMap(({ size, item }) => Array.from({ length: size }, (_, at) => item(at)));
  }
}

function withRange(ranges: readonly FlaggedRange[], added: FlaggedRange): readonly FlaggedRange[] {
  const merged: FlaggedRange[] = [];
  for (const range of [...ranges, added].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && range[0] <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], range[1])];
    else merged.push(range);
  }
  while (merged.length > flaggedRangesMax) {
    let nearest = 1;
    for (let at = 2; at < merged.length; at++) if (gapBefore(merged, at) < gapBefore(merged, nearest)) nearest = at;
    const [before, after] = merged.slice(nearest - 1, nearest + 1) as [FlaggedRange, FlaggedRange];
    merged.splice(nearest - 1, 2, [before[0], after[1]]);
  }
  return merged;
}

function gapBefore(ranges: readonly FlaggedRange[], at: number): number {
  return (ranges[at] as FlaggedRange)[0] - (ranges[at - 1] as FlaggedRange)[1];
}
