// Goal: faults overlap, never exceed what is survivable, and end: whatever a strike broke is mended when it ends, at any
// moment. Method: the budget by hand; each fault on a founded site, carried out whole and broken off; then whole runs.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type GatewayId, gatewayId } from "../../src/lib/ids.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { FaultBudget } from "../../src/sim/faults/budget.ts";
import { faultFamilies, faults, faultsOf } from "../../src/sim/faults/families.ts";
import { Nemesis } from "../../src/sim/nemesis.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { foundedSite } from "../scenarios/harness.ts";

const ids = (count: number): GatewayId[] => Array.from({ length: count }, (_, i) => gatewayId(`gw-${i}`));

const budgets = suite("sim/nemesis: the fault budget");

budgets("a gateway is one strike's at a time", () => {
  const [a, b] = ids(2) as [GatewayId, GatewayId];
  const budget = new FaultBudget([a, b]);
  const [one, other] = [{}, {}];
  assert.ok(budget.claim(a, one));
  assert.ok(budget.claim(a, one), "again, by the same");
  assert.not(budget.claim(a, other));
  assert.ok(budget.claim(b, other));
  budget.release(one);
  assert.not(budget.isClaimed(a));
  assert.ok(budget.isClaimed(b));
  assert.ok(budget.claim(a, other));
});

budgets("who wants all of them waits for those that are taken, and nobody else gets one meanwhile", () => {
  const gateways = ids(3);
  const [a, b] = gateways as [GatewayId, GatewayId];
  const budget = new FaultBudget(gateways);
  const [one, all, third] = [{}, {}, {}];
  budget.claim(a, one);
  assert.ok(budget.queueForAll(all));
  assert.not(budget.queueForAll(third), "one at a time");
  assert.not(budget.claimAll(all));
  assert.not(budget.claim(b, third));
  budget.release(one);
  assert.ok(budget.claimAll(all));
  assert.not(budget.claim(b, third));
  budget.release(all);
  assert.ok(budget.claim(b, third));
});

budgets("where fewer gateways vote, fewer disks may break", () => {
  const gateways = ids(5);
  const [a, b, c] = gateways as [GatewayId, GatewayId, GatewayId];
  let voters = 3;
  const budget = new FaultBudget(gateways, () => voters);
  assert.ok(budget.breakDisk(a));
  assert.not(budget.breakDisk(b));
  voters = 5;
  assert.ok(budget.breakDisk(b));
  assert.not(budget.breakDisk(c));
});

budgets("a majority of the disks stays intact", () => {
  for (const [count, broken] of [
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 1],
    [5, 2],
  ] as const) {
    const gateways = ids(count);
    const budget = new FaultBudget(gateways);
    assert.is(gateways.filter((gateway) => budget.breakDisk(gateway)).length, broken, `of ${count}`);
    if (broken === 0) continue;
    assert.not(budget.breakDisk(gateways[0] as GatewayId), "not twice");
    budget.diskMended(gateways[0] as GatewayId);
    assert.ok(budget.breakDisk(gateways.at(-1) as GatewayId));
  }
});

budgets("a disk that the gateway has made whole by itself counts as whole", () => {
  const gateways = ids(3);
  const [a, b] = gateways as [GatewayId, GatewayId];
  const budget = new FaultBudget(gateways);
  let healed = false;
  assert.ok(budget.breakDisk(a, () => healed));
  assert.not(budget.breakDisk(b));
  healed = true;
  assert.ok(budget.breakDisk(b));
});

budgets("disks are lost for good one at a time, until what they held is everywhere again", () => {
  const gateways = ids(5);
  const [a, b, c] = gateways as [GatewayId, GatewayId, GatewayId];
  const budget = new FaultBudget(gateways);
  let restored = false;
  assert.ok(budget.loseDisk(a, () => restored));
  assert.not(budget.loseDisk(b, () => false));
  assert.ok(budget.breakDisk(b), "one that comes back may be away at the same time");
  assert.not(budget.loseDisk(c, () => false));
  restored = true;
  assert.ok(budget.loseDisk(c, () => false));
  assert.not(budget.loseDisk(a, () => false));
});

budgets.run();

const ends = suite("sim/nemesis: every fault ends");

/** All that a fault may leave behind. */
async function assertWhole(site: SimulatedSite, what: string): Promise<void> {
  for (const a of site.gateways) {
    assert.ok(a.running(), `${what}: ${a.id} runs`);
    assert.not(a.running()?.process.paused(), `${what}: ${a.id} does not stand still`);
    for (const b of site.gateways) assert.ok(a === b || site.network.passes(a.id, b.id), `${what}: ${a.id} reaches ${b.id}`);
    assert.is(a.clock.wallMs(), site.wallMs(), `${what}: the clock of ${a.id} is right`);
  }
  const leads = await site.reaches(
    () => site.leader() !== undefined && site.gateways.every((gateway) => gateway.running()?.gateway.phase() === "serving"),
    30_000,
  );
  assert.ok(leads, `${what}: the site serves`);
}

for (const { name, family } of faults) {
  ends(`${family}: ${name}`, async () => {
    for (const ms of [400, 12_000]) {
      const site = await foundedSite(7, 3);
      const nemesis = new Nemesis({ site, random: new SeededRandom(ms), acknowledged: () => 0, only: [name] });
      await nemesis.during(ms);
      await nemesis.calm();
      assert.ok(nemesis.faults > 0);
      await assertWhole(site, `${name} after ${ms} ms`);
      const { dropProbability, duplicateProbability, reorderProbability } = site.network.tuning;
      assert.equal([dropProbability, duplicateProbability, reorderProbability], [0, 0, 0]);
    }
  });
}

ends.run();

const runs = suite("sim/nemesis: runs");

/** The faults of a run by the numbers of their strikes. */
async function story(skipFaults: ReadonlySet<number>): Promise<Map<number, string>> {
  const site = await foundedSite(3, 5);
  const names = new Map<number, string>();
  const note = site.scheduler.note.bind(site.scheduler);
  site.scheduler.note = (label) => {
    const [, number, name] = /^fault (\d+) (?:skipped: )?([a-z-]+)$/.exec(label) ?? [];
    if (name !== undefined && faults.some((fault) => fault.name === name)) names.set(Number(number), name);
    note(label);
  };
  const nemesis = new Nemesis({ site, random: new SeededRandom(5), acknowledged: () => 0, skipFaults });
  await nemesis.during(120_000);
  await nemesis.calm();
  assert.is(Math.max(...names.keys()) <= nemesis.faults, true);
  return names;
}

runs("a strike that is skipped changes no other: each number keeps its fault", async () => {
  const whole = await story(new Set());
  const skipped = await story(new Set([1, 2, 5]));
  assert.ok(whole.size > 6, `${whole.size} strikes`);
  const both = [...whole].filter(([number]) => skipped.has(number));
  assert.ok(both.length > 6);
  for (const [number, name] of both) assert.is(skipped.get(number), name, `strike ${number}`);
});

runs("faults are chosen by name or family, and one that does not exist is an error", () => {
  assert.equal(
    faultsOf(["pause", "ring"]).map((fault) => fault.name),
    faults.filter((fault) => fault.family === "pause" || fault.name === "ring").map((fault) => fault.name),
  );
  assert.throws(() => faultsOf(["rings"]), /there is no fault or family "rings"; the families: crash, /);
  assert.is(new Set(faults.map((fault) => fault.name)).size, faults.length, "names are unique");
  assert.ok(faultFamilies.every((family) => faults.every((fault) => fault.name !== family || fault.family === family)));
});

runs.run();
