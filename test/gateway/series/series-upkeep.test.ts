// Goal: chunks become few, full and disjoint without losing or inventing a reading; what is dropped or replaced goes at the right
// moment; damage costs its own stretch of one series and nothing else, and is known after a restart; a store of the version before is
// read (design section 5). Method: scenarios on the real store over a simulated disk.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../../src/gateway/context.ts";
import { packSealed, unpackSealed } from "../../../src/gateway/series/sealed-value.ts";
import type { Series } from "../../../src/gateway/series/series-index.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import {
  chunkIndexPrefix,
  chunkKey,
  chunkPrefix,
  metaKey,
  parseChunkKey,
  prefixRange,
  quarantinePrefix,
} from "../../../src/gateway/series/store-keys.ts";
import type { Failure, Result } from "../../../src/lib/errors.ts";
import { deviceId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import type { StoreEntry } from "../../../src/ports/store.ts";
import type { ChunkStats } from "../../../src/series/chunk-stats.ts";
import { type OpenSeries, type Reading, SeriesSite } from "./series-fixture.ts";

function opened(result: Result<OpenSeries>): OpenSeries {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

const everything = { fromUs: 0, toUs: Number.MAX_SAFE_INTEGER };

const readingsOf = (device: string, from: number, count: number, value = 0): Reading[] =>
  Array.from({ length: count }, (_, i) => ({ device, us: (from + i) * 1_000, value: value + i }));

async function seal(site: SeriesSite, open: OpenSeries, readings: readonly Reading[]): Promise<void> {
  await site.appendDurably(open, readings);
  await site.settle(open.store.checkpoint());
}

function seriesOf(open: OpenSeries, device: string): Series {
  const series = open.store.index.find(deviceId(device), "value");
  assert.ok(series);
  return series as Series;
}

const countsOf = (open: OpenSeries, device: string): number[] => seriesOf(open, device).chunks.map((ref) => ref.count);

async function stored(site: SeriesSite, open: OpenSeries, prefix: Uint8Array): Promise<StoreEntry[]> {
  return await site.settle(open.raw.scan({ ...prefixRange(prefix), limit: 10_000 }));
}

/** One second after the other, as a gateway does. */
async function maintained(site: SeriesSite, open: OpenSeries, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    open.store.maintain();
    await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
  }
}

async function restarted(site: SeriesSite): Promise<OpenSeries> {
  site.disk.crash({ power: true });
  return opened(await site.open());
}

async function scanned(site: SeriesSite, open: OpenSeries, device: string, range = everything): Promise<Result<number>> {
  let readings = 0;
  const result = await site.settle(
    new SeriesReader(open.store).scan(seriesOf(open, device), range, (run) => {
      readings += run.count;
      return true;
    }),
  );
  return result.ok ? { ok: true, value: readings } : result;
}

async function flip(site: SeriesSite, open: OpenSeries, key: Uint8Array): Promise<void> {
  const value = (await site.settle(open.raw.get(key))) as Uint8Array;
  value[value.length >> 1] = (value[value.length >> 1] as number) ^ 4;
  await site.settle(open.raw.write([{ type: "put", key, value }], { sync: true }));
}

const test = suite("gateway/series: upkeep");

test("small chunks become full ones in the background, and the store keeps no others", async () => {
  const site = new SeriesSite(1);
  let open = opened(await site.open());
  for (let i = 0; i < 20; i++) await seal(site, open, readingsOf("d1", i * 300, 300));
  const before = await site.readAll(open);
  assert.is(countsOf(open, "d1").length, 20);
  await maintained(site, open, 3);
  assert.equal(countsOf(open, "d1"), [3_900, ...Array.from({ length: 7 }, () => 300)], "13 filled a chunk; the rest waits for more");
  assert.is((await stored(site, open, chunkPrefix)).length, 8);
  assert.is((await stored(site, open, chunkIndexPrefix)).length, 8);
  assert.equal(await site.readAll(open), before);
  open = await restarted(site);
  assert.equal(await site.readAll(open), before);
  assert.is(open.store.stats().chunks, 8);
});

test("what is left of a series that has gone quiet becomes one chunk", async () => {
  const site = new SeriesSite(2);
  site.tuning = { ...defaultTuning, compactionQuietMs: 10_000 };
  const open = opened(await site.open());
  for (let i = 0; i < 5; i++) await seal(site, open, readingsOf("d1", i * 10, 10));
  await maintained(site, open, 5);
  assert.is(countsOf(open, "d1").length, 5);
  await maintained(site, open, 10);
  assert.equal(countsOf(open, "d1"), [50]);
});

test("a late batch joins each chunk by itself, and merging makes them disjoint again", async () => {
  const site = new SeriesSite(3);
  const open = opened(await site.open());
  for (let i = 0; i < 3; i++) await seal(site, open, readingsOf("d1", i * 4_000, 4_000));
  // Every tenth again, with a greater value.
  await seal(
    site,
    open,
    Array.from({ length: 1_200 }, (_, i) => ({ device: "d1", us: i * 10_000, value: 100_000 })),
  );
  assert.is(countsOf(open, "d1").length, 6, "three pieces");
  await maintained(site, open, 2);
  assert.is(countsOf(open, "d1").length, 6, "one in ten does not pay yet");
  await site.settle(open.store.compactAll());
  assert.equal(countsOf(open, "d1"), [4_000, 4_000, 4_000]);
  const found = await site.readAll(open);
  assert.is(found.size, 12_000);
  assert.is(found.get("d1 50000"), 100_000);
  assert.is(found.get("d1 51000"), 51);
});

test("a chunk that is handed out whole comes with its own figures, and is the same object again", async () => {
  const site = new SeriesSite(4);
  const open = opened(await site.open());
  await seal(site, open, readingsOf("d1", 0, 100));
  await seal(site, open, readingsOf("d1", 100, 100));
  await site.appendDurably(open, readingsOf("d1", 200, 10));
  const reader = new SeriesReader(open.store);
  const visits = async (range: typeof everything) => {
    const all: { run: unknown; count: number; whole: ChunkStats | undefined }[] = [];
    await site.settle(
      reader.scan(seriesOf(open, "d1"), range, (run, whole) => {
        all.push({ run, count: run.count, whole });
        return true;
      }),
    );
    return all;
  };
  const first = await visits(everything);
  assert.equal(
    first.map(({ count, whole }) => [count, whole?.count]),
    [
      [100, 100],
      [100, 100],
      [10, undefined],
    ],
  );
  const again = await visits(everything);
  assert.ok(again[0]?.run === first[0]?.run && again[1]?.whole === first[1]?.whole, "from the cache");
  assert.is(open.store.stats().cache.hits, 2);
  const clipped = await visits({ fromUs: 1_000, toUs: 150_000 });
  assert.equal(
    clipped.map(({ count, whole }) => [count, whole]),
    [
      [99, undefined],
      [50, undefined],
    ],
  );
  await site.appendDurably(open, [{ device: "d1", us: 5_500, value: 1 }]);
  assert.equal(
    (await visits(everything)).map(({ count, whole }) => [count, whole?.count]),
    [
      [101, undefined],
      [100, 100],
      [10, undefined],
    ],
    "a reading in memory that lies within",
  );
});

test("what ends before the horizon is dropped, and what lies below it is neither read nor sealed any more", async () => {
  const site = new SeriesSite(5);
  let open = opened(await site.open());
  for (let i = 0; i < 4; i++) await seal(site, open, [...readingsOf("d1", i * 100, 100), ...readingsOf("d2", i * 100, 100)]);
  await site.appendDurably(open, readingsOf("d1", 120, 1, 7_000));
  assert.is(open.store.oldestUs(), 0);
  const { partition } = seriesOf(open, "d1");
  const uses = open.store.partitionUses().get(partition);
  assert.is(uses?.readings, 400);
  assert.ok((uses?.bytes ?? 0) > 400);
  // Of d1's partition only.
  const horizonOf = (at: number) => (at === partition ? 250_000 : 0);
  open.store.retain(horizonOf);
  const dropped = await site.settle(open.store.dropBefore(100));
  assert.equal(dropped, { ok: true, value: { chunks: 2, readings: 200, rolled: 0 } });
  const kept = async () =>
    [await scanned(site, open, "d1"), await scanned(site, open, "d2")].map((result) => (result.ok ? result.value : -1));
  assert.equal(await kept(), [150, 400]);
  assert.is(open.store.oldestUs(partition), 250_000);
  await site.settle(open.store.checkpoint());
  assert.equal(countsOf(open, "d1"), [100, 100], "the late reading below it was not sealed");
  open = await restarted(site);
  open.store.retain(horizonOf);
  assert.equal(await kept(), [150, 400]);
  assert.is((await stored(site, open, chunkPrefix)).length, 6);
});

test("a damaged chunk is found by the scrub, costs its own stretch of one series, and is known after a restart", async () => {
  const site = new SeriesSite(6);
  let open = opened(await site.open());
  for (let i = 0; i < 3; i++) await seal(site, open, [...readingsOf("d1", i * 100, 100), ...readingsOf("d2", i * 100, 100)]);
  const damaged = chunkKey(seriesOf(open, "d1").chunks[1] as Series["chunks"][number]);
  await flip(site, open, damaged);
  await maintained(site, open, 10);
  const look = async () => {
    const failed = await scanned(site, open, "d1");
    assert.is((failed as Failure).code, "data-damaged");
    assert.ok(
      (failed as Failure).message.includes("chunk of d1 value from 1970-01-01T00:00:00.100Z is damaged"),
      (failed as Failure).message,
    );
    assert.equal(await scanned(site, open, "d1", { fromUs: 0, toUs: 100_000 }), { ok: true, value: 100 });
    assert.equal(await scanned(site, open, "d1", { fromUs: 200_000, toUs: 300_000 }), { ok: true, value: 100 });
    assert.equal(await scanned(site, open, "d2"), { ok: true, value: 300 });
    assert.is(open.store.stats().damagedChunks, 1);
    assert.is(open.store.quarantine.warnings().length, 1);
  };
  assert.is(open.store.stats().damagedChunks, 1, "before anybody asked");
  assert.is(site.errors.filter((line) => line.startsWith("chunk-quarantined")).length, 1);
  await look();
  assert.is((await stored(site, open, quarantinePrefix)).length, 1);
  open = await restarted(site);
  await look();
  // Merging leaves it alone, and what lies on either side of it apart.
  await site.settle(open.store.compactAll());
  assert.equal(countsOf(open, "d1"), [100, 100, 100]);
  assert.equal(countsOf(open, "d2"), [300]);
  // Dropped, it is forgotten.
  open.store.retain(() => 200_000);
  await site.settle(open.store.dropBefore(100));
  assert.is(open.store.stats().damagedChunks, 0);
  assert.equal(await scanned(site, open, "d1"), { ok: true, value: 100 });
  open = await restarted(site);
  assert.is(open.store.stats().damagedChunks, 0);
  assert.is((await stored(site, open, quarantinePrefix)).length, 0);
});

test("a chunk whose value is missing is quarantined by whoever meets it, merging included", async () => {
  const site = new SeriesSite(7);
  let open = opened(await site.open());
  for (let i = 0; i < 3; i++) await seal(site, open, readingsOf("d1", i * 100, 100));
  const key = chunkKey(seriesOf(open, "d1").chunks[0] as Series["chunks"][number]);
  await site.settle(open.raw.write([{ type: "delete", key }], { sync: true }));
  await site.settle(open.store.compactAll());
  assert.is(open.store.stats().damagedChunks, 1);
  assert.equal(countsOf(open, "d1"), [100, 200]);
  open = await restarted(site);
  assert.is(((await scanned(site, open, "d1")) as Failure).code, "data-damaged");
  assert.equal(await scanned(site, open, "d1", { fromUs: 100_000, toUs: 300_000 }), { ok: true, value: 200 });
});

test("a store of before there was compaction is read, and gets its index", async () => {
  const site = new SeriesSite(8);
  const packing = new Packing();
  let open = opened(await site.open());
  await seal(site, open, readingsOf("d1", 0, 10));
  await seal(site, open, readingsOf("d1", 10, 10));
  const record = unpackSealed(packing, (await site.settle(open.raw.get(metaKey("checkpoint")))) as Uint8Array);
  const { version: _, checkpoints: __, ...old } = (record as { value: Record<string, unknown> }).value;
  const index = await stored(site, open, chunkIndexPrefix);
  await site.settle(
    open.raw.write(
      [
        { type: "put", key: metaKey("checkpoint"), value: packSealed(packing, old) },
        ...index.map(({ key }) => ({ type: "delete" as const, key })),
      ],
      { sync: true },
    ),
  );
  open = await restarted(site);
  assert.is((await site.readAll(open)).size, 20);
  await seal(site, open, readingsOf("d1", 20, 10));
  assert.is((await stored(site, open, chunkIndexPrefix)).length, 3);
  open = await restarted(site);
  assert.is((await site.readAll(open)).size, 30);
});

test("a store that is a step behind the log's record is refused", async () => {
  const site = new SeriesSite(9);
  const open = opened(await site.open());
  await seal(site, open, readingsOf("d1", 0, 10));
  await site.settle(open.store.compactAll());
  const image = await stored(site, open, new Uint8Array([0x63]));
  const old = await site.settle(open.raw.get(metaKey("checkpoint")));
  await seal(site, open, readingsOf("d1", 10, 10));
  await maintained(site, open, 1);
  // As if everything since the first checkpoint had been lost.
  const later = (await stored(site, open, chunkPrefix)).filter(
    ({ key }) => !image.some((entry) => chunkNumber(entry) === chunkNumber({ key })),
  );
  await site.settle(
    open.raw.write(
      [
        { type: "put", key: metaKey("checkpoint"), value: old as Uint8Array },
        ...later.map(({ key }) => ({ type: "delete" as const, key })),
      ],
      { sync: true },
    ),
  );
  site.disk.crash({ power: false });
  const refused = await site.open();
  assert.is((refused as Failure).code, "store-damaged");
  assert.ok((refused as Failure).message.includes("step"), (refused as Failure).message);
});

test("a checkpoint of heads with a few readings each waits until the log has grown further", async () => {
  const site = new SeriesSite(10);
  site.tuning = { ...defaultTuning, checkpointLogBytes: 2_000, checkpointSeriesReadings: 50 };
  const open = opened(await site.open());
  const logged = () => open.log.log.stats().bytesWritten;
  const readings = Array.from({ length: 20 }, (_, i) => ({ device: `d${i}`, us: 1_000, value: i }));
  while (logged() < 4_000) await site.appendDurably(open, readings);
  await maintained(site, open, 1);
  assert.is(open.store.stats().checkpoints, 0);
  while (logged() < 8_500) await site.appendDurably(open, readings);
  await maintained(site, open, 2);
  assert.is(open.store.stats().checkpoints, 1);
  // A head that is worth it does not wait.
  const from = logged();
  for (let i = 0; logged() < from + 2_500; i++) await site.appendDurably(open, readingsOf("d1", 10 + i * 60, 60));
  await maintained(site, open, 2);
  assert.is(open.store.stats().checkpoints, 2);
});

test("a stop ends what is under way, and loses nothing", async () => {
  const site = new SeriesSite(11);
  let open = opened(await site.open());
  await site.appendDurably(open, [...readingsOf("d1", 0, 50), ...readingsOf("d2", 0, 50)]);
  void open.store.checkpoint();
  await site.settle(open.store.stop());
  await site.settle(open.store.checkpoint());
  assert.is(open.store.stats().checkpoints, 0, "none begins any more");
  assert.equal(site.errors, []);
  open = await restarted(site);
  assert.is((await site.readAll(open)).size, 100);
});

const chunkNumber = ({ key }: { readonly key: Uint8Array }): number => parseChunkKey(key)?.checkpoint ?? -1;

test.run();
