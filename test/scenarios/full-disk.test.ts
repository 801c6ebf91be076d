// Goal: a disk that fills up with readings leaves the site its own state: settings, votes and leases go on, readings are
// refused with a reason, and taken again when there is room. Method: simulated gateways on disks with a capacity.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite } from "./harness.ts";

const test = suite("scenario: full disks");
const reserveBytes = 64 << 20;

async function put(site: SimulatedSite, key: string): Promise<boolean> {
  const service = site.gateways.find((gateway) => gateway.running() !== undefined)?.running()?.service;
  if (service === undefined) throw new Error("no gateway runs");
  return (await site.answer(service.kvPut(key, new Uint8Array(100), { kind: "any" }))).ok;
}

test("all disks are down to the reserve: no reading is taken, but settings are, leaders change, and room brings readings back", async () => {
  const site = await foundedSite(11);
  for (const gateway of site.gateways) gateway.disk.setCapacity(gateway.disk.usedBytes() + reserveBytes - 1);
  await site.runFor(1_500);
  const near = site.gateway("gw-a");
  const service = () => near.running()?.service;
  assert.match(service()?.readiness().reasons.join("\n") ?? "", /the disk is nearly full: 64 MiB are free/);
  assert.is(
    service()
      ?.metrics()
      .find(({ name }) => name === "fogbank_disk_takes_readings")?.value,
    0,
  );
  const refused = new Device(near, "d1");
  refused.publish(site.wallMs(), 1);
  assert.ok(refused.closed);
  assert.equal(service()?.status().ingest.closed, { "disk-full": 1 });
  assert.ok(await put(site, "during"));
  site.leader()?.crash({ power: true });
  await site.until(() => site.leader() !== undefined, { withinMs: 20_000, what: "another leader" });
  await site.runFor(2_000);
  assert.ok(await put(site, "after the election"));
  for (const gateway of site.gateways) {
    gateway.disk.setCapacity(gateway.disk.usedBytes() + 2 * reserveBytes);
    if (gateway.running() === undefined) gateway.start();
  }
  await site.until(() => service()?.readiness().ready === true, { withinMs: 30_000, what: "gw-a takes readings again" });
  const again = new Device(near, "d1");
  again.publish(site.wallMs(), 2);
  assert.not(again.closed);
  await site.until(() => again.acknowledged.has(2), { withinMs: 20_000, what: "acknowledged" });
});

test("owners without room do not take rounds of others: a quorum of them, and nothing is acknowledged", async () => {
  const site = await foundedSite(12);
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).disk.setCapacity(site.gateway(id).disk.usedBytes() + reserveBytes / 2);
  await site.runFor(1_500);
  const device = new Device(site.gateway("gw-a"), "d1");
  device.publish(site.wallMs(), 1);
  await site.runFor(5_000);
  assert.not(device.acknowledged.has(1));
  site.gateway("gw-b").disk.setCapacity(undefined);
  await site.until(() => device.acknowledged.has(1), { withinMs: 10_000, what: "one with room makes a quorum" });
});

test.run();
