/** The items of a backup's blocks (`backup-file.ts`), checked field by field: what is restored comes from outside. */

import { type BackupBlock, BackupKind, damaged, type SeriesDigest } from "./backup-file.ts";
import { type Result, success } from "./errors.ts";
import type { Packing } from "./packing.ts";

export interface KvItem {
  readonly key: string;
  readonly value: Uint8Array;
  /** In the site that was backed up. */
  readonly revision: number;
}

export interface DeviceItem {
  readonly id: string;
  readonly profile: string;
  readonly metrics: readonly string[];
  readonly firstSeenMs: number;
}

export interface ReadingsItem {
  readonly device: string;
  readonly metric: string;
  readonly chunks: readonly Uint8Array[];
}

/** The rows that one commit gave a window. */
export interface ResultItem {
  readonly job: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly revision: number;
  readonly rows: Uint8Array;
  /** Undefined where it is not known which sinks got them. */
  readonly sinks: readonly string[] | undefined;
}

export interface JobItem {
  readonly name: string;
  readonly sinceMs: number | undefined;
}

const text = (value: unknown): value is string => typeof value === "string";
const name = (value: unknown): value is string => typeof value === "string" && value.length > 0;
const whole = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value);
const count = (value: unknown): value is number => whole(value) && value >= 0;
/** What a date can be made of. */
const instant = (value: unknown): value is number => whole(value) && Math.abs(value) <= 8.64e15;
const word = (value: unknown): value is number => count(value) && value <= 0xffffffff;
const bytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const texts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(text);

export const packKv = ({ key, value, revision }: KvItem): unknown => [key, value, revision];
export const packDevice = ({ id, profile, metrics, firstSeenMs }: DeviceItem): unknown => [id, profile, metrics, firstSeenMs];
export const packReadings = ({ device, metric, chunks }: ReadingsItem): unknown => [device, metric, chunks];
export const packSeries = ({ device, metric, count: readings, low, high }: SeriesDigest): unknown => [device, metric, readings, low, high];
export const packResult = ({ job, fromMs, toMs, revision, rows, sinks }: ResultItem): unknown => [
  job,
  fromMs,
  toMs,
  revision,
  rows,
  sinks ?? null,
];
export const packJob = ({ name: job, sinceMs }: JobItem): unknown => [job, sinceMs ?? null];

export function kvItems(packing: Packing, block: BackupBlock): Result<KvItem[]> {
  return items(packing, block, ([key, value, revision]) =>
    name(key) && bytes(value) && count(revision) ? { key, value, revision } : undefined,
  );
}

export function deviceItems(packing: Packing, block: BackupBlock): Result<DeviceItem[]> {
  return items(packing, block, ([id, profile, metrics, firstSeenMs]) =>
    name(id) && text(profile) && texts(metrics) && whole(firstSeenMs) ? { id, profile, metrics, firstSeenMs } : undefined,
  );
}

export function readingsItems(packing: Packing, block: BackupBlock): Result<ReadingsItem[]> {
  return items(packing, block, ([device, metric, chunks]) =>
    name(device) && name(metric) && Array.isArray(chunks) && chunks.every(bytes) ? { device, metric, chunks } : undefined,
  );
}

export function seriesItems(packing: Packing, block: BackupBlock): Result<SeriesDigest[]> {
  return items(packing, block, ([device, metric, readings, low, high]) =>
    name(device) && name(metric) && count(readings) && word(low) && word(high) ? { device, metric, count: readings, low, high } : undefined,
  );
}

export function resultItems(packing: Packing, block: BackupBlock): Result<ResultItem[]> {
  return items(packing, block, ([job, fromMs, toMs, revision, rows, sinks]) => {
    const placed = name(job) && instant(fromMs) && instant(toMs) && fromMs < toMs && word(revision) && revision > 0;
    if (!placed || !bytes(rows) || !(sinks === null || sinks === undefined || texts(sinks))) return undefined;
    return { job, fromMs, toMs, revision, rows, sinks: sinks ?? undefined };
  });
}

export function jobItems(packing: Packing, block: BackupBlock): Result<JobItem[]> {
  return items(packing, block, ([job, sinceMs]) =>
    name(job) && (sinceMs === null || whole(sinceMs)) ? { name: job, sinceMs: sinceMs ?? undefined } : undefined,
  );
}

function items<T>(packing: Packing, block: BackupBlock, read: (fields: readonly unknown[]) => T | undefined): Result<T[]> {
  const unpacked = packing.unpack(block.content);
  const malformed = damaged(`block ${block.ordinal} (${kindName(block.kind)}) is malformed`);
  if (!unpacked.ok || !Array.isArray(unpacked.value)) return malformed;
  const found: T[] = [];
  for (const fields of unpacked.value as unknown[]) {
    const item = Array.isArray(fields) ? read(fields as unknown[]) : undefined;
    if (item === undefined) return malformed;
    found.push(item);
  }
  return success(found);
}

export function kindName(kind: number): string {
  return (
    Object.entries(BackupKind)
      .find(([, number]) => number === kind)?.[0]
      .toLowerCase() ?? `kind ${kind}`
  );
}
