// Goal: what a gateway says about itself and its peers is what a technician has to know. Method: a simulated site with one
// thing broken, and the service that stands behind the HTTP surface.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Result } from "../../src/lib/errors.ts";
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

test("members: an expected gateway is listed everywhere, differs from the YAML, and goes again; what cannot be has its code", async () => {
  const site = await foundedSite();
  const service = (id: string) => {
    const running = site.gateway(id).running();
    assert.ok(running, id);
    return (running as NonNullable<typeof running>).service;
  };
  const request = {
    id: "gw-x",
    role: "witness",
    zone: undefined,
    weight: 1,
    address: { host: "127.0.0.1", mqtt: 1, mesh: 2, http: 3 },
  } as const;
  const codeOf = async (answer: Promise<Result<unknown>>) => {
    const result = await site.answer(answer);
    return result.ok ? "ok" : result.code;
  };
  // Members change once every version is known to be able to.
  await site.until(() => site.gateway("gw-a").running()?.gateway.serving()?.state.featureLevel() === 3, { withinMs: 30_000 });
  assert.is(await codeOf(service("gw-a").addGateway({ ...request, address: { ...request.address, host: "10.0.0.9" } })), "bad-request");
  assert.is(await codeOf(service("gw-b").addGateway(request)), "ok");
  assert.is(await codeOf(service("gw-b").addGateway(request)), "ok", "the same again");
  assert.is(await codeOf(service("gw-b").addGateway({ ...request, id: "gw-a" })), "member-exists");
  const listed = (id: string) =>
    service(id)
      .gateways()
      .find((gateway) => gateway.id === "gw-x");
  const warned = (id: string) =>
    service(id)
      .status()
      .warnings.filter((warning) => warning.includes("gw-x"));
  await site.until(() => ["gw-a", "gw-b", "gw-c"].every((id) => listed(id) !== undefined), { withinMs: 5_000 });
  const { kind, membership, incarnation, partitions, filling, up, mqtt } = listed("gw-c") ?? {};
  assert.equal(
    [kind, membership, incarnation, partitions, filling, up, mqtt],
    ["witness", "expected", undefined, 0, 0, false, "127.0.0.1:1"],
  );
  assert.ok(
    warned("gw-c").includes("gw-x is a gateway of the site, and not in this gateway's YAML: add it there"),
    warned("gw-c").join("\n"),
  );
  assert.match(service("gw-a").status().ring.survives, /^three gateways, factor 3/);
  assert.is(await codeOf(service("gw-c").transferLeadership("gw-x")), "member-unknown");
  assert.is(await codeOf(service("gw-c").removeGateway("gw-y", { force: false })), "member-unknown");
  assert.is(await codeOf(service("gw-c").replaceGateway("gw-y", { force: true })), "member-unknown");
  assert.is(await codeOf(service("gw-c").removeGateway("gw-x", { force: false })), "ok");
  await site.until(() => listed("gw-a") === undefined && warned("gw-a").length === 0, { withinMs: 5_000 });
  const next = site.leader()?.id === "gw-a" ? "gw-b" : "gw-a";
  const moved = await site.answer(service("gw-c").transferLeadership(next));
  assert.equal(moved, { ok: true, value: { leader: next } });
  const leading = service(next)
    .gateways()
    .filter((gateway) => gateway.matchIndex !== undefined && gateway.matchIndex > 0);
  assert.ok(leading.length >= 2, "the leader says how far the others are");
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
