// Goal: the simulator's checkers are not blind: each planted bug is found. Method: one recorded seed for each bug of planted-bugs.ts,
// run with it, which must fail as recorded: here those that show within half a virtual minute of faults, the others with `npm run
// sim:bugs`, which also searches anew, for seeds that hold without the bug.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { runSeed } from "../../src/sim/run-seed.ts";
import { plantedBugs, plantedSeeds, runOptions } from "./planted-bugs.ts";

const test = suite("planted bugs are found");
const seeds = plantedSeeds();

for (const bug of plantedBugs.filter(({ faultsMs }) => faultsMs <= 30_000)) {
  const seed = seeds[bug.name];
  test(`${bug.name} (seed ${seed ?? "missing"})`, async () => {
    assert.type(seed, "number", "no catching seed is recorded: npm run sim:bugs -- --write");
    if (seed === undefined) return;
    const world = await simulatorWorld();
    const found = await runSeed({ world, ...runOptions(bug, seed), ...bug.plant() });
    assert.not(found.ok, "the bug goes unnoticed: search another seed with npm run sim:bugs -- --write");
    assert.match(found.problem ?? "", bug.caughtAs);
  });
}

test("every recorded seed is a bug's", () => {
  const names = new Set(plantedBugs.map((bug) => bug.name));
  assert.is(names.size, plantedBugs.length, "names are unique");
  assert.equal(
    Object.keys(seeds).filter((name) => !names.has(name)),
    [],
  );
});

test.run();
