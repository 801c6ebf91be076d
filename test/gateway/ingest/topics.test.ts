// Goal: what clients choose as topics costs bounded memory. Method: the intake of a real gateway on simulated ports, and the
// growth of the heap.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Device, foundedSite } from "../../scenarios/harness.ts";

const test = suite("gateway/ingest: topics");
const mebibyte = 1 << 20;

test("a flood of long topics is counted, and not kept", async () => {
  const site = await foundedSite(1, 1);
  const broker = site.gateway("gw-a").running()?.broker;
  const link = broker?.connect({ clientId: "flood" }, () => undefined);
  const before = process.memoryUsage().heapUsed;
  // 128 MB in all.
  for (let i = 0; i < 2_000; i++) link?.publish(`nobody/${i}/`.padEnd(64 * 1024, "x"), new Uint8Array(1), 0, () => undefined);
  assert.ok(process.memoryUsage().heapUsed - before < 64 * mebibyte || collected(before), "the topics are gone");
  const unmatched = site.gateway("gw-a").running()?.service.status().ingest.unmatched ?? [];
  assert.is(
    unmatched.reduce((sum, row) => sum + row.total, 0),
    2_000,
  );
  assert.ok(unmatched.every(({ topic }) => topic.length <= 256));
  const device = new Device(site.gateway("gw-a"), "d1");
  device.say(1);
  await site.until(() => device.acknowledged.has(1), { withinMs: 5_000 });
});

/** Without a way to force a collection: allocate until one has happened. */
function collected(before: number): boolean {
  for (let round = 0; round < 200; round++) {
    let garbage: unknown[] = [];
    for (let i = 0; i < 20_000; i++) garbage.push({ i });
    garbage = [];
    if (process.memoryUsage().heapUsed - before < 64 * mebibyte) return true;
  }
  return false;
}

test.run();
