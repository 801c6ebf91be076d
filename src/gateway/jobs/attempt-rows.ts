/**
 * Rows of attempts that are not committed yet: durable in the readings log of a majority before the commit is proposed,
 * and invisible until it is. Kept in memory until their window's commit has been stored.
 */

import { copyBytes } from "../../lib/bytes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import { type ReadingsLog, RecordKind } from "../readings-log.ts";
import type { Requests } from "../requests.ts";

export interface AttemptRows {
  readonly job: string;
  readonly fromMs: number;
  readonly attempt: number;
  /** The window's revision that the attempt builds on: once another commit stands on it, these rows are of no use. */
  readonly baseRevision: number;
  readonly rows: Uint8Array;
}

const bytesMax = 64 << 20;
const keepTimeoutMs = 5_000;

export class AttemptKeeper {
  readonly #context: GatewayContext;
  readonly #log: ReadingsLog;
  readonly #requests: Requests;
  readonly #useless: (rows: AttemptRows) => boolean;
  readonly #gateways: () => readonly GatewayId[];
  readonly #kept = new Map<string, AttemptRows>();
  #bytes = 0;

  constructor(options: {
    /** Whether the rows can never be committed any more, or are stored: such rows are not kept. */
    readonly useless: (rows: AttemptRows) => boolean;
    readonly context: GatewayContext;
    readonly log: ReadingsLog;
    readonly requests: Requests;
    readonly restored: readonly AttemptRows[];
    /** Those that keep results, as of now. */
    readonly gateways: () => readonly GatewayId[];
  }) {
    this.#context = options.context;
    this.#log = options.log;
    this.#requests = options.requests;
    this.#useless = options.useless;
    this.#gateways = options.gateways;
    for (const rows of options.restored) this.#add(rows);
    options.requests.serve("keep-rows", (_from, body) => this.#keepForPeer(body));
  }

  find(job: string, fromMs: number, attempt: number): Uint8Array | undefined {
    return this.#kept.get(keyOf({ job, fromMs, attempt }))?.rows;
  }

  /** The window's commits moved on: lets go of rows that are useless now. */
  tidy(job: string, fromMs: number): void {
    for (const rows of this.#kept.values()) if (rows.job === job && rows.fromMs === fromMs) this.#dropUseless(rows);
  }

  /** The state moved on by more than single commits: lets go of all rows that are useless now. */
  tidyAll(): void {
    for (const rows of this.#kept.values()) this.#dropUseless(rows);
  }

  #dropUseless(rows: AttemptRows): void {
    if (!this.#useless(rows)) return;
    this.#kept.delete(keyOf(rows));
    this.#bytes -= rows.rows.length;
  }

  /** Writes all again to the end of the log, whose front is about to be trimmed. False: the log had no room for all. */
  carryOver(): boolean {
    for (const rows of this.#kept.values()) if (!this.#append([rows], () => undefined)) return false;
    return true;
  }

  /** Makes the rows durable on a majority of the gateways, this one perhaps among them. */
  async keepOnMajority(rows: readonly AttemptRows[]): Promise<Result<void>> {
    const gateways = this.#gateways();
    if (gateways.length === 0) return failure("quorum-unavailable", "the site has no gateway that keeps rows now");
    const needed = Math.floor(gateways.length / 2) + 1;
    const copies = await new Promise<number>((resolve) => {
      let kept = 0;
      let open = gateways.length;
      const settle = (ok: boolean) => {
        open--;
        if (ok) kept++;
        if (kept === needed || open === 0) resolve(kept);
      };
      for (const gateway of gateways) {
        const done =
          gateway === this.#context.self
            ? this.#keepHere(rows)
            : this.#requests.call(gateway, "keep-rows", { rows }, { timeoutMs: keepTimeoutMs, channel: "job" });
        done.then(
          (result) => settle(result.ok),
          () => settle(false),
        );
      }
    });
    if (copies >= needed) return success(undefined);
    return failure("quorum-unavailable", `the rows reached ${copies} of ${gateways.length} gateways, ${needed} are needed`);
  }

  #keepForPeer(body: unknown): Promise<Result<unknown>> {
    const rows = (body as { rows?: unknown } | null)?.rows;
    if (!Array.isArray(rows) || !rows.every(isAttemptRows))
      return Promise.resolve(failure("bad-request", "these are no rows of an attempt"));
    // The frame's memory is shared with other frames.
    return this.#keepHere(rows.map((item) => ({ ...item, rows: copyBytes(item.rows) })));
  }

  #keepHere(rows: readonly AttemptRows[]): Promise<Result<unknown>> {
    return new Promise((resolve) => {
      if (this.#bytes > bytesMax) {
        resolve(failure("busy", `${this.#context.self} keeps ${this.#bytes} bytes of uncommitted rows`));
        return;
      }
      const taken = this.#append(rows, () => {
        for (const item of rows) this.#add(item);
        resolve(success({}));
      });
      if (!taken) resolve(failure("busy", `the log of ${this.#context.self} is behind`));
    });
  }

  #append(rows: readonly AttemptRows[], durable: () => void): boolean {
    return this.#log.appendPacked(RecordKind.AttemptRows, { rows }, () => this.#context.inbox.post(durable)) !== undefined;
  }

  #add(rows: AttemptRows): void {
    const key = keyOf(rows);
    if (this.#kept.has(key) || this.#useless(rows)) return;
    this.#kept.set(key, rows);
    this.#bytes += rows.rows.length;
  }
}

/** The rows of a log record, or nothing when it holds none. */
export function restoredAttempts(body: unknown): AttemptRows[] {
  const rows = (body as { rows?: unknown } | null)?.rows;
  return Array.isArray(rows) ? rows.filter(isAttemptRows).map((item) => ({ ...item, rows: copyBytes(item.rows) })) : [];
}

function isAttemptRows(value: unknown): value is AttemptRows {
  if (typeof value !== "object" || value === null) return false;
  const { job, fromMs, attempt, baseRevision, rows } = value as Partial<Record<keyof AttemptRows, unknown>>;
  const numbers = [fromMs, attempt, baseRevision].every((item) => typeof item === "number");
  return typeof job === "string" && numbers && rows instanceof Uint8Array;
}

function keyOf(rows: Pick<AttemptRows, "job" | "fromMs" | "attempt">): string {
  return `${rows.job} ${rows.fromMs} ${rows.attempt}`;
}
