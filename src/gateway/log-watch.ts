/** Says in the gateway's own log, once, when a log on disk cannot be written any more, and when it can again. */

import type { Diagnostics } from "../ports/diagnostics.ts";
import type { Log, LogHealth } from "../ports/log.ts";

export interface WatchedLog {
  /** `readings log`, `Raft log`. */
  readonly name: string;
  readonly log: Pick<Log, "health">;
}

export class LogWatch {
  readonly #logs: readonly WatchedLog[];
  readonly #diagnostics: Pick<Diagnostics, "info" | "error">;
  /** What was last said: the code of the trouble. */
  readonly #trouble = new Map<string, string>();

  constructor(logs: readonly WatchedLog[], diagnostics: Pick<Diagnostics, "info" | "error">) {
    this.#logs = logs;
    this.#diagnostics = diagnostics;
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
  }

  /** Of the logs that cannot be written now: a sentence for each. */
  troubles(): string[] {
    return this.#logs.flatMap(({ name, log }) => {
      const health = log.health();
      return health.ok ? [] : [`the ${name} cannot be written (${codeOf(health)}): ${health.message ?? ""}`];
    });
  }
}

function codeOf(health: LogHealth): string {
  return health.code ?? "unknown";
}
