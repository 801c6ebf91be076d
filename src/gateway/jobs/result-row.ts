/** Rows of results: their ids, their comparison, and their form in the store and between gateways. */

import type { GroupKey } from "../../lib/aggregate-function.ts";
import { crc32c } from "../../lib/crc32c.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import type { ResultRow } from "../service.ts";

/** `job@window start;group` — the same for every attempt and revision. */
export function resultId(job: string, fromMs: number, group: Readonly<Record<string, string>>): string {
  const parts = Object.entries(group).map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  return `${job}@${new Date(fromMs).toISOString()}${parts.length === 0 ? "" : `;${parts.join(";")}`}`;
}

export function groupOf(groupBy: readonly GroupKey[], key: readonly string[]): Record<string, string> {
  return Object.fromEntries(groupBy.map((by, at) => [by.kind === "label" ? by.name : by.kind, key[at] ?? ""]));
}

/** Whether a new calculation says the same as the row that stands. */
export function sameContent(a: ResultRow, b: ResultRow): boolean {
  return a.count === b.count && a.complete === b.complete && JSON.stringify(a.values) === JSON.stringify(b.values);
}

export function encodeRows(packing: Packing, rows: readonly ResultRow[]): Uint8Array {
  return packing.pack(rows);
}

export function decodeRows(packing: Packing, bytes: Uint8Array): Result<readonly ResultRow[]> {
  const unpacked = packing.unpack(bytes);
  if (!unpacked.ok) return unpacked;
  return Array.isArray(unpacked.value)
    ? success(unpacked.value as readonly ResultRow[])
    : failure("data-damaged", "these are no result rows");
}

/** What a commit says of its rows: found again, they must be the same bytes. */
export function digestOfRows(bytes: Uint8Array): string {
  return `${bytes.length}-${crc32c(bytes).toString(16)}-${crc32c(bytes, 0x9e3779b9).toString(16)}`;
}
