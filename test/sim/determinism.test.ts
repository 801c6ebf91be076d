// Goal: a seed is a whole run: same events, same order, same times, in this process and in a fresh one, so that a failure
// replays from its seed. Method: trace hashes of short runs.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { runSeed } from "../../src/sim/run-seed.ts";

const faultsSeconds = 5;
const seed = 11;
/** Of `seed`, in this process. */
let trace = "";

async function traceOf(from: number): Promise<string> {
  const report = await runSeed({ seed: from, world: await simulatorWorld(), faultsMs: faultsSeconds * 1_000 });
  assert.is(report.problem, undefined);
  assert.ok(report.acknowledged > 0 && report.faults > 0 && report.events > 1_000, JSON.stringify(report));
  return report.traceHash;
}

const test = suite("sim: determinism");

test("the same seed leaves the same trace in one process, another seed another", async () => {
  trace = await traceOf(seed);
  assert.is(await traceOf(seed), trace);
  assert.is.not(await traceOf(seed + 1), trace);
});

test("and in a fresh process, by the command that a failure prints", async () => {
  const script = fileURLToPath(new URL("../../scripts/sim.ts", import.meta.url));
  const args = ["--import", "tsx", script, "--seed", String(seed), "--faults", String(faultsSeconds)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  assert.ok(trace !== "" && stdout.includes(`trace ${trace}`), stdout);
});

test.run();
