// Goal: a gateway that became an owner without having the readings gets all of them, also those that only one other has, and is
// counted as whole no sooner. Method: four real gateways with factor 3; gw-d leaves, gw-c takes its places and is filled, and then
// another owner is lost. The command that counts it as filled is played by telling every gateway of the next ring.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { addOwner, ownerFilled, type RingState, removeOwner, replaceOwner } from "../../src/core/ring/owner-changes.ts";
import { ownersOf, partitionsOf } from "../../src/core/ring/owner-table.ts";
import { Filling, type FillingOptions, fillBatchMax, type OwnerFilled } from "../../src/gateway/filling.ts";
import { FailureError, failure, success } from "../../src/lib/errors.ts";
import { deviceId, gatewayId, partitionOf } from "../../src/lib/ids.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, readingsAt } from "./harness.ts";

const startMs = Date.UTC(2026, 0, 1);

function servingOf(gateway: SimulatedGateway) {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving;
}

function tell(site: SimulatedSite, ring: RingState): void {
  for (const gateway of site.gateways) if (gateway.running() !== undefined) servingOf(gateway).replication.ringChanged(ring);
}

const ringOf = (site: SimulatedSite) => servingOf(site.gateway("gw-c")).replication.ring();

/** Devices whose owners are these three. */
async function devicesOn(site: SimulatedSite, owners: readonly string[], count: number): Promise<string[]> {
  const { hash64 } = await simulatorWorld();
  const { table } = ringOf(site);
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) {
    const found = ownersOf(table, partitionOf(deviceId(`d${i}`), hash64));
    if (found.toSorted().join() === owners.join()) names.push(`d${i}`);
  }
  return names;
}

interface Story {
  readonly site: SimulatedSite;
  readonly filling: Filling;
  readonly commands: OwnerFilled[];
  readonly names: readonly string[];
}

/** Readings 1 to 40 of devices on a, b and d, those above 20 without gw-b; then gw-d goes and gw-c takes its places. */
async function joined(seed: number, changes: Partial<FillingOptions> = {}): Promise<Story> {
  const site = await foundedSite(seed, 4);
  const names = await devicesOn(site, ["gw-a", "gw-b", "gw-d"], 12);
  const devices = names.map((name) => new Device(site.gateway("gw-a"), name));
  for (let value = 1; value <= 20; value++) for (const device of devices) device.publish(startMs + value, value);
  await site.until(() => devices.every((device) => device.acknowledged.size === 20), { withinMs: 5_000 });
  site.gateway("gw-b").crash({ power: false });
  for (let value = 21; value <= 40; value++) for (const device of devices) device.publish(startMs + value, value);
  await site.until(() => devices.every((device) => device.acknowledged.size === 40), { withinMs: 10_000 });
  // So long that nobody offers gw-b what it missed.
  await site.runFor(15_000);
  site.gateway("gw-b").start();
  await site.until(() => site.gateway("gw-b").running()?.service.readiness().ready === true, { withinMs: 20_000 });
  tell(site, addOwner(removeOwner(ringOf(site), gatewayId("gw-d")), { gateway: gatewayId("gw-c"), factor: 3 }));
  const commands: OwnerFilled[] = [];
  return { site, names, commands, filling: fillingOf(site, commands, changes) };
}

function fillingOf(site: SimulatedSite, commands: OwnerFilled[], changes: Partial<FillingOptions> = {}): Filling {
  const gateway = site.gateway("gw-c").running()?.gateway;
  const requests = gateway?.requests();
  const context = gateway?.context();
  if (requests === undefined || context === undefined) throw new Error("gw-c does not run");
  const serving = servingOf(site.gateway("gw-c"));
  return new Filling({
    context,
    requests,
    keeper: serving.keeper,
    ring: () => serving.replication.ring(),
    rawHorizonUs: () => 0,
    // As on a site of which not all gateways know better: everything comes as pages.
    canPull: () => false,
    prepared: () => serving.seriesStore.idle(),
    counted: () => serving.seriesStore.counted(),
    stream: () => Promise.resolve(success(undefined)),
    pull: () => Promise.resolve(success(undefined)),
    fetchRolled: (owner, asked) => serving.healing.rolledPages.fetchAll(owner, asked),
    propose: async (command) => {
      if (command.epoch !== ringOf(site).table.epoch) return failure("ring-changed", "the owners are others by now");
      commands.push(command);
      tell(site, ownerFilled(ringOf(site), command));
      return success(undefined);
    },
    ...changes,
  });
}

async function completeValues(site: SimulatedSite, at: string, device: string): Promise<unknown[]> {
  const { points, answer } = await readingsAt(site, site.gateway(at), device);
  assert.ok(answer.complete, `${at} knows everything of ${device}`);
  return points.map(([, value]) => value);
}

const all = Array.from({ length: 40 }, (_, i) => i + 1);

const test = suite("a new owner is filled");

test("it gets what the others have together, and then stands in for one of them that is lost", async () => {
  const { site, filling, commands, names } = await joined(1);
  filling.look();
  await site.until(() => filling.partitionsLeft() === 0, { withinMs: 20_000, what: "gw-c is filled" });
  assert.is(ringOf(site).filling.size, 0);
  assert.ok(commands.length > 1 && commands.every(({ partitions }) => partitions.length <= fillBatchMax));
  assert.is(
    commands.reduce((sum, { partitions }) => sum + partitions.length, 0),
    partitionsOf(ringOf(site).table, gatewayId("gw-c")).length - (await ownedBefore()),
  );
  // Of the second half only gw-a had a copy that counts.
  site.gateway("gw-a").crash({ power: true });
  for (const name of names) for (const at of ["gw-b", "gw-c", "gw-d"]) assert.equal(await completeValues(site, at, name), all);
});

test("it is not counted as filled while a crash would take back what it got", async () => {
  let refusals = 3;
  const { site, filling, commands } = await joined(4, {
    counted: () => {
      assert.is(commands.length, 0);
      return Promise.resolve(refusals-- > 0 ? failure("disk-full", "the store takes no more") : success(undefined));
    },
  });
  filling.look();
  await site.until(() => refusals < 0, { withinMs: 20_000, what: "it is tried again" });
  filling.stop();
});

test("a store that cannot be read for a moment holds it up, and ends nothing", async () => {
  let failures = 3;
  const { site, filling, names } = await joined(5, {
    canPull: () => true,
    pull: () =>
      failures-- > 0
        ? Promise.reject(new FailureError(failure("store-failed", "the store cannot be read")))
        : Promise.resolve(success({ readings: 0 })),
  });
  filling.look();
  await site.until(() => filling.partitionsLeft() === 0, { withinMs: 20_000, what: "gw-c is filled" });
  assert.ok(failures < 0 && names.length > 0);
});

/** Partitions that gw-c owned when the site was founded. */
async function ownedBefore(): Promise<number> {
  const site = await foundedSite(1, 4);
  return partitionsOf(ringOf(site).table, gatewayId("gw-c")).length;
}

test("one that has readings does not answer: nothing is counted as filled, and it goes on when that one is back", async () => {
  const { site, filling, commands } = await joined(2);
  site.gateway("gw-a").crash({ power: false });
  filling.look();
  await site.runFor(10_000);
  assert.is(commands.flatMap(({ partitions }) => partitions).filter((at) => ringOf(site).filling.has(at)).length, 0);
  assert.ok(filling.partitionsLeft() > 0);
});

test("what the new owner fetched is on its disk: after a power cut it has it, and what was not counted then is fetched again", async () => {
  const { site, filling, commands, names } = await joined(3, {
    bytesPerSecond: 1 << 20,
    propose: async () => failure("not-applied", "no leader"),
  });
  filling.look();
  await site.runFor(1_500);
  const { fetched } = filling;
  assert.ok(fetched > 0, "the first batch came from both");
  await site.runFor(1_500);
  assert.is(filling.fetched, fetched, "what is not counted yet is not fetched again for that");
  assert.is(commands.length, 0);
  filling.stop();
  const ring = ringOf(site);
  site.gateway("gw-c").crash({ power: true });
  site.gateway("gw-c").start();
  await site.until(() => site.gateway("gw-c").running()?.service.readiness().ready === true, { withinMs: 20_000 });
  tell(site, ring);
  const again = fillingOf(site, commands);
  again.look();
  await site.until(() => again.partitionsLeft() === 0, { withinMs: 20_000 });
  site.gateway("gw-a").crash({ power: true });
  for (const name of names) assert.equal(await completeValues(site, "gw-c", name), all);
});

test("the owners change in the middle: the batch is begun anew under the new table", async () => {
  const { site, filling, commands, names } = await joined(4, { bytesPerSecond: 20_000 });
  filling.look();
  await site.runFor(200);
  assert.ok(filling.fetched > 0 && commands.length === 0, "under way");
  tell(site, replaceOwner(ringOf(site), gatewayId("gw-c")));
  const left = filling.partitionsLeft();
  await site.until(() => filling.partitionsLeft() === 0, { withinMs: 60_000 });
  assert.is(
    commands.reduce((sum, { partitions }) => sum + partitions.length, 0),
    left,
  );
  site.gateway("gw-a").crash({ power: true });
  for (const name of names) assert.equal(await completeValues(site, "gw-d", name), all);
});

test("an owner that answers with what was not asked for is not believed", async () => {
  let lie: unknown;
  const { site, filling, commands, names } = await joined(5, { requests: { call: async () => success(lie) } });
  const page = (d: string | undefined, readings: number, end = true) => {
    const zeros = new Uint8Array(readings * 8);
    return { end, series: [{ d, m: "value", t: zeros, y: undefined, v: zeros, x: [] }] };
  };
  const elsewhere = await devicesOn(await foundedSite(5, 4), ["gw-a", "gw-b", "gw-c"], 1);
  for (lie of [
    { end: false, series: [] },
    page(elsewhere[0], 1),
    page(names[0], 0),
    page(names[0], 20_001),
    page("x".repeat(70_000), 1),
    {
      end: true,
      series: [page(names[1], 1).series[0], page(names[0], 1).series[0]].toSorted((x, y) => ((x?.d ?? "") < (y?.d ?? "") ? 1 : -1)),
    },
    { series: 1 },
  ]) {
    filling.look();
    await site.runFor(1_100);
    assert.equal([commands.length, filling.fetched], [0, 0]);
  }
});

test.run();
