// Goal: readings that the log made durable are there after a crash at any moment, checkpoints or not; lost chunks are noticed,
// never served as a gap; the log is trimmed only behind a checkpoint that stands (P7, design section 5). Method: the real log
// and series store on a simulated disk, by scenario and in a sweep of seeded crashes beside a model.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ChunkRef, chunkIndexKey, chunkPrefix, parseChunkKey, prefixRange } from "../../../src/gateway/series/store-keys.ts";
import type { Failure, Result } from "../../../src/lib/errors.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { type OpenSeries, type Reading, SeriesSite } from "./series-fixture.ts";

function opened(result: Result<OpenSeries>): OpenSeries {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

async function crashedAndOpened(site: SeriesSite, power = true): Promise<OpenSeries> {
  site.disk.crash({ power });
  return opened(await site.open());
}

const readingsOf = (device: string, from: number, count: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({ device, us: (from + i) * 1_000, value: from + i }));

async function chunkKeys(site: SeriesSite, open: OpenSeries): Promise<Uint8Array[]> {
  return (await site.settle(open.raw.scan({ ...prefixRange(chunkPrefix), limit: 10_000 }))).map((entry) => entry.key);
}

const test = suite("gateway/series: checkpoints");

test("readings are read alike from heads, from chunks, from both, and after a restart", async () => {
  const site = new SeriesSite(1);
  let open = opened(await site.open());
  await site.appendDurably(open, [...readingsOf("d1", 0, 50), ...readingsOf("d2", 0, 3)]);
  const before = await site.readAll(open);
  assert.is(before.size, 53);
  await site.settle(open.store.checkpoint());
  assert.equal(await site.readAll(open), before);
  assert.is(open.store.stats().headReadings, 0);
  await site.appendDurably(open, readingsOf("d1", 50, 5));
  assert.is((await site.readAll(open)).size, 58);
  open = await crashedAndOpened(site);
  assert.is((await site.readAll(open)).size, 58);
  assert.is(open.store.stats().readings, 53, "chunks came from the store");
  assert.is(open.store.stats().headReadings, 5, "the rest from the log");
});

test("the greater value stands, wherever the two lie, and the conflict is counted once both are sealed", async () => {
  const site = new SeriesSite(2);
  let open = opened(await site.open());
  await site.appendDurably(open, [{ device: "d1", us: 1_000, value: 7 }]);
  await site.settle(open.store.checkpoint());
  await site.appendDurably(open, [{ device: "d1", us: 1_000, value: 5 }]);
  assert.equal([...(await site.readAll(open)).values()], [7]);
  await site.appendDurably(open, [{ device: "d1", us: 1_000, value: 9 }]);
  assert.equal([...(await site.readAll(open)).values()], [9]);
  await site.settle(open.store.checkpoint());
  assert.is(open.store.stats().conflicts, 1);
  open = await crashedAndOpened(site);
  assert.equal([...(await site.readAll(open)).values()], [9]);
});

test("the log is trimmed behind a checkpoint, and keeps the checkpoint's record", async () => {
  const site = new SeriesSite(3);
  let open = opened(await site.open());
  for (let i = 0; i < 40; i++) await site.appendDurably(open, readingsOf("d1", i * 20, 20));
  const before = open.log.log.stats().bytes;
  await site.settle(open.store.checkpoint());
  await site.appendDurably(open, readingsOf("d1", 800, 1));
  await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
  assert.ok(open.log.log.stats().bytes < before / 2, `${open.log.log.stats().bytes} of ${before} bytes are left`);
  open = await crashedAndOpened(site);
  assert.is((await site.readAll(open)).size, 801);
});

test("nothing is trimmed while what must outlive the log's front has not been carried over", async () => {
  const site = new SeriesSite(4);
  const open = opened(await site.open());
  for (let i = 0; i < 40; i++) await site.appendDurably(open, readingsOf("d1", i * 20, 20));
  const segments = open.log.log.stats().segments;
  site.carriesOver = false;
  await site.settle(open.store.checkpoint());
  await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
  assert.ok(open.log.log.stats().segments >= segments);
  site.carriesOver = true;
  await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
  assert.ok(open.log.log.stats().segments < segments, "it was tried again");
});

test("a chunk that the store lost with its entry in the index is store-damaged, with a way out, and not a gap", async () => {
  const site = new SeriesSite(5);
  const open = opened(await site.open());
  await site.appendDurably(open, [...readingsOf("d1", 0, 5), ...readingsOf("d2", 0, 5)]);
  await site.settle(open.store.checkpoint());
  const key = (await chunkKeys(site, open))[0] as Uint8Array;
  const name = parseChunkKey(key) as ChunkRef;
  await site.settle(
    open.raw.write(
      [key, chunkIndexKey(name)].map((lost) => ({ type: "delete" as const, key: lost })),
      { sync: true },
    ),
  );
  site.disk.crash({ power: false });
  const refused = await site.open();
  assert.is((refused as Failure).code, "store-damaged");
  assert.ok((refused as Failure).message.includes("2") && (refused as Failure).message.includes("way out"));
});

test("a store that was emptied behind a trimmed log is store-damaged", async () => {
  const site = new SeriesSite(6);
  const open = opened(await site.open());
  for (let i = 0; i < 40; i++) await site.appendDurably(open, readingsOf("d1", i * 20, 20));
  await site.settle(open.store.checkpoint());
  await site.appendDurably(open, readingsOf("d1", 800, 1));
  const all = await site.settle(open.raw.scan({ from: new Uint8Array(), to: new Uint8Array([255]), limit: 10_000 }));
  await site.settle(
    open.raw.write(
      all.map(({ key }) => ({ type: "delete" as const, key })),
      { sync: true },
    ),
  );
  site.disk.crash({ power: false });
  assert.is(((await site.open()) as Failure).code, "store-damaged");
});

test("a damaged chunk is an error of the question that needs it", async () => {
  const site = new SeriesSite(7);
  const open = opened(await site.open());
  await site.appendDurably(open, readingsOf("d1", 0, 5));
  await site.settle(open.store.checkpoint());
  const key = (await chunkKeys(site, open))[0] as Uint8Array;
  const value = (await site.settle(open.raw.get(key))) as Uint8Array;
  value[value.length - 1] = (value[value.length - 1] as number) ^ 1;
  await site.settle(open.raw.write([{ type: "put", key, value }], { sync: true }));
  let message = "";
  try {
    await site.readAll(open);
  } catch (error) {
    message = String(error);
  }
  assert.ok(message.includes("damaged") && message.includes("d1"), message);
});

test("what a checkpoint left that a crash cut short is removed, and the log replayed", async () => {
  const site = new SeriesSite(8);
  const open = opened(await site.open());
  await site.appendDurably(open, readingsOf("d1", 0, 5));
  void open.store.checkpoint();
  // Until the chunks are written and the checkpoint's record is not.
  while ((await chunkKeys(site, open)).length === 0) site.scheduler.step();
  const again = await crashedAndOpened(site, false);
  assert.is(again.store.stats().chunks, 0, "it does not count");
  assert.is((await site.readAll(again)).size, 5);
  await site.settle(again.store.checkpoint());
  assert.equal(
    (await chunkKeys(site, again)).map((key) => parseChunkKey(key)?.count),
    [5],
  );
});

test("a checkpoint on a full disk fails, costs nothing, and succeeds when there is room", async () => {
  const site = new SeriesSite(9);
  const open = opened(await site.open());
  await site.appendDurably(open, readingsOf("d1", 0, 5));
  site.disk.setFull(true);
  await site.settle(open.store.checkpoint());
  assert.ok(site.errors.some((line) => line.startsWith("checkpoint-failed")));
  assert.is((await site.readAll(open)).size, 5);
  site.disk.setFull(false);
  await site.settle(open.store.checkpoint());
  assert.is(open.store.stats().checkpoints, 1);
  assert.is((await site.readAll(open)).size, 5);
});

test("two checkpoints at once are one", async () => {
  const site = new SeriesSite(10);
  const open = opened(await site.open());
  await site.appendDurably(open, readingsOf("d1", 0, 5));
  await site.settle(Promise.all([open.store.checkpoint(), open.store.checkpoint()]));
  assert.is(open.store.stats().checkpoints, 1);
});

test.run();

const sweep = suite("gateway/series: crashes at any moment");

/** Rounds, checkpoints, I/O errors and crashes in random order; afterwards, everything durable is there and nothing was invented. */
async function crashes(seed: number): Promise<{ readings: number; checkpoints: number; crashes: number }> {
  const site = new SeriesSite(seed);
  const random = new SeededRandom(seed);
  const durable = new Map<string, number>();
  const offered = new Map<string, Set<number>>();
  let checkpoints = 0;
  let crashCount = 0;
  let open = opened(await site.open());
  for (let life = 0; life < 5; life++) {
    site.disk.setIoErrors(random.chance(0.6) ? 0.3 : 0);
    for (let step = 0; step < 12; step++) {
      const readings = Array.from({ length: 1 + random.below(6) }, () => ({
        device: `d${random.below(3)}`,
        us: random.below(60) * 1_000,
        value: random.below(1_000),
      }));
      for (const { device, us, value } of readings)
        offered.set(`${device} ${us}`, (offered.get(`${device} ${us}`) ?? new Set()).add(value));
      site.append(open, readings, () => {
        for (const { device, us, value } of readings) {
          const id = `${device} ${us}`;
          durable.set(id, Math.max(durable.get(id) ?? Number.NEGATIVE_INFINITY, value));
        }
      });
      if (random.chance(0.3)) void open.store.checkpoint();
      for (let events = random.below(20); events > 0; events--) {
        site.scheduler.step();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    checkpoints += open.store.stats().checkpoints;
    site.disk.crash({ power: random.chance(0.7) });
    crashCount++;
    site.disk.setIoErrors(0);
    open = opened(await site.open());
    const found = await site.readAll(open);
    for (const [id, value] of durable)
      assert.ok((found.get(id) ?? Number.NEGATIVE_INFINITY) >= value, `${id} is ${String(found.get(id))}, ${value} was durable`);
    for (const [id, value] of found) assert.ok(offered.get(id)?.has(value) === true, `${id} is ${value}, which nobody wrote`);
    // What was found may stand from now on: a crash of the process keeps what was not yet told to be durable.
    for (const [id, value] of found) durable.set(id, value);
  }
  return { readings: durable.size, checkpoints, crashes: crashCount };
}

// A checkpoint's record was reported as failed and stood; the next attempt deleted the chunks that it listed.
sweep("seed 80", async () => {
  await crashes(80);
});

// The log: the fsync of a trailing watermark failed before a crash, and opening did not write it once more; records behind
// it were durable, and unreachable after the next power cut.
sweep("seed 119", async () => {
  await crashes(119);
});

// The log: killed between a rename and the folder's fsync; opening trusted the name, and a power cut took it back.
sweep("seed 333", async () => {
  await crashes(333);
});

// The log: two attempts at the next segment, neither finished, both left behind by a power cut.
sweep("seed 5", async () => {
  await crashes(5);
});

sweep("60 seeds of five lives each", async () => {
  const total = { readings: 0, checkpoints: 0, crashes: 0 };
  for (let seed = 1; seed <= 60; seed++) {
    try {
      const done = await crashes(seed);
      total.readings += done.readings;
      total.checkpoints += done.checkpoints;
      total.crashes += done.crashes;
    } catch (error) {
      if (error instanceof Error) error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
  }
  assert.ok(total.readings > 60 * 60 && total.checkpoints > 100 && total.crashes === 300, JSON.stringify(total));
});

sweep.run();
