// `npm run sim -- …`: sweeps seeds of the simulated site in processes of their own, or replays one; `sim-options.ts` says what it
// can be asked for. Exit 1 when a seed fails, or leaves another trace the second time; 2 when the options are wrong.
import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { faultsMsDefault, type SeedReport } from "../src/sim/run-seed.ts";
import { bundleScript } from "./bundle.ts";
import { readSimOptions, type SimOptions, simUsage } from "./sim-options.ts";
import { shrink } from "./sim-shrink.ts";
import { type SeedTask, SeedWorkers } from "./sim-workers.ts";

/** Seeds of a worker until they are run again, and in all that wait at a time. */
const batchPerWorker = 100;

class Sweep {
  readonly #options: SimOptions;
  readonly #startedMs = performance.now();
  #runs = 0;
  #seeds = 0;
  #failed = 0;
  #virtualMs = 0;

  constructor(options: SimOptions) {
    this.#options = options;
  }

  async run(): Promise<boolean> {
    const { from, seeds, workers, twice } = this.#options;
    const size = Math.min(workers, seeds);
    const script = bundleScript(new URL("sim-worker.ts", import.meta.url));
    let pool = new SeedWorkers(size, script);
    for (let next = from; next < from + seeds && !this.#timeIsOver(); ) {
      const count = Math.min(batchPerWorker * workers, from + seeds - next);
      const tasks = Array.from({ length: count }, (_, at): SeedTask => ({ ...this.#options.task, seed: next + at }));
      const reports = new Map<number, SeedReport>();
      await this.#runAll(pool, tasks, (report) => {
        reports.set(report.seed, report);
        this.#judge(report);
        return !this.#timeIsOver();
      });
      if (this.#options.shrink) for (const report of reports.values()) if (!report.ok) await this.#shrink(pool, report);
      if (twice) {
        pool.close();
        pool = new SeedWorkers(size, script);
        // Backwards: what a seed leaves behind in a process would reach others than before.
        const again = tasks.filter(({ seed }) => reports.has(seed)).toReversed();
        await this.#runAll(pool, again, (report) => {
          this.#compare(reports.get(report.seed), report);
          return true;
        });
        pool.close();
        pool = new SeedWorkers(size, script);
      }
      next += count;
    }
    pool.close();
    this.#sumUp();
    return this.#failed === 0;
  }

  /** Runs tasks in turn, on all workers, until `take` has enough. */
  async #runAll(pool: SeedWorkers, tasks: readonly SeedTask[], take: (report: SeedReport) => boolean): Promise<void> {
    const left = [...tasks];
    const lane = async (): Promise<void> => {
      for (let task = left.shift(); task !== undefined; task = left.shift()) {
        const report = await pool.run(task);
        this.#runs++;
        this.#virtualMs += report.virtualMs;
        if (!take(report)) left.length = 0;
      }
    };
    await Promise.all(Array.from({ length: this.#options.workers }, lane));
  }

  #judge(report: SeedReport): void {
    this.#seeds++;
    const { seed, traceHash, events, acknowledged, committed, faults } = report;
    if (!report.ok) {
      this.#failed++;
      this.#reportFailure(report);
    } else if (this.#options.single) {
      console.log(
        `seed ${seed}: ok, trace ${traceHash}, ${events} events, ${acknowledged} readings acknowledged, ${committed} entries committed, ${faults} faults`,
      );
    }
  }

  async #shrink(pool: SeedWorkers, report: SeedReport): Promise<void> {
    const task = { ...this.#options.task, seed: report.seed };
    const { needed, skip, runs, minimal, report: last } = await shrink(task, report, (tried) => pool.run(tried));
    console.error(
      `after ${runs} runs${minimal ? "" : " (given up)"}: of ${last.faults} faults it needs ${needed.length === 0 ? "none" : needed.join(", ")}: ${last.problem ?? ""}`,
    );
    console.error(last.recent.map((line) => `  ${line}`).join("\n"));
    console.error(`replay it: ${this.#replay(report.seed, skip)}`);
  }

  #compare(first: SeedReport | undefined, second: SeedReport): void {
    if (first === undefined || first.traceHash === second.traceHash) return;
    if (first.ok) this.#failed++;
    console.error(`\nseed ${second.seed} is not deterministic: trace ${first.traceHash}, then ${second.traceHash} in a fresh process`);
    console.error(`commit ${commit()}; try it: ${this.#replay(second.seed, this.#options.task.skip)} --twice`);
    console.error(second.recent.map((line) => `  ${line}`).join("\n"));
  }

  #reportFailure(report: SeedReport): void {
    console.error(`\nseed ${report.seed} failed at commit ${commit()}: ${report.problem ?? ""}`);
    console.error(report.recent.map((line) => `  ${line}`).join("\n"));
    console.error(`replay it: ${this.#replay(report.seed, this.#options.task.skip)}`);
  }

  #replay(seed: number, skip: readonly number[]): string {
    const { gateways, only, faultsMs } = this.#options.task;
    return [
      `npm run sim -- --seed ${seed}`,
      ...(skip.length === 0 ? [] : [`--skip ${skip.join(",")}`]),
      ...(gateways === undefined ? [] : [`--gateways ${gateways}`]),
      ...(only === undefined ? [] : [`--only ${only.join(",")}`]),
      ...(faultsMs === faultsMsDefault ? [] : [`--faults ${faultsMs / 1_000}`]),
    ].join(" ");
  }

  #timeIsOver(): boolean {
    const { minutes } = this.#options;
    return minutes !== undefined && performance.now() - this.#startedMs >= minutes * 60_000;
  }

  #sumUp(): void {
    const seconds = (performance.now() - this.#startedMs) / 1_000;
    const { workers, twice } = this.#options;
    console.log(
      `sim: ${this.#seeds - this.#failed} of ${this.#seeds} seeds held${twice ? ", each run twice" : ""}, ${(this.#virtualMs / 3_600_000).toFixed(2)} simulated hours, ${(this.#runs / seconds).toFixed(2)} seeds/s with ${workers} workers`,
    );
  }
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}

const options = readSimOptions(process.argv.slice(2), availableParallelism());
if (typeof options === "string") {
  console.error(`sim: ${options}\n${simUsage}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await new Sweep(options).run()) ? 0 : 1;
}
