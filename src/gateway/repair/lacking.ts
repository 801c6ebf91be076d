/** What one owner has and another has not: readings that are missing there, and those of which it has a lesser value. */

import { mergeRuns } from "../../series/merge.ts";
import { compareRows, type SeriesRun, sliceRows } from "../../series/run.ts";

/** Runs of the rows of `theirs` that `own` has not, or with a lesser value; both are sorted and unique. */
export function lackingRows(own: SeriesRun, theirs: SeriesRun): SeriesRun[] {
  const lacking: SeriesRun[] = [];
  let from = 0;
  let at = 0;
  for (let row = 0; row < theirs.count; row++) {
    const time = theirs.times[row] as number;
    while (at < own.count && (own.times[at] as number) < time) at++;
    const isThere = at < own.count && own.times[at] === time && compareRows(own, at, theirs, row) >= 0;
    if (!isThere) continue;
    if (row > from) lacking.push(sliceRows(theirs, from, row));
    from = row + 1;
  }
  if (theirs.count > from) lacking.push(sliceRows(theirs, from, theirs.count));
  return lacking;
}

/** The same of runs in pieces. */
export function lackingOf(own: readonly SeriesRun[], theirs: SeriesRun): SeriesRun[] {
  return own.length === 0 ? [theirs] : lackingRows(mergeRuns(own).run, theirs);
}
