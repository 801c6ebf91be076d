// Goal: an owner that was away gets every acknowledged reading that it missed from the coordinator's hints, also after a crash of
// the coordinator and a change of the ring, and hints are the first to go when a disk fills up. Method: simulated sites of three;
// what an owner has is read from it alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../src/gateway/context.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, localValues, servingOf } from "./harness.ts";

const test = suite("scenario: hints");
const awayMs = 30_000;
const settleMs = 20_000;

function hintsOf(gateway: SimulatedGateway) {
  return servingOf(gateway).hints.view();
}

/** `count` readings, one every `everyMs`, all acknowledged by gw-a. */
async function publish(site: SimulatedSite, device: Device, values: readonly number[], everyMs: number): Promise<void> {
  for (const value of values) {
    device.publish(site.wallMs(), value);
    await site.runFor(everyMs);
  }
  await site.until(() => values.every((value) => device.acknowledged.has(value)), { withinMs: 5_000, what: "all are acknowledged" });
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function has(site: SimulatedSite, gateway: SimulatedGateway, values: readonly number[]): Promise<void> {
  const deadline = site.nowMs() + settleMs;
  for (;;) {
    const found = await localValues(site, gateway, "d1");
    if (values.every((value) => found.includes(value))) return;
    if (site.nowMs() > deadline) assert.equal(found, values);
    await site.runFor(200);
  }
}

test("an owner that is away for 30 s has all that it missed soon after it is back, and the hints are gone", async () => {
  const site = await foundedSite(31);
  const near = site.gateway("gw-a");
  const away = site.gateway("gw-c");
  const device = new Device(near, "d1");
  away.crash({ power: false });
  await publish(site, device, numbers(1, 30), awayMs / 30);
  await site.runFor(12_000);
  const { waiting } = hintsOf(near);
  assert.equal(
    waiting.map(({ target, rounds }) => [target, rounds]),
    [["gw-c", 30]],
  );
  away.start();
  await has(site, away, numbers(1, 30));
  await site.until(() => hintsOf(near).waiting.length === 0, { withinMs: 5_000, what: "no hint waits" });
  assert.is(hintsOf(near).delivered, 30);
});

test("hints outlive a crash of the coordinator, and so does what was delivered of them", async () => {
  const site = await foundedSite(32);
  const near = site.gateway("gw-a");
  const away = site.gateway("gw-c");
  away.crash({ power: false });
  await publish(site, new Device(near, "d1"), numbers(1, 5), 200);
  await site.runFor(12_000);
  near.crash({ power: true });
  near.start();
  await site.until(() => near.running()?.gateway.phase() === "serving", { withinMs: 90_000, what: "gw-a serves again" });
  assert.is(hintsOf(near).waiting[0]?.rounds, 5);
  away.start();
  await has(site, away, numbers(1, 5));
  await site.runFor(3_000);
  near.crash({ power: true });
  near.start();
  await site.until(() => near.running()?.gateway.phase() === "serving", { withinMs: 90_000, what: "gw-a serves once more" });
  assert.equal(hintsOf(near).waiting, []);
});

test("a clean stop of the coordinator leaves hints for what an owner has not got yet", async () => {
  const site = await foundedSite(33);
  const near = site.gateway("gw-a");
  const away = site.gateway("gw-c");
  away.crash({ power: false });
  await publish(site, new Device(near, "d1"), numbers(1, 3), 100);
  const { gateway } = near.running() ?? {};
  await site.answer(gateway?.stop() ?? Promise.resolve());
  near.crash({ power: false });
  away.start();
  near.start();
  await has(site, away, numbers(1, 3));
});

test("a disk that becomes low gives up its hints first, counted, and takes readings on", async () => {
  const reserveBytes = defaultTuning.reserveBytes;
  const site = await foundedSite(34);
  const near = site.gateway("gw-a");
  site.gateway("gw-c").crash({ power: false });
  const device = new Device(near, "d1");
  await publish(site, device, numbers(1, 3), 100);
  await site.runFor(12_000);
  assert.is(hintsOf(near).waiting[0]?.rounds, 3);
  near.disk.setCapacity(near.disk.usedBytes() + 2 * reserveBytes - 1);
  await site.runFor(3_000);
  assert.equal(hintsOf(near).waiting, []);
  assert.equal(hintsOf(near).dropped, { disk: 3 });
  await publish(site, device, numbers(4, 5), 100);
  await site.runFor(12_000);
  assert.equal(hintsOf(near).waiting, []);
  assert.ok((hintsOf(near).dropped["disk"] ?? 0) > 3, "what was not even written down is counted too");
});

test("beyond their bytes the oldest hints go, counted", async () => {
  const site = await foundedSite(35, 3, { tuning: { ...defaultTuning, hintBytesMax: 2_600 } });
  const near = site.gateway("gw-a");
  const away = site.gateway("gw-c");
  away.crash({ power: false });
  await publish(site, new Device(near, "d1"), numbers(1, 12), 100);
  await site.runFor(12_000);
  const { waiting, dropped, bytes } = hintsOf(near);
  assert.ok(bytes <= 2_600);
  assert.is((waiting[0]?.rounds ?? 0) + (dropped["bytes"] ?? 0), 12);
  away.start();
  await has(site, away, numbers(12 - (waiting[0]?.rounds ?? 0) + 1, 12));
});

test.run();
