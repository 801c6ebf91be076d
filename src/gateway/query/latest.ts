/** The latest reading of each metric of a device, out of what its owners answered. */

import { compareValues, type ReadingValue } from "../../lib/reading.ts";

/** One metric's latest reading at one owner, as it travels; `us` is its timestamp. */
export type LatestRow = readonly [metric: string, us: number, value: ReadingValue];

/** By metric: the latest, and of two at one timestamp the greater, as everywhere. What is no list of rows is left out. */
export function mergeLatest(answers: readonly unknown[]): Record<string, { readonly ms: number; readonly value: ReadingValue }> {
  const latest = new Map<string, LatestRow>();
  for (const answer of answers) {
    for (const row of Array.isArray(answer) ? (answer as unknown[]) : []) {
      if (!isLatestRow(row)) continue;
      const known = latest.get(row[0]);
      if (known === undefined || row[1] > known[1] || (row[1] === known[1] && compareValues(row[2], known[2]) > 0)) latest.set(row[0], row);
    }
  }
  return Object.fromEntries([...latest].map(([metric, [, us, value]]) => [metric, { ms: us / 1_000, value }]));
}

function isLatestRow(row: unknown): row is LatestRow {
  if (!Array.isArray(row) || row.length !== 3) return false;
  const [metric, us, value] = row as unknown[];
  return typeof metric === "string" && typeof us === "number" && ["number", "string", "boolean"].includes(typeof value);
}
