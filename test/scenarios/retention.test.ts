// Goal: what is too old goes, everywhere and for good, and nothing else does: not by a wrong clock, not while a job still needs it,
// not more of it than a full disk asks for. Method: simulated gateways that keep readings for seconds, with clocks that jump.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning, type GatewayTuning } from "../../src/gateway/context.ts";
import type { GatewayService } from "../../src/gateway/service.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, readingsAt } from "./harness.ts";

const test = suite("scenario: retention");
const hourMs = 3_600_000;
const tuning: GatewayTuning = { ...defaultTuning, checkpointReadings: 20, retentionEveryMs: 1_000, keepNewestMs: 5_000 };

function serviceOf(gateway: SimulatedGateway): GatewayService {
  const service = gateway.running()?.service;
  if (service === undefined) throw new Error(`${gateway.id} is not running`);
  return service;
}

function servingOf(gateway: SimulatedGateway) {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving;
}

const horizonMs = (gateway: SimulatedGateway): number => serviceOf(gateway).status().retention.raw.lowestMs;
const valuesAt = async (site: SimulatedSite, gateway: SimulatedGateway, device = "d1"): Promise<unknown[]> =>
  (await readingsAt(site, gateway, device)).points.map(([, value]) => value);

/** Publishes these values, a millisecond apart from `fromMs` on, and waits until all are acknowledged. */
async function publish(site: SimulatedSite, gateway: SimulatedGateway, fromMs: number, values: readonly number[]): Promise<Device> {
  const device = new Device(gateway, "d1");
  for (const [at, value] of values.entries()) device.publish(fromMs + at, value);
  await site.until(() => values.every((value) => device.acknowledged.has(value)), { withinMs: 20_000, what: "acknowledged" });
  return device;
}

const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

test("what is older than its time goes: no answer has it, no disk keeps it, and nobody can bring it again", async () => {
  const site = await foundedSite(1, 3, { retention: "{ raw: 1m }", tuning });
  const near = site.gateway("gw-a");
  const bornMs = site.wallMs();
  await publish(site, near, bornMs, numbers(1, 30));
  await site.until(() => servingOf(near).seriesStore.stats().chunks > 0, { withinMs: 10_000, what: "a checkpoint" });
  await site.runFor(30_000);
  await publish(site, near, bornMs + 30_000, [100]);
  for (const gateway of site.gateways) assert.equal(await valuesAt(site, gateway), [...numbers(1, 30), 100]);
  await site.until(() => site.gateways.every((gateway) => horizonMs(gateway) > bornMs + 30), {
    withinMs: 60_000,
    what: "the horizon passes",
  });
  for (const gateway of site.gateways) {
    assert.equal(await valuesAt(site, gateway), [100]);
    await site.until(() => servingOf(gateway).seriesStore.stats().chunks === 0, { withinMs: 5_000, what: "the chunks are gone" });
    await site.until(() => serviceOf(gateway).status().retention.chunksDropped > 0, { withinMs: 5_000, what: "they were dropped" });
  }
  const late = await publish(site, near, bornMs, [7]);
  assert.not(late.closed);
  const letters = await site.answer(serviceOf(near).deadLetters());
  assert.equal(letters.ok ? letters.value.counts : letters, { "below-horizon": 1 });
  assert.match(
    letters.ok ? (letters.value.letters[0]?.detail ?? "") : "",
    /^2026-01-01T.* is before 2026-01-01T.*: what is older is not kept/,
  );
  assert.equal(await valuesAt(site, near), [100]);
});

/** Readings of d1 by the hour, as this gateway counts them. */
async function counted(site: SimulatedSite, gateway: SimulatedGateway, consistency: "one" | "quorum" = "quorum"): Promise<number> {
  const answer = await site.answer(
    serviceOf(gateway).readings({
      metric: "value",
      device: "d1",
      fromMs: undefined,
      toMs: undefined,
      consistency,
      everyMs: hourMs,
      aggregate: { kind: "count" },
      limit: 10_000,
      cursor: undefined,
    }),
  );
  if (!answer.ok) throw new Error(`${gateway.id}: ${answer.message}`);
  return answer.value.series.flatMap(({ points }) => points).reduce((sum, [, count]) => sum + Number(count), 0);
}

test("rollups outlive their readings, on a gateway that comes with an empty disk too", async () => {
  const site = await foundedSite(5, 3, { retention: "{ raw: 1m, rollup: 1d }", tuning });
  const near = site.gateway("gw-a");
  await publish(site, near, site.wallMs(), numbers(1, 30));
  await site.runFor(5_000);
  await publish(site, near, site.wallMs(), numbers(31, 30));
  const blocksAt = (gateway: SimulatedGateway) => servingOf(gateway).seriesStore.stats().blocks;
  await site.until(() => site.gateways.every((gateway) => blocksAt(gateway) > 0 && servingOf(gateway).seriesStore.stats().readings === 0), {
    withinMs: 150_000,
    what: "readings have become rollups",
  });
  await publish(site, near, site.wallMs(), [100]);
  for (const gateway of site.gateways) {
    assert.equal(await valuesAt(site, gateway), [100]);
    assert.is(await counted(site, gateway), 61);
    assert.ok(serviceOf(gateway).status().retention.rollup !== undefined);
  }
  const lost = site.gateway("gw-c");
  lost.crash({ power: true });
  lost.disk.wipe();
  const replaced = await site.answer(serviceOf(near).replaceGateway("gw-c", { force: false }));
  assert.ok(replaced.ok, replaced.ok ? "" : replaced.message);
  lost.start();
  const isFilled = () => lost.running()?.gateway.serving() !== undefined && servingOf(near).state.ring()?.filling.size === 0;
  await site.until(isFilled, { withinMs: 60_000, what: "gw-c has its readings again" });
  assert.ok(blocksAt(lost) > 0);
  site.gateway("gw-b").crash({ power: true });
  assert.is(await counted(site, lost, "one"), 61);
  assert.is(await counted(site, lost), 61);
});

test("a wrong clock deletes nothing: the leader's, then two that do not agree either", async () => {
  const site = await foundedSite(2, 3, { retention: "{ raw: 1h }", tuning });
  const leader = site.leader() as SimulatedGateway;
  await publish(site, leader, site.wallMs(), numbers(1, 30));
  leader.clock.jump(5 * hourMs);
  await site.runFor(30_000);
  assert.is(site.leader()?.id, leader.id);
  assert.ok(horizonMs(leader) < site.wallMs() - hourMs + 60_000);
  assert.match(serviceOf(leader).status().warnings.join("\n"), /nothing is dropped: of 3 gateways only 1 .* has the time of gw-/);
  const other = site.gateways.find((gateway) => gateway.id !== leader.id) as SimulatedGateway;
  other.clock.jump(9 * hourMs);
  await site.runFor(30_000);
  for (const gateway of site.gateways) assert.equal(await valuesAt(site, gateway), numbers(1, 30), gateway.id);
  leader.clock.set();
  other.clock.set();
  await site.runFor(5_000);
  assert.not.match(serviceOf(leader).status().warnings.join("\n"), /nothing is dropped/);
});

test("a clock that is not synchronised deletes nothing, though the others say the same", async () => {
  const site = await foundedSite(3, 3, { retention: "{ raw: 10s }", tuning });
  for (const gateway of site.gateways) gateway.clock.synchronised = false;
  await publish(site, site.gateway("gw-a"), site.wallMs(), [1]);
  await site.runFor(60_000);
  const before = horizonMs(site.gateway("gw-a"));
  await site.runFor(30_000);
  assert.is(horizonMs(site.gateway("gw-a")), before);
});

test("a horizon only grows: clocks that are set back bring nothing back", async () => {
  const site = await foundedSite(4, 3, { retention: "{ raw: 20s }", tuning });
  const near = site.gateway("gw-b");
  const bornMs = site.wallMs();
  await publish(site, near, bornMs, [1, 2, 3]);
  await site.until(() => horizonMs(near) > bornMs + 10, { withinMs: 60_000, what: "the horizon passes" });
  for (const gateway of site.gateways) gateway.clock.jump(-2 * hourMs);
  const before = horizonMs(near);
  await site.runFor(20_000);
  assert.ok(horizonMs(near) >= before);
  assert.equal(await valuesAt(site, near), []);
  // A gateway's own stamps do not fall below what is given up, so that what it acknowledges is there.
  const plain = new Device(near, "d2");
  plain.say(5);
  await site.until(() => plain.acknowledged.has(5), { withinMs: 10_000 });
  assert.equal(await valuesAt(site, site.gateway("gw-c"), "d2"), [5]);
});

test("a gateway that was away comes back with old readings: they do not come back", async () => {
  const site = await foundedSite(5, 3, { retention: "{ raw: 20s }", tuning: { ...tuning, raftSnapshotBytes: 1_000 } });
  const away = site.gateway("gw-c");
  const near = site.gateway("gw-a");
  const bornMs = site.wallMs();
  await publish(site, near, bornMs, numbers(1, 30));
  await site.until(() => servingOf(away).seriesStore.stats().chunks > 0, { withinMs: 15_000, what: "they are in chunks" });
  away.crash({ power: true });
  await site.until(() => site.leader() !== undefined && horizonMs(near) > bornMs + 30, { withinMs: 90_000, what: "the horizon passes" });
  await publish(site, near, site.wallMs(), [100]);
  away.start();
  await site.until(() => away.running()?.service.readiness().ready === true, { withinMs: 60_000, what: "gw-c is back" });
  assert.equal(await valuesAt(site, away), [100]);
  assert.equal(await valuesAt(site, near), [100]);
  await site.until(() => horizonMs(away) > bornMs + 30 && servingOf(away).seriesStore.stats().chunks === 0, {
    withinMs: 20_000,
    what: "gw-c drops them too",
  });
});

test("what a job with a sink still needs stays, though it is older than its time", async () => {
  const site = await foundedSite(6, 3, { retention: "{ raw: 2s }", tuning: { ...tuning, retentionEveryMs: 300 } });
  const near = site.gateway("gw-a");
  // The job has windows of 10 s, five times as long as readings are kept.
  await site.until(() => (serviceOf(near).jobs()[0]?.runs ?? 0) > 0, { withinMs: 60_000, what: "the job has run" });
  const startMs = Math.ceil(site.wallMs() / 10_000) * 10_000;
  await site.runFor(startMs - site.wallMs());
  for (let second = 0; second < 10; second++) {
    await publish(site, near, site.wallMs(), [second]);
    await site.runFor(startMs + (second + 1) * 1_000 - site.wallMs());
  }
  assert.ok(horizonMs(near) <= startMs, "held back by the window");
  assert.match(
    serviceOf(near).status().retention.heldBackBy ?? serviceOf(site.leader() as SimulatedGateway).status().retention.heldBackBy ?? "",
    /job "mean"/,
  );
  await site.until(() => horizonMs(near) >= startMs + 10_000, { withinMs: 60_000, what: "the window is committed, and its readings go" });
  const results = await site.answer(serviceOf(near).results({ job: "mean", fromMs: startMs, toMs: startMs + 10_000 }));
  const row = results.ok ? results.value[0] : undefined;
  assert.equal([row?.count, row?.complete], [10, true]);
  assert.is(serviceOf(near).status().retention.unprocessedWindows, 0);
  const again = await site.answer(serviceOf(near).runJob("mean", { fromMs: startMs, toMs: startMs + 10_000 }));
  assert.match(again.ok ? "" : again.message, /were given up by retention/);
});

test("a disk fills: the oldest readings go first, at all their owners, and only as many as it takes", async () => {
  const site = await foundedSite(7, 3, {
    retention: "{ minFreeDisk: 20KiB }",
    tuning: { ...tuning, reserveBytes: 1_000 },
  });
  const near = site.gateway("gw-a");
  const nowMs = site.wallMs();
  // Enough for several full chunks, since whole ones go; and values that no codec makes small.
  const value = (at: number): number => at + Math.sin(at) / 3;
  const values = Array.from({ length: 9_000 }, (_, at) => value(at));
  const isSealed = () => site.gateways.every((gateway) => servingOf(gateway).seriesStore.stats().headReadings === 0);
  for (let from = 0; from < 9_000; from += 500) {
    await publish(site, near, nowMs - 600_000 + from * 10, values.slice(from, from + 500));
    await site.until(isSealed, { withinMs: 30_000, what: "a checkpoint" });
  }
  await site.runFor(3_000);
  assert.is(serviceOf(near).status().disk.state, "unknown", "a disk without a bound says nothing");
  const bytes = servingOf(near).storeBytes();
  near.disk.setCapacity(near.disk.usedBytes() + (20 << 10) - Math.round(bytes / 5));
  await site.until(() => serviceOf(near).status().disk.state === "low", { withinMs: 5_000, what: "low" });
  await site.until(() => serviceOf(near).status().disk.state === "ok", { withinMs: 60_000, what: "room was made" });
  const left = await valuesAt(site, site.gateway("gw-c"));
  assert.ok(left.length < 9_000 && left.length >= 4_000, `${left.length} are left`);
  assert.equal(left, values.slice(-left.length), "the newest ones");
  assert.ok(serviceOf(site.gateway("gw-c")).status().retention.raw.highestMs < nowMs);
});

test("a disk with nothing old to drop: readings are refused with a clear state, and taken again when there is room", async () => {
  const site = await foundedSite(8, 3, {
    retention: "{ minFreeDisk: 100KiB }",
    tuning: { ...tuning, keepNewestMs: hourMs, reserveBytes: 9_000 },
  });
  const near = site.gateway("gw-a");
  await publish(site, near, site.wallMs(), numbers(1, 30));
  near.disk.setCapacity(near.disk.usedBytes() + 50_000);
  await site.until(() => /no readings older than 60m|no readings older than 1h/.test(serviceOf(near).status().warnings.join("\n")), {
    withinMs: 10_000,
  });
  assert.is(serviceOf(near).status().disk.state, "low");
  near.disk.setCapacity(near.disk.usedBytes() + 1_000);
  await site.until(() => serviceOf(near).status().disk.state === "disk-full", { withinMs: 5_000, what: "disk-full" });
  const state = serviceOf(near)
    .metrics()
    .find(({ name, labels }) => name === "fogbank_disk_state" && labels?.["state"] === "disk-full");
  assert.is(state?.value, 1);
  const refused = new Device(near, "d1");
  refused.publish(site.wallMs(), 50);
  assert.ok(refused.closed);
  near.disk.setCapacity(undefined);
  await site.until(() => serviceOf(near).readiness().ready, { withinMs: 10_000 });
  await publish(site, near, site.wallMs(), [60]);
  assert.equal(await valuesAt(site, near), [...numbers(1, 30), 60]);
});

test.run();
