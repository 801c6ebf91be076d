/**
 * Says in the gateway's own log, once, when a log on disk cannot be written any more, and when it can again; and when the
 * disk takes so long over an fsync of the Raft log that elections may begin without need. To be asked every second.
 */

import type { Diagnostics } from "../ports/diagnostics.ts";
import type { Log, LogHealth } from "../ports/log.ts";

export interface WatchedLog {
  /** `readings log`, `Raft log`. */
  readonly name: string;
  readonly log: Pick<Log, "health">;
}

/** What a follower acknowledges waits for its fsync: the leader hears nothing meanwhile. */
export interface FsyncLimit {
  readonly log: Pick<Log, "takeLongestFsyncMs">;
  readonly electionTimeoutMinMs: number;
  /** For a person: what to do about it. */
  readonly remedy: string;
}

/** An fsync may take this part of the shortest election timeout. */
const fsyncShare = 1 / 3;
/** After so many looks without another one, slow fsyncs are forgotten. */
const quietLooks = 60;

export class LogWatch {
  readonly #logs: readonly WatchedLog[];
  readonly #diagnostics: Pick<Diagnostics, "info" | "warn" | "error">;
  readonly #fsync: FsyncLimit;
  /** What was last said: the code of the trouble. */
  readonly #trouble = new Map<string, string>();
  /** The slowest fsync since slow ones began; 0 while there are none. */
  #slowestMs = 0;
  #looksSinceSlow = 0;

  constructor(options: {
    readonly logs: readonly WatchedLog[];
    readonly fsync: FsyncLimit;
    readonly diagnostics: Pick<Diagnostics, "info" | "warn" | "error">;
  }) {
    this.#logs = options.logs;
    this.#fsync = options.fsync;
    this.#diagnostics = options.diagnostics;
  }

  /** Compares with the last look. */
  look(): void {
    for (const { name, log } of this.#logs) {
      const health = log.health();
      const code = health.ok ? undefined : codeOf(health);
      if (code === this.#trouble.get(name)) continue;
      if (code === undefined) {
        this.#trouble.delete(name);
        this.#diagnostics.info("log-written-again", { log: name });
      } else {
        this.#trouble.set(name, code);
        this.#diagnostics.error("log-cannot-be-written", { log: name, code, message: health.message ?? "" });
      }
    }
    this.#lookAtFsyncs();
  }

  /** Of the logs that cannot be written now: a sentence for each. */
  troubles(): string[] {
    return this.#logs.flatMap(({ name, log }) => {
      const health = log.health();
      return health.ok ? [] : [`the ${name} cannot be written (${codeOf(health)}): ${health.message ?? ""}`];
    });
  }

  fsyncIsSlow(): boolean {
    return this.#slowestMs > 0;
  }

  /** What does not keep the gateway from serving. */
  warnings(): string[] {
    if (!this.fsyncIsSlow()) return [];
    const { electionTimeoutMinMs, remedy } = this.#fsync;
    return [
      `an fsync of the Raft log took ${Math.round(this.#slowestMs)} ms, more than a third of the election timeout of ` +
        `${electionTimeoutMinMs} ms: elections may begin without need. ${remedy}`,
    ];
  }

  /** Said when it begins, and when it has not happened for a minute. */
  #lookAtFsyncs(): void {
    const { log, electionTimeoutMinMs, remedy } = this.#fsync;
    const longestMs = log.takeLongestFsyncMs();
    const limitMs = electionTimeoutMinMs * fsyncShare;
    if (longestMs > limitMs) {
      const began = this.#slowestMs === 0;
      this.#slowestMs = Math.max(this.#slowestMs, longestMs);
      this.#looksSinceSlow = 0;
      if (began)
        this.#diagnostics.warn("raft-fsync-slow", {
          tookMs: Math.round(longestMs),
          limitMs: Math.round(limitMs),
          electionTimeoutMinMs,
          remedy,
        });
    } else if (this.#slowestMs > 0 && ++this.#looksSinceSlow >= quietLooks) {
      this.#diagnostics.info("raft-fsync-fast-again", { slowestMs: Math.round(this.#slowestMs), limitMs: Math.round(limitMs) });
      this.#slowestMs = 0;
    }
  }
}

function codeOf(health: LogHealth): string {
  return health.code ?? "unknown";
}
