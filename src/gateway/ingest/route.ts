import type { TopicMatch } from "../../config/decoded-message.ts";
import type { Partition } from "../../lib/ids.ts";
import type { Lane } from "./lane.ts";

/** What is remembered of a topic that a profile maps, so that a message costs one map look-up. */
export interface Route {
  readonly match: TopicMatch;
  readonly partition: Partition;
  lane: Lane;
  /** Series number by index of the profile's metric; -1 until the metric is first seen. */
  readonly seriesRefs: Int32Array;
  /** Last acknowledged number by index of the metric (NaN: none), for deadbands. */
  readonly lastAcknowledged: Float64Array;
}

/** A value that becomes the deadband's reference when its round is acknowledged. */
export interface DeadbandNote {
  readonly route: Route;
  readonly metric: number;
  readonly value: number;
}
