/**
 * Rows of committed runs in the store, one value for each revision of a window: the rows' bytes, since feature level 2 with
 * the names of the sinks that get them, so that a sink's copy can be made again when the commits are forgotten.
 */

import type { CommittedRun } from "../../core/site/apply-result.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";
import type { Store, StoreOperation } from "../../ports/store.ts";
import { packSealed, unpackSealed } from "../series/sealed-value.ts";
import { jobOfResultKey, metaKey, prefixRange, resultKey, resultPrefix, resultsPrefix } from "../series/store-keys.ts";
import type { ResultRow } from "../service.ts";
import { decodeRows } from "./result-row.ts";

/** How far the rows of commits are stored: up to a log index, and (not in records of older versions) below an ordinal. */
export interface StoredPosition {
  readonly index: number;
  readonly ordinal: number | undefined;
}

/** The rows of one revision of a window. */
export interface StoredResult {
  readonly key: Uint8Array;
  readonly rows: Uint8Array;
  /** Undefined where an older version stored it. */
  readonly sinks: readonly string[] | undefined;
}

export interface ResultPage {
  readonly entries: readonly StoredResult[];
  readonly more: boolean;
}

const scanPage = 200;
const pageEntries = 64;
/** A page ends with the entry that passes this. */
const pageBytes = 256 << 10;
const keyBytesMax = 4_096;

export class ResultStore {
  readonly #store: Store;
  readonly #packing: Packing;

  constructor(store: Store, packing: Packing) {
    this.#store = store;
    this.#packing = packing;
  }

  async position(): Promise<Result<StoredPosition>> {
    const bytes = await this.#store.get(metaKey("results"));
    if (bytes === undefined) return success({ index: 0, ordinal: 0 });
    const meta = unpackSealed(this.#packing, bytes);
    if (!meta.ok) return failure("store-damaged", `the store's record of results cannot be read: ${meta.message}`);
    const { index, ordinal } = meta.value as { readonly index: number; readonly ordinal?: number };
    return success({ index, ordinal });
  }

  /** Stores the rows of runs, and how far they go, at once and durably. */
  async write(
    runs: readonly { readonly run: CommittedRun; readonly rows: Uint8Array }[],
    position: StoredPosition,
    options: { readonly withSinks: boolean },
  ): Promise<void> {
    const puts = runs.map(({ run, rows }) =>
      this.#put(resultKey(run.job, run.fromMs, run.revision), rows, options.withSinks ? run.sinks : undefined),
    );
    const meta = { type: "put" as const, key: metaKey("results"), value: packSealed(this.#packing, position) };
    await this.#store.write([...puts, meta], { sync: true });
  }

  /** Stores what a peer had, without a word of how far it goes. */
  async fill(entries: readonly StoredResult[]): Promise<void> {
    if (entries.length > 0)
      await this.#store.write(
        entries.map(({ key, rows, sinks }) => this.#put(key, rows, sinks)),
        { sync: true },
      );
  }

  /** The rows' bytes, `undefined` when they are not here. */
  async rowsOf(run: Pick<CommittedRun, "job" | "fromMs" | "revision">): Promise<Result<Uint8Array | undefined>> {
    const key = resultKey(run.job, run.fromMs, run.revision);
    const value = await this.#store.get(key);
    if (value === undefined) return success(undefined);
    const result = this.#unseal(key, value);
    return result.ok ? success(result.value.rows) : result;
  }

  /** All results in the order of their keys, behind `after`, as much as fits a page. */
  async page(after: Uint8Array | undefined): Promise<Result<ResultPage>> {
    const all = prefixRange(resultsPrefix);
    const found = await this.#store.scan({ from: after === undefined ? all.from : behind(after), to: all.to, limit: pageEntries });
    const entries: StoredResult[] = [];
    let size = 0;
    for (const { key, value } of found) {
      if (size >= pageBytes) return success({ entries, more: true });
      const result = this.#unseal(key, value);
      if (!result.ok) return result;
      entries.push(result.value);
      size += value.length;
    }
    return success({ entries, more: found.length === pageEntries });
  }

  /** Latest revision of each row, by id, of the results with these keys (all of the job's by default). */
  async latest(
    job: string,
    keys: { readonly from?: Uint8Array | undefined; readonly to?: Uint8Array | undefined },
    isWanted: (row: ResultRow) => boolean,
  ): Promise<Result<Map<string, ResultRow>>> {
    const latest = new Map<string, ResultRow>();
    const all = prefixRange(resultPrefix(job));
    let from = keys.from ?? all.from;
    for (;;) {
      const page = await this.#store.scan({ from, to: keys.to ?? all.to, limit: scanPage });
      for (const { key, value } of page) {
        const result = this.#unseal(key, value);
        if (!result.ok) return result;
        const rows = decodeRows(this.#packing, result.value.rows);
        if (!rows.ok) return rows;
        // Keys are in the order of window and revision: a later row of the same id replaces the earlier.
        for (const row of rows.value) if (isWanted(row)) latest.set(row.id, row);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < scanPage) return success(latest);
      from = behind(last.key);
    }
  }

  #put(key: Uint8Array, rows: Uint8Array, sinks: readonly string[] | undefined): StoreOperation {
    return { type: "put", key, value: packSealed(this.#packing, sinks === undefined ? rows : { rows, sinks }) };
  }

  #unseal(key: Uint8Array, sealed: Uint8Array): Result<StoredResult> {
    const value = unpackSealed(this.#packing, sealed);
    if (!value.ok) return value;
    if (value.value instanceof Uint8Array) return success({ key, rows: value.value, sinks: undefined });
    if (isObject(value.value) && value.value["rows"] instanceof Uint8Array && isNames(value.value["sinks"]))
      return success({ key, rows: value.value["rows"], sinks: value.value["sinks"] });
    return failure("store-damaged", `a result of ${jobOfResultKey(key) ?? "no job"} in the store is malformed`);
  }
}

/** A page as bytes, behind a checksum, with how far the gateway that gives it has come. */
export interface PeerPage extends ResultPage {
  /** The giver has stored the rows of all runs below this ordinal. */
  readonly stored: number;
  /** Ordinal of the next run that the giver has heard of: nothing that it stored is behind it. */
  readonly committed: number;
}

export function encodePage(packing: Packing, page: PeerPage): Uint8Array {
  const entries = page.entries.map(({ key, rows, sinks }) => [key, rows, sinks ?? null]);
  return packSealed(packing, { stored: page.stored, committed: page.committed, more: page.more, entries });
}

/** Refuses whatever is no page behind `after`: what it says is written to the store under the keys that it says. */
export function decodePage(packing: Packing, bytes: unknown, after: Uint8Array | undefined): Result<PeerPage> {
  if (!(bytes instanceof Uint8Array)) return failure("data-damaged", "a page of results is bytes");
  const unpacked = unpackSealed(packing, bytes);
  if (!unpacked.ok) return unpacked;
  const { stored, committed, more, entries } = isObject(unpacked.value) ? unpacked.value : {};
  const malformed = failure("data-damaged", "a page of results is malformed");
  if (!isCount(stored) || !isCount(committed) || typeof more !== "boolean" || !Array.isArray(entries)) return malformed;
  if (more && entries.length === 0) return malformed;
  const results: StoredResult[] = [];
  let last = after;
  for (const entry of entries as unknown[]) {
    const [key, rows, sinks] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (!(key instanceof Uint8Array) || !(rows instanceof Uint8Array) || !(sinks === null || isNames(sinks))) return malformed;
    if (!isResultKey(key) || (last !== undefined && compare(last, key) >= 0) || !decodeRows(packing, rows).ok) return malformed;
    // The frame's memory is shared with other frames.
    results.push({ key: copyBytes(key), rows: copyBytes(rows), sinks: sinks ?? undefined });
    last = key;
  }
  return success({ stored, committed, more, entries: results });
}

export function isResultKey(key: Uint8Array): boolean {
  return key.length <= keyBytesMax && jobOfResultKey(key) !== undefined;
}

/** The first key that is greater. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function compare(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at++) {
    const difference = (one[at] as number) - (other[at] as number);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isNames = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((item) => typeof item === "string");
