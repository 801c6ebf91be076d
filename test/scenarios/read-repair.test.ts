// Goal: what a quorum read has shown, every later one shows: an owner of the quorum that lacked it has it on its disk before the
// answer is given. Method: three gateways, one of which was away while devices published; nobody repairs but questions.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../src/gateway/context.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { Device, foundedSite, isServing, ownCounts } from "./harness.ts";

const test = suite("scenario: read repair");
const devices = ["d1", "d2", "d3"];
const epochMs = Date.UTC(2026, 0, 1);

for (const [how, everyMs] of [
  ["pages", undefined],
  ["an aggregate", 3_600_000],
] as const) {
  test(`a quorum read of ${how} writes to an owner what it lacks, before it answers`, async () => {
    const site = await foundedSite(11, 3, { tuning: { ...defaultTuning, repairPauseMinMs: 10_000_000, hintBytesMax: 0 } });
    const [home, away] = site.gateways as [SimulatedGateway, SimulatedGateway];
    const links = devices.map((id) => new Device(home, id));
    away.crash({ power: true });
    for (let value = 1; value <= 50; value++) {
      for (const device of links) device.publish(epochMs + value * 20_000, value);
      await site.runFor(100);
    }
    await site.runFor(30_000);
    away.start();
    await site.until(() => isServing(away), { withinMs: 30_000, what: "it is back" });
    await site.runFor(3_000);
    const all = devices.length * 50;
    assert.equal(await ownCounts(site), [all, 0, all]);
    const service = away.running()?.service;
    if (service === undefined) throw new Error("it is not running");
    const query = { metric: "value", device: "*", fromMs: undefined, toMs: undefined, consistency: "quorum", limit: 10_000 } as const;
    const aggregate = everyMs === undefined ? undefined : ({ kind: "count" } as const);
    const answer = await site.answer(service.readings({ ...query, everyMs, aggregate, cursor: undefined }));
    if (!answer.ok) throw new Error(answer.message);
    assert.ok(answer.value.complete);
    const points = answer.value.series.flatMap((series) => series.points);
    assert.is(everyMs === undefined ? points.length : points.reduce((sum, [, value]) => sum + Number(value), 0), all);
    assert.equal(await ownCounts(site), [all, all, all], "it is there by now");
    assert.is(service.status().repair.readingsWritten, all);
    // And stays there.
    away.crash({ power: true });
    away.start();
    await site.until(() => isServing(away), { withinMs: 30_000, what: "it is back" });
    assert.equal(await ownCounts(site), [all, all, all]);
  });
}

test.run();
