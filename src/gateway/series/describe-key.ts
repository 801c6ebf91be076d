/** What a key of the store stands for, in words: for a store that people look into. */

import { jobOfResultKey, parseChunkKey, parseSeriesKey } from "./store-keys.ts";

export function describeKey(key: Uint8Array): string | undefined {
  const chunk = parseChunkKey(key);
  if (chunk !== undefined)
    return `chunk of series ${chunk.series}: ${chunk.count} readings, ${instant(chunk.minUs)} to ${instant(chunk.maxUs)}`;
  const series = parseSeriesKey(key);
  if (series !== undefined) return `name of series ${series}`;
  const job = jobOfResultKey(key);
  if (job !== undefined) return `results of the job ${job}`;
  return key[0] === metaPrefix ? `record: ${new TextDecoder().decode(key.subarray(1))}` : undefined;
}

const metaPrefix = 0x6d;
/** The last instant that a date can say. */
const dateMaxMs = 8.64e15;

function instant(us: number): string {
  const ms = us / 1_000;
  return Math.abs(ms) <= dateMaxMs ? new Date(ms).toISOString() : `${us} µs`;
}
