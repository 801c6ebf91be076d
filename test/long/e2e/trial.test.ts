// Goal: what the site promises holds while all that may happen to gateways happens, at full speed. Method: a short trial (scripts/trial.ts runs
// longer ones): recordings are published without a pause through three processes, of which one after the other is killed, stopped,
// wiped, replaced, removed and given another weight, gateways are added, and links cut; each kind of these once. Afterwards all digests must be equal
// within a minute, and each gateway must answer every acknowledged reading, once and exact, from its own copies and for a quorum.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { hasNabFiles } from "../../e2e/support/nab-data.ts";
import { runTrial } from "../../e2e/support/trial.ts";

const data = hasNabFiles ? "31 NAB files" : "generated data of the shape of the 31 NAB files (../shared/data/nab is missing)";
const test = suite(`${data} through a site to which everything happens`);

test("every acknowledged reading is on every gateway, once and exact, and all copies are equal", async () => {
  const seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const report = await runTrial({ gateways: 3, seconds: 60, seed, devices: 6, windowMax: 10, print: (line) => console.log(line) });
  assert.is(report.problems.length, 0, `seed ${seed}, data folders and logs in ${report.folder}:\n${report.problems.join("\n")}`);
});

test.run();
