// Goal: whatever one owner has, all owners come to have by themselves: after an absence that was longer than anybody kept rounds
// for it, after a chunk was damaged, after both. Method: three gateways, of which one is away or has a chunk rot; each one's own
// store is looked into, and what they say of themselves.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../src/gateway/context.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { ownReadings } from "../../src/sim/own-readings.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, isServing, ownCounts } from "./harness.ts";

const test = suite("scenario: repair");
const devices = ["d1", "d2", "d3"];
const epochMs = Date.UTC(2026, 0, 1);

const founded = (tuning: Partial<typeof defaultTuning> = {}) =>
  foundedSite(11, 3, { tuning: { ...defaultTuning, hintBytesMax: 0, ...tuning } });

function servingOf(gateway: SimulatedGateway) {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving;
}

const areEqual = (site: SimulatedSite): boolean =>
  site.gateways.every((gateway) => isServing(gateway) && servingOf(gateway).healing.repair.view().equal);

/** Everybody's newest pass began after this moment. */
async function untilEqual(site: SimulatedSite, withinMs: number): Promise<void> {
  const passes = site.gateways.map((gateway) => servingOf(gateway).healing.repair.view().passes);
  await site.until(
    () =>
      areEqual(site) && site.gateways.every((gateway, at) => servingOf(gateway).healing.repair.view().passes >= (passes[at] as number) + 2),
    { withinMs, what: "all owners hold the same" },
  );
}

test("an owner that was away for long gets all that it missed, and says so", async () => {
  const site = await founded();
  const [home, away] = site.gateways as [SimulatedGateway, SimulatedGateway];
  const links = devices.map((id) => new Device(home, id));
  let published = 0;
  const publish = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      published++;
      for (const device of links) device.publish(epochMs + published * 20_000, published);
      await site.runFor(200);
    }
  };
  await publish(20);
  away.crash({ power: true });
  await publish(150);
  // Longer than rounds are kept for anybody.
  await site.runFor(30_000);
  away.start();
  await site.until(() => isServing(away), { withinMs: 30_000, what: "it is back" });
  await untilEqual(site, 60_000);
  const all = published * devices.length;
  assert.equal(await ownCounts(site), [all, all, all]);
  const view = servingOf(away).healing.repair.view();
  assert.ok(view.readingsFetched > 400, `it fetched ${view.readingsFetched}`);
  assert.is(servingOf(home).healing.repair.view().readingsFetched, 0, "nobody else lacked anything");
});

test("asked to, every gateway compares all that it holds, and says what came of it", async () => {
  const site = await founded({ repairPauseMinMs: 10_000_000 });
  const [home, away] = site.gateways as [SimulatedGateway, SimulatedGateway, SimulatedGateway];
  const device = new Device(home, "d1");
  away.crash({ power: true });
  for (let value = 1; value <= 50; value++) {
    device.publish(epochMs + value * 20_000, value);
    await site.runFor(100);
  }
  const service = home.running()?.service;
  if (service === undefined) throw new Error("it is not running");
  const without = await site.answer(service.repair());
  if (!without.ok) throw new Error(without.message);
  assert.equal(
    without.value.gateways.map(({ gateway, reached, equal }) => [gateway, reached, equal]),
    [
      ["gw-a", true, false],
      ["gw-b", false, false],
      ["gw-c", true, false],
    ],
  );
  await site.runFor(30_000);
  away.start();
  await site.until(() => isServing(away), { withinMs: 30_000, what: "it is back" });
  await site.runFor(3_000);
  const report = await site.answer(service.repair());
  if (!report.ok) throw new Error(report.message);
  assert.equal(
    report.value.gateways.map(({ gateway, partitionsCompared, hoursDiffering, readingsFetched, equal }) => ({
      gateway,
      partitionsCompared,
      differs: gateway === "gw-b" && hoursDiffering > 0,
      readingsFetched,
      equal,
    })),
    ["gw-a", "gw-b", "gw-c"].map((gateway) => ({
      gateway,
      partitionsCompared: 1_024,
      differs: gateway === "gw-b",
      readingsFetched: gateway === "gw-b" ? 50 : 0,
      equal: true,
    })),
  );
  assert.ok(report.value.equal);
  assert.equal(await ownCounts(site), [50, 50, 50]);
});

test("live traffic is not fetched again", async () => {
  const site = await founded({ repairPauseMinMs: 1_000, repairSettleMs: 500 });
  const links = site.gateways.map((gateway, at) => new Device(gateway, `live-${at}`));
  for (let round = 1; round <= 300; round++) {
    for (const device of links) device.publish(epochMs + round * 100, round);
    await site.runFor(100);
  }
  await untilEqual(site, 30_000);
  const fetched = site.gateways.map((gateway) => servingOf(gateway).healing.repair.view().readingsFetched);
  assert.equal(fetched, [0, 0, 0]);
});

test("a damaged chunk is restored from the other owners, across a crash, and while it is gone no digest vouches for it", async () => {
  const site = await founded({ checkpointReadings: 20, compactionFanIn: 2, scrubPassMs: 5_000 });
  const [victim, other] = site.gateways as [SimulatedGateway, SimulatedGateway];
  const links = devices.map((id) => new Device(other, id));
  const each = 60;
  for (let value = 1; value <= each; value++) {
    for (const device of links) device.publish(epochMs + value * 1_000, value);
    await site.runFor(500);
  }
  await site.until(() => servingOf(victim).seriesStore.stats().compaction.chunksIn > 0, { withinMs: 20_000, what: "chunks were merged" });
  await untilEqual(site, 60_000);
  assert.type(victim.disk.rotChunk("store", new SeededRandom(1)), "function");
  await site.until(() => servingOf(victim).seriesStore.stats().damagedChunks === 1, { withinMs: 60_000, what: "the scrub found it" });
  const own = await ownReadings(site, victim);
  assert.is(own.ok, false, "what is damaged is not answered");
  victim.crash({ power: true });
  victim.start();
  await site.until(() => isServing(victim), { withinMs: 30_000, what: "it serves again" });
  await site.until(
    () => servingOf(victim).seriesStore.stats().damagedChunks === 0 && servingOf(victim).healing.repair.view().chunksRestored === 1,
    {
      withinMs: 60_000,
      what: "the chunk is restored",
    },
  );
  await untilEqual(site, 60_000);
  const all = devices.length * each;
  assert.equal(await ownCounts(site), [all, all, all]);
  victim.crash({ power: true });
  victim.start();
  await site.until(() => isServing(victim), { withinMs: 30_000, what: "it serves again" });
  assert.is(servingOf(victim).seriesStore.stats().damagedChunks, 0);
  assert.equal(await ownCounts(site), [all, all, all]);
});

test.run();
