// Goal: a bit that turned in the middle of a readings log, or in a lowdb store, stops the start of that gateway with a word on what
// is damaged, and nothing is lost. Method: three real processes on lowdb; SIGKILL of one, a bit turned in its log, then in its store; each
// time the way out that it names is taken, and its own copy asked for everything.
import { statSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { equalEverywhere, filesOf, flipBit, placesOf, refusedThenReplaced } from "../../e2e/support/damage.ts";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { type TestGateway, TestSite } from "../../e2e/support/site.ts";

const test = suite("damage that stops the start");

test("a readings log and a lowdb store that are damaged in their middle stop the start, and a new folder is filled", async () => {
  const site = await TestSite.start({ settings: "store: { engine: lowdb }\n", files: { "devices/counter.yaml": ledgerProfile } });
  const [near, , victim] = site.gateways as [TestGateway, TestGateway, TestGateway];
  const ledger = new Ledger();
  try {
    await ledger.publish("before", near, 300);
    await victim.kill();
    const [log = ""] = filesOf(victim, "logs/readings", /\.log$/);
    const rounds = placesOf(log, "FBRD");
    assert.ok(rounds.length > 4);
    flipBit(log, (rounds[Math.floor(rounds.length / 2)] as number) + 40);
    await refusedThenReplaced(site, victim, /The log "readings" is damaged: .*sequence \d+/);
    await equalEverywhere(victim);
    await ledger.check([victim], { consistency: "one" });

    await victim.stop();
    const file = join(victim.dataFolder, "store.json");
    flipBit(file, Math.floor(statSync(file).size / 2));
    await refusedThenReplaced(site, victim, /store\.json is damaged: its checksum does not match/);
    await equalEverywhere(victim);
    await ledger.check([victim], { consistency: "one" });
  } finally {
    await site.end();
  }
});

test.run();
