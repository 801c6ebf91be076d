// Goal: what a gateway says about itself and its peers is what a technician has to know. Method: a simulated site with one
// thing broken, and the service that stands behind the HTTP surface.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Device, foundedSite } from "../scenarios/harness.ts";

const test = suite("gateway service");

test("the role of a gateway that is down is unknown, also while it is still taken for the leader", async () => {
  const site = await foundedSite();
  const leader = site.leader();
  const witness = site.gateways.find((gateway) => gateway !== leader);
  const roleOfLeader = () =>
    witness
      ?.running()
      ?.service.gateways()
      .find(({ id }) => id === leader?.id);
  await site.until(() => roleOfLeader()?.role === "leader", { withinMs: 5_000 });
  leader?.crash({ power: false });
  await site.until(() => roleOfLeader()?.up === false, { withinMs: 30_000 });
  assert.is(roleOfLeader()?.role, "unknown");
  await site.runFor(30_000);
  assert.is(roleOfLeader()?.role, "unknown");
});

test("with a full disk a gateway is not ready, says why once, and is ready again with room", async () => {
  const site = await foundedSite();
  const gateway = site.gateway("gw-a");
  const readiness = () => gateway.running()?.service.readiness() ?? { ready: false, reasons: [] };
  await site.until(() => readiness().ready, { withinMs: 10_000 });
  gateway.disk.setFull(true);
  const device = new Device(gateway, "d1");
  for (let value = 0; value < 20; value++) device.publish(site.wallMs() + value, value);
  await site.until(() => !readiness().ready, { withinMs: 10_000, what: "not ready" });
  assert.match(readiness().reasons.join("\n"), /the (readings|Raft) log cannot be written \(disk-full\)/);
  const warnings = gateway.running()?.service.status().warnings ?? [];
  assert.is(new Set(warnings).size, warnings.length, "nothing is said twice");
  gateway.disk.setFull(false);
  await site.until(() => readiness().ready, { withinMs: 30_000, what: "ready again" });
});

test.run();
