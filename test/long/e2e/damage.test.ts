// Goal: bits that turn in a gateway's LevelDB are found, never served, and what they took comes back from the other owners. Method: three
// real processes with a million readings in chunks; one is stopped and bits of its table are turned: in chunks, whose readings it
// fetches by itself, and in what LevelDB finds them by, after which it does not start, says why, and is replaced.
import { statSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { equalEverywhere, filesOf, flipBit, placesOf, refusedThenReplaced } from "../../e2e/support/damage.ts";
import { assertSameReadings, readAll } from "../../e2e/support/readings.ts";
import { type TestGateway, TestSite } from "../../e2e/support/site.ts";
import { until } from "../../e2e/support/until.ts";
import { WideDevice, wideMetric, wideProfile } from "../../e2e/support/wide-device.ts";

const test = suite("damage on disk");

const settleMs = 60_000;
const chunkMagic = "FBCH";

/** The gateway's own answers are what was published, of every one of these metrics. */
async function answers(gateway: TestGateway, device: WideDevice, metrics: readonly number[]): Promise<void> {
  for (const metric of metrics) {
    const answered = await readAll(gateway.client, { metric: wideMetric(metric), consistency: "one", limit: 10_000 });
    assertSameReadings(`${gateway.id}, ${wideMetric(metric)}`, answered, new Map([[device.id, device.points(metric)]]));
  }
}

test("chunks in LevelDB heal by themselves; a table's index does not, and says so", async () => {
  const site = await TestSite.start({ files: { "devices/wide.yaml": wideProfile } });
  const [near, , victim] = site.gateways as [TestGateway, TestGateway, TestGateway];
  try {
    const device = new WideDevice("wide");
    await device.fill(near, site.gateways);

    await victim.stop();
    const [table = ""] = filesOf(victim, "store", /\.ldb$/);
    const chunks = placesOf(table, chunkMagic);
    assert.ok(chunks.length > 100, `${chunks.length} chunks`);
    // The first byte behind the magic is the header's, the other one a reading's.
    flipBit(table, (chunks[10] as number) + 30);
    flipBit(table, (chunks[40] as number) + 5_000);
    victim.start();
    await victim.ready();
    const metrics = Array.from({ length: 16 }, (_, at) => at);
    await answers(victim, device, metrics);
    await until(
      "the damaged chunks are restored",
      async () => (await victim.metric("fogbank_repair_chunks_restored_total")) === 2 || undefined,
      { withinMs: settleMs },
    );
    await equalEverywhere(victim);
    assert.match(victim.output, /chunk-quarantined/);
    assert.match(await victim.statusText(), /^repair +all 1024 partitions equal.* 2 chunks restored$/m);
    await answers(victim, device, metrics);

    await victim.stop();
    const [again = ""] = filesOf(victim, "store", /\.ldb$/);
    // The last block of a table is its index, and stands before a footer of 48 bytes.
    flipBit(again, statSync(again).size - 48 - 100);
    await refusedThenReplaced(site, victim, /the checksum of its index does not match/);
    await equalEverywhere(victim);
    await answers(victim, device, metrics.slice(0, 4));
  } finally {
    await site.end();
  }
});

test.run();
