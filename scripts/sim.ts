// `npm run sim -- --seeds N [--from S] | --seed S [--only FAULT,…]`: sweeps seeds of the simulated site, or replays one; with
// `--only` under these faults or families alone. Exit 1 when a seed fails.
import { parseArgs } from "node:util";
import { runSeed, type SeedReport } from "../src/sim/run-seed.ts";
import { simulatorWorld } from "./sim-world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string" },
    seed: { type: "string" },
    faults: { type: "string" },
    only: { type: "string" },
  },
});

function number(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined) return fallback;
  const parsed = Number(text);
  if (!Number.isSafeInteger(parsed) || parsed < 0) {
    console.error(`--${name} ${text}: expected a whole number`);
    process.exit(2);
  }
  return parsed;
}

function reportFailure(report: SeedReport): void {
  console.error(`\nseed ${report.seed} failed: ${report.problem ?? ""}`);
  console.error(`replay it: npm run sim -- --seed ${report.seed}${values.only === undefined ? "" : ` --only ${values.only}`}`);
  console.error(report.recent.map((line) => `  ${line}`).join("\n"));
}

const world = await simulatorWorld();
const faultsMs = number(values.faults, "faults", 60) * 1_000;
const only = values.only === undefined ? {} : { only: values.only.split(",") };
const startedMs = performance.now();
const seeds = values.seed === undefined ? number(values.seeds, "seeds", 20) : 1;
const first = values.seed === undefined ? number(values.from, "from", 1) : number(values.seed, "seed", 1);
let failed = 0;
let virtualMs = 0;
for (let seed = first; seed < first + seeds; seed++) {
  const report = await runSeed({ seed, world, faultsMs, ...only });
  virtualMs += report.virtualMs;
  if (!report.ok) {
    failed++;
    reportFailure(report);
  } else if (values.seed !== undefined) {
    const { traceHash, events, acknowledged, committed, faults } = report;
    console.log(
      `seed ${seed}: ok, trace ${traceHash}, ${events} events, ${acknowledged} readings acknowledged, ${committed} entries committed, ${faults} faults`,
    );
  }
}
const seconds = (performance.now() - startedMs) / 1_000;
console.log(
  `sim: ${seeds - failed} of ${seeds} seeds held, ${(virtualMs / 3_600_000).toFixed(2)} simulated hours, ${(seeds / seconds).toFixed(2)} seeds/s`,
);
process.exitCode = failed > 0 ? 1 : 0;
