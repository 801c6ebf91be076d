import { csvField } from "../../client/csv.ts";
import type { Series } from "../../client/schema.ts";
import { formatTime } from "../terminal.ts";

/** Readings on their way into a file, as they come: no encoder holds more than what its format makes it hold. */
export interface ReadingsEncoder {
  add(series: Series): Promise<void>;
  finish(): Promise<void>;
}

export type ExportSink = (part: string | Uint8Array) => void;

/**
 * csv: `device,metric,time,value` (RFC 4180), the time as RFC 3339 in UTC. ndjson: one object a line with the same fields, the time in
 * epoch milliseconds (with a fraction where a reading has microseconds), the value as it is.
 */
export function textEncoder(format: "csv" | "ndjson", sink: ExportSink): ReadingsEncoder {
  const lines = format === "csv" ? csvLines : ndjsonLines;
  if (format === "csv") sink("device,metric,time,value\n");
  return {
    add: async (series) => {
      if (series.points.length > 0) sink(lines(series));
    },
    finish: async () => undefined,
  };
}

function csvLines({ device, metric, points }: Series): string {
  const prefix = `${csvField(device)},${csvField(metric)},`;
  return points.map(([ms, value]) => `${prefix}${formatTime(ms)},${value === null ? "" : csvField(String(value))}\n`).join("");
}

function ndjsonLines({ device, metric, points }: Series): string {
  return points.map(([time, value]) => `${JSON.stringify({ device, metric, time, value })}\n`).join("");
}
