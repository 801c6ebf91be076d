// Goal: what lies below the horizon goes, what does not stays, whatever crash or failed write comes between, and no start takes
// the gap for damage. Method: the real store and log on a simulated disk, and seeded crashes beside a model.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Result } from "../../../src/lib/errors.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { type OpenSeries, type Reading, SeriesSite } from "./series-fixture.ts";

/** How many chunks went; -1: the store failed. */
async function dropped(open: OpenSeries, chunksMax: number): Promise<number> {
  const result = await open.store.dropBefore(chunksMax);
  return result.ok ? result.value.chunks : -1;
}

function opened(result: Result<OpenSeries>): OpenSeries {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

async function reopened(site: SeriesSite): Promise<OpenSeries> {
  site.disk.crash({ power: true });
  return opened(await site.open());
}

const readingsOf = (device: string, from: number, count: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({ device, us: (from + i) * 1_000, value: from + i }));

/** The oldest time that is read, in thousands, and how many readings are. */
async function extent(site: SeriesSite, open: OpenSeries): Promise<readonly [number, number]> {
  const keys = [...(await site.readAll(open)).keys()].map((key) => Number(key.split(" ")[1]) / 1_000);
  return [Math.min(...keys), keys.length];
}

const test = suite("gateway/series: dropping below the horizon");

test("whole chunks go with the record that says so, those that reach above stay, and a restart finds it so", async () => {
  const site = new SeriesSite(1);
  let open = opened(await site.open());
  for (const from of [0, 10, 20]) {
    await site.appendDurably(open, readingsOf("d1", from, 10));
    await site.settle(open.store.checkpoint());
  }
  assert.is(open.store.oldestUs(), 0);
  assert.ok(open.store.bytesBefore(15_000) > 0);
  assert.is(open.store.bytesBefore(9_000), 0);
  assert.is(await site.settle(dropped(open, 100)), 0, "no horizon, nothing to drop");
  open.store.retain(() => 15_000);
  assert.is(await site.settle(dropped(open, 100)), 1);
  assert.is(await site.settle(dropped(open, 100)), 0);
  assert.equal(await extent(site, open), [15, 15], "the chunk of 10 to 19 reaches above, and is not read below");
  assert.is(open.store.oldestUs(), 15_000, "below the horizon nothing counts");
  assert.is(open.store.stats().chunks, 2);
  open = await reopened(site);
  assert.equal(await extent(site, open), [10, 20]);
  assert.is(open.store.stats().readings, 20);
});

test("what a peer brings from below is not taken, and what the log's replay brings back ends with the next checkpoint", async () => {
  const site = new SeriesSite(2);
  let open = opened(await site.open());
  open.store.retain(() => 5_000);
  await site.appendDurably(open, readingsOf("d1", 0, 10));
  assert.equal(await extent(site, open), [5, 5]);
  assert.is(open.store.stats().headReadings, 5);
  open = await reopened(site);
  assert.is(open.store.stats().headReadings, 10, "no horizon is known while the log is replayed");
  open.store.retain(() => 5_000);
  await site.settle(open.store.checkpoint());
  assert.equal(await extent(site, open), [5, 5]);
  assert.is(open.store.stats().headReadings, 0);
});

test("in steps, and in turns with a checkpoint", async () => {
  const site = new SeriesSite(3);
  const open = opened(await site.open());
  for (let at = 0; at < 5; at++) {
    await site.appendDurably(open, readingsOf("d1", at * 10, 10));
    await site.settle(open.store.checkpoint());
  }
  open.store.retain(() => 1e9);
  assert.is(await site.settle(dropped(open, 2)), 2);
  await site.appendDurably(open, readingsOf("d2", 2_000_000, 10));
  const checkpoint = open.store.checkpoint();
  assert.is(await site.settle(dropped(open, 9)), 3);
  await site.settle(checkpoint);
  assert.equal(await extent(site, await reopened(site)), [2_000_000, 10]);
});

test("a write that fails, done or not, leaves a store that starts; the next try or checkpoint ends it", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const site = new SeriesSite(100 + seed);
    let open = opened(await site.open());
    for (const from of [0, 10]) {
      await site.appendDurably(open, readingsOf("d1", from, 10));
      await site.settle(open.store.checkpoint());
    }
    open.store.retain(() => 10_000);
    site.disk.setIoErrors(1);
    const outcome = await site.settle(dropped(open, 9));
    site.disk.setIoErrors(0);
    assert.is(outcome, -1);
    assert.equal(await extent(site, open), [10, 10], "forgotten, whether it is gone or not");
    if (seed % 3 === 0) await site.settle(dropped(open, 9));
    if (seed % 3 === 1) {
      await site.appendDurably(open, readingsOf("d1", 20, 10));
      await site.settle(open.store.checkpoint());
    }
    open = await reopened(site);
    open.store.retain(() => 10_000);
    await site.settle(dropped(open, 9));
    assert.equal(await extent(site, open), [10, seed % 3 === 1 ? 20 : 10]);
    assert.is(open.store.stats().chunks, seed % 3 === 1 ? 2 : 1);
  }
});

test("a checkpoint of nothing new behind a drop is no damage, wherever the crash comes", async () => {
  const site = new SeriesSite(4);
  let open = opened(await site.open());
  await site.appendDurably(open, [...readingsOf("d1", 0, 10), ...readingsOf("d2", 50, 10)]);
  await site.settle(open.store.checkpoint());
  open.store.retain(() => 30_000);
  assert.is(await site.settle(dropped(open, 9)), 1);
  // The record in the log is not durable yet when the power goes.
  site.carriesOver = false;
  await site.settle(open.store.checkpoint());
  open = await reopened(site);
  site.carriesOver = true;
  open.store.retain(() => 55_000);
  await site.settle(open.store.checkpoint());
  await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
  open = await reopened(site);
  assert.equal(await extent(site, open), [50, 10]);
});

test("whatever the crashes, a reading above the horizon is there and one that was dropped stays away", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const site = new SeriesSite(1_000 + seed);
    const random = new SeededRandom(seed);
    let open = opened(await site.open());
    let horizon = 0;
    let next = 0;
    const horizonOf = () => horizon * 1_000;
    open.store.retain(horizonOf);
    for (let step = 0; step < 30; step++) {
      const count = 1 + random.below(8);
      switch (random.below(5)) {
        case 0:
          await site.settle(open.store.checkpoint());
          break;
        case 1:
          horizon = Math.max(horizon, next - random.below(30));
          break;
        case 2: {
          const dropping = dropped(open, 1 + random.below(4));
          if (random.chance(0.5)) await site.settle(dropping);
          else {
            // The process dies somewhere on the way.
            site.scheduler.step();
            open = await reopened(site);
            open.store.retain(horizonOf);
          }
          break;
        }
        default:
          await site.appendDurably(open, readingsOf("d1", next, count));
          next += count;
      }
      const found = [...(await site.readAll(open)).values()].filter((value) => value >= horizon);
      assert.equal(
        found,
        Array.from({ length: Math.max(0, next - horizon) }, (_, i) => horizon + i),
        `seed ${seed}, step ${step}`,
      );
    }
  }
});

test.run();
