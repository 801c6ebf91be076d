// Processes that run seeds, each one seed at a time, in the order in which they were asked for.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { SeedReport } from "../src/sim/run-seed.ts";

/** What a worker is sent; a `SeedReport` comes back. */
export interface SeedTask {
  readonly seed: number;
  readonly faultsMs: number;
  /** Numbers of strikes that do nothing. */
  readonly skip: readonly number[];
  readonly gateways?: number;
  readonly only?: readonly string[];
}

interface Waiting {
  readonly task: SeedTask;
  readonly resolve: (report: SeedReport) => void;
}

interface Worker {
  readonly child: ChildProcess;
  current: (Waiting & { readonly hangs: NodeJS.Timeout }) | undefined;
}

/** A seed that takes longer than this (real time) hangs. */
const seedLimitMs = 300_000;
const script = fileURLToPath(new URL("sim-worker.ts", import.meta.url));

export class SeedWorkers {
  readonly #count: number;
  readonly #workers = new Set<Worker>();
  readonly #waiting: Waiting[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  /** A process that dies or hangs over a seed fails that seed, and another one takes its place. */
  run(task: SeedTask): Promise<SeedReport> {
    return new Promise((resolve) => {
      this.#waiting.push({ task, resolve });
      this.#next();
    });
  }

  /** Ends the processes; to be called when nothing is under way. */
  close(): void {
    for (const { child } of this.#workers) child.disconnect();
    this.#workers.clear();
  }

  #next(): void {
    const worker = [...this.#workers].find(({ current }) => current === undefined) ?? this.#start();
    const waiting = worker === undefined ? undefined : this.#waiting.shift();
    if (worker === undefined || waiting === undefined) return;
    worker.current = { ...waiting, hangs: setTimeout(() => worker.child.kill("SIGKILL"), seedLimitMs) };
    // Where nobody takes it any more, the exit says so.
    worker.child.send(waiting.task, () => undefined);
  }

  /** Nearly all that a seed allocates dies young: a larger nursery is emptied less often. */
  #start(): Worker | undefined {
    if (this.#workers.size >= this.#count || this.#waiting.length === 0) return undefined;
    const child = fork(script, { execArgv: ["--max-semi-space-size=32", "--import", "tsx"], serialization: "advanced" });
    const worker: Worker = { child, current: undefined };
    this.#workers.add(worker);
    child.on("message", (report) => this.#finish(worker, report as SeedReport));
    child.on("exit", (code, signal) => {
      this.#workers.delete(worker);
      const how =
        signal === "SIGKILL" ? `was killed, perhaps after ${seedLimitMs / 1_000} s without an end` : `ended (${String(code ?? signal)})`;
      if (worker.current !== undefined) this.#finish(worker, failed(worker.current.task, `the process that ran it ${how}`));
    });
    return worker;
  }

  #finish(worker: Worker, report: SeedReport): void {
    const { current } = worker;
    worker.current = undefined;
    if (current === undefined) return;
    clearTimeout(current.hangs);
    current.resolve(report);
    this.#next();
  }
}

function failed({ seed }: SeedTask, problem: string): SeedReport {
  return { seed, ok: false, problem, traceHash: "", virtualMs: 0, events: 0, acknowledged: 0, committed: 0, faults: 0, recent: [] };
}
