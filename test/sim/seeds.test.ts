// Goal: a seed that once failed stays. Method: replay each, as short as it failed. What it found is said beside it; later changes
// of the gateway shift what a seed does, so it stands for its kind of run rather than for the very event.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { faultsMsDefault, runSeed } from "../../src/sim/run-seed.ts";

const test = suite("sim: seeds that once failed");

for (const [seed, faultsMs, found] of [
  [19, faultsMsDefault, "repair took waiting for a peer that was gone for work, and paused for minutes after it"],
  [21, 30_000, "a duplicated frame of a proposal was proposed twice: the kv space was not linearizable"],
  [100_991, faultsMsDefault, "a page of results that was lost held up those who asked for results for ten seconds"],
  [101_948, faultsMsDefault, "a late hello of a process that was gone kept out the process behind it"],
  [200_707, faultsMsDefault, "the simulator wiped a second of three disks before the first one's gateway had its vote back"],
  [200_944, faultsMsDefault, "a dead voter was taken out before its place was taken: the quorum hung on a damaged log"],
] as const) {
  test(`seed ${seed}: ${found}`, async () => {
    const report = await runSeed({ seed, world: await simulatorWorld(), faultsMs });
    assert.is(report.problem, undefined);
    assert.ok(report.acknowledged > 100 && report.committed > 10, "the run got somewhere");
  });
}

test.run();
