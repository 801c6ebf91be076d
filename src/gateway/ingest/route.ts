import type { TopicMatch } from "../../config/decoded-message.ts";
import type { Partition } from "../../lib/ids.ts";
import type { Lane } from "./lane.ts";

/** What is remembered of a topic that a profile maps, so that a message costs one map look-up. */
export interface Route {
  readonly match: TopicMatch;
  readonly partition: Partition;
  /** Of the topic: what the digests of its messages begin with. */
  readonly digest: number;
  /** Another one after each change of the owner table. */
  lane: Lane;
  /** Series number by index of the profile's metric; -1 until the metric is first seen. */
  readonly seriesRefs: Int32Array;
  /** Last acknowledged number by index of the metric (NaN: none), for deadbands. */
  readonly lastAcknowledged: Float64Array;
  /** Number of the note behind it, by index of the metric. */
  readonly acknowledgedNote: Float64Array;
  /** Values on their way, by index of the metric: while there are any, nothing is within a deadband. */
  readonly pendingNotes: Uint32Array;
}

/** A value that becomes the deadband's reference when its round is acknowledged. */
export interface DeadbandNote {
  readonly route: Route;
  readonly metric: number;
  readonly value: number;
  /** Grows with arrival: rounds may be acknowledged in another order. */
  readonly note: number;
}

/** The value's round is acknowledged (it becomes the reference, unless a later one is) or has failed. */
export function settleDeadband(note: DeadbandNote, acknowledged: boolean): void {
  const { route, metric } = note;
  route.pendingNotes[metric] = (route.pendingNotes[metric] as number) - 1;
  if (!acknowledged || note.note <= (route.acknowledgedNote[metric] as number)) return;
  route.acknowledgedNote[metric] = note.note;
  route.lastAcknowledged[metric] = note.value;
}
