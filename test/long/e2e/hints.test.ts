// Goal: what an owner missed while it was away is brought to it by the gateways that coordinated it, though they are killed meanwhile.
// Method: three real processes; SIGKILL of one, readings through the two others until these keep hints, SIGKILL of one of them, then
// all come back: the owner's own copy, asked at level one, has everything before its own repair has fetched anything.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { type TestGateway, TestSite } from "../../e2e/support/site.ts";
import { until } from "../../e2e/support/until.ts";

const test = suite("hints");

const settleMs = 45_000;

/** Rounds that a gateway keeps for an owner that is away. */
function hintsFor(owner: TestGateway, at: TestGateway): Promise<number> {
  return at.metric("fogbank_hint_rounds", { target: owner.id });
}

test("an owner that was away gets what it missed from the coordinators, of which one was killed meanwhile", async () => {
  const site = await TestSite.start({ files: { "devices/counter.yaml": ledgerProfile } });
  const [a, b, away] = site.gateways as [TestGateway, TestGateway, TestGateway];
  const ledger = new Ledger();
  try {
    await ledger.publish("before", a, 20);
    await away.kill();
    await ledger.publish("by-a", a, 60);
    await ledger.publish("by-b", b, 60);
    for (const coordinator of [a, b])
      await until(
        `${coordinator.id} keeps hints`,
        async () => ((await hintsFor(away, coordinator)) > 0 && (await coordinator.metric("fogbank_readings_pending")) === 0) || undefined,
        { withinMs: settleMs },
      );
    // From now on they are hints at once.
    const kept = await hintsFor(away, a);
    await ledger.publish("by-a", a, 20);
    await until("the next ones are hints at once", async () => (await hintsFor(away, a)) > kept || undefined, { withinMs: settleMs });
    assert.match(await a.statusText(), /^hints +\d+ rounds \(.*\) for gw-c$/m);
    assert.ok((await a.metric("fogbank_hint_bytes", { target: away.id })) > 0);

    const before = await hintsFor(away, a);
    await a.kill();
    a.start();
    await a.ready();
    assert.is(await hintsFor(away, a), before, "hints survive SIGKILL");

    away.start();
    await away.ready();
    await until("the hints are delivered", async () => (await hintsFor(away, a)) + (await hintsFor(away, b)) === 0 || undefined, {
      withinMs: settleMs,
      explain: () => a.process.tail(),
    });
    await ledger.check([away], { consistency: "one" });
    assert.is(await away.metric("fogbank_repair_readings_fetched_total"), 0, "repair had nothing left to do");
    assert.ok((await a.metric("fogbank_hint_rounds_delivered_total")) >= before);
    assert.is(await a.metric("fogbank_hint_rounds_dropped_total"), 0);
    assert.not.match(await a.statusText(), /^hints/m);
    await ledger.check(site.gateways);
  } finally {
    await site.end();
  }
});

test.run();
