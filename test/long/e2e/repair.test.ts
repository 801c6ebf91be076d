// Goal: `fogbank repair` makes what differs equal when it is told to, and says plainly what it could not look at. Method: three real
// processes; one is stopped while readings are acknowledged by the two others, which then lose the hints that they keep for it, so that
// only repair can bring them; the command with one gateway dead, then with all of them back, as a table and as JSON.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SiteRepair } from "../../../src/client/schema.ts";
import { type CommandResult, runFogbank } from "../../e2e/support/fogbank.ts";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { type TestGateway, TestSite } from "../../e2e/support/site.ts";

const test = suite("fogbank repair");

function repair(site: TestSite, via: TestGateway, ...options: readonly string[]): Promise<CommandResult> {
  return runFogbank(["repair", "--url", via.url, ...options], { cwd: site.folder, withinMs: 60_000 });
}

test("with a gateway dead it says so and exits 3; with all of them back it fetches what is lacking and exits 0", async () => {
  const site = await TestSite.start({ files: { "devices/counter.yaml": ledgerProfile } });
  const [a, b, behind] = site.gateways as [TestGateway, TestGateway, TestGateway];
  const ledger = new Ledger();
  try {
    await ledger.publish("before", a, 50);
    await behind.kill();
    await ledger.publish("missed", a, 150);

    const dead = await repair(site, a);
    assert.is(dead.code, 3, dead.stdout + dead.stderr);
    assert.match(dead.stdout, /^gw-c .*NOT REACHED$/m);
    assert.match(dead.stdout, /^gw-a .*UNEQUAL$/m);
    assert.match(dead.stderr, /gw-c/);
    const asJson = await repair(site, a, "-o", "json");
    assert.is(asJson.code, 3, asJson.stderr);
    const without = JSON.parse(asJson.stdout) as SiteRepair;
    assert.is(without.equal, false);
    assert.equal(
      without.gateways.map(({ gateway, reached }) => [gateway, reached]),
      [
        ["gw-a", true],
        ["gw-b", true],
        ["gw-c", false],
      ],
    );

    // SIGKILL, so that the rounds under way do not become hints of a clean stop either.
    await Promise.all([a.kill(), b.kill()]);
    for (const gateway of [a, b]) rmSync(join(gateway.dataFolder, "logs", "hints"), { recursive: true });
    for (const gateway of site.gateways) gateway.start();
    await Promise.all(site.gateways.map((gateway) => gateway.ready()));
    const repaired = await repair(site, a, "-o", "json");
    assert.is(repaired.code, 0, repaired.stdout + repaired.stderr);
    const report = JSON.parse(repaired.stdout) as SiteRepair;
    assert.ok(report.equal, repaired.stdout);
    assert.ok(
      report.gateways.every(({ partitionsCompared, partitionsEqual }) => partitionsCompared === 1_024 && partitionsEqual === 1_024),
    );
    assert.is(await behind.metric("fogbank_repair_readings_fetched_total"), 150);
    await ledger.check([behind], { consistency: "one" });
    assert.match(await behind.statusText(), /^repair +all 1024 partitions equal/m);

    const quiet = await repair(site, behind);
    assert.is(quiet.code, 0, quiet.stderr);
    assert.match(quiet.stdout, /^gw-a +1024 +0 +0 +0 +equal\ngw-b +1024 +0 +0 +0 +equal\ngw-c +1024 +0 +0 +0 +equal$/m);
  } finally {
    await site.end();
  }
});

test.run();
