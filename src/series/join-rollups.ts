/** Joins rollups of neighbouring stretches of one series: rows of one window become one row, as if one had been made of all readings. */

import { assert } from "../lib/assert.ts";
import { AggregateState } from "./aggregate.ts";
import { AggregateRows } from "./aggregate-rows.ts";
import { partsOfLevel, type Rollup, windowUsOf } from "./rollup.ts";

interface JoinedRow {
  readonly window: number;
  readonly state: AggregateState;
  low: number;
  high: number;
}

/**
 * `parts`: of one level, ascending, with no reading in two of them. The result has no more than `rowsMax` rows in a part, and no
 * window in two parts.
 */
export function joinRollups(parts: readonly Rollup[], rowsMax: number): Rollup[] {
  const [first] = parts;
  if (first === undefined) return [];
  const { level } = first;
  const windowUs = windowUsOf(level);
  const joined: JoinedRow[] = [];
  for (const { rows, digests, level: each } of parts) {
    assert(each === level, "rollups of one level are joined");
    for (let row = 0; row < rows.count; row++) {
      const window = Math.floor((rows.ends.times[row * 2] as number) / windowUs);
      let last = joined.at(-1);
      if (last?.window !== window) {
        last = { window, state: new AggregateState(partsOfLevel(level)), low: 0, high: 0 };
        joined.push(last);
      }
      last.state.addRow(rows, row);
      last.low = (last.low + (digests[row * 2] as number)) >>> 0;
      last.high = (last.high + (digests[row * 2 + 1] as number)) >>> 0;
    }
  }
  const made: Rollup[] = [];
  for (let from = 0; from < joined.length; from += rowsMax) made.push(rollupOf(level, joined.slice(from, from + rowsMax)));
  return made;
}

function rollupOf(level: Rollup["level"], joined: readonly JoinedRow[]): Rollup {
  const sketches = partsOfLevel(level).some((each) => each.kind === "quantile");
  const rows = new AggregateRows(joined.length, { sketches });
  const digests = new Uint32Array(joined.length * 2);
  for (const [row, { state, low, high }] of joined.entries()) {
    state.toRow(rows, row);
    digests[row * 2] = low;
    digests[row * 2 + 1] = high;
  }
  return { level, rows, digests };
}
