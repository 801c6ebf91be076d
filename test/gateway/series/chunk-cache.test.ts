// Goal: the cache stays within its bytes, keeps what is hot through a scan of everything, and never keeps what was replaced; a pin
// holds exactly what was retired after it began. Method: scenarios.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ChunkCache } from "../../../src/gateway/series/chunk-cache.ts";
import { ScanPins } from "../../../src/gateway/series/scan-pins.ts";
import type { ChunkRef } from "../../../src/gateway/series/store-keys.ts";
import { Turns } from "../../../src/gateway/series/turns.ts";
import type { Chunk } from "../../../src/series/chunk-stats.ts";

const test = suite("gateway/series: cache, pins, turns");

const refOf = (part: number): ChunkRef => ({
  kind: "chunk",
  series: 1,
  minUs: part,
  maxUs: part,
  count: 100,
  checkpoint: 1,
  part,
  bytes: 0,
  state: "live",
});
const chunkOf = (count = 100): Chunk => ({
  stats: { count, minTimeUs: 0, maxTimeUs: 0, digest: { count, low: 0, high: 0 }, numeric: undefined },
  run: { count, times: new Float64Array(count), types: undefined, numbers: new Float64Array(count), texts: [] },
});
/** A chunk of 100 readings, with what is around it. */
const chunkBytes = 2_200;

function scan(cache: ChunkCache, refs: readonly ChunkRef[]): void {
  for (const ref of refs) if (cache.get(ref) === undefined) cache.offer(ref, chunkOf());
}

test("what is hot stays through a scan of everything, and the bytes within their bound", () => {
  const cache = new ChunkCache(chunkBytes * 10);
  const hot = Array.from({ length: 10 }, (_, i) => refOf(i));
  scan(cache, hot);
  const kept = hot.map((ref) => cache.get(ref));
  assert.ok(kept.every((chunk) => chunk !== undefined));
  scan(
    cache,
    Array.from({ length: 1_000 }, (_, i) => refOf(100 + i)),
  );
  assert.equal(
    hot.map((ref) => cache.get(ref)),
    kept,
    "the same objects",
  );
  assert.ok(cache.stats().bytes <= chunkBytes * 10);
  // Asked for a second time, others take their place, the one not used for longest first.
  const next = [refOf(2_000), refOf(2_001)];
  scan(cache, next);
  scan(cache, next);
  assert.ok(next.every((ref) => cache.get(ref) !== undefined));
  assert.equal(
    hot.map((ref) => cache.get(ref) !== undefined),
    hot.map((_, i) => i >= 2),
  );
  assert.ok(cache.stats().bytes <= chunkBytes * 10);
});

test("what was replaced is not kept, nor what is larger than the cache", () => {
  const cache = new ChunkCache(chunkBytes * 2);
  const ref = refOf(1);
  cache.offer(ref, chunkOf());
  cache.remove(ref);
  ref.state = "retired";
  cache.offer(ref, chunkOf());
  assert.is(cache.get(ref), undefined);
  cache.offer(refOf(2), chunkOf(10_000));
  assert.equal(cache.stats(), { chunks: 0, bytes: 0, hits: 0, misses: 1 });
});

test("a cache of no bytes keeps nothing", () => {
  const cache = new ChunkCache(0);
  for (let again = 0; again < 3; again++) scan(cache, [refOf(1)]);
  assert.is(cache.stats().chunks, 0);
});

test("what is retired waits for the scans that began before, and for no others", () => {
  const pins = new ScanPins();
  const first = pins.begin();
  const retired = pins.advance();
  const second = pins.begin();
  assert.not(pins.drained(retired));
  const later = pins.advance();
  pins.end(first);
  assert.ok(pins.drained(retired));
  assert.not(pins.drained(later));
  pins.end(second);
  assert.ok(pins.drained(later));
});

test("turns are taken in order, and one that fails does not end them", async () => {
  const turns = new Turns();
  const order: number[] = [];
  const slow = turns.take(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    order.push(1);
    throw new Error("in vain");
  });
  const next = turns.take(async () => {
    order.push(2);
    return "done";
  });
  assert.is(await slow.catch((error: Error) => error.message), "in vain");
  assert.is(await next, "done");
  assert.equal(order, [1, 2]);
});

test.run();
