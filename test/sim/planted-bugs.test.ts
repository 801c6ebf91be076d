// Goal: the simulator's checkers are not blind: each planted bug is found, and by the bug alone. Method: one recorded seed for
// each bug of planted-bugs.ts, run with it (must fail as recorded) and without (must hold). `npm run sim:bugs` searches anew.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { runSeed } from "../../src/sim/run-seed.ts";
import { plantedBugs, plantedSeeds, runOptions } from "./planted-bugs.ts";

const test = suite("planted bugs are found");
const seeds = plantedSeeds();
/** Several bugs are found by the same run, which holds without any of them. */
const clean = new Map<string, string | undefined>();

for (const bug of plantedBugs) {
  const seed = seeds[bug.name];
  test(`${bug.name} (seed ${seed ?? "missing"})`, async () => {
    assert.type(seed, "number", "no catching seed is recorded: npm run sim:bugs -- --write");
    if (seed === undefined) return;
    const world = await simulatorWorld();
    const found = await runSeed({ world, ...runOptions(bug, seed), ...bug.plant() });
    assert.not(found.ok, "the bug goes unnoticed: search another seed with npm run sim:bugs -- --write");
    assert.match(found.problem ?? "", bug.caughtAs);
    const options = runOptions(bug, seed);
    const run = options.prepare === undefined ? JSON.stringify(options) : bug.name;
    if (!clean.has(run)) clean.set(run, (await runSeed({ world, ...options })).problem);
    assert.is(clean.get(run), undefined, "the seed holds without the bug");
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
