// Goal: a bit that turns anywhere on a stopped gateway's disk is healed or refused, never served. Method: a site with
// readings in chunks and in the log, settings, and a compacted Raft log; one gateway is stopped, one random bit of its disk
// turns, it starts: it ends with an explanation, or it serves, and then it answers everything, as the others do.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { defaultTuning } from "../../src/gateway/context.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { SimulatedSite } from "../../src/sim/site.ts";
import { Device, isServing, readingsAt } from "./harness.ts";

const test = suite("scenario: bit flips");
const devices = ["d1", "d2", "d3", "d4"];
const readingsEach = 12;
const explained = ["log-damaged", "store-damaged", "data-damaged", "identity-refused"];
/** So that all that a disk can hold is there after a minute. */
const tuning = { ...defaultTuning, checkpointReadings: 20, raftSnapshotBytes: 4_000 };

async function usedSite(seed: number): Promise<SimulatedSite> {
  const site = new SimulatedSite({ seed, gateways: 3, world: await simulatorWorld(), tuning });
  site.startAll();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 30_000, what: "the site is founded" });
  const links = devices.map((id, at) => new Device(site.gateways[at % 3] as SimulatedGateway, id));
  for (let value = 1; value <= readingsEach; value++) {
    for (const device of links) device.publish(Date.UTC(2026, 0, 1) + value * 1_000, value);
    const service = site.gateways[value % 3]?.running()?.service;
    if (service === undefined) throw new Error("a gateway is away");
    const stored = await site.answer(service.kvPut(`key-${value}`, new Uint8Array(600).fill(value), { kind: "any" }));
    assert.ok(stored.ok);
    await site.runFor(700);
  }
  await site.until(() => links.every(({ acknowledged }) => acknowledged.size === readingsEach), { withinMs: 20_000, what: "acknowledged" });
  await site.runFor(8_000);
  return site;
}

/** Everything that was acknowledged, as `gateway` answers. */
async function checkAnswers(site: SimulatedSite, gateway: SimulatedGateway, what: string): Promise<void> {
  const expected = Array.from({ length: readingsEach }, (_, i) => i + 1);
  for (const device of devices) {
    const { points, answer } = await readingsAt(site, gateway, device);
    assert.equal(
      points.map(([, value]) => value),
      expected,
      `${what}: ${device} at ${gateway.id}`,
    );
    assert.ok(answer.complete, what);
  }
  const service = gateway.running()?.service;
  if (service === undefined) throw new Error(`${gateway.id} is away`);
  for (const value of expected) {
    const found = await site.answer(service.kvGet(`key-${value}`));
    assert.ok(found.ok && found.value?.value.every((byte) => byte === value), `${what}: key-${value}`);
  }
}

const outcomes = new Map<string, number>();

async function flipOne(seed: number): Promise<void> {
  const site = await usedSite(seed);
  const random = new SeededRandom(seed * 7 + 1);
  const victim = random.pick(site.gateways);
  const other = site.gateways.find((gateway) => gateway !== victim) as SimulatedGateway;
  if (random.chance(0.5)) {
    const gateway = victim.running()?.gateway;
    if (gateway !== undefined) await site.answer(gateway.stop());
  }
  victim.crash({ power: random.chance(0.5) });
  const hit = victim.disk.flipBit(random);
  if (hit === undefined) throw new Error("the disk is empty");
  const what = `seed ${seed}, ${victim.id}: ${hit}`;
  victim.start();
  const healed = () => {
    const serving = victim.running()?.gateway.serving();
    return isServing(victim) && serving?.consensus.view().impairedUntil === undefined && serving?.consensus.leader() !== undefined;
  };
  await site.until(() => victim.running() === undefined || healed(), { withinMs: 60_000, what });
  await site.runFor(3_000);
  const why = victim.stoppedItself();
  if (victim.running() === undefined) {
    assert.ok(why !== undefined && explained.includes(why.code), `${what}: ${why?.message}`);
    assert.ok(why.message.length > 40, why.message);
  } else await checkAnswers(site, victim, what);
  await checkAnswers(site, other, what);
  const kind = `${(hit.split(/[ ,]/)[0] ?? "").trim()} ${victim.running() === undefined ? "refused" : "served"}`;
  outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
}

const seeds = Number(process.env["FOGBANK_FLIP_SEEDS"] ?? 6);
for (let seed = 1; seed <= seeds; seed++) test(`seed ${seed}`, () => flipOne(seed));

test("both endings were seen", () => {
  const ended = (how: string) => [...outcomes].some(([kind]) => kind.endsWith(how));
  assert.ok(ended("refused") && ended("served"), JSON.stringify([...outcomes]));
});

test.run();
