/**
 * Committed results of a backup become committed results of this site, with the revisions that they had: for each window its
 * commits are made again in their order, through the commands of a run. They go to the sinks that they went to, as every commit
 * does: whether the old site had sent them everywhere cannot be known, and a sink that upserts by id and revision holds each once.
 */

import type { RunCommitWindow } from "../../core/site/commands.ts";
import type { ResultItem } from "../../lib/backup-items.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { AttemptRows } from "../jobs/attempt-rows.ts";
import { decodeRows, digestOfRows, encodeRows } from "../jobs/result-row.ts";
import type { RestoredBlock } from "../service.ts";
import type { RestoreOptions } from "./restore.ts";
import { sameBytes, Tally } from "./tally.ts";

type Options = Pick<RestoreOptions, "context" | "consensus" | "state" | "results" | "attempts">;

const timeoutMs = 10_000;
const commitsPerBatch = 256;
const batchBytes = 1 << 20;
/** Revisions that an incomplete backup may lack before one that it has. */
const gapMax = 1_000;

export class RestoredResults {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async take(items: readonly ResultItem[], { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const { consensus, results } = this.#options;
    const fresh = await consensus.fresh(timeoutMs);
    if (!fresh.ok) return fresh;
    const caughtUp = await results.caughtUp(timeoutMs);
    if (!caughtUp.ok) return caughtUp;
    const tally = new Tally("results", items.length);
    const open: ResultItem[] = [];
    for (const item of items) {
      if (this.#revisionOf(item) < item.revision) {
        open.push(item);
        continue;
      }
      const here = await results.rowsOf(item);
      if (!here.ok) return here;
      if (here.value !== undefined && sameBytes(here.value, item.rows)) tally.present++;
      else tally.conflict(nameOf(item));
    }
    if (check) return success(tally.missed(open.map(nameOf)));
    for (const batch of batchesOf(open)) {
      const committed = await this.#commit(batch, tally);
      if (!committed.ok) return committed;
    }
    return success(tally.done());
  }

  #revisionOf({ job, fromMs }: ResultItem): number {
    return this.#options.state.job(job)?.windows.get(fromMs)?.revision ?? 0;
  }

  /** Items of one job and of the same sinks. */
  async #commit(items: readonly ResultItem[], tally: Tally): Promise<Result<void>> {
    const { context, consensus, attempts } = this.#options;
    const job = items[0]?.job ?? "";
    const sinks = this.#sinksOf(items[0]);
    const wanted: ResultItem[] = [];
    const standing = new Map<number, number>();
    for (const item of items) {
      if (!decodeRows(context.packing, item.rows).ok) return failure("bad-request", `the rows of ${nameOf(item)} are malformed`);
      // Revisions whose rows an incomplete backup lacks are committed without rows, so that those behind them keep their numbers.
      const from = standing.get(item.fromMs) ?? this.#revisionOf(item);
      if (item.revision - from > gapMax)
        return failure("bad-request", `${nameOf(item)} comes behind revision ${from}: too many are missing`);
      for (let revision = from + 1; revision < item.revision; revision++)
        wanted.push({ ...item, revision, rows: encodeRows(context.packing, []) });
      if (item.revision > from) wanted.push(item);
      standing.set(item.fromMs, item.revision);
    }
    const windows = wanted.map(({ fromMs, toMs }) => ({ fromMs, toMs }));
    const claimed = await consensus.propose({ t: "run-claim", job, windows, gateway: context.self }, timeoutMs);
    if (!claimed.ok) return claimed;
    if (claimed.value.t !== "claim") return failure("internal", "a claim was answered with something else");
    const kept: AttemptRows[] = [];
    const commits: RunCommitWindow[] = [];
    for (const [at, item] of wanted.entries()) {
      const attempt = claimed.value.claims[at]?.attempt;
      if (attempt === undefined) return failure("internal", "a claim lacks a window");
      const rows = copyBytes(item.rows);
      const { fromMs, toMs } = item;
      const baseRevision = item.revision - 1;
      kept.push({ job, fromMs, attempt, baseRevision, rows });
      commits.push({ fromMs, toMs, attempt, baseRevision, rows: rowCount(context.packing, rows), digest: digestOfRows(rows) });
    }
    const durable = await attempts.keepOnMajority(kept);
    if (!durable.ok) return durable;
    const done = await consensus.propose({ t: "run-commit", job, windows: commits, sinks }, timeoutMs);
    if (!done.ok) return done;
    if (done.value.t !== "commit") return failure("internal", "a commit was answered with something else");
    const made = new Set(done.value.runs.map((run) => `${run.fromMs} ${run.revision}`));
    for (const item of items) {
      if (made.has(`${item.fromMs} ${item.revision}`)) tally.applied++;
      else tally.conflict(`${nameOf(item)} (committed meanwhile)`);
    }
    return success(undefined);
  }

  /** Where an older version did not note the sinks: those that the job has here. */
  #sinksOf(item: ResultItem | undefined): readonly string[] {
    return item?.sinks ?? this.#options.context.settings.jobs.find((job) => job.name === item?.job)?.sinks ?? [];
  }
}

function rowCount(packing: Options["context"]["packing"], bytes: Uint8Array): number {
  const rows = decodeRows(packing, bytes);
  return rows.ok ? rows.value.length : 0;
}

const nameOf = ({ job, fromMs, revision }: ResultItem): string => `result ${job} ${new Date(fromMs).toISOString()} revision ${revision}`;

function* batchesOf(items: readonly ResultItem[]): Generator<ResultItem[]> {
  let batch: ResultItem[] = [];
  let bytes = 0;
  for (const item of items) {
    const first = batch[0];
    const isOther = first !== undefined && (first.job !== item.job || JSON.stringify(first.sinks) !== JSON.stringify(item.sinks));
    if (first !== undefined && (isOther || batch.length >= commitsPerBatch || bytes + item.rows.length > batchBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += item.rows.length;
  }
  if (batch.length > 0) yield batch;
}
