/**
 * Committed results of a backup become committed results of this site: for each window its commits are made again in their order,
 * through the commands of a run. They go to the sinks that they went to, as every commit does: whether the old site had sent them
 * everywhere cannot be known, and a sink that upserts by id and revision holds each once.
 *
 * The rows stay what they were, their revisions included. A window has them at the same revisions, unless the site found it empty
 * before (its jobs run, too): then behind those. A window for which the site has rows of its own is left as it is.
 */

import type { RunCommitWindow } from "../../core/site/commands.ts";
import type { ResultItem } from "../../lib/backup-items.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { AttemptRows } from "../jobs/attempt-rows.ts";
import { decodeRows, digestOfRows, encodeRows } from "../jobs/result-row.ts";
import type { RestoredBlock, ResultRow } from "../service.ts";
import type { RestoreOptions } from "./restore.ts";
import { sameBytes, Tally } from "./tally.ts";

type Options = Pick<RestoreOptions, "context" | "consensus" | "state" | "results" | "attempts">;

const timeoutMs = 10_000;
const commitsPerBatch = 256;
const batchBytes = 1 << 20;
/** Revisions that an incomplete backup may lack before one that it has. */
const gapMax = 1_000;
/** The newest revisions of a window that are searched for rows of the backup. */
const revisionsLookedAt = 1_000;

/** An item, and the revision of its window that it is to become. */
interface Placed {
  readonly item: ResultItem;
  readonly revision: number;
  /** Stands for one that the backup lacks. */
  readonly isGap: boolean;
}

/** A window while the items of a block are placed. */
interface Window {
  /** As of the state, and with what is placed behind it. */
  readonly standing: number;
  planned: number;
  conflicts: boolean;
}

export class RestoredResults {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async take(items: readonly ResultItem[], { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const { consensus, results, context } = this.#options;
    for (const item of items)
      if (!decodeRows(context.packing, item.rows).ok) return failure("bad-request", `the rows of ${nameOf(item)} are malformed`);
    const fresh = await consensus.fresh(timeoutMs);
    if (!fresh.ok) return fresh;
    const caughtUp = await results.caughtUp(timeoutMs);
    if (!caughtUp.ok) return caughtUp;
    const tally = new Tally("results", items.length);
    const placed = await this.#place(items, tally);
    if (!placed.ok) return placed;
    if (check) return success(tally.missed(placed.value.map(({ item }) => nameOf(item))));
    for (const batch of batchesOf(placed.value)) {
      const committed = await this.#commit(batch, tally);
      if (!committed.ok) return committed;
    }
    return success(tally.done());
  }

  /** What is neither here nor in conflict, each with where it goes. */
  async #place(items: readonly ResultItem[], tally: Tally): Promise<Result<Placed[]>> {
    const windows = new Map<string, Window>();
    const placed: Placed[] = [];
    for (const item of items) {
      const key = `${item.job} ${item.fromMs}`;
      const standing = this.#options.state.job(item.job)?.windows.get(item.fromMs)?.revision ?? 0;
      const window = windows.get(key) ?? { standing, planned: standing, conflicts: false };
      windows.set(key, window);
      const found = await this.#find(item, window.standing);
      if (!found.ok) return found;
      if (found.value === "present") {
        tally.present++;
      } else if (found.value === "other" || window.conflicts) {
        window.conflicts = true;
        tally.conflict(nameOf(item));
      } else {
        const revision = Math.max(window.planned + 1, item.revision);
        if (revision - window.planned > gapMax)
          return failure("bad-request", `${nameOf(item)} comes behind revision ${window.planned}: too many are missing`);
        // Revisions whose rows an incomplete backup lacks are committed without rows, so that those behind them keep their numbers.
        for (let gap = window.planned + 1; gap < revision; gap++)
          placed.push({ item: { ...item, rows: encodeRows(this.#options.context.packing, []) }, revision: gap, isGap: true });
        placed.push({ item, revision, isGap: false });
        window.planned = revision;
      }
    }
    return success(placed);
  }

  /** Whether the window has these rows, or at least as recent ones of its own. */
  async #find(item: ResultItem, standing: number): Promise<Result<"present" | "absent" | "other">> {
    const { results, context } = this.#options;
    // Without rows it says nothing that the window does not say already.
    if (standing >= item.revision && rowsIn(context.packing, item.rows).length === 0) return success("present");
    let isOther = false;
    for (let revision = Math.max(1, standing - revisionsLookedAt); revision <= standing; revision++) {
      const here = await results.rowsOf({ ...item, revision });
      if (!here.ok) return here;
      if (here.value === undefined) continue;
      if (sameBytes(here.value, item.rows)) return success("present");
      isOther ||= rowsIn(context.packing, here.value).some((row) => row.revision >= item.revision);
    }
    return success(isOther ? "other" : "absent");
  }

  /** Items of one job and of the same sinks. */
  async #commit(placed: readonly Placed[], tally: Tally): Promise<Result<void>> {
    const { context, consensus, attempts } = this.#options;
    const job = placed[0]?.item.job ?? "";
    const sinks = this.#sinksOf(placed[0]?.item);
    const windows = placed.map(({ item: { fromMs, toMs } }) => ({ fromMs, toMs }));
    const claimed = await consensus.propose({ t: "run-claim", job, windows, gateway: context.self }, timeoutMs);
    if (!claimed.ok) return claimed;
    if (claimed.value.t !== "claim") return failure("internal", "a claim was answered with something else");
    const kept: AttemptRows[] = [];
    const commits: RunCommitWindow[] = [];
    for (const [at, { item, revision }] of placed.entries()) {
      const attempt = claimed.value.claims[at]?.attempt;
      if (attempt === undefined) return failure("internal", "a claim lacks a window");
      const { fromMs, toMs } = item;
      const rows = copyBytes(item.rows);
      const baseRevision = revision - 1;
      kept.push({ job, fromMs, attempt, baseRevision, rows });
      commits.push({ fromMs, toMs, attempt, baseRevision, rows: rowsIn(context.packing, rows).length, digest: digestOfRows(rows) });
    }
    const durable = await attempts.keepOnMajority(kept);
    if (!durable.ok) return durable;
    const done = await consensus.propose({ t: "run-commit", job, windows: commits, sinks }, timeoutMs);
    if (!done.ok) return done;
    if (done.value.t !== "commit") return failure("internal", "a commit was answered with something else");
    const made = new Set(done.value.runs.map((run) => `${run.fromMs} ${run.revision}`));
    for (const { item, revision, isGap } of placed) {
      if (isGap) continue;
      if (made.has(`${item.fromMs} ${revision}`)) tally.applied++;
      else tally.conflict(`${nameOf(item)} (committed meanwhile)`);
    }
    return success(undefined);
  }

  /** Where an older version did not note the sinks: those that the job has here. */
  #sinksOf(item: ResultItem | undefined): readonly string[] {
    return item?.sinks ?? this.#options.context.settings.jobs.find((job) => job.name === item?.job)?.sinks ?? [];
  }
}

function rowsIn(packing: Options["context"]["packing"], bytes: Uint8Array): readonly ResultRow[] {
  const rows = decodeRows(packing, bytes);
  return rows.ok ? rows.value : [];
}

const nameOf = ({ job, fromMs, revision }: ResultItem): string => `result ${job} ${new Date(fromMs).toISOString()} revision ${revision}`;

function* batchesOf(placed: readonly Placed[]): Generator<Placed[]> {
  let batch: Placed[] = [];
  let bytes = 0;
  for (const next of placed) {
    const first = batch[0]?.item;
    const { job, sinks, rows } = next.item;
    const isOther = first !== undefined && (first.job !== job || JSON.stringify(first.sinks) !== JSON.stringify(sinks));
    if (first !== undefined && (isOther || batch.length >= commitsPerBatch || bytes + rows.length > batchBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(next);
    bytes += rows.length;
  }
  if (batch.length > 0) yield batch;
}
