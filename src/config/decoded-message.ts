import type { DeviceId } from "../lib/ids.ts";
import type { ProfileSettings } from "./settings.ts";

/**
 * What a payload says under a profile. One scratch object per decoder: valid until its next `decode`, so that the hot
 * path allocates nothing per reading. Row i is metric `profile.metrics[metrics[i]]`.
 */
export interface DecodedMessage {
  readonly count: number;
  readonly metrics: Uint16Array;
  readonly types: Uint8Array;
  /** The number after scaling, 0 or 1 for a boolean, or an index into `texts`. */
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
  /** The device's own time in whole µs, or `undefined` when the profile names none. */
  readonly timeUs: number | undefined;
  /** Metrics that were present and refused (the others stand). */
  readonly rejects: readonly MetricReject[];
}

export interface MetricReject {
  readonly metric: string;
  readonly reason: "out-of-range" | "wrong-type";
  readonly detail: string;
}

/** The payload as a whole could not be decoded. */
export interface PayloadReject {
  readonly reason: "bad-payload" | "bad-timestamp" | "no-metric";
  readonly detail: string;
}

/** A topic that a profile maps, with the device it names. Cached by the caller per topic. */
export interface TopicMatch {
  readonly profile: ProfileSettings;
  readonly device: DeviceId;
}
