// `node --import tsx scripts/sim-bugs.ts [--bug WORD] [--seeds N] [--from S] [--faults SECONDS]`: searches, for each planted bug of
// test/sim/planted-bugs.ts, the first seed whose run the checkers object to while the seed holds without the bug. Exit 1 when one has none.
import { parseArgs } from "node:util";
import { runSeed } from "../src/sim/run-seed.ts";
import { type PlantedBug, plantedBugs } from "../test/sim/planted-bugs.ts";
import { simulatorWorld } from "./sim-world.ts";

const { values } = parseArgs({
  options: { bug: { type: "string" }, seeds: { type: "string" }, from: { type: "string" }, faults: { type: "string" } },
});
const world = await simulatorWorld();
const seeds = Number(values.seeds ?? 500);
const first = Number(values.from ?? 1);

async function search({ name, rules, wrapDisk, faultsMs, caughtAs }: PlantedBug): Promise<boolean> {
  const length = values.faults === undefined ? faultsMs : Number(values.faults) * 1_000;
  for (let seed = first; seed < first + seeds; seed++) {
    const planted = { ...(rules === undefined ? {} : { rules }), ...(wrapDisk === undefined ? {} : { wrapDisk }) };
    const report = await runSeed({ seed, world, faultsMs: length, ...planted });
    if (report.ok) continue;
    if (!caughtAs.test(report.problem ?? "")) {
      console.log(`${name}: seed ${seed} ends otherwise: ${report.problem ?? ""}`);
      continue;
    }
    const without = await runSeed({ seed, world, faultsMs: length });
    console.log(`${name}: seed ${seed} after ${Math.round(report.virtualMs)} ms: ${report.problem ?? ""}`);
    if (without.ok) return true;
    console.log(`${name}: seed ${seed} fails without the bug as well: ${without.problem ?? ""}`);
  }
  console.log(`${name}: not caught by seeds ${first} to ${first + seeds - 1}`);
  return false;
}

let missed = 0;
for (const bug of plantedBugs) if (values.bug === undefined || bug.name.includes(values.bug)) if (!(await search(bug))) missed++;
process.exitCode = missed > 0 ? 1 : 0;
