// Goal: before a gateway knows the owner table that it acted under last, it acts under none: it answers no question and stores nothing by
// the table of the founding. Method: a site of two, one copy of everything, all of which has moved to the other one; then the first one
// starts alone, or with a site that has just come back.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ownersOf, partitionsOf } from "../../src/core/ring/owner-table.ts";
import { defaultTuning } from "../../src/gateway/context.ts";
import { deviceId, gatewayId, partitionOf } from "../../src/lib/ids.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { completeValues, Device, foundedSite, isServing, readingsAt, servingOf } from "./harness.ts";

const test = suite("scenario: before the owner table is known");
const tuning = { ...defaultTuning, retentionEveryMs: 2_000 };

/** Everything of gw-a has moved to gw-b; a device whose readings gw-a kept at first. */
async function movedAway(seed: number): Promise<{ readonly site: SimulatedSite; readonly device: string }> {
  const site = await foundedSite(seed, 2, { factor: 1, write: "any", tuning });
  const table = servingOf(site.gateway("gw-b")).replication.table();
  let i = 0;
  while (ownersOf(table, partitionOf(deviceId(`d${i}`), site.hash64))[0] !== "gw-a") i++;
  const device = `d${i}`;
  const publisher = new Device(site.gateway("gw-b"), device);
  publisher.publish(site.wallMs(), 1);
  await site.until(() => publisher.acknowledged.size === 1, { withinMs: 5_000 });
  const changed = await site.answer(
    site.gateway("gw-b").running()?.service.updateGateway("gw-a", { weight: 0, zone: undefined }) ?? Promise.resolve(undefined),
  );
  assert.ok(changed?.ok, JSON.stringify(changed));
  const left = () => partitionsOf(servingOf(site.gateway("gw-a")).replication.table(), gatewayId("gw-a")).length;
  await site.until(() => left() === 0, { withinMs: 60_000, what: "gw-a owns nothing" });
  await site.runFor(5_000);
  assert.equal(await completeValues(site, site.gateway("gw-a"), device), [1]);
  return { site, device };
}

test("no answer by the table of the founding", async () => {
  const { site, device } = await movedAway(81);
  const publisher = new Device(site.gateway("gw-b"), device);
  publisher.publish(site.wallMs(), 2);
  await site.until(() => publisher.acknowledged.has(2), { withinMs: 5_000 });
  for (const gateway of site.gateways) gateway.crash({ power: true });
  const alone = site.gateway("gw-a");
  alone.start();
  await site.until(() => alone.running()?.gateway.serving() !== undefined, { withinMs: 10_000 });
  for (let turn = 0; turn < 10; turn++) {
    const found = await readingsAt(site, alone, device).catch((cause: unknown) => String(cause));
    if (typeof found !== "string" && found.answer.complete) assert.is(found.points.length, 2);
    await site.runFor(500);
  }
});

test("what is held is delivered to owners of now, not to those of the founding", async () => {
  const { site, device } = await movedAway(82);
  const [alone, other] = [site.gateway("gw-a"), site.gateway("gw-b")];
  other.crash({ power: true });
  await site.runFor(3_000);
  const publisher = new Device(alone, device);
  publisher.publish(site.wallMs(), 2);
  await site.until(() => publisher.acknowledged.has(2), { withinMs: 8_000, what: "held" });
  alone.crash({ power: true });
  alone.start();
  await site.until(() => alone.running()?.gateway.serving() !== undefined, { withinMs: 10_000 });
  await site.runFor(10_000);
  other.start();
  await site.until(() => isServing(alone) && isServing(other), { withinMs: 60_000 });
  await site.until(() => servingOf(alone).hints.view().held.rounds === 0, { withinMs: 60_000 });
  await site.runFor(5_000);
  assert.equal(await completeValues(site, other, device), [1, 2]);
});

test.run();
