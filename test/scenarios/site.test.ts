// Goal: the promises of the design as stories of one site: what a person would try with three gateways on a table. Method:
// real gateways on simulated disks, links and clocks; each story says what is done and what must be seen.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, isServing, readingsAt } from "./harness.ts";

const counters = (gateway: SimulatedGateway) => gateway.running()?.gateway.serving()?.counters;
const startMs = Date.UTC(2026, 0, 1);

function followersOf(site: SimulatedSite): SimulatedGateway[] {
  const leader = site.leader();
  return site.gateways.filter((gateway) => gateway !== leader);
}

async function acknowledged(site: SimulatedSite, device: Device, value: number, withinMs = 5_000): Promise<void> {
  await site.until(() => device.acknowledged.has(value), { withinMs, what: `the acknowledgement of ${value}` });
}

async function valuesAt(site: SimulatedSite, gateway: SimulatedGateway, device: string): Promise<unknown[]> {
  const { points, answer } = await readingsAt(site, gateway, device);
  assert.ok(answer.complete, `${gateway.id} knows everything`);
  return points.map(([, value]) => value);
}

const test = suite("a site");

test("P3: the Raft leader dies while devices publish, and acknowledgements go on without a pause", async () => {
  const site = await foundedSite();
  const leader = site.leader() as SimulatedGateway;
  const devices = followersOf(site).map((gateway, at) => new Device(gateway, `d${at}`));
  for (const device of devices) device.publish(startMs, 1);
  for (const device of devices) await acknowledged(site, device, 1);
  leader.crash({ power: true });
  const expected = [1];
  for (let value = 2; value <= 20; value++) {
    for (const device of devices) device.publish(startMs + value, value);
    // Well below any election: readings never wait for Raft.
    for (const device of devices) await acknowledged(site, device, value, 300);
    expected.push(value);
  }
  await site.until(() => site.leader() !== undefined, { withinMs: 10_000 });
  leader.start();
  await site.until(() => isServing(leader) && leader.running()?.gateway.serving()?.consensus.leader() !== undefined, { withinMs: 20_000 });
  for (const gateway of site.gateways) for (const at of [0, 1]) assert.equal(await valuesAt(site, gateway, `d${at}`), expected);
});

test("P2: an owner that was away answers every question about what it missed, completely", async () => {
  const site = await foundedSite(2);
  const [away, near] = [site.gateway("gw-c"), site.gateway("gw-a")];
  const device = new Device(near, "d1");
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  away.crash({ power: false });
  for (let value = 2; value <= 5; value++) device.publish(startMs + value, value);
  await acknowledged(site, device, 5);
  // So long that nobody offers the missed rounds any more.
  await site.runFor(30_000);
  away.start();
  await site.until(() => away.running()?.service.readiness().ready === true, { withinMs: 20_000 });
  assert.equal(await valuesAt(site, away, "d1"), [1, 2, 3, 4, 5]);
  // By a hint and by the answer, so that some come twice.
  const index = away.running()?.gateway.serving()?.seriesStore;
  assert.ok((index?.stats().headReadings ?? 0) >= 5, "and has them itself from then on");
});

test("P1: with two full disks nothing is acknowledged, with room again it goes on by itself", async () => {
  const site = await foundedSite(3);
  const device = new Device(site.gateway("gw-a"), "d1");
  device.publish(startMs, 1);
  await acknowledged(site, device, 1);
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).disk.setFull(true);
  device.publish(startMs + 2, 2);
  await site.runFor(8_000);
  assert.not(device.acknowledged.has(2));
  assert.not(device.closed);
  site.gateway("gw-b").disk.setFull(false);
  await acknowledged(site, device, 2, 10_000);
  site.gateway("gw-c").disk.setFull(false);
  await site.runFor(5_000);
  assert.equal(await valuesAt(site, site.gateway("gw-c"), "d1"), [1, 2]);
});

test("one full disk is one gateway down: the other two acknowledge", async () => {
  const site = await foundedSite(4);
  site.gateway("gw-a").disk.setFull(true);
  const device = new Device(site.gateway("gw-a"), "d1");
  for (let value = 1; value <= 5; value++) device.publish(startMs + value, value);
  await acknowledged(site, device, 5);
});

test("without a quorum the connection is closed at ackTimeout with a counted reason, and the resend is stored once", async () => {
  const site = await foundedSite(5);
  const near = site.gateway("gw-a");
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).crash({ power: false });
  const device = new Device(near, "d1");
  device.publish(startMs, 7);
  await site.runFor(15_000);
  assert.not(device.closed);
  await site.until(() => device.closed, { withinMs: 10_000 });
  assert.is(device.acknowledged.size, 0);
  assert.is(counters(near)?.closed.get("ack-timeout"), 1);
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).start();
  await site.until(() => site.leader() !== undefined, { withinMs: 20_000 });
  const again = new Device(near, "d1");
  again.publish(startMs, 7);
  await acknowledged(site, again, 7);
  for (const gateway of site.gateways) assert.equal(await valuesAt(site, gateway, "d1"), [7]);
});

for (const [what, lose] of [
  ["an emptied data folder", (gateway: SimulatedGateway) => gateway.disk.wipe()],
  ["the data folder of yesterday", undefined],
] as const) {
  test(`${what} is refused, with the way out; the other two serve`, async () => {
    const site = await foundedSite(6);
    const victim = site.gateway("gw-b");
    victim.crash({ power: false });
    const yesterday = victim.disk.image();
    victim.start();
    await site.until(() => victim.running()?.service.readiness().ready === true, { withinMs: 20_000 });
    // Its start is known to the site now.
    await site.runFor(3_000);
    victim.crash({ power: false });
    // Started as often as before, the copy does not know of the last start.
    if (lose === undefined) victim.disk.restore(yesterday);
    else lose(victim);
    victim.start();
    await site.until(() => victim.stoppedItself() !== undefined, { withinMs: 30_000, what: "gw-b is told to go" });
    const why = victim.stoppedItself();
    assert.is(why?.code, "identity-refused");
    assert.ok(/way out|newest data folder/.test(why?.message ?? ""), why?.message);
    await site.until(() => site.leader() !== undefined, { withinMs: 10_000 });
    const device = new Device(site.gateway("gw-a"), "d1");
    device.publish(startMs, 1);
    await acknowledged(site, device, 1);
    const put = await site.answer(
      site
        .gateway("gw-a")
        .running()
        ?.service.kvPut("k", new Uint8Array([1]), { kind: "any" }) ?? Promise.reject(new Error("gone")),
    );
    assert.ok(put.ok);
  });
}

test("a clock that jumps back by hours does no harm: stamps still increase, also over a restart", async () => {
  const site = await foundedSite(7);
  const gateway = site.gateway("gw-b");
  let device = new Device(gateway, "p1");
  device.say(1);
  await acknowledged(site, device, 1);
  gateway.clock.jump(-5 * 3_600_000);
  for (const value of [2, 3]) device.say(value);
  await acknowledged(site, device, 3);
  gateway.crash({ power: true });
  gateway.start();
  await site.until(() => isServing(gateway), { withinMs: 20_000 });
  device = new Device(gateway, "p1");
  for (const value of [4, 5]) device.say(value);
  await acknowledged(site, device, 5, 30_000);
  const { points } = await readingsAt(site, site.gateway("gw-a"), "p1");
  assert.equal(
    points.map(([, value]) => value),
    [1, 2, 3, 4, 5],
  );
  for (const [ms] of points) assert.is(Math.round(ms * 1_000) % 1_000, 1, "the slot of gw-b");
});

test("P4: the leader is killed in the middle of a job's run, and each window's result exists once, everywhere", async () => {
  const site = await foundedSite(8);
  const publisher = () => new Device(site.gateways.find((gateway) => gateway !== site.leader()) as SimulatedGateway, "d1");
  const device = publisher();
  for (let value = 1; value <= 5; value++) device.publish(site.wallMs() + value, value);
  await site.runFor(1_000);
  const claimed = () =>
    (site.leader()?.running()?.gateway.serving()?.state.job("mean")?.windows.records() ?? []).map(([, window]) => window);
  await site.until(() => claimed().some((window) => window.attempt > window.committedAttempt), {
    withinMs: 40_000,
    what: "a run is under way",
  });
  const leader = site.leader() as SimulatedGateway;
  leader.crash({ power: true });
  await site.until(() => site.leader() !== undefined, { withinMs: 10_000 });
  leader.start();
  await site.until(() => claimed().length > 0 && claimed().every((window) => window.committedAttempt > 0), { withinMs: 60_000 });
  await site.until(() => site.gateways.every(isServing), { withinMs: 20_000 });
  const pictures: string[] = [];
  for (const gateway of site.gateways) {
    const service = gateway.running()?.service;
    const rows = await site.answer(
      service?.results({ job: "mean", fromMs: undefined, toMs: undefined }) ?? Promise.reject(new Error("gone")),
    );
    assert.ok(rows.ok);
    if (!rows.ok) return;
    assert.is(new Set(rows.value.map((row) => row.id)).size, rows.value.length);
    assert.ok(rows.value.every((row) => row.revision === 1 && row.complete));
    assert.is(
      rows.value.reduce((sum, row) => sum + row.count, 0),
      device.acknowledged.size,
    );
    pictures.push(JSON.stringify(rows.value));
  }
  assert.is(new Set(pictures).size, 1);
  assert.ok(pictures[0] !== "[]");
});

test("a first start waits for all gateways of the list, and says for whom", async () => {
  const site = new SimulatedSite({ seed: 9, gateways: 3, world: await simulatorWorld() });
  const [a, b, c] = site.gateways as [SimulatedGateway, SimulatedGateway, SimulatedGateway];
  a.start();
  b.start();
  await site.runFor(20_000);
  for (const gateway of [a, b]) {
    assert.is(gateway.running()?.gateway.phase(), "waiting-for-peers");
    const reasons = gateway.running()?.service.readiness().reasons.join() ?? "";
    assert.ok(reasons.includes("gw-c"), reasons);
  }
  c.start();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 10_000 });
  assert.is(new Set(site.gateways.map((gateway) => gateway.running()?.service.status().clusterId)).size, 1);
});

test("the whole site loses power at once and comes back with every acknowledged reading", async () => {
  const site = await foundedSite(10);
  const device = new Device(site.gateway("gw-a"), "d1");
  for (const gateway of site.gateways) gateway.disk.setFsync({ minMs: 20, maxMs: 200 });
  for (let value = 1; value <= 100; value++) {
    device.publish(startMs + value, value);
    await site.runFor(20);
  }
  const safe = device.acknowledged.size;
  assert.ok(safe > 0 && safe < 100, `${safe} of 100`);
  for (const gateway of site.gateways) gateway.crash({ power: true });
  for (const gateway of site.gateways) gateway.start();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 30_000 });
  await site.runFor(2_000);
  const found = new Set(await valuesAt(site, site.gateway("gw-b"), "d1"));
  for (const value of device.acknowledged) assert.ok(found.has(value), `${value} was acknowledged`);
});

test.run();
