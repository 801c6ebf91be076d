// Goal: an answer from rollups is the answer from the readings, to the byte and with the same digests, whatever lies in heads,
// overlaps, came late or was lost; and rollups are what it is made of where they can be. Method: the real store on a simulated
// disk; the same seeded questions with and without rollups.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foundRing, type RingState } from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { LocalReader } from "../../../src/gateway/query/local-reader.ts";
import type { AggregateReply, AggregateRequest } from "../../../src/gateway/query/wire.ts";
import { Rollups } from "../../../src/gateway/series/rollups.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { type AggregateFunction, parseAggregateFunction } from "../../../src/lib/aggregate-function.ts";
import { createCalendar } from "../../../src/lib/calendar.ts";
import { crc32c } from "../../../src/lib/crc32c.ts";
import { FailureError, failure } from "../../../src/lib/errors.ts";
import { deviceId, gatewayId, partitionCount } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import { RollupLevel } from "../../../src/series/rollup.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { type OpenSeries, type Reading, SeriesSite } from "../series/series-fixture.ts";

const self = gatewayId("gw-a");
const hourMs = 3_600_000;
const startMs = Date.UTC(2026, 2, 28, 22, 17, 3);
const named = (...names: string[]) => names.map((name) => parseAggregateFunction(name) as AggregateFunction);
const simple = named("count", "sum", "min", "max", "mean", "first", "last");

function ringOf(): RingState {
  const table = planOwners({ gateways: [{ id: self, zone: undefined, weight: 1 }], factor: 1, epoch: 1, hash64: testHash64 });
  const ring = foundRing(encodeOwnerTable(table));
  if (!ring.ok) throw new Error(ring.message);
  return ring.value;
}
const ring = ringOf();

class Asker {
  readonly damaged: string[] = [];
  refused = "";
  /** Readings that the last question read. */
  read = 0;
  readonly #site: SeriesSite;
  readonly #open: OpenSeries;
  readonly #rollups: Rollups;

  constructor(site: SeriesSite, open: OpenSeries) {
    this.#site = site;
    this.#open = open;
    this.#rollups = new Rollups({ store: open.raw, damaged: (where, why) => this.damaged.push(`${where}: ${why}`) });
  }

  async ask(question: Partial<AggregateRequest>, timeZone: string, options: { readonly rollups: boolean }): Promise<AggregateReply> {
    const reader = new SeriesReader(this.#open.store);
    this.read = 0;
    const counting = {
      isLarge: () => !options.rollups,
      scan: (...[series, range, visit, how]: Parameters<SeriesReader["scan"]>) =>
        reader.scan(
          series,
          range,
          (run, whole) => {
            this.read += run.count;
            return visit(run, whole);
          },
          how,
        ),
    };
    const local = new LocalReader({
      self,
      index: this.#open.store.index,
      reader: counting as unknown as SeriesReader,
      calendar: createCalendar(timeZone),
      ring: () => ring,
      leftAtEpoch: () => 0,
      labelsOf: () => ({}),
      rawHorizonUs: () => 0,
      clock: { schedule: (ms: number, fire: () => void) => this.#site.scheduler.schedule(ms, "turn", fire) } as unknown as Clock,
      rollups: options.rollups ? this.#rollups : undefined,
      blocks: this.#rollups,
      rollupHorizonUs: () => 0,
    });
    const request: AggregateRequest = {
      epoch: 1,
      partitions: Array.from({ length: partitionCount }, (_, at) => at),
      selector: { metric: undefined, device: "*", labels: {} },
      fromUs: startMs * 1_000,
      toUs: (startMs + 48 * hourMs) * 1_000,
      windowMs: 0,
      functions: simple,
      groupBy: [{ kind: "device" }],
      ...question,
    };
    const reply = await this.#site.settle(local.aggregate(request));
    if (!reply.ok) this.refused = reply.code;
    if (!reply.ok) throw new Error(`${reply.code}: ${reply.message}`);
    const { read } = this;
    const own = await this.#site.settle(local.aggregateTables(request));
    if (!own.ok) throw new Error(own.code);
    const encoded = own.value.partitions.map(({ table, partition: at, digest, count }) => {
      const said = { partition: at, digest, count };
      return request.packed === true ? { ...said, groups: [], packed: table.encodePacked() } : { ...said, groups: table.encode() };
    });
    assert.is(asText(encoded), asText(reply.value.partitions), "what a gateway takes from itself is what it sends");
    this.read = read;
    return reply.value;
  }

  hasStrip(device: string, level: RollupLevel): boolean {
    const series = this.#open.store.index.find(deviceId(device), "value");
    if (series === undefined) throw new Error(`${device} has no readings`);
    return this.#rollups.strips.find(series, level, { fromUs: series.chunks[0]?.minUs ?? 0, toUs: series.lastUs + 1 }) !== undefined;
  }

  /** Asks both ways; the answers must be one. The readings that were read with rollups. */
  async compare(question: Partial<AggregateRequest>, timeZone = "UTC"): Promise<number> {
    const raw = await this.ask(question, timeZone, { rollups: false });
    const rolled = await this.ask(question, timeZone, { rollups: true });
    assert.equal(ordered(rolled), ordered(raw), JSON.stringify({ question, timeZone }));
    return this.read;
  }
}

function asText(partitions: AggregateReply["partitions"]): string {
  const bytesAsText = (_: string, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
  return JSON.stringify(
    partitions.map(({ partition, digest, count, groups, packed }) => [partition, digest, count, groups, packed]),
    bytesAsText,
  );
}

/** Rows of a group in the order of time: rows and readings are not taken in the same order. */
function ordered(reply: AggregateReply): unknown {
  return reply.partitions.map(({ partition, digest, count, groups }) => ({
    partition,
    digest,
    count,
    groups: groups.map((group) => ({ ...group, state: [...group.state] })).sort((a, b) => a.fromMs - b.fromMs),
  }));
}

const regular = (device: string, fromMs: number, count: number, stepMs: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    device,
    us: (fromMs + i * stepMs) * 1_000,
    value: Math.round(2_000 + 900 * Math.sin(i / 40)) / 100,
  }));

async function opened(site: SeriesSite): Promise<OpenSeries> {
  const open = await site.open();
  if (!open.ok) throw new Error(open.message);
  return open.value;
}

async function sealed(site: SeriesSite, open: OpenSeries, readings: readonly Reading[]): Promise<void> {
  await site.appendDurably(open, readings);
  await site.settle(open.store.checkpoint());
}

const test = suite("gateway/query: rollups");

test("a whole range needs no reading; ragged ends need those of their own windows only", async () => {
  const site = new SeriesSite(1);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 9_000, 2_000));
  const asker = new Asker(site, open);
  assert.is(await asker.compare({}), 0);
  assert.is(await asker.compare({ functions: [...simple, ...named("quantile(0.9)")] }), 0);
  const at = (Math.floor(startMs / 60_000) * 60_000 + 10 * 60_000) * 1_000;
  assert.is(await asker.compare({ fromUs: at, toUs: at + 7_200_000_000, windowMs: 60_000 }), 0);
  assert.is(await asker.compare({ fromUs: at + 30_000_000, toUs: at + 7_230_000_000, windowMs: 60_000 }), 30);
  assert.is(await asker.compare({ windowMs: 10_000 }), 9_000, "no rollup is as fine as that");
});

test("readings in heads join; a late one takes its chunk's rollups out of use, and nothing else's", async () => {
  const site = new SeriesSite(2);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 4_096 * 3, 1_000));
  await site.appendDurably(open, regular("d1", startMs + 4_096 * 3_000, 50, 1_000));
  const asker = new Asker(site, open);
  assert.is(await asker.compare({}), 50);
  await site.appendDurably(open, [{ device: "d1", us: (startMs + 5_000_000) * 1_000 + 7, value: 1e6 }]);
  assert.is(await asker.compare({}), 4_096 + 1 + 50);
  await site.appendDurably(open, [{ device: "d1", us: (startMs + 5_000_000) * 1_000, value: 1e6 }]);
  assert.is(await asker.compare({ windowMs: hourMs }), 4_096 + 1 + 50, "one of them has the identity of a sealed one");
  await site.settle(open.store.checkpoint());
  assert.is(await asker.compare({}), 4_096 + 1, "the late readings were sealed apart, beside the chunk that they overlap");
});

test("a question that comes again: late readings, a checkpoint and other ranges leave the answer what the readings say", async () => {
  const site = new SeriesSite(5);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 4_096 * 6, 1_000));
  const asker = new Asker(site, open);
  const byHour = { windowMs: hourMs };
  for (let time = 0; time < 3; time++) assert.is(await asker.compare(byHour), 0);
  assert.ok(asker.hasStrip("d1", RollupLevel.Hour));
  for (const from of [0, 1, 1_800, 4_096, 5_000])
    for (const seconds of [1, 59, 4_096, 9_999, 40_000]) {
      const fromUs = (startMs + from * 1_000) * 1_000;
      assert.ok((await asker.compare({ fromUs, toUs: fromUs + seconds * 1_000_000, windowMs: hourMs })) <= 118);
    }
  await site.appendDurably(open, regular("d1", startMs + 4_096 * 6_000, 50, 1_000));
  await site.appendDurably(open, regular("d1", startMs - 7_000_000, 50, 1_000));
  assert.is(await asker.compare({ ...byHour, fromUs: (startMs - 8_000_000) * 1_000 }), 100, "what is in heads before and behind joins");
  await site.appendDurably(open, [{ device: "d1", us: (startMs + 5_000_000) * 1_000 + 7, value: 1e6 }]);
  assert.is(await asker.compare(byHour), 4_096 + 1 + 50, "a late one takes its chunk out of it");
  assert.is(await asker.compare({ ...byHour, toUs: (startMs + 4_096_000) * 1_000 }), 0);
  await site.settle(open.store.checkpoint());
  assert.not.ok(asker.hasStrip("d1", RollupLevel.Hour), "its chunks are others");
  for (let time = 0; time < 3; time++) assert.is(await asker.compare(byHour), 4_096 + 1);
  assert.is(await asker.compare({ ...byHour, functions: named("quantile(0.5)") }), 4_096 + 1, "a strip has no sketches");
});

test("a series with more chunks than are read ahead at once", async () => {
  const site = new SeriesSite(6);
  const open = await opened(site);
  // By the minute, 64 are read ahead.
  for (const device of ["d1", "d2", "d3"]) await sealed(site, open, regular(device, startMs, 4_096 * (device === "d2" ? 70 : 3), 500));
  const asker = new Asker(site, open);
  for (let time = 0; time < 2; time++) {
    assert.is(await asker.compare({ windowMs: 600_000 }), 0);
    const cutUs = (startMs + 4_096 * 500 * 66 + 1_000) * 1_000;
    assert.ok((await asker.compare({ windowMs: 600_000, toUs: cutUs })) <= 120);
  }
});

test("sketches that contradict themselves take a rollup out of use once a quantile is asked for", async () => {
  const site = new SeriesSite(7);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 4_096 * 2, 1_000));
  const [hour] = await site.settle(open.raw.scan({ from: Uint8Array.of(0x68), to: Uint8Array.of(0x69), limit: 1 }));
  if (hour === undefined) throw new Error("there is no rollup");
  const forged = hour.value.slice();
  const end = forged.length - 4;
  // The number of negative bins of the last sketch.
  forged[end - 1] = 9;
  new DataView(forged.buffer).setUint32(end, crc32c(forged, 0, 0, end), true);
  await site.settle(open.raw.write([{ type: "put", key: hour.key, value: forged }], { sync: true }));
  const asker = new Asker(site, open);
  assert.is(await asker.compare({}), 0);
  assert.equal(asker.damaged, []);
  assert.is(await asker.compare({ functions: named("quantile(0.5)") }), 4_096);
  assert.is(asker.damaged.length, 1);
});

test("rollups that are missing or damaged mean the readings; a damaged one is reported", async () => {
  const site = new SeriesSite(3);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 4_096 * 2, 1_000));
  const keys = (await site.settle(open.raw.scan({ from: Uint8Array.of(0x68), to: Uint8Array.of(0x6f), limit: 100 }))).filter(({ key }) =>
    [0x68, 0x6e].includes(key[0] as number),
  );
  assert.is(keys.length, 4);
  const [hour, , minute] = keys as [(typeof keys)[0], (typeof keys)[0], (typeof keys)[0]];
  const broken = hour.value.slice();
  broken[40] = (broken[40] as number) ^ 1;
  await site.settle(
    open.raw.write(
      [
        { type: "put", key: hour.key, value: broken },
        { type: "delete", key: minute.key },
      ],
      { sync: true },
    ),
  );
  const asker = new Asker(site, open);
  assert.is(await asker.compare({ windowMs: 0 }), 4_096);
  assert.is(asker.damaged.length, 1);
});

test("rollups that the store cannot read are the owner's failure, so that another one is asked, and no error of the question", async () => {
  const site = new SeriesSite(8);
  const open = await opened(site);
  await sealed(site, open, regular("d1", startMs, 9_000, 2_000));
  const asker = new Asker(site, open);
  open.raw.getMany = () => Promise.reject(new FailureError(failure("store-failed", "the disk does not read")));
  await asker.ask({ windowMs: hourMs }, "UTC", { rollups: true }).catch(() => undefined);
  assert.is(asker.refused, "store-failed");
});

test("a checkpoint that was cut short leaves no rollup behind", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const site = new SeriesSite(100 + seed);
    let open = await opened(site);
    await site.appendDurably(open, regular("d1", startMs, 3_000, 1_000));
    const checkpoint = open.store.checkpoint();
    await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(seed, "wait", resolve)));
    site.disk.crash({ power: true });
    void checkpoint;
    open = await opened(site);
    const all = await site.settle(open.raw.scan({ from: new Uint8Array(), to: Uint8Array.of(255), limit: 1_000 }));
    const suffixes = (letter: number) => all.filter(({ key }) => key[0] === letter).map(({ key }) => key.subarray(1).join());
    const chunks = new Set(suffixes(0x63));
    for (const letter of [0x68, 0x6e]) for (const suffix of suffixes(letter)) assert.ok(chunks.has(suffix), `seed ${seed}`);
    assert.is(new Asker(site, open).damaged.length, 0);
    assert.ok((await new Asker(site, open).compare({})) <= 3_000);
  }
});

test("what will be too much for one reply is refused before it is read, unless it is one partition's", async () => {
  const site = new SeriesSite(4);
  const open = await opened(site);
  for (let device = 0; device < 6; device++) await site.appendDurably(open, regular(`d${device}`, startMs, 9_000, 2_000));
  await site.settle(open.store.checkpoint());
  const asker = new Asker(site, open);
  const bySecond = { windowMs: 1_000, packed: true };
  await asker.ask(bySecond, "UTC", { rollups: true }).then(
    () => assert.unreachable(),
    () => assert.is(asker.refused, "too-large"),
  );
  assert.is(asker.read, 0);
  const partitions = (await asker.ask({}, "UTC", { rollups: true })).partitions.map(({ partition }) => partition);
  assert.is(partitions.length, 6);
  for (const partition of partitions) {
    const reply = await asker.ask({ ...bySecond, partitions: [partition] }, "UTC", { rollups: true });
    assert.is(reply.partitions[0]?.count, 9_000);
    assert.ok((reply.partitions[0]?.packed?.length ?? 0) > 9_000 * 40);
  }
});

test("any question over any history", async () => {
  for (let seed = 0; seed < 5; seed++) {
    const random = new SeededRandom(500 + seed);
    const site = new SeriesSite(500 + seed);
    const open = await opened(site);
    for (let step = 0; step < 8; step++) {
      const device = `d${random.below(3)}`;
      const fromMs = startMs + random.below(20 * 3_600) * 1_000 + random.pick([0, 0, 1, 500]);
      await site.appendDurably(open, regular(device, fromMs, 1 + random.below(6_000), random.pick([500, 1_000, 3_000, 20_000])));
      if (random.chance(0.7)) await site.settle(open.store.checkpoint());
    }
    const asker = new Asker(site, open);
    for (let question = 0; question < 12; question++) {
      const fromUs = (startMs - hourMs) * 1_000 + random.below(22 * 3_600) * 1_000_000 + random.pick([0, 1, 999]);
      const asked: Partial<AggregateRequest> = {
        windowMs: random.pick([0, 30_000, 60_000, 90_000, 600_000, hourMs, 90 * 60_000, 24 * hourMs]),
        functions: random.chance(0.3)
          ? [...simple, ...named("quantile(0.5)")]
          : random.pick([simple, named("count"), named("mean", "max")]),
        groupBy: random.pick([[], [{ kind: "device" }], [{ kind: "metric" }]]),
      };
      const toUs = fromUs + random.pick([1, 59_000_000, 3_600_000_000, 86_400_000_000]) + random.below(10_000_000);
      const timeZone = random.pick(["UTC", "UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]);
      await asker.compare({ ...asked, fromUs, toUs }, timeZone);
      if (random.chance(0.2)) await site.appendDurably(open, regular(`d${random.below(3)}`, fromUs / 1_000, random.below(20), 7_000));
      if (random.chance(0.1)) await site.settle(open.store.checkpoint());
      const part = { fromUs: fromUs + random.below((toUs - fromUs) / 2), toUs: toUs - random.below((toUs - fromUs) / 2) };
      for (let time = 0; time < 2; time++) await asker.compare({ ...asked, ...part }, timeZone);
    }
  }
});

test.run();
