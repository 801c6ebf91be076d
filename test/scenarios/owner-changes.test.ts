// Goal: owners of readings change on a live site, known here sooner and there later, and no reading is lost, acknowledged early or
// missing from a complete answer. Method: four real gateways with factor 3; each is told of a ring when the story says so, as
// its replicated state would tell it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";

import { addOwner, type RingState, removeOwner, replaceOwner } from "../../src/core/ring/owner-changes.ts";
import { ownersOf } from "../../src/core/ring/owner-table.ts";
import type { Replication } from "../../src/gateway/replication.ts";
import { deviceId, gatewayId, partitionOf } from "../../src/lib/ids.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, readingsAt } from "./harness.ts";

const startMs = Date.UTC(2026, 0, 1);

function replicationOf(gateway: SimulatedGateway): Replication {
  const replication = gateway.running()?.gateway.serving()?.replication;
  if (replication === undefined) throw new Error(`${gateway.id} does not serve`);
  return replication;
}

const ringOf = (site: SimulatedSite) => replicationOf(site.gateway("gw-a")).ring();
const tell = (site: SimulatedSite, ring: RingState, ids: readonly string[]) => {
  for (const id of ids) replicationOf(site.gateway(id)).ringChanged(ring);
};
const everybody = ["gw-a", "gw-b", "gw-c", "gw-d"];

/** A device whose owners are these three, whatever their order. */
async function deviceOn(site: SimulatedSite, owners: readonly string[]): Promise<string> {
  const { hash64 } = await simulatorWorld();
  for (let i = 0; i < 1_000; i++) {
    const found = ownersOf(ringOf(site).table, partitionOf(deviceId(`d${i}`), hash64));
    if (found.toSorted().join() === owners.toSorted().join()) return `d${i}`;
  }
  throw new Error(`no device has ${owners.join()} as its owners`);
}

async function completeValues(site: SimulatedSite, at: string, device: string): Promise<unknown[]> {
  const { points, answer } = await readingsAt(site, site.gateway(at), device);
  assert.ok(answer.complete, `${at} knows everything of ${device}`);
  return points.map(([, value]) => value);
}

async function acknowledged(site: SimulatedSite, device: Device, value: number, withinMs = 3_000): Promise<void> {
  await site.until(() => device.acknowledged.has(value), { withinMs, what: `the acknowledgement of ${value}` });
}

const test = suite("owners change on a live site");

test("a gateway goes while devices publish, known here sooner and there later: nothing is lost, late, or out of order", async () => {
  for (const seed of [1, 2]) {
    const site = await foundedSite(seed, 4);
    const names = await Promise.all(
      [
        ["gw-a", "gw-b", "gw-d"],
        ["gw-b", "gw-c", "gw-d"],
        ["gw-a", "gw-b", "gw-c"],
      ].map((owners) => deviceOn(site, owners)),
    );
    const devices = names.flatMap((name) => everybody.map((id) => ({ name, device: new Device(site.gateway(id), name) })));
    const ring = removeOwner(ringOf(site), gatewayId("gw-d"));
    const toldAt = new Map(everybody.map((id) => [10 + site.random.below(40), id]));
    let value = 0;
    for (let round = 0; round < 70; round++) {
      const id = toldAt.get(round);
      if (id !== undefined) tell(site, ring, [id]);
      for (const { device } of devices) device.publish(startMs + ++value, value);
      await site.runFor(site.random.below(30));
    }
    for (const id of everybody) tell(site, ring, [id]);
    await site.until(() => devices.reduce((sum, { device }) => sum + device.acknowledged.size, 0) === value, { withinMs: 5_000 });
    for (const { device } of devices) {
      assert.not(device.closed);
      assert.equal(
        [...device.acknowledged],
        [...device.acknowledged].toSorted((a, b) => a - b),
        "in the order of the client",
      );
    }
    for (const at of everybody) {
      for (const name of names) {
        const published = devices.filter((each) => each.name === name).flatMap(({ device }) => [...device.acknowledged]);
        assert.equal(
          await completeValues(site, at, name),
          published.toSorted((a, b) => a - b),
        );
      }
    }
  }
});

test("readings that were on the removed gateway and one other are in every complete answer", async () => {
  const site = await foundedSite(4, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  site.gateway("gw-b").crash({ power: false });
  const device = new Device(site.gateway("gw-a"), name);
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  // So long that nobody offers gw-b what it missed.
  await site.runFor(15_000);
  site.gateway("gw-b").start();
  await site.until(() => site.gateway("gw-b").running()?.service.readiness().ready === true, { withinMs: 20_000 });
  // It is ready when it hears a quorum: the others may hear it a little later.
  await site.runFor(1_000);
  tell(site, removeOwner(ringOf(site), gatewayId("gw-d")), everybody);
  for (const at of everybody) assert.equal(await completeValues(site, at, name), [1]);
  site.gateway("gw-a").crash({ power: false });
  const { points, answer } = await readingsAt(site, site.gateway("gw-c"), name);
  // A question has brought gw-b what it had missed.
  assert.equal([points.length, answer.complete], [1, false], "one of the two that are left says nothing: not complete");
});

test("a coordinator that has not heard of the change acknowledges nothing, until it has; nobody's connection is closed", async () => {
  const site = await foundedSite(5, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  const ring = removeOwner(ringOf(site), gatewayId("gw-d"));
  tell(site, ring, ["gw-a", "gw-b", "gw-d"]);
  const device = new Device(site.gateway("gw-c"), name);
  for (let value = 1; value <= 5; value++) device.publish(startMs + value, value);
  await site.runFor(3_000);
  assert.equal([device.acknowledged.size, device.closed], [0, false]);
  tell(site, ring, ["gw-c"]);
  await acknowledged(site, device, 5, 500);
  assert.equal(await completeValues(site, "gw-d", name), [1, 2, 3, 4, 5]);
});

test("owners that have not heard of the change are asked again soon", async () => {
  const site = await foundedSite(6, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  const ring = removeOwner(ringOf(site), gatewayId("gw-d"));
  const device = new Device(site.gateway("gw-a"), name);
  tell(site, ring, ["gw-a"]);
  device.publish(startMs, 1);
  await site.runFor(60);
  assert.is(device.acknowledged.size, 0);
  tell(site, ring, ["gw-b"]);
  await acknowledged(site, device, 1, 120);
});

test("a question put while the change spreads waits for one table, and is complete", async () => {
  const site = await foundedSite(7, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  const device = new Device(site.gateway("gw-a"), name);
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  const ring = removeOwner(ringOf(site), gatewayId("gw-d"));
  tell(site, ring, ["gw-a"]);
  const question = completeValues(site, "gw-c", name);
  for (const id of ["gw-c", "gw-b", "gw-d"]) site.scheduler.schedule(500, "told", () => tell(site, ring, [id]));
  assert.equal(await question, [1]);
});

test("a replaced gateway stores at once and counts for nothing: with a second one away no acknowledgement, and no complete answer", async () => {
  const site = await foundedSite(8, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  tell(site, replaceOwner(ringOf(site), gatewayId("gw-d")), everybody);
  const device = new Device(site.gateway("gw-a"), name);
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  site.gateway("gw-b").crash({ power: false });
  device.publish(startMs + 2, 2);
  await site.runFor(5_000);
  assert.not(device.acknowledged.has(2), "gw-a and the filling gw-d have it, gw-b does not");
  const { answer } = await readingsAt(site, site.gateway("gw-c"), name);
  assert.is(answer.complete, false);
});

test("a gateway joins a partition's owners and the new list is written to at once", async () => {
  const site = await foundedSite(9, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  const removed = removeOwner(ringOf(site), gatewayId("gw-d"));
  const joined = addOwner(removed, { gateway: gatewayId("gw-c"), factor: 3 });
  tell(site, joined, everybody);
  const device = new Device(site.gateway("gw-d"), name);
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  await site.runFor(1_000);
  const stored = everybody.map((id) => site.gateway(id).running()?.gateway.serving()?.seriesStore.stats().headReadings);
  assert.equal(stored, [1, 1, 1, 0], "gw-d coordinates and keeps nothing");
  for (const at of everybody) assert.equal(await completeValues(site, at, name), [1]);
});

test("aggregates count what the whole owners hold, whatever a filling one lacks", async () => {
  const site = await foundedSite(10, 4);
  const name = await deviceOn(site, ["gw-a", "gw-b", "gw-d"]);
  const device = new Device(site.gateway("gw-a"), name);
  for (let value = 1; value <= 4; value++) device.publish(startMs + value, value);
  await acknowledged(site, device, 4);
  const filling = addOwner(removeOwner(ringOf(site), gatewayId("gw-d")), { gateway: gatewayId("gw-c"), factor: 3 });
  tell(site, filling, everybody);
  for (const at of everybody) {
    const queries = site.gateway(at).running()?.gateway.serving()?.queries;
    const answer = await site.answer(
      queries?.aggregate({
        selector: { metric: "value", device: name, labels: {} },
        fromUs: startMs * 1_000,
        toUs: (startMs + 1_000) * 1_000,
        windowMs: 0,
        functions: [{ kind: "count" }],
        groupBy: [],
        level: "quorum",
      }) ?? Promise.reject(new Error("gone")),
    );
    assert.ok(answer.ok && answer.value.complete);
    if (answer.ok)
      assert.equal(
        answer.value.rows.map((row) => row.state.finish()),
        [[4]],
      );
  }
});

test.run();
