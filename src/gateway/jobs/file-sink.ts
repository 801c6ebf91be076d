/**
 * This gateway's own, complete NDJSON copy of a sink's results: one line a row, in commit order. The position document
 * is written after the file was fsynced; lines behind it are cut off at the next start and written again.
 */

import type { SinkSettings } from "../../config/settings.ts";
import type { CommittedRun } from "../../core/site/apply-result.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { ResultFile } from "../../ports/result-file.ts";
import type { GatewayContext } from "../context.ts";
import type { ResultRow, SinkView } from "../service.ts";

interface Position {
  /** Runs of the sink's commits that are in the file. */
  readonly runs: number;
  readonly rows: number;
  readonly bytes: number;
}

export interface FileSinkOptions {
  readonly context: GatewayContext;
  readonly settings: SinkSettings;
  readonly rowsOf: (run: CommittedRun) => Promise<Result<readonly ResultRow[]>>;
}

const batchRuns = 256;

export class FileSink {
  readonly #options: FileSinkOptions;
  #file: ResultFile | undefined;
  #position: Position = { runs: 0, rows: 0, bytes: 0 };
  /** All commits of this sink in order, those in the file included. */
  readonly #runs: CommittedRun[] = [];
  #error: string | undefined;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  async open(): Promise<Result<void>> {
    const { ports, diagnostics } = this.#options.context;
    const read = await ports.documents.read(this.#documentName());
    if (!read.ok) return read;
    if (isPosition(read.value)) this.#position = read.value;
    const file = await ports.resultFiles.open(this.#fileName());
    if (!file.ok) return file;
    this.#file = file.value;
    const cut = await file.value.truncate(this.#position.bytes);
    if (cut.ok) return success(undefined);
    // Somebody shortened or removed the file: it is a copy, and made again from the stored results.
    diagnostics.warn("sink-file-rebuilt", { sink: this.#options.settings.name, why: cut.message });
    this.#position = { runs: 0, rows: 0, bytes: 0 };
    const emptied = await file.value.truncate(0);
    return emptied.ok ? ports.documents.write(this.#documentName(), this.#position) : emptied;
  }

  /** A commit whose rows are stored here; in commit order, each once. */
  offer(run: CommittedRun): void {
    if (run.sinks.includes(this.#options.settings.name)) this.#runs.push(run);
  }

  /** Appends what was offered and is not in the file yet. False: try again later. */
  async follow(): Promise<boolean> {
    while (this.#position.runs < this.#runs.length) {
      const written = await this.#appendSome(this.#runs.slice(this.#position.runs, this.#position.runs + batchRuns));
      this.#error = written.ok ? undefined : written.message;
      if (!written.ok) return false;
    }
    return true;
  }

  view(): SinkView {
    const { runs, rows } = this.#position;
    const { self } = this.#options.context;
    return {
      name: this.#options.settings.name,
      type: this.#options.settings.type,
      gateway: self,
      delivered: runs,
      pending: Math.max(0, this.#runs.length - runs),
      rows,
      error: this.#error,
      location: this.#options.context.ports.resultFiles.locate(this.#fileName()),
    };
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async #appendSome(runs: readonly CommittedRun[]): Promise<Result<void>> {
    if (this.#file === undefined) return failure("store-failed", "the file is not open");
    let text = "";
    let rows = 0;
    for (const run of runs) {
      const found = await this.#options.rowsOf(run);
      if (!found.ok) return found;
      for (const row of found.value) text += `${JSON.stringify(row)}\n`;
      rows += found.value.length;
    }
    // A failed append may have written some of it: begin again where the position says.
    const cut = await this.#file.truncate(this.#position.bytes);
    if (!cut.ok) return cut;
    const appended = text === "" ? success(this.#position.bytes) : await this.#file.append(text);
    if (!appended.ok) return appended;
    const next: Position = { runs: this.#position.runs + runs.length, rows: this.#position.rows + rows, bytes: appended.value };
    const written = await this.#options.context.ports.documents.write(this.#documentName(), next);
    if (written.ok) this.#position = next;
    return written;
  }

  #documentName(): string {
    return `sink-${this.#options.settings.name}`;
  }

  #fileName(): string {
    return `${this.#options.settings.name}.ndjson`;
  }
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== "object" || value === null) return false;
  const { runs, rows, bytes } = value as Partial<Record<keyof Position, unknown>>;
  return typeof runs === "number" && typeof rows === "number" && typeof bytes === "number";
}
