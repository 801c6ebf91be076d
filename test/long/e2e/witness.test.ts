// Goal: two gateways and a witness lose nothing and go on while one of the two is away, and hand over what it missed when it is back.
// Method: three real processes under load; SIGKILL of one of the two, of the witness while it keeps copies for that one, and of the
// other one just before the first comes back; at each step what the survivor answers and what `status` and /metrics say; at the end each owner is asked for its own copy.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runFogbank } from "../../e2e/support/fogbank.ts";
import { Ledger, ledgerProfile } from "../../e2e/support/ledger.ts";
import { Load } from "../../e2e/support/load.ts";
import { readAll } from "../../e2e/support/readings.ts";
import { must, type TestGateway, TestSite } from "../../e2e/support/site.ts";
import { until } from "../../e2e/support/until.ts";

const test = suite("two gateways and a witness");

const settleMs = 45_000;

function copies(witness: TestGateway, owner?: TestGateway): Promise<number> {
  return witness.metric("fogbank_copy_rounds", owner === undefined ? {} : { target: owner.id });
}

/** While devices go on publishing: a complete answer has at least all that had been acknowledged before it was asked for. */
async function answersAll(gateway: TestGateway, ledger: Ledger): Promise<void> {
  const before = ledger.size;
  const answered = await readAll(gateway.client, { metric: "v" });
  const count = [...answered.values()].reduce((total, points) => total + points.length, 0);
  assert.ok(count >= before, `${gateway.id} answered ${count} readings, ${before} had been acknowledged`);
}

test("each of the three dies once while another is away or behind: nothing is lost, and the witness keeps nothing in the end", async () => {
  const site = await TestSite.start({ witnesses: ["gw-c"], files: { "devices/counter.yaml": ledgerProfile } });
  const [a, b, witness] = ["gw-a", "gw-b", "gw-c"].map((id) => site.gateway(id)) as [TestGateway, TestGateway, TestGateway];
  const ledger = new Ledger();
  let load: Load | undefined;
  try {
    assert.match(await a.statusText(), /partitions: gw-a 1024, gw-b 1024(, gw-c 0)?\n/);
    load = new Load(ledger, [a, b]);
    await load.more(200);

    await b.kill();
    await load.more(400);
    await until("the witness keeps rounds for gw-b", async () => ((await copies(witness, b)) > 0 ? true : undefined), {
      withinMs: settleMs,
    });
    assert.match(await witness.statusText(), /^stands in .* for gw-b\b/m);
    assert.match(await witness.statusText(), /standing in for gw-b/);
    assert.match(await a.statusText(), /gw-b is not connected/);
    await answersAll(a, ledger);

    await witness.kill();
    const atSurvivor = must(await a.client.readings({ metric: "v" }));
    assert.is(atSurvivor.complete, false, "the survivor alone does not vouch for what the two others may have");
    witness.start();
    await witness.ready();
    assert.ok((await copies(witness, b)) > 0, "the copies survived SIGKILL");
    await load.more(400);
    await answersAll(a, ledger);

    // What gw-b missed is on gw-a, which goes, and on the witness: without it none of that would be left.
    await a.kill();
    b.start();
    await b.ready();
    await load.more(200);
    await answersAll(b, ledger);
    a.start();
    await a.ready();
    await load.more(100);
    await load.drain();
    await until("the witness keeps nothing", async () => ((await copies(witness)) === 0 ? true : undefined), {
      withinMs: settleMs,
      explain: () => witness.process.tail(),
    });
    assert.not.match(await witness.statusText(), /^stands in|standing in for/m);
    await ledger.check([a, b, witness]);
    await ledger.check([a, b], { consistency: "one" });
    const repaired = await runFogbank(["repair", "--url", a.url], { cwd: site.folder });
    assert.is(repaired.code, 0, repaired.stdout + repaired.stderr);
    assert.match(repaired.stdout, /gw-a .*equal\ngw-b .*equal/);
  } finally {
    await load?.close();
    await site.end();
  }
});

test.run();
