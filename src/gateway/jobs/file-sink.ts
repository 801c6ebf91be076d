/**
 * This gateway's own, complete NDJSON copy of a sink's results: one line a row, in commit order. The position document
 * is written after the file was fsynced; lines behind it are cut off at the next start and written again. Where commits
 * that the file lacks are forgotten, it is made again from the stored results, in the order of their keys, and goes on
 * with the commits from there.
 */

import type { SinkSettings } from "../../config/settings.ts";
import type { CommittedRun } from "../../core/site/apply-result.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { fromHex, toHex } from "../../lib/hex.ts";
import type { ResultFile } from "../../ports/result-file.ts";
import type { GatewayContext } from "../context.ts";
import { jobOfResultKey, resultKey } from "../series/store-keys.ts";
import type { ResultRow, SinkView } from "../service.ts";
import { decodeRows } from "./result-row.ts";
import type { ResultPage, StoredResult } from "./result-store.ts";

interface Position {
  /** Runs with rows for this sink that are in the file. */
  readonly runs: number;
  readonly rows: number;
  readonly bytes: number;
  /** All runs below this ordinal that are for this sink are in the file. Older versions counted `runs` only. */
  readonly ordinal?: number;
  /** The file is being made again. */
  readonly copying?: Copying;
}

/** How far a file that is made again has come. */
interface Copying {
  /** It will hold all runs below this ordinal. */
  readonly ordinal: number;
  /** Ordinal of the next run when the copying began: behind `ordinal` the store holds none but of these. */
  readonly committed: number;
  /** Key of the last result in it, as hex; empty at the beginning. */
  readonly after: string;
}

/** What a sink's copy is made from. */
export interface SinkSource {
  /** Committed runs that are not forgotten. */
  outbox(): { readonly firstOrdinal: number; readonly runs: readonly CommittedRun[] };
  /** The rows of all runs below this ordinal are stored. */
  storedTo(): number;
  rowsOf(run: CommittedRun): Promise<Result<readonly ResultRow[]>>;
  /** Stored results in the order of their keys. */
  page(after: Uint8Array | undefined): Promise<Result<ResultPage>>;
}

export interface FileSinkOptions {
  readonly context: GatewayContext;
  readonly settings: SinkSettings;
  readonly source: SinkSource;
}

const batchRuns = 256;
const nothing: Position = { runs: 0, rows: 0, bytes: 0, ordinal: 0 };

export class FileSink {
  readonly #options: FileSinkOptions;
  readonly #name: string;
  #file: ResultFile | undefined;
  #position: Position = nothing;
  /** What the document says. */
  #written: Position = nothing;
  /** While copying: stored results of runs that come with their commits. */
  #later: ReadonlySet<string> | undefined;
  #error: string | undefined;

  constructor(options: FileSinkOptions) {
    this.#options = options;
    this.#name = options.settings.name;
  }

  async open(): Promise<Result<void>> {
    const { ports, diagnostics } = this.#options.context;
    const read = await ports.documents.read(this.#documentName());
    if (!read.ok) return read;
    if (isPosition(read.value)) this.#written = this.#position = read.value;
    const file = await ports.resultFiles.open(this.#fileName());
    if (!file.ok) return file;
    this.#file = file.value;
    const cut = await file.value.truncate(this.#position.bytes);
    if (cut.ok) return success(undefined);
    // Somebody shortened or removed the file: it is a copy, and made again from the stored results.
    diagnostics.warn("sink-file-rebuilt", { sink: this.#name, why: cut.message });
    const emptied = await file.value.truncate(0);
    return emptied.ok ? await this.#remember(nothing) : emptied;
  }

  /** Below this ordinal no run is needed any more, whatever happens to this process. */
  durableOrdinal(): number {
    return this.#written.copying === undefined ? (this.#written.ordinal ?? 0) : 0;
  }

  /** Appends what is stored and not in the file yet. False: try again later. */
  async follow(): Promise<boolean> {
    const followed = await this.#followAll();
    this.#error = followed.ok ? undefined : followed.message;
    return followed.ok;
  }

  /** Makes the position durable although no row came: runs of other sinks need not be kept for this one. */
  async settle(): Promise<boolean> {
    if (this.#position === this.#written) return true;
    const remembered = await this.#remember(this.#position);
    return remembered.ok;
  }

  view(): SinkView {
    const { runs, rows } = this.#position;
    const { self } = this.#options.context;
    return {
      name: this.#name,
      type: this.#options.settings.type,
      gateway: self,
      delivered: runs,
      pending: this.#pending(),
      rows,
      error: this.#error,
      location: this.#options.context.ports.resultFiles.locate(this.#fileName()),
    };
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  #pending(): number {
    const { firstOrdinal, runs } = this.#options.source.outbox();
    const from = this.#position.copying?.ordinal ?? this.#position.ordinal;
    if (from === undefined) return 0;
    const upTo = Math.min(runs.length, this.#options.source.storedTo() - firstOrdinal);
    // Nobody counts what a file lacks that is made again: one at least.
    let pending = this.#position.copying !== undefined || from < firstOrdinal ? 1 : 0;
    for (let at = Math.max(0, from - firstOrdinal); at < upTo; at++) if (runs[at]?.sinks.includes(this.#name) === true) pending++;
    return pending;
  }

  async #followAll(): Promise<Result<void>> {
    for (;;) {
      const { firstOrdinal, runs } = this.#options.source.outbox();
      const storedTo = this.#options.source.storedTo();
      const ordinal = this.#position.ordinal ?? this.#ordinalOfOldPosition(firstOrdinal, runs);
      if (ordinal === undefined || storedTo < firstOrdinal) return success(undefined);
      if (this.#position.copying !== undefined || ordinal < firstOrdinal) {
        const copied = await this.#copySome({ storedTo, committed: firstOrdinal + runs.length });
        if (!copied.ok) return copied;
        if (copied.value === "waiting") return success(undefined);
        continue;
      }
      const batch: CommittedRun[] = [];
      const upTo = Math.min(runs.length, storedTo - firstOrdinal);
      let at = ordinal - firstOrdinal;
      for (; at < upTo && batch.length < batchRuns; at++) {
        const run = runs[at] as CommittedRun;
        if (run.sinks.includes(this.#name)) batch.push(run);
      }
      if (batch.length === 0) {
        if (firstOrdinal + at > ordinal) this.#position = { ...this.#position, ordinal: firstOrdinal + at };
        return success(undefined);
      }
      const written = await this.#appendRuns(batch, firstOrdinal + at);
      if (!written.ok) return written;
    }
  }

  /** Where a position stands that says only how many of this sink's runs are in the file. */
  #ordinalOfOldPosition(firstOrdinal: number, runs: readonly CommittedRun[]): number | undefined {
    // Its runs cannot be counted any more.
    if (firstOrdinal > 0) return 0;
    let left = this.#position.runs;
    let at = 0;
    for (; at < runs.length && left > 0; at++) if (runs[at]?.sinks.includes(this.#name) === true) left--;
    if (left > 0) return undefined;
    this.#position = { ...this.#position, ordinal: at };
    return at;
  }

  async #appendRuns(runs: readonly CommittedRun[], ordinal: number): Promise<Result<void>> {
    let text = "";
    let rows = 0;
    for (const run of runs) {
      const found = await this.#options.source.rowsOf(run);
      if (!found.ok) return found;
      text += linesOf(found.value);
      rows += found.value.length;
    }
    return await this.#append(text, { runs: runs.length, rows, next: { ordinal } });
  }

  /** The next page of a file that is made again. */
  async #copySome(now: { readonly storedTo: number; readonly committed: number }): Promise<Result<"copied" | "waiting">> {
    let { copying } = this.#position;
    if (copying?.ordinal !== now.storedTo) {
      // More was stored since it began, before and behind where it is.
      copying = { ordinal: now.storedTo, committed: now.committed, after: "" };
      this.#options.context.diagnostics.info("sink-file-made-again", { sink: this.#name, ordinal: now.storedTo });
      this.#later = undefined;
      const begun = await this.#remember({ ...nothing, copying });
      if (!begun.ok) return begun;
    }
    if (now.committed < copying.committed) return success("waiting");
    this.#later ??= this.#keysFrom(copying.ordinal);
    const later = this.#later;
    const after = copying.after === "" ? undefined : fromHex(copying.after);
    const page = await this.#options.source.page(after);
    if (!page.ok) return page;
    let text = "";
    let rows = 0;
    let runs = 0;
    for (const entry of page.value.entries) {
      if (!this.#isFor(entry) || later.has(toHex(entry.key))) continue;
      const decoded = decodeRows(this.#options.context.packing, entry.rows);
      if (!decoded.ok) return decoded;
      text += linesOf(decoded.value);
      rows += decoded.value.length;
      runs++;
    }
    const last = page.value.entries.at(-1);
    const isMore = page.value.more && last !== undefined;
    const next = isMore ? { ordinal: 0, copying: { ...copying, after: toHex(last.key) } } : { ordinal: copying.ordinal };
    const written = await this.#append(text, { runs, rows, next });
    return written.ok ? success("copied") : written;
  }

  #keysFrom(ordinal: number): ReadonlySet<string> {
    const { firstOrdinal, runs } = this.#options.source.outbox();
    const later = runs.slice(Math.max(0, ordinal - firstOrdinal));
    return new Set(later.map((run) => toHex(resultKey(run.job, run.fromMs, run.revision))));
  }

  /** An older version did not store which sinks a result is for: it is for those that its job has now. */
  #isFor(entry: StoredResult): boolean {
    if (entry.sinks !== undefined) return entry.sinks.includes(this.#name);
    const job = jobOfResultKey(entry.key);
    return this.#options.context.settings.jobs.some((settings) => settings.name === job && settings.sinks.includes(this.#name));
  }

  async #append(
    text: string,
    more: { readonly runs: number; readonly rows: number; readonly next: { readonly ordinal: number; readonly copying?: Copying } },
  ): Promise<Result<void>> {
    if (this.#file === undefined) return failure("store-failed", "the file is not open");
    const { runs, rows, bytes } = this.#position;
    // A failed append may have written some of it: begin again where the position says.
    const cut = await this.#file.truncate(bytes);
    if (!cut.ok) return cut;
    const appended = text === "" ? success(bytes) : await this.#file.append(text);
    if (!appended.ok) return appended;
    return await this.#remember({ runs: runs + more.runs, rows: rows + more.rows, bytes: appended.value, ...more.next });
  }

  async #remember(position: Position): Promise<Result<void>> {
    const written = await this.#options.context.ports.documents.write(this.#documentName(), position);
    if (written.ok) this.#written = this.#position = position;
    return written;
  }

  #documentName(): string {
    return `sink-${this.#name}`;
  }

  #fileName(): string {
    return `${this.#name}.ndjson`;
  }
}

function linesOf(rows: readonly ResultRow[]): string {
  let text = "";
  for (const row of rows) text += `${JSON.stringify(row)}\n`;
  return text;
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== "object" || value === null) return false;
  const { runs, rows, bytes, ordinal, copying } = value as Partial<Record<keyof Position, unknown>>;
  const numbers = [runs, rows, bytes, ordinal ?? 0].every((item) => typeof item === "number");
  return numbers && (copying === undefined || isCopying(copying));
}

function isCopying(value: unknown): value is Copying {
  if (typeof value !== "object" || value === null) return false;
  const { ordinal, committed, after } = value as Partial<Record<keyof Copying, unknown>>;
  return typeof ordinal === "number" && typeof committed === "number" && typeof after === "string" && fromHex(after) !== undefined;
}
