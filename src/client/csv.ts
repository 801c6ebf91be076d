import type { Series } from "./schema.ts";

/** Readings as CSV (RFC 4180): `device,metric,time,value`, time in epoch milliseconds. */

export const readingsCsvHeader = "device,metric,time,value\n";

export function readingsCsv(series: readonly Series[]): string {
  const lines: string[] = [];
  for (const { device, metric, points } of series) {
    const prefix = `${csvField(device)},${csvField(metric)},`;
    for (const [ms, value] of points) lines.push(`${prefix}${ms},${value === null ? "" : csvField(String(value))}\n`);
  }
  return lines.join("");
}

export function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
