// Goal: `npm run sim` does what it is asked, or says what is wrong with it; a failing seed is shrunk to the faults that it needs.
// Method: argument lists; a made-up seed that fails for known faults alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readSimOptions } from "../../scripts/sim-options.ts";
import { shrink } from "../../scripts/sim-shrink.ts";
import type { SeedTask } from "../../scripts/sim-workers.ts";
import type { SeedReport } from "../../src/sim/run-seed.ts";

const test = suite("sim: options and shrinking");

const read = (line: string) =>
  readSimOptions(
    line.split(" ").filter((word) => word !== ""),
    2,
  );

test("a sweep, by default of 20 seeds on all cores", () => {
  assert.equal(read(""), {
    from: 1,
    seeds: 20,
    minutes: undefined,
    single: false,
    workers: 2,
    twice: false,
    shrink: false,
    task: { faultsMs: 55_000, skip: [] },
  });
  assert.equal(read("--minutes 2.5 --from 7 --workers 4 --gateways 5 --faults 20 --twice --shrink"), {
    from: 7,
    seeds: Number.POSITIVE_INFINITY,
    minutes: 2.5,
    single: false,
    workers: 4,
    twice: true,
    shrink: true,
    task: { faultsMs: 20_000, skip: [], gateways: 5 },
  });
});

test("a replay without some faults", () => {
  const options = read("--seed 12 --skip 1,4,17");
  assert.ok(typeof options !== "string" && options.single);
  assert.is(options.from, 12);
  assert.is(options.seeds, 1);
  assert.equal(options.task.skip, [1, 4, 17]);
});

for (const [line, problem] of [
  ["--seeds 3 --minutes 1", /--seeds and --minutes: choose one/],
  ["--seed 3 --seeds 1", /--seed and --seeds: choose one/],
  ["--seed 3 --from 1", /choose one/],
  ["--seeds 0", /--seeds 0: expected a whole number from 1/],
  ["--seeds 1.5", /--seeds 1\.5/],
  ["--minutes 0", /--minutes 0: expected a number above 0/],
  ["--minutes soon", /--minutes soon/],
  ["--gateways 4", /expected 3 or 5/],
  ["--workers 0", /--workers 0/],
  ["--faults 9999999", /--faults 9999999/],
  ["--skip 1", /--skip .* needs --seed/],
  ["--seed 1 --skip 0", /expected numbers of faults/],
  ["--seed 1 --skip 1,,2", /expected numbers of faults/],
  ["--only weather", /--only weather: no such fault/],
  ["--sedes 3", /--sedes/],
  ["3", /'3'/],
] as const)
  test(`refuses ${line}`, () => {
    const problemFound = read(line);
    assert.type(problemFound, "string");
    assert.match(typeof problemFound === "string" ? problemFound : "", problem);
  });

const report = (faults: number, problem?: string): SeedReport => ({
  seed: 1,
  ok: problem === undefined,
  problem,
  traceHash: "",
  virtualMs: 0,
  events: 0,
  acknowledged: 0,
  committed: 0,
  faults,
  recent: [],
});
const task: SeedTask = { seed: 1, faultsMs: 1_000, skip: [] };

test("shrinks to the faults that are needed together", async () => {
  let runs = 0;
  const found = await shrink(task, report(14, "SafetyViolation: x"), ({ skip }) => {
    runs++;
    const fails = !skip.includes(3) && !skip.includes(11);
    return Promise.resolve(report(14, fails ? "SafetyViolation: other words" : undefined));
  });
  assert.equal(found.needed, [3, 11]);
  assert.equal(found.skip, [1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]);
  assert.ok(found.minimal && found.runs === runs && runs < 60, `${runs} runs`);
});

test("another kind of failure is not the same, and what needs no fault needs none", async () => {
  const otherwise = await shrink(task, report(4, "SafetyViolation: x"), ({ skip }) =>
    Promise.resolve(report(4, skip.length > 0 ? "LivenessViolation: y" : "SafetyViolation: x")),
  );
  assert.equal(otherwise.needed, [1, 2, 3, 4]);
  const always = await shrink(task, report(4, "SafetyViolation: x"), () => Promise.resolve(report(4, "SafetyViolation: x")));
  assert.equal(always.needed, []);
});

test("faults that only a shorter list leaves time for are looked at too", async () => {
  const found = await shrink(task, report(2, "SafetyViolation: x"), ({ skip }) => {
    // Without the first one, a third follows.
    const faults = skip.includes(1) ? 3 : 2;
    return Promise.resolve(report(faults, skip.includes(2) ? undefined : "SafetyViolation: x"));
  });
  assert.equal(found.needed, [2]);
  assert.equal(found.skip, [1, 3]);
});

test.run();
