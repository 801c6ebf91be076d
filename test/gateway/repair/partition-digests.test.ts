// Goal: digests by hour, span and partition are those of exactly the readings that are here, each identity once with its greatest
// value, whatever became of them, and are computed anew where something changed only. Method: random histories of rounds, repeated
// and late ones, greater values, checkpoints, compaction, horizons, restarts and damaged chunks, beside a naive model: a map of
// identities, whose readings are hashed one by one.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PartitionDigests } from "../../../src/gateway/repair/partition-digests.ts";
import { Rollups } from "../../../src/gateway/series/rollups.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { deviceId, type Partition, partitionOf } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { addDigests, type Digest, digestRun, emptyDigest, seriesHashOf } from "../../../src/series/digest.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";
import { runOf } from "../page-fixtures.ts";
import { type OpenSeries, type Reading, SeriesSite } from "../series/series-fixture.ts";

const test = suite("gateway/repair: digests of partitions");
const hourUs = 3_600_000_000;
const spanHours = 256;
const devices = ["d1", "d2", "d3", "d4"];
const partitionAt = (device: string): Partition => partitionOf(deviceId(device), testHash64);
const partitions = [...new Set(devices.map(partitionAt))];
/** Some hours close together, some spans away. */
const baseHours = [0, 1, 2, 3, 255, 256, 300, 900, 901, 2_000];

/** What there is, by device and time. */
class Model {
  readonly #values = new Map<string, Reading>();

  take(readings: readonly Reading[]): void {
    for (const reading of readings) {
      const key = `${reading.device} ${reading.us}`;
      const known = this.#values.get(key);
      if (known === undefined || known.value < reading.value) this.#values.set(key, reading);
    }
  }

  digests(at: Partition, horizonUs: number, hoursOfNode: number, range = { from: -Infinity, to: Infinity }): Map<number, Digest> {
    const digests = new Map<number, Digest>();
    for (const { device, us, value } of this.#values.values()) {
      if (us < horizonUs || partitionAt(device) !== at) continue;
      const node = Math.floor(us / hourUs / hoursOfNode);
      if (node < range.from || node >= range.to) continue;
      const digest = digestRun(seriesHashOf(device, "value"), runOf([[us, value]]));
      digests.set(node, addDigests(digests.get(node) ?? emptyDigest, digest));
    }
    return digests;
  }
}

class Subject {
  readonly site: SeriesSite;
  readonly model = new Model();
  open!: OpenSeries;
  digests!: PartitionDigests;
  horizonUs = 0;

  constructor(seed: number) {
    this.site = new SeriesSite(seed);
    this.site.tuning = { ...this.site.tuning, compactionFanIn: 2 };
  }

  async start(): Promise<void> {
    const opened = await this.site.open();
    if (!opened.ok) throw new Error(opened.message);
    this.open = opened.value;
    const { store, raw } = this.open;
    store.retain(() => this.horizonUs);
    this.digests = new PartitionDigests({
      index: store.index,
      reader: new SeriesReader(store),
      rollups: new Rollups({ store: raw, damaged: () => undefined }),
      quarantine: store.quarantine,
      clock: store.reading.clock,
      rawHorizonUs: () => this.horizonUs,
      spansMax: 2,
    });
    store.watch((series, fromUs, toUs) => this.digests.changed(series, fromUs, toUs));
  }

  async append(readings: readonly Reading[]): Promise<void> {
    this.model.take(readings);
    await this.site.appendDurably(this.open, readings);
  }

  async check(what: string, horizonUs = this.horizonUs): Promise<void> {
    for (const at of partitions) {
      const root = await this.site.settle(this.digests.root(at, horizonUs));
      if (!root.ok) throw new Error(root.message);
      const whole = [...this.model.digests(at, horizonUs, 1).values()].reduce(addDigests, emptyDigest);
      assert.equal(root.value.digest, whole, `${what}: partition ${at}`);
      for (const [level, hours] of [
        ["span", spanHours],
        ["hour", 1],
      ] as const) {
        const range = { from: 0, to: level === "hour" ? 600 : 4 };
        const nodes = await this.site.settle(this.digests.nodes(at, level, range, horizonUs));
        if (!nodes.ok) throw new Error(nodes.message);
        const found = new Map(nodes.value.map(({ at: number, digest }) => [number, digest]));
        assert.equal(found, new Map([...this.model.digests(at, horizonUs, hours, range)].sort(([a], [b]) => a - b)), `${what}: ${level}`);
      }
      await this.#checkSeries(at, horizonUs, what);
    }
  }

  async #checkSeries(at: Partition, horizonUs: number, what: string): Promise<void> {
    const hours = [0, 1, 2, 3, 256];
    const byHour = this.model.digests(at, horizonUs, 1);
    const found = await this.site.settle(this.digests.bySeries(at, hours, { horizonUs, max: 1_000 }));
    if (!found.ok) throw new Error(found.message);
    for (const hour of hours) {
      const sum = found.value.nodes
        .filter((node) => node.at === hour)
        .reduce((all, { digest }) => addDigests(all, digest ?? emptyDigest), emptyDigest);
      assert.equal(sum, byHour.get(hour) ?? emptyDigest, `${what}: series of hour ${hour}`);
    }
  }
}

function drawReadings(random: SeededRandom): Reading[] {
  const device = random.pick(devices);
  const hour = random.pick(baseHours);
  const count = 1 + random.below(random.chance(0.2) ? 120 : 12);
  const strideUs = random.pick([1_000_000, 60_000_000, 700_000_000]);
  const fromUs = hour * hourUs + random.below(40) * 60_000_000;
  return Array.from({ length: count }, (_, i) => ({ device, us: fromUs + i * strideUs, value: random.below(3) }));
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`they are those of a naive model, seed ${seed}`, async () => {
    const random = new SeededRandom(seed);
    const subject = new Subject(seed);
    await subject.start();
    let last: Reading[] = [];
    for (let step = 0; step < 60; step++) {
      const dice = random.real();
      let what = "append";
      if (dice < 0.55) {
        last = drawReadings(random);
        await subject.append(last);
      } else if (dice < 0.65) {
        what = "the same again, or greater";
        await subject.append(last.map((reading) => ({ ...reading, value: reading.value + random.below(2) })));
      } else if (dice < 0.78) {
        what = "checkpoint";
        await subject.site.settle(subject.open.store.checkpoint());
      } else if (dice < 0.86) {
        what = "compaction";
        await subject.site.settle(subject.open.store.compactAll());
      } else if (dice < 0.92) {
        what = "horizon";
        subject.horizonUs += random.below(2) * hourUs + random.pick([0, 17 * 60_000_000]);
        await subject.site.settle(subject.open.store.dropBefore(1_000));
      } else {
        what = "restart";
        await subject.site.settle(subject.open.store.stop());
        subject.site.disk.crash({ power: true });
        await subject.start();
      }
      if (random.chance(0.5)) await subject.check(`step ${step}, ${what}`);
      // Another owner may have given up more.
      if (random.chance(0.2))
        await subject.check(`step ${step}, from a later horizon`, subject.horizonUs + random.below(3) * 1_234_567_890);
    }
    await subject.check("in the end");
  });
}

test("readings that join while digests are computed are in the next answer", async () => {
  const subject = new Subject(9);
  await subject.start();
  await subject.append(Array.from({ length: 200 }, (_, i) => ({ device: "d1", us: i * 100_000_000, value: 1 })));
  await subject.site.settle(subject.open.store.checkpoint());
  subject.site.readDelayMs = 5;
  const early = subject.digests.root(partitionAt("d1"), 0);
  await subject.append([{ device: "d1", us: 55, value: 2 }]);
  await subject.site.settle(early);
  await subject.check("behind it");
});

test("only what has changed is computed anew", async () => {
  const subject = new Subject(8);
  await subject.start();
  await subject.append(Array.from({ length: 50 }, (_, i) => ({ device: "d1", us: i * hourUs, value: i })));
  await subject.check("at first");
  const at = partitionAt("d1");
  assert.is(subject.digests.pending(at), 0);
  await subject.append([{ device: "d1", us: 7 * hourUs + 5, value: 1 }]);
  assert.is(subject.digests.pending(at), 1);
  await subject.site.settle(subject.open.store.checkpoint());
  assert.is(subject.digests.pending(at), 1, "sealing changes nothing");
  await subject.check("then");
});

test("hours of a damaged chunk are unknown until it is let go of, and others are not", async () => {
  const subject = new Subject(7);
  await subject.start();
  const at = partitionAt("d1");
  await subject.append(Array.from({ length: 30 }, (_, i) => ({ device: "d1", us: 2 * hourUs + i * 1_000_000, value: i })));
  await subject.site.settle(subject.open.store.checkpoint());
  await subject.append([{ device: "d1", us: 300 * hourUs, value: 5 }]);
  await subject.check("before");
  const series = subject.open.store.index.find(deviceId("d1"), "value");
  const [ref] = series?.chunks ?? [];
  if (series === undefined || ref === undefined) throw new Error("nothing was sealed");
  subject.open.store.quarantine.add(series, ref, "a test says so");
  const digestsOf = async (level: "span" | "hour") => {
    const nodes = await subject.site.settle(subject.digests.nodes(at, level, { from: 0, to: 1_000 }, 0));
    if (!nodes.ok) throw new Error(nodes.message);
    return nodes.value.map(({ at: number, digest }) => [number, digest?.count]);
  };
  assert.equal(await digestsOf("hour"), [
    [2, undefined],
    [300, 1],
  ]);
  assert.equal(await digestsOf("span"), [
    [0, undefined],
    [1, 1],
  ]);
  const root = await subject.site.settle(subject.digests.root(at, 0));
  assert.ok(root.ok && root.value.digest === undefined);
  const own = await subject.site.settle(subject.digests.bySeries(at, [2, 300], { horizonUs: 0, max: 10 }));
  assert.equal(own.ok && own.value.nodes.map(({ at: hour, digest }) => [hour, digest?.count]), [
    [2, undefined],
    [300, 1],
  ]);
  // Its readings come again, then it goes.
  await subject.append(Array.from({ length: 30 }, (_, i) => ({ device: "d1", us: 2 * hourUs + i * 1_000_000, value: i })));
  const retired = await subject.site.settle(subject.open.store.retireDamaged(series, [ref]));
  assert.ok(retired.ok);
  assert.is(subject.open.store.stats().damagedChunks, 0);
  await subject.check("restored");
  await subject.site.settle(subject.open.store.stop());
  subject.site.disk.crash({ power: true });
  await subject.start();
  await subject.check("after a restart");
});

test.run();
