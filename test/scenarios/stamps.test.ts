// Goal: no two messages without a time of their own ever get the same stamp, also where a gateway's floor is gone with its disk. Method: a
// device that is faster than the clock, so that its stamps run ahead; its gateway is lost and replaced, and the device goes on there.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { completeValues, Device, foundedSite, isServing } from "./harness.ts";

const test = suite("scenario: stamps");

async function say(site: SimulatedSite, gateway: SimulatedGateway, values: readonly number[]): Promise<void> {
  const device = new Device(gateway, "d1");
  for (const value of values) {
    device.say(value);
    // What one client may have on its way is bounded.
    if (value % 500 === 0) await site.until(() => device.acknowledged.has(value), { withinMs: 10_000 });
  }
  await site.until(() => values.every((value) => device.acknowledged.has(value)), { withinMs: 20_000, what: "all are acknowledged" });
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("a replaced gateway gives none of the stamps that the disk before it gave ahead of the clock", async () => {
  const site = await foundedSite(71);
  const [lost, other] = [site.gateway("gw-a"), site.gateway("gw-b")];
  await say(site, lost, numbers(1, 8_000));
  lost.crash({ power: true });
  lost.disk.wipe();
  await site.until(() => site.leader() !== undefined && site.leader() !== lost, { withinMs: 30_000 });
  const answer = await site.answer(other.running()?.service.replaceGateway(lost.id, { force: false }) ?? Promise.resolve(undefined));
  assert.ok(answer?.ok, JSON.stringify(answer));
  lost.start();
  await site.until(() => isServing(lost), { withinMs: 60_000, what: "it is there again" });
  await say(site, lost, numbers(8_001, 9_500));
  const values = await completeValues(site, other, "d1");
  assert.equal(
    (values as number[]).toSorted((x, y) => x - y),
    numbers(1, 9_500),
  );
});

test.run();
