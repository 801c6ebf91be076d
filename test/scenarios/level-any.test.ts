// Goal: at level `any` a gateway that is cut off from everybody goes on acknowledging, keeps what it acknowledged over a restart,
// delivers it when the link is back, under the owner table of then, and takes no more than it has room for. Method: simulated
// sites of three whose site-wide write level is `any`; what is acknowledged is asked for at a quorum.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../src/gateway/context.ts";
import { partition } from "../../src/lib/ids.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { completeValues, Device, foundedSite, readingsAt, servingOf } from "./harness.ts";

const test = suite("scenario: write level any");

const heldBy = (gateway: SimulatedGateway) => servingOf(gateway).hints.view().held;
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

function cutOff(site: SimulatedSite, gateway: SimulatedGateway): void {
  for (const other of site.gateways) {
    if (other === gateway) continue;
    site.network.cut(gateway.id, other.id);
    site.network.cut(other.id, gateway.id);
  }
}

async function publish(site: SimulatedSite, device: Device, values: readonly number[]): Promise<void> {
  for (const value of values) {
    device.publish(site.wallMs(), value);
    await site.runFor(50);
  }
  await site.until(() => values.every((value) => device.acknowledged.has(value)), { withinMs: 8_000, what: "all are acknowledged" });
}

async function delivered(site: SimulatedSite, gateway: SimulatedGateway, values: readonly number[]): Promise<void> {
  await site.until(() => heldBy(gateway).rounds === 0, { withinMs: 60_000, what: "nothing is held any more" });
  for (const asked of site.gateways) {
    if (asked.running() === undefined) continue;
    assert.equal(await completeValues(site, asked, "d1"), values);
  }
}

test("cut off, restarted while it is cut off, and back: nothing that was acknowledged is missing, the order holds", async () => {
  const site = await foundedSite(41, 3, { write: "any" });
  const lone = site.gateway("gw-a");
  const device = new Device(lone, "d1");
  await publish(site, device, numbers(1, 3));
  assert.is(heldBy(lone).rounds, 0);
  cutOff(site, lone);
  await publish(site, device, numbers(4, 6));
  assert.is(heldBy(lone).readings, 3);
  assert.match(lone.running()?.service.status().warnings.join("\n") ?? "", /cut off: holding 3 readings in \d rounds/);
  lone.crash({ power: true });
  lone.start();
  await site.until(() => lone.running()?.gateway.phase() === "serving", { withinMs: 120_000, what: "gw-a serves, cut off as it is" });
  assert.is(heldBy(lone).readings, 3);
  await publish(site, new Device(lone, "d1"), numbers(7, 9));
  assert.is(heldBy(lone).readings, 6);
  await site.runFor(30_000);
  assert.is(heldBy(lone).readings, 6);
  site.network.heal();
  await delivered(site, lone, numbers(1, 9));
});

test("without room it waits for its quorum, and the connection is closed with the reason", async () => {
  const site = await foundedSite(42, 3, { write: "any", tuning: { ...defaultTuning, heldBytesMax: 1_400 } });
  const lone = site.gateway("gw-a");
  cutOff(site, lone);
  await site.runFor(3_000);
  const device = new Device(lone, "d1");
  for (const value of numbers(1, 8)) {
    device.publish(site.wallMs(), value);
    await site.runFor(100);
  }
  await site.runFor(25_000);
  const { acknowledged } = device;
  assert.ok(acknowledged.size > 0 && acknowledged.size < 8);
  assert.ok(device.closed);
  assert.equal(lone.running()?.service.status().ingest.closed, { "held-full": 1 });
  site.network.heal();
  await site.until(() => heldBy(lone).rounds === 0, { withinMs: 60_000, what: "nothing is held any more" });
  const { points } = await readingsAt(site, lone, "d1");
  for (const value of acknowledged) assert.ok(points.some(([, found]) => found === value));
});

test("the owners change while rounds are held: they go to those of the new table", async () => {
  const site = await foundedSite(43, 4, { write: "any" });
  const lone = site.gateway("gw-a");
  cutOff(site, lone);
  await publish(site, new Device(lone, "d1"), numbers(1, 5));
  assert.is(heldBy(lone).readings, 5);
  await site.until(() => site.gateways.some((one) => one !== lone && servingOf(one).consensus.isLeader()), { withinMs: 20_000 });
  const leader = site.gateways.find((gateway) => gateway !== lone && servingOf(gateway).consensus.isLeader());
  const gone = site.gateways.find((gateway) => gateway !== lone && gateway !== leader);
  if (gone === undefined || leader === undefined) throw new Error("no gateway to remove");
  const removed = await site.answer(leader.running()?.service.removeGateway(gone.id, { force: true }) ?? Promise.resolve(undefined));
  assert.ok(removed?.ok, JSON.stringify(removed));
  site.network.heal();
  await delivered(site, lone, numbers(1, 5));
});

test("readings of different write levels never share a round", async () => {
  const site = await foundedSite(44);
  const { replication } = servingOf(site.gateway("gw-a"));
  const levels = ["any", "one", "quorum", "all"] as const;
  const lanes = levels.map((level) => replication.laneOf(partition(7), level));
  assert.is(new Set(lanes).size, levels.length);
  assert.equal(
    lanes.map(({ level }) => level),
    levels,
  );
});

test.run();
