/**
 * Answers what rollups can answer of a question, chunk by chunk: rows of the hour, where a row is not of one window of the
 * question rows of the minute, and what is left is for the readings themselves. A row counts when all its readings lie in the
 * range and in one window, so nothing has to be aligned. Rollups are read ahead, those of many series at once.
 */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import type { Digest } from "../../series/digest.ts";
import { hasRollup, type Rollup, RollupLevel, windowUsOf } from "../../series/rollup.ts";
import { planRollups, planStrip, type Stretch, type UsRange } from "../series/rollup-plan.ts";
import type { Rollups, WantedRollup } from "../series/rollups.ts";
import type { Series } from "../series/series-index.ts";
import type { ChunkRef } from "../series/store-keys.ts";
import type { Group } from "./group-table.ts";
import type { WindowCursor, WindowPlan } from "./window-cursor.ts";

/** Chunks whose rollups are fetched at once: those of some thousand rows. */
const fetchMax: Readonly<Record<RollupLevel, number>> = { [RollupLevel.Minute]: 64, [RollupLevel.Hour]: 512 };

/** The levels that can be of use to a question, the coarser first. */
export function levelsFor(plan: WindowPlan, functions: readonly AggregateFunction[]): RollupLevel[] {
  const levels = needSketches(functions) ? [RollupLevel.Hour] : [RollupLevel.Hour, RollupLevel.Minute];
  return levels.filter((level) => plan.windowMs === 0 || plan.windowMs * 1_000 >= windowUsOf(level));
}

function needSketches(functions: readonly AggregateFunction[]): boolean {
  return functions.some((each) => each.kind === "quantile");
}

export interface RollupQuestion {
  readonly rollups: Rollups;
  /** All that are asked about, in the order in which they are answered. */
  readonly series: readonly Series[];
  readonly rangeOf: (series: Series) => UsRange;
  /** `levelsFor` the question. */
  readonly levels: readonly RollupLevel[];
  readonly functions: readonly AggregateFunction[];
  readonly cursor: WindowCursor;
}

/** What rollups gave to the answer of one series. */
export interface RolledUp {
  readonly rows: number;
  /** Of the readings that the rows are of. */
  readonly digest: Digest;
  /** What is left for the readings themselves, in ascending order. */
  readonly left: readonly UsRange[];
}

/** Stretches of one series. */
interface Piece {
  readonly series: Series;
  readonly stretches: readonly Stretch[];
  /** Of each stretch's chunk the rollup of the coarsest level, then of the next one where it is needed, if they are there. */
  readonly coarse: (Rollup | undefined)[];
  readonly fine: (Rollup | undefined)[];
  /** The last one of its series. */
  readonly isLast: boolean;
}

/** A rollup to be fetched, and where it belongs. */
interface Missing extends WantedRollup {
  readonly into: (Rollup | undefined)[];
  readonly at: number;
}

export class RollupAnswers {
  readonly #question: RollupQuestion;
  readonly #sketches: boolean;
  /** Of the coarsest level, rows always are of one window. */
  readonly #areRowsWhole: boolean;
  /** The level of strips, where they are of use. */
  readonly #stripLevel: RollupLevel | undefined;
  /** What was read ahead. */
  readonly #pieces: Piece[] = [];
  #nextPiece = 0;
  #nextSeries = 0;
  /** Of the last piece's series, where it has more stretches than are read at once. */
  #rest: { readonly series: Series; readonly stretches: readonly Stretch[] } | undefined;

  constructor(question: RollupQuestion) {
    this.#question = question;
    const { levels, cursor, functions } = question;
    const [coarsest] = levels;
    this.#sketches = needSketches(functions);
    this.#areRowsWhole = coarsest !== undefined && cursor.holdsWhole(windowUsOf(coarsest));
    this.#stripLevel = this.#areRowsWhole && !this.#sketches ? coarsest : undefined;
  }

  /** Answers for the next series, into its group. When that gets more rows than these, the question is given up. */
  async next(group: Group, rowsMax: number): Promise<RolledUp> {
    const answer = new Answer(group, this.#question.cursor);
    let isLast = false;
    for (let isFirst = true; !isLast && group.size <= rowsMax; isFirst = false) {
      if (this.#nextPiece === this.#pieces.length) await this.#readAhead();
      const piece = this.#pieces[this.#nextPiece++] as Piece;
      answer.take(piece);
      isLast = piece.isLast;
      if (isFirst && isLast) this.#offer(piece);
    }
    return answer;
  }

  /** The next time the same may be had in one piece. */
  #offer({ series, stretches, coarse }: Piece): void {
    const { strips } = this.#question.rollups;
    if (this.#stripLevel === undefined || stretches.length < 2 || stretches.some(({ strip }) => strip !== undefined)) return;
    strips.answered(series, this.#stripLevel, stretches, coarse);
  }

  /** At least one more piece. */
  async #readAhead(): Promise<void> {
    const { series, levels } = this.#question;
    const [coarsest] = levels;
    this.#pieces.length = 0;
    this.#nextPiece = 0;
    for (let room = coarsest === undefined ? 1 : fetchMax[coarsest]; room > 0; ) {
      const planned = this.#rest ?? this.#plan(series[this.#nextSeries++]);
      if (planned === undefined) break;
      const isLast = planned.stretches.length <= room;
      const stretches = isLast ? planned.stretches : planned.stretches.slice(0, room);
      this.#rest = isLast ? undefined : { series: planned.series, stretches: planned.stretches.slice(room) };
      this.#pieces.push({ series: planned.series, stretches, coarse: [], fine: [], isLast });
      // A series without a stretch counts as well: no more of them are looked at in one go.
      room -= Math.max(1, stretches.length);
    }
    for (const [depth, level] of levels.entries()) await this.#fetch(level, this.#lookUp(level, depth));
  }

  #plan(series: Series | undefined): { readonly series: Series; readonly stretches: readonly Stretch[] } | undefined {
    if (series === undefined) return undefined;
    const { levels, rangeOf, rollups } = this.#question;
    const [coarsest] = levels;
    const range = rangeOf(series);
    const strip = this.#stripLevel === undefined ? undefined : rollups.strips.find(series, this.#stripLevel, range);
    const stretches = strip === undefined ? undefined : planStrip(series, range, strip);
    if (stretches !== undefined) return { series, stretches };
    // What has a rollup of a finer level has one of this level too.
    const mayServe = (chunk: ChunkRef): boolean => coarsest !== undefined && hasRollup(coarsest, chunk);
    return { series, stretches: planRollups(series, range, mayServe) };
  }

  /** Puts what is in memory into its place, and gives what is not. */
  #lookUp(level: RollupLevel, depth: number): Missing[] {
    const { rollups } = this.#question;
    const missing: Missing[] = [];
    for (const { series, stretches, coarse, fine } of this.#pieces) {
      const into = depth === 0 ? coarse : fine;
      for (let at = 0; at < stretches.length; at++) {
        const stretch = stretches[at] as Stretch;
        const chunk = stretch.alone;
        into.push(depth === 0 ? stretch.strip : undefined);
        if (chunk === undefined || !hasRollup(level, chunk) || (depth > 0 && this.#isWhole(coarse[at], stretch, chunk))) continue;
        const known = rollups.known(level, series, chunk, this.#sketches);
        if (known === undefined) missing.push({ series, chunk, into, at });
        else into[at] = known.rollup;
      }
    }
    return missing;
  }

  async #fetch(level: RollupLevel, missing: readonly Missing[]): Promise<void> {
    for (let from = 0; from < missing.length; from += fetchMax[level]) {
      const wanted = missing.slice(from, from + fetchMax[level]);
      const fetched = await this.#question.rollups.fetch(level, wanted, this.#sketches);
      for (const [at, rollup] of fetched.entries()) {
        const { into, at: place } = wanted[at] as Missing;
        into[place] = rollup;
      }
    }
  }

  /** Whether no row of the rollup inside the stretch needs a closer look. */
  #isWhole(rollup: Rollup | undefined, { fromUs, toUs }: UsRange, { minUs, maxUs }: ChunkRef): boolean {
    if (rollup === undefined) return false;
    if (this.#areRowsWhole && minUs >= fromUs && maxUs < toUs) return true;
    const { cursor } = this.#question;
    const { times } = rollup.rows.ends;
    const begin = rollup.rows.firstEndingFrom(fromUs);
    const end = rollup.rows.firstBeginningFrom(toUs);
    if (begin >= end) return true;
    if ((times[begin * 2] as number) < fromUs || (times[end * 2 - 1] as number) >= toUs) return false;
    if (this.#areRowsWhole) return true;
    for (let row = begin; row < end; row++) {
      cursor.seek(times[row * 2] as number);
      if ((times[row * 2 + 1] as number) >= cursor.toUs) return false;
    }
    return true;
  }
}

class Answer implements RolledUp {
  readonly left: UsRange[] = [];
  readonly #group: Group;
  readonly #cursor: WindowCursor;
  /** Nothing was answered behind the last of `left`: with nothing in between, it may grow. */
  #grows = false;
  rows = 0;
  #count = 0;
  #low = 0;
  #high = 0;

  constructor(group: Group, cursor: WindowCursor) {
    this.#group = group;
    this.#cursor = cursor;
  }

  get digest(): Digest {
    return { count: this.#count, low: this.#low, high: this.#high };
  }

  take({ stretches, coarse, fine }: Piece): void {
    for (let at = 0; at < stretches.length; at++) {
      const stretch = stretches[at] as Stretch;
      this.#takeRows(coarse[at] ?? fine[at], coarse[at] === undefined ? undefined : fine[at], stretch.fromUs, stretch.toUs);
    }
  }

  /** Rows inside [fromUs, toUs); where they do not fit, those of the finer rollup. */
  #takeRows(rollup: Rollup | undefined, finer: Rollup | undefined, fromUs: number, toUs: number): void {
    if (rollup === undefined) {
      this.#leave(fromUs, toUs);
      return;
    }
    const { rows } = rollup;
    const { times } = rows.ends;
    let row = rollup.rows.firstEndingFrom(fromUs);
    const end = rollup.rows.firstBeginningFrom(toUs);
    // Only the first and the last one can reach beyond.
    if (row < end && (times[row * 2] as number) < fromUs) this.#takePart(rollup, row++, finer, fromUs, toUs);
    const isCut = row < end && (times[end * 2 - 1] as number) >= toUs;
    const whole = isCut ? end - 1 : end;
    while (row < whole) {
      const next = this.#group.addRows(this.#cursor, rows, row, whole);
      this.#addDigests(rollup, row, next);
      row = next;
      if (row < whole) this.#takePart(rollup, row++, finer, fromUs, toUs);
    }
    if (isCut) this.#takePart(rollup, whole, finer, fromUs, toUs);
  }

  /** A row that is not inside [fromUs, toUs), or not of one window. */
  #takePart({ rows }: Rollup, row: number, finer: Rollup | undefined, fromUs: number, toUs: number): void {
    const { times } = rows.ends;
    const firstUs = Math.max(times[row * 2] as number, fromUs);
    const lastUs = Math.min(times[row * 2 + 1] as number, toUs - 1);
    this.#takeRows(finer, undefined, firstUs, lastUs + 1);
  }

  #addDigests({ rows: { counts }, digests }: Rollup, from: number, to: number): void {
    if (from === to) return;
    this.#grows = false;
    this.rows += to - from;
    let count = 0;
    let low = 0;
    let high = 0;
    for (let row = from; row < to; row++) {
      count += counts[row] as number;
      low = (low + (digests[row * 2] as number)) | 0;
      high = (high + (digests[row * 2 + 1] as number)) | 0;
    }
    this.#count += count;
    this.#low = (this.#low + low) >>> 0;
    this.#high = (this.#high + high) >>> 0;
  }

  #leave(fromUs: number, toUs: number): void {
    const last = this.left.at(-1);
    if (this.#grows && last !== undefined) this.left[this.left.length - 1] = { fromUs: last.fromUs, toUs };
    else this.left.push({ fromUs, toUs });
    this.#grows = true;
  }
}
