// Goal: where rollups outlive readings, every hour of them says what the readings said, whatever crash or failed write comes in
// between, each reading once; below the rollup horizon nothing is left. Method: the real store on a simulated disk, asked as an owner
// is asked, beside a model that never forgets; seeded crashes.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foundRing } from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { defaultTuning } from "../../../src/gateway/context.ts";
import { GroupTable } from "../../../src/gateway/query/group-table.ts";
import { LocalReader } from "../../../src/gateway/query/local-reader.ts";
import type { AggregateRequest } from "../../../src/gateway/query/wire.ts";
import { Rollups } from "../../../src/gateway/series/rollups.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { chunkKey } from "../../../src/gateway/series/store-keys.ts";
import { type AggregateFunction, parseAggregateFunction } from "../../../src/lib/aggregate-function.ts";
import { compareBytes } from "../../../src/lib/bytes.ts";
import { createCalendar } from "../../../src/lib/calendar.ts";
import { FailureError, type Result } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, partitionCount } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import type { StoreOperation } from "../../../src/ports/store.ts";
import { buildRollup, RollupLevel } from "../../../src/series/rollup.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { type OpenSeries, type Reading, SeriesSite } from "./series-fixture.ts";

const test = suite("gateway/series: rollups that outlive readings");

const self = gatewayId("gw-a");
const hourUs = 3_600_000_000;
const minuteUs = 60_000_000;
const functions = ["count", "sum", "min", "max", "first", "last", "quantile(0.95)"].map(
  (name) => parseAggregateFunction(name) as AggregateFunction,
);
const found = foundRing(
  encodeOwnerTable(planOwners({ gateways: [{ id: self, zone: undefined, weight: 1 }], factor: 1, epoch: 1, hash64: testHash64 })),
);
if (!found.ok) throw new Error(found.message);
const ring = found.value;

interface Horizons {
  rawUs: number;
  rollupUs: number;
}

function opened(result: Result<OpenSeries>, horizons: Horizons): OpenSeries {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  result.value.store.retain(
    () => horizons.rawUs,
    () => horizons.rollupUs,
  );
  return result.value;
}

/** Rows by the hour (or as asked) of all devices, as "device from" -> what the functions say. */
async function hourly(
  site: SeriesSite,
  open: OpenSeries,
  horizons: Horizons,
  question: Partial<AggregateRequest> = {},
  timeZone = "UTC",
): Promise<Map<string, readonly unknown[]>> {
  const local = new LocalReader({
    self,
    index: open.store.index,
    reader: new SeriesReader(open.store),
    calendar: createCalendar(timeZone),
    ring: () => ring,
    leftAtEpoch: () => 0,
    labelsOf: () => ({}),
    rawHorizonUs: () => horizons.rawUs,
    rollupHorizonUs: () => horizons.rollupUs,
    clock: { schedule: (ms: number, fire: () => void) => site.scheduler.schedule(ms, "turn", fire) } as unknown as Clock,
    rollups: undefined,
    blocks: new Rollups({ store: open.raw, damaged: () => undefined }),
  });
  const request: AggregateRequest = {
    epoch: 1,
    partitions: Array.from({ length: partitionCount }, (_, at) => at),
    selector: { metric: undefined, device: "*", labels: {} },
    fromUs: 0,
    toUs: 10_000 * hourUs,
    windowMs: hourUs / 1_000,
    functions,
    groupBy: [{ kind: "device" }],
    rolled: true,
    ...question,
  };
  const reply = await site.settle(local.aggregateTables(request));
  if (!reply.ok) throw new Error(`${reply.code}: ${reply.message}`);
  const table = new GroupTable(functions);
  for (const partial of reply.value.partitions) {
    if (partial.rolled !== undefined) table.absorb(partial.rolled.table);
    table.absorb(partial.table);
  }
  return new Map(table.rows().map((row) => [`${row.key[0]} ${row.fromMs / 3_600_000}`, row.state.finish()]));
}

/** The same of all readings ever taken, in the hours that are not given up altogether. */
function expected(model: ReadonlyMap<string, Reading>, { rawUs, rollupUs }: Horizons): Map<string, readonly unknown[]> {
  const byHour = new Map<string, Reading[]>();
  const fromUs = Math.ceil(rollupUs / hourUs) * hourUs;
  for (const reading of model.values()) {
    if (reading.us < rawUs && reading.us < fromUs) continue;
    const key = `${reading.device} ${Math.floor(reading.us / hourUs)}`;
    byHour.set(key, [...(byHour.get(key) ?? []), reading]);
  }
  return new Map(
    [...byHour].map(([key, readings]) => {
      const sorted = readings.toSorted((a, b) => a.us - b.us).map(({ value }) => value);
      const sum = sorted.reduce((total, value) => total + value, 0);
      return [key, [sorted.length, sum, Math.min(...sorted), Math.max(...sorted), sorted[0], sorted.at(-1)]];
    }),
  );
}

function compare(actual: ReadonlyMap<string, readonly unknown[]>, wanted: ReadonlyMap<string, readonly unknown[]>, what: string): void {
  const plain = (rows: ReadonlyMap<string, readonly unknown[]>) =>
    [...rows].map(([key, values]) => `${key}: ${values.slice(0, 6).join(" ")}`).sort();
  assert.equal(plain(actual), plain(wanted), what);
}

const every = (device: string, from: number, count: number, stepUs: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({ device, us: from + i * stepUs, value: ((from / stepUs + i) * 7) % 101 }));

const modelOf = (readings: readonly Reading[]) => new Map(readings.map((reading) => [`${reading.device} ${reading.us}`, reading]));

async function dropAll(site: SeriesSite, open: OpenSeries, lagUs = 0): Promise<void> {
  for (;;) {
    const dropped = await site.settle(open.store.dropBefore(100, lagUs));
    if (!dropped.ok) throw new Error(dropped.message);
    if (dropped.value.chunks === 0) return;
  }
}

test("hours outlive their readings, in few blocks, and go in their turn", async () => {
  const site = new SeriesSite(1);
  const horizons = { rawUs: 0, rollupUs: 0 };
  let open = opened(await site.open(), horizons);
  const readings = every("d1", 0, 60 * 24 * 20, minuteUs);
  for (let from = 0; from < readings.length; from += 2_000) {
    await site.appendDurably(open, readings.slice(from, from + 2_000));
    await site.settle(open.store.checkpoint());
  }
  const model = modelOf(readings);
  for (const day of [2, 3, 7, 12, 15]) {
    horizons.rawUs = day * 24 * hourUs + 17 * minuteUs;
    await dropAll(site, open);
    compare(await hourly(site, open, horizons), expected(model, horizons), `day ${day}`);
  }
  assert.ok(open.store.stats().blocks <= 3, `${open.store.stats().blocks} blocks`);
  assert.ok(open.store.stats().readings < readings.length / 2);
  site.disk.crash({ power: true });
  open = opened(await site.open(), horizons);
  compare(await hourly(site, open, horizons), expected(model, horizons), "after a start");
  horizons.rollupUs = 5 * 24 * hourUs + 1;
  compare(await hourly(site, open, horizons), expected(model, horizons), "below the rollup horizon nothing counts");
  horizons.rollupUs = 14 * 24 * hourUs;
  await dropAll(site, open);
  horizons.rollupUs = 20 * 24 * hourUs;
  horizons.rawUs = 20 * 24 * hourUs;
  await dropAll(site, open);
  assert.equal([open.store.stats().blocks, open.store.stats().chunks], [0, 0]);
  site.disk.crash({ power: true });
  assert.is((await hourly(site, opened(await site.open(), horizons), horizons)).size, 0);
});

test("longer windows of whole hours, and the whole range, are answered; others are not, below the horizon", async () => {
  const site = new SeriesSite(2);
  const horizons = { rawUs: 50 * hourUs, rollupUs: 0 };
  const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
  await site.appendDurably(open, every("d1", 0, 100 * 60, minuteUs));
  await site.settle(open.store.checkpoint());
  open.store.retain(
    () => horizons.rawUs,
    () => 0,
  );
  await dropAll(site, open);
  const count = (rows: ReadonlyMap<string, readonly unknown[]>) => [...rows.values()].reduce((sum, [n]) => sum + Number(n), 0);
  assert.is(count(await hourly(site, open, horizons, { windowMs: 0 })), 6_000);
  assert.is(count(await hourly(site, open, horizons, { windowMs: 24 * 3_600_000 })), 6_000);
  assert.is(count(await hourly(site, open, horizons, { windowMs: 1_800_000 })), 3_000, "half hours: only what is kept");
  assert.is(count(await hourly(site, open, horizons, { windowMs: 5_400_000 })), 3_000, "an hour and a half neither");
  assert.is(
    count(await hourly(site, open, horizons, { fromUs: 30 * minuteUs, toUs: 10 * hourUs + 1 })),
    9 * 60,
    "whole hours inside the range",
  );
  assert.is(count(await hourly(site, open, horizons, { rolled: false })), 3_000, "who does not ask for them does not get them");
});

test("a time zone whole hours from UTC makes no difference, whatever it was before there were readings", async () => {
  const site = new SeriesSite(6);
  const fromUs = Date.UTC(2026, 2, 20) * 1_000;
  const horizons = { rawUs: fromUs + 15 * 24 * hourUs, rollupUs: 0 };
  const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
  await site.appendDurably(open, every("d1", fromUs, 20 * 24 * 4, 15 * minuteUs));
  await site.settle(open.store.checkpoint());
  open.store.retain(
    () => horizons.rawUs,
    () => horizons.rollupUs,
  );
  await dropAll(site, open);
  const counted = async (timeZone: string, hours: number) => {
    const rows = await hourly(site, open, horizons, { windowMs: hours * 3_600_000, toUs: fromUs + 100 * 24 * hourUs }, timeZone);
    return [...rows.values()].reduce((sum, [n]) => sum + Number(n), 0);
  };
  for (const timeZone of ["UTC", "Europe/Berlin", "Asia/Singapore"])
    for (const hours of [1, 2, 24, 7 * 24]) assert.is(await counted(timeZone, hours), 20 * 24 * 4, `${timeZone} ${hours}`);
  assert.is(await counted("Asia/Kolkata", 24), 5 * 24 * 4, "days that begin at half past");
});

test("a horizon that moves in the course of a question takes no reading twice, and none away", async () => {
  for (let moveAfter = 0; moveAfter < 40; moveAfter++) {
    const site = new SeriesSite(7);
    const horizons = { rawUs: 24 * hourUs, rollupUs: 0 };
    const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
    for (let day = 0; day < 3; day++) {
      await site.appendDurably(open, [...every("d1", day * 24 * hourUs, 24, hourUs), ...every("d2", day * 24 * hourUs, 24, hourUs)]);
      await site.settle(open.store.checkpoint());
    }
    open.store.retain(
      () => horizons.rawUs,
      () => 0,
    );
    await dropAll(site, open);
    const asked = hourly(site, open, horizons, { windowMs: 0 });
    for (let turn = 0; turn < moveAfter; turn++) await Promise.resolve();
    horizons.rawUs = 48 * hourUs;
    const counts = [...(await asked).values()].map(([n]) => n);
    assert.equal(counts, [72, 72], `moved after ${moveAfter} turns`);
  }
});

test("readings wait for company before they become rows, and are counted meanwhile; what comes late is not", async () => {
  const site = new SeriesSite(3);
  const horizons = { rawUs: 0, rollupUs: 0 };
  const open = opened(await site.open(), horizons);
  const readings = every("d1", 0, 60 * 48, minuteUs);
  await site.appendDurably(open, readings);
  await site.settle(open.store.checkpoint());
  horizons.rawUs = 47 * hourUs;
  await dropAll(site, open, 1_000 * hourUs);
  assert.is(open.store.stats().blocks, 0);
  compare(await hourly(site, open, horizons), expected(modelOf(readings), horizons), "from chunks");
  // The only chunk reaches above the horizon: it waits. The horizon passes it.
  horizons.rawUs = 49 * hourUs;
  await dropAll(site, open);
  assert.equal([open.store.stats().blocks, open.store.stats().chunks], [1, 0]);
  await site.appendDurably(open, every("d1", 7, 10, minuteUs));
  await site.settle(open.store.checkpoint());
  compare(await hourly(site, open, horizons), expected(modelOf(readings), horizons), "what comes late changes nothing");
});

test("a block that is lost is found missing at the start; one that is damaged is passed over", async () => {
  const site = new SeriesSite(4);
  const horizons = { rawUs: 24 * hourUs, rollupUs: 0 };
  const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
  await site.appendDurably(open, every("d1", 0, 60 * 24, minuteUs));
  await site.settle(open.store.checkpoint());
  open.store.retain(
    () => horizons.rawUs,
    () => 0,
  );
  await dropAll(site, open);
  const [block] = open.store.index.all()[0]?.blocks ?? [];
  if (block === undefined) throw new Error("there is no block");
  const value = (await site.settle(open.raw.get(chunkKey(block)))) as Uint8Array;
  const damaged = value.map((byte, at) => (at === 40 ? byte ^ 1 : byte));
  await site.settle(open.raw.write([{ type: "put", key: chunkKey(block), value: damaged }], { sync: true }));
  assert.is((await hourly(site, open, horizons)).size, 0);
  const index = chunkKey(block);
  index[0] = 0x6a;
  await site.settle(open.raw.write([{ type: "delete", key: index }], { sync: true }));
  site.disk.crash({ power: false });
  const refused = await site.open();
  assert.ok(!refused.ok && refused.code === "store-damaged" && /0 blocks of rollups where .* made 1/.test(refused.message));
});

test("a block that the store finds damaged is left as it is: other readings go all the same", async () => {
  const site = new SeriesSite(8);
  const horizons = { rawUs: 24 * hourUs, rollupUs: 0 };
  const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
  for (let day = 0; day < 2; day++) {
    await site.appendDurably(open, [
      ...every("d1", day * 24 * hourUs, 96, 15 * minuteUs),
      ...every("d2", day * 24 * hourUs, 96, 15 * minuteUs),
    ]);
    await site.settle(open.store.checkpoint());
  }
  open.store.retain(
    () => horizons.rawUs,
    () => 0,
  );
  await dropAll(site, open);
  const [block] = open.store.index.all()[0]?.blocks ?? [];
  if (block === undefined) throw new Error("there is no block");
  const get = open.raw.get.bind(open.raw);
  open.raw.getMany = (keys) => Promise.all(keys.map((key) => open.raw.get(key)));
  open.raw.get = (key) =>
    compareBytes(key, chunkKey(block)) === 0
      ? Promise.reject(new FailureError({ ok: false, code: "store-damaged", message: "a page does not match its checksum" }))
      : get(key);
  assert.is((await hourly(site, open, horizons)).size, 24 + 48, "what is answered is the rest");
  horizons.rawUs = 48 * hourUs;
  await dropAll(site, open);
  assert.equal([open.store.stats().blocks, open.store.stats().chunks], [3, 0]);
  assert.is((await hourly(site, open, horizons)).size, 24 + 48);
});

test("another owner's rollups of what is not given up here yet are not taken", async () => {
  const site = new SeriesSite(10);
  const horizons = { rawUs: 24 * hourUs, rollupUs: 0 };
  const open = opened(await site.open(), horizons);
  const series = open.store.index.obtain(deviceId("d1"), "value");
  const times = Float64Array.from({ length: 48 }, (_, i) => i * hourUs);
  const rollup = buildRollup(series.hash, RollupLevel.Hour, { count: 48, times, types: undefined, numbers: times, texts: [] });
  const early = await site.settle(open.store.adoptBlocks(series, [rollup]));
  assert.ok(!early.ok && early.code === "not-ready");
  assert.is(open.store.stats().blocks, 0);
  const readings = every("d1", 30 * hourUs, 5, hourUs);
  await site.appendDurably(open, readings);
  await site.settle(open.store.checkpoint());
  compare(await hourly(site, open, horizons), expected(modelOf(readings), horizons), "readings still count");
  horizons.rawUs = 48 * hourUs;
  assert.ok((await site.settle(open.store.adoptBlocks(series, [rollup]))).ok);
  assert.is((await hourly(site, open, horizons)).size, 48);
});

test("blocks are written a few at a time", async () => {
  const site = new SeriesSite(9);
  const open = opened(await site.open(), { rawUs: 0, rollupUs: 0 });
  const devices = Array.from({ length: 40 }, (_, at) => `d${at}`);
  for (const device of devices) await site.appendDurably(open, every(device, 0, 60 * 60, minuteUs));
  await site.settle(open.store.checkpoint());
  open.store.retain(
    () => 100 * hourUs,
    () => 0,
  );
  const written: number[] = [];
  const write = open.raw.write.bind(open.raw);
  open.raw.write = (operations, options) => {
    written.push(operations.reduce((sum, each) => sum + (each.type === "put" ? each.value.length : 0), 0));
    return write(operations, options);
  };
  await dropAll(site, open);
  assert.equal([open.store.stats().blocks, open.store.stats().chunks], [40, 0]);
  assert.ok(Math.max(...written) < 600_000, `${Math.max(...written)} bytes at once`);
});

test("a store at its bound gets room by what goes: with blocks as far as they fit, and without", async () => {
  const site = new SeriesSite(5);
  const horizons = { rawUs: 0, rollupUs: 0 };
  const open = opened(await site.open(), horizons);
  const devices = ["d1", "d2", "d3"];
  for (const device of devices) await site.appendDurably(open, every(device, 0, 60 * 48, minuteUs));
  await site.settle(open.store.checkpoint());
  const bytesOf = (operations: readonly StoreOperation[]) =>
    operations.reduce((sum, operation) => sum + (operation.type === "put" ? operation.value.length : 0), 0);
  let room = 0;
  site.isTooMuch = (operations) => !operations.some(({ type }) => type === "delete") && bytesOf(operations) > room;
  horizons.rawUs = 49 * hourUs;
  // Room for the block of one device, not for those of all.
  room = 40_000;
  await dropAll(site, open);
  assert.equal([open.store.stats().chunks, open.store.stats().blocks], [0, 3], "one after the other");
  for (const device of devices) await site.appendDurably(open, every(device, 60 * 50 * minuteUs, 60, minuteUs));
  room = Number.POSITIVE_INFINITY;
  await site.settle(open.store.checkpoint());
  horizons.rawUs = 60 * hourUs;
  room = 0;
  await dropAll(site, open);
  assert.equal(
    [open.store.stats().chunks, open.store.stats().blocks],
    [0, 3],
    "nothing is left of the last hour, and what was there stays",
  );
  assert.is(
    [...(await hourly(site, open, horizons)).values()].reduce((sum, [count]) => sum + Number(count), 0),
    3 * 48 * 60,
  );
  assert.ok(site.errors.some((error) => error.includes("no-rollup-left")));
});

test("a reading in memory that is older than chunks below the horizon holds them up, until it is in a chunk itself", async () => {
  const site = new SeriesSite(6);
  const horizons = { rawUs: 0, rollupUs: 0 };
  const open = opened(await site.open(), horizons);
  const readings = every("d1", 0, 60 * 48, minuteUs);
  for (const day of [0, 1]) {
    await site.appendDurably(open, readings.slice(day * 1_440, (day + 1) * 1_440));
    await site.settle(open.store.checkpoint());
  }
  const late = { device: "d1", us: 24 * hourUs + 5, value: 1 };
  await site.appendDurably(open, [late]);
  assert.not(open.store.isHeldUp());
  horizons.rawUs = 49 * hourUs;
  await dropAll(site, open);
  assert.equal([open.store.stats().chunks, open.store.stats().blocks, open.store.isHeldUp()], [1, 1, true]);
  await site.settle(open.store.checkpoint());
  assert.not(open.store.isHeldUp());
  await dropAll(site, open);
  assert.is(open.store.stats().chunks, 0);
  compare(await hourly(site, open, horizons), expected(modelOf([...readings, late]), horizons), "the late one too");
});

test("whatever the crashes and failed writes, each reading counts once", async () => {
  let blocks = 0;
  for (let seed = 0; seed < 30; seed++) {
    const site = new SeriesSite(2_000 + seed);
    site.tuning = { ...defaultTuning, compactionFanIn: 3 };
    const random = new SeededRandom(seed);
    const horizons = { rawUs: 0, rollupUs: 0 };
    let open = opened(await site.open(), horizons);
    const model = new Map<string, Reading>();
    let nextUs = 0;
    for (let step = 0; step < 30; step++) {
      switch (random.below(6)) {
        case 0:
          await site.settle(open.store.checkpoint());
          break;
        case 1:
          horizons.rawUs = Math.max(horizons.rawUs, nextUs - random.below(5 * 60) * minuteUs);
          break;
        case 2:
          if (random.chance(0.3)) horizons.rollupUs = Math.max(horizons.rollupUs, nextUs - random.below(60 * 60) * minuteUs);
          break;
        case 3: {
          const dropping = open.store.dropBefore(1 + random.below(8), random.below(3) * hourUs);
          if (random.chance(0.6)) {
            await site.settle(dropping);
          } else {
            // The process dies, or the disk fails, somewhere on the way.
            const fails = random.chance(0.5);
            if (fails) site.disk.setIoErrors(random.below(3));
            for (let events = random.below(12); events > 0 && site.scheduler.step(); events--) await Promise.resolve();
            if (fails) await site.settle(dropping);
            site.disk.setIoErrors(0);
            if (!fails || random.chance(0.5)) {
              site.disk.crash({ power: random.chance(0.5) });
              open = opened(await site.open(), horizons);
            }
          }
          break;
        }
        case 4:
          await site.settle(open.store.compactAll());
          break;
        default: {
          const device = `d${random.below(2)}`;
          // Some of it comes late, though not from below the horizon.
          const fromUs = Math.max(nextUs - random.below(2) * random.below(600) * minuteUs, horizons.rawUs);
          const readings = every(device, Math.ceil(fromUs / minuteUs) * minuteUs, 1 + random.below(900), minuteUs);
          await site.appendDurably(open, readings);
          for (const [key, reading] of modelOf(readings)) model.set(key, reading);
          nextUs = Math.max(nextUs, (readings.at(-1) as Reading).us + minuteUs);
        }
      }
      if (step % 5 === 4) compare(await hourly(site, open, horizons), expected(model, horizons), `seed ${seed} step ${step}`);
    }
    blocks += open.store.stats().blocks;
  }
  assert.ok(blocks > 15, `${blocks} blocks`);
});

test.run();
