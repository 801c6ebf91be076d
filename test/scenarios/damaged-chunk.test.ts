// Goal: a chunk that rots on a running gateway is found without anybody asking, is told to people, and nobody gets a wrong or
// incomplete answer because of it; after a restart it is still known. Method: three gateways with readings in merged chunks; a
// bit of one chunk of gw-a turns.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { defaultTuning } from "../../src/gateway/context.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { SimulatedSite } from "../../src/sim/site.ts";
import { Device, isServing, readingsAt } from "./harness.ts";

const test = suite("scenario: damaged chunks");
/** Long before its readings are fetched again (`repair.test.ts`). */
const tuning = { ...defaultTuning, checkpointReadings: 20, compactionFanIn: 2, scrubPassMs: 5_000, repairPauseMinMs: 10_000_000 };
const devices = ["d1", "d2", "d3"];
const readingsEach = 60;

function storeOf(gateway: SimulatedGateway) {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving.seriesStore;
}

test("it is quarantined, the other owners answer, and it is still known after a restart", async () => {
  const site = new SimulatedSite({ seed: 3, gateways: 3, world: await simulatorWorld(), tuning });
  site.startAll();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 30_000, what: "the site is founded" });
  const [victim, other] = site.gateways as [SimulatedGateway, SimulatedGateway];
  const links = devices.map((id) => new Device(victim, id));
  for (let value = 1; value <= readingsEach; value++) {
    for (const device of links) device.publish(Date.UTC(2026, 0, 1) + value * 1_000, value);
    await site.runFor(500);
  }
  await site.until(() => storeOf(victim).stats().compaction.chunksIn > 0, { withinMs: 20_000, what: "chunks were merged" });
  const answers = async (): Promise<void> => {
    for (const gateway of [victim, other])
      for (const device of devices) {
        const { points, answer } = await readingsAt(site, gateway, device);
        assert.ok(answer.complete);
        assert.equal(
          points.map(([, value]) => value),
          Array.from({ length: readingsEach }, (_, i) => i + 1),
        );
      }
  };
  await answers();
  assert.type(victim.disk.rotChunk("store", new SeededRandom(1)), "function");
  await site.until(() => storeOf(victim).stats().damagedChunks === 1, { withinMs: 60_000, what: "the scrub found it" });
  const warned = (): boolean =>
    victim
      .running()
      ?.service.status()
      .warnings.some((line) => /chunk of d\d value from .* is damaged/.test(line)) === true;
  assert.ok(warned());
  assert.is(victim.running()?.service.status().store.damagedChunks, 1);
  await answers();
  await site.runFor(3_000);
  victim.crash({ power: true });
  victim.start();
  await site.until(() => isServing(victim), { withinMs: 30_000, what: "it serves again" });
  // Its peers have to hear it first.
  await site.runFor(3_000);
  assert.is(storeOf(victim).stats().damagedChunks, 1);
  assert.ok(warned());
  await answers();
});

test.run();
