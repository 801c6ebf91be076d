// Processes that run seeds, each one seed at a time, in the order in which they were asked for.
import { type ChildProcess, fork } from "node:child_process";
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
/**
 * Of V8's nursery. Nearly all that a seed allocates dies young, so that a larger one than the default is emptied less often; one
 * that does not fit into the processor's cache with its neighbour's costs more than it saves.
 */
const nurseryMb = 8;

export class SeedWorkers {
  readonly #count: number;
  readonly #script: string;
  readonly #workers = new Set<Worker>();
  readonly #waiting: Waiting[] = [];

  /** `script`: what `bundleScript` made. */
  constructor(count: number, script: string) {
    this.#count = count;
    this.#script = script;
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

  #start(): Worker | undefined {
    if (this.#workers.size >= this.#count || this.#waiting.length === 0) return undefined;
    const child = fork(this.#script, {
      execArgv: [`--max-semi-space-size=${nurseryMb}`, "--enable-source-maps"],
      serialization: "advanced",
    });
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
