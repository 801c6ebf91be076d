// Goal: the simulator's checkers are not blind: each planted bug is found, and by the bug alone. Method: one recorded seed for
// each bug of planted-bugs.ts, run with it (must fail as recorded) and without (must hold). `scripts/sim-bugs.ts` searches anew.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { runSeed } from "../../src/sim/run-seed.ts";
import { plantedBugs } from "./planted-bugs.ts";

const test = suite("planted bugs are found");

for (const { name, rules, wrapDisk, seed, faultsMs, caughtAs } of plantedBugs) {
  test(`${name} (seed ${seed})`, async () => {
    const world = await simulatorWorld();
    const planted = { ...(rules === undefined ? {} : { rules }), ...(wrapDisk === undefined ? {} : { wrapDisk }) };
    const found = await runSeed({ seed, world, faultsMs, ...planted });
    assert.not(found.ok, "the bug goes unnoticed: search another seed with scripts/sim-bugs.ts");
    assert.match(found.problem ?? "", caughtAs);
    const without = await runSeed({ seed, world, faultsMs });
    assert.is(without.problem, undefined, "the seed holds without the bug");
  });
}

test.run();
