/** Readings of a round of the old owner table, and the messages that wait for them, go to the lanes of the new one. */

import type { Partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import type { Lane, Readings } from "./lane.ts";

export interface Rerouting {
  readonly laneOf: (at: Partition) => Lane;
  readonly partitionOf: (name: SeriesName) => Partition;
  readonly refOf: (name: SeriesName) => number;
}

/**
 * A message joins the lane that all of its readings join, so that it waits for all of them. No lane may close a round before
 * this returns. Waiting times count from where they did.
 */
export function reroute(readings: Readings, { laneOf, partitionOf, refOf }: Rerouting): void {
  const { columns, waiting } = readings;
  const lanes = columns.seriesTable.map((name) => laneOf(partitionOf(name)));
  const refs = columns.seriesTable.map(refOf);
  appendRows(columns, { lanes, refs });
  for (let i = 0; i < waiting.sessions.length; i++) {
    const session = waiting.sessions[i];
    const done = waiting.callbacks[i];
    if (session !== undefined && done !== undefined)
      laneOf(waiting.partitions[i] as Partition).hold(waiting.partitions[i] as Partition, session, waiting.places[i] as number, done);
  }
  for (const note of waiting.deadbands) laneOf(note.route.partition).noteDeadband(note);
  // Whose payloads the bytes were is not known any more: the first lane bears them, and the sum stays.
  let payloadBytes = readings.payloadBytes;
  for (const lane of new Set(lanes)) {
    lane.took(payloadBytes, readings.sinceMs);
    lane.stamped(readings.stampedUpToUs);
    payloadBytes = 0;
  }
}

/** Each reading joins the round under construction in the lane of its series. `lanes` and `refs`: by the columns' own series. */
export function appendRows(
  columns: ReadingColumns,
  { lanes, refs }: { readonly lanes: readonly Lane[]; readonly refs: readonly number[] },
): void {
  for (let row = 0; row < columns.count; row++) {
    const series = columns.series[row] as number;
    const type = columns.types[row] as ValueType;
    const number = columns.numbers[row] as number;
    const text = type === ValueType.Text ? columns.texts[number] : undefined;
    (lanes[series] as Lane).builder.append(refs[series] as number, columns.times[row] as number, type, number, text);
  }
}
