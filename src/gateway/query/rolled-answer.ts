/**
 * Answers for the time below the raw horizon, by whole hours: rows of blocks, and readings that are to become part of a block. How
 * much of it is in blocks by now differs from owner to owner; by the hour they all say the same.
 */

import type { Calendar } from "../../lib/calendar.ts";
import { type Result, success } from "../../lib/errors.ts";
import type { ChunkStats } from "../../series/chunk-stats.ts";
import { RollupLevel, windowUsOf } from "../../series/rollup.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { UsRange } from "../series/rollup-plan.ts";
import type { Rollups } from "../series/rollups.ts";
import type { Series } from "../series/series-index.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import type { Group } from "./group-table.ts";
import type { WindowCursor } from "./window-cursor.ts";

const hourUs = windowUsOf(RollupLevel.Hour);
/** How often it is looked at how far a time zone is from UTC: no zone changes it to and fro within this time. */
const offsetEveryMs = 7 * 86_400_000;

/** Whether windows are made of whole hours of UTC, where they lie in a range. */
export function hasWholeHours(calendar: Calendar, windowMs: number, { fromUs, toUs }: UsRange): boolean {
  if (windowMs === 0) return true;
  const hourMs = hourUs / 1_000;
  // They begin at midnight of the calendar, or at a whole multiple of them behind it.
  if (windowMs % hourMs !== 0) return false;
  if (calendar.isUtc()) return true;
  const endMs = toUs / 1_000;
  for (let atMs = fromUs / 1_000; atMs < endMs; atMs += offsetEveryMs) if (calendar.offsetAt(atMs) % hourMs !== 0) return false;
  return !(fromUs < toUs) || calendar.offsetAt(endMs) % hourMs === 0;
}

/** The hours of a range that lie below the raw horizon as a whole or up to it, and are not given up altogether. */
export function hoursOf({ fromUs, toUs }: UsRange, given: { readonly rawUs: number; readonly rollupUs: number }): UsRange | undefined {
  const from = Math.ceil(Math.max(fromUs, given.rollupUs) / hourUs) * hourUs;
  const to = toUs >= given.rawUs ? given.rawUs : Math.floor(toUs / hourUs) * hourUs;
  return from < to ? { fromUs: from, toUs: to } : undefined;
}

export interface RolledQuestion {
  readonly series: Series;
  readonly hours: UsRange;
  readonly cursor: WindowCursor;
  readonly group: Group;
  readonly blocks: Rollups;
  readonly reader: SeriesReader;
  /** Takes readings; false: it makes no sense to go on. */
  readonly addRun: (run: SeriesRun, stats: ChunkStats | undefined) => boolean;
}

/** How many readings went into the group. */
export async function addRolled(question: RolledQuestion): Promise<Result<number>> {
  const { series, hours, cursor, group, blocks, reader, addRun } = question;
  let count = 0;
  // Both as of now: what becomes part of a block meanwhile is still read as readings.
  const refs = series.blocks.filter((ref) => ref.maxUs >= hours.fromUs && ref.minUs < hours.toUs);
  const scan = (): Promise<Result<void>> =>
    reader.scan(
      series,
      hours,
      (run, stats) => {
        count += run.count;
        return addRun(run, stats);
      },
      { givenUp: true },
    );
  const [scanned, fetched] = await reader.pinned(() => Promise.all([scan(), blocks.blocksOf(series, refs)]));
  if (!scanned.ok) return scanned;
  for (const { rows } of fetched) {
    for (let row = 0; row < rows.count; row++) {
      const hour = Math.floor((rows.ends.times[row * 2] as number) / hourUs) * hourUs;
      if (hour < hours.fromUs || hour >= hours.toUs) continue;
      group.addRows(cursor, rows, row, row + 1);
      count += rows.counts[row] as number;
    }
  }
  return success(count);
}
