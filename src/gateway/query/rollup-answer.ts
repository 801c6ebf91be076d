/**
 * Answers what rollups can answer of a question, chunk by chunk: rows of the hour, where a row is not of one window of the
 * question rows of the minute, and what is left is for the readings themselves. A row counts when all its readings lie in the
 * range and in one window, so nothing has to be aligned.
 */

import type { AggregateFunction } from "../../lib/aggregate-function.ts";
import { hasRollup, type Rollup, RollupLevel, windowUsOf } from "../../series/rollup.ts";
import { planRollups, type Stretch, type UsRange } from "../series/rollup-plan.ts";
import type { Rollups } from "../series/rollups.ts";
import type { Series } from "../series/series-index.ts";
import type { ChunkRef } from "../series/store-keys.ts";
import type { WindowCursor, WindowPlan } from "./window-cursor.ts";

/** Chunks whose rollups are fetched at once. */
const fetchMax = 64;

/** The levels that can be of use to a question, the coarser first. */
export function levelsFor(plan: WindowPlan, functions: readonly AggregateFunction[]): RollupLevel[] {
  const quantiles = functions.some((each) => each.kind === "quantile");
  const levels = quantiles ? [RollupLevel.Hour] : [RollupLevel.Hour, RollupLevel.Minute];
  return levels.filter((level) => plan.windowMs === 0 || plan.windowMs * 1_000 >= windowUsOf(level));
}

export interface RollupQuestion {
  readonly rollups: Rollups;
  readonly series: Series;
  readonly range: UsRange;
  readonly levels: readonly RollupLevel[];
  readonly cursor: WindowCursor;
  /** Takes a row, which belongs to the window that the cursor stands at. */
  readonly add: (rollup: Rollup, row: number) => void;
  /** The question has more rows than can be answered: it makes no sense to go on. */
  readonly isFull: () => boolean;
}

/** What is left for the readings themselves, in ascending order. */
export async function answerFromRollups(question: RollupQuestion): Promise<UsRange[]> {
  const { series, range, levels } = question;
  if (levels.length === 0) return [range];
  const stretches = planRollups(series, range, (chunk) => levels.some((level) => hasRollup(level, chunk)));
  const answer = new Answer(question);
  for (let from = 0; from < stretches.length && !question.isFull(); from += fetchMax)
    await answer.take(stretches.slice(from, from + fetchMax));
  return answer.left;
}

const none: readonly Rollup[] = [];

class Answer {
  readonly left: UsRange[] = [];
  readonly #question: RollupQuestion;
  /** Nothing was answered behind the last of `left`: with nothing in between, it may grow. */
  #grows = false;

  constructor(question: RollupQuestion) {
    this.#question = question;
  }

  async take(stretches: readonly Stretch[]): Promise<void> {
    const rollups = await this.#rollupsFor(stretches);
    for (const [at, stretch] of stretches.entries()) this.#takeRows(rollups[at] ?? none, 0, stretch);
  }

  /** Of each stretch's chunk the levels that are needed and there, the coarser first. */
  async #rollupsFor(stretches: readonly Stretch[]): Promise<(readonly Rollup[])[]> {
    const { rollups, series, levels } = this.#question;
    const found: (readonly Rollup[])[] = stretches.map(() => none);
    for (const level of levels) {
      const missing: ChunkRef[] = [];
      const open: number[] = [];
      for (let at = 0; at < stretches.length; at++) {
        const chunk = stretches[at]?.alone;
        if (chunk === undefined || !hasRollup(level, chunk) || this.#isWhole(found[at]?.at(-1))) continue;
        open.push(at);
        if (!rollups.isKnown(level, chunk)) missing.push(chunk);
      }
      // Most often all are in memory: no reason to wait for a turn of the loop.
      const fetched = missing.length === 0 ? undefined : await rollups.fetch(series, level, missing);
      for (const at of open) {
        const chunk = stretches[at]?.alone as ChunkRef;
        const rollup = fetched?.get(chunk) ?? rollups.known(level, chunk);
        if (rollup !== undefined) found[at] = [...(found[at] ?? none), rollup];
      }
    }
    return found;
  }

  /** Whether no row of the rollup needs a closer look. */
  #isWhole(rollup: Rollup | undefined): boolean {
    if (rollup === undefined) return false;
    const { count, ends } = rollup.rows;
    for (let row = 0; row < count; row++)
      if (this.#fit(ends.times[row * 2] as number, ends.times[row * 2 + 1] as number) === "in part") return false;
    return true;
  }

  /** Rows of the coarsest of these levels inside the stretch; where they do not fit, of the next one. */
  #takeRows(rollups: readonly Rollup[], depth: number, stretch: UsRange): void {
    const rollup = rollups[depth];
    if (rollup === undefined) {
      this.#leave(stretch);
      return;
    }
    const { count, ends } = rollup.rows;
    for (let row = firstRowFrom(rollup, stretch.fromUs); row < count; row++) {
      const firstUs = ends.times[row * 2] as number;
      const lastUs = ends.times[row * 2 + 1] as number;
      if (firstUs >= stretch.toUs) break;
      const fit = this.#fit(firstUs, lastUs);
      if (fit === "whole") {
        this.#grows = false;
        this.#question.add(rollup, row);
      } else if (fit === "in part") {
        this.#takeRows(rollups, depth + 1, { fromUs: firstUs, toUs: lastUs + 1 });
      }
    }
  }

  #fit(firstUs: number, lastUs: number): "whole" | "in part" | "outside" {
    const { range, cursor } = this.#question;
    if (lastUs < range.fromUs || firstUs >= range.toUs) return "outside";
    if (firstUs < range.fromUs || lastUs >= range.toUs) return "in part";
    cursor.seek(firstUs);
    return lastUs < cursor.toUs ? "whole" : "in part";
  }

  #leave({ fromUs, toUs }: UsRange): void {
    const { range } = this.#question;
    const begin = Math.max(fromUs, range.fromUs);
    const end = Math.min(toUs, range.toUs);
    if (begin >= end) return;
    const last = this.left.at(-1);
    if (this.#grows && last !== undefined) this.left[this.left.length - 1] = { fromUs: last.fromUs, toUs: end };
    else this.left.push({ fromUs: begin, toUs: end });
    this.#grows = true;
  }
}

/** The first row that ends at `fromUs` or later. */
function firstRowFrom({ rows }: Rollup, fromUs: number): number {
  let low = 0;
  let high = rows.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows.ends.times[middle * 2 + 1] as number) < fromUs) low = middle + 1;
    else high = middle;
  }
  return low;
}
