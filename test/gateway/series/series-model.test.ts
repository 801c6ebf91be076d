// Goal: whatever is appended, sealed, merged, dropped and cut off by crashes, in any order and with any timing, a reading that
// was durable and is not below the horizon is there exactly once with the greatest value, and a scan gives the state at its
// start. Method: random operations on the real log and store over a simulated disk, beside a map; a few events of the disk
// pass between the operations, so that they overlap.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defaultTuning } from "../../../src/gateway/context.ts";
import { SeriesReader } from "../../../src/gateway/series/series-reader.ts";
import { type OpenSeries, type Reading, SeriesSite } from "./series-fixture.ts";

type Operation =
  | { readonly t: "append"; readonly readings: readonly Reading[] }
  | { readonly t: "checkpoint" | "compact" | "maintain" | "scan" }
  | { readonly t: "drop"; readonly tick: number }
  | { readonly t: "crash"; readonly power: boolean }
  | { readonly t: "errors"; readonly probability: number };

const tickUs = 1_000;
const ticks = 60;
const device = fc.constantFrom("d1", "d2");
const reading = fc.record({
  device,
  us: fc.integer({ min: 1, max: ticks }).map((tick) => tick * tickUs),
  value: fc.integer({ min: 0, max: 9 }),
});
// In order and in one place, as devices send them, or anywhere.
const burst = fc
  .record({ device, from: fc.integer({ min: 1, max: ticks }), count: fc.integer({ min: 1, max: 12 }), value: fc.nat({ max: 9 }) })
  .map(({ device: name, from, count, value }) =>
    Array.from({ length: count }, (_, i): Reading => ({ device: name, us: (from + i) * tickUs, value: (value + i) % 10 })),
  );
const append = fc.oneof(burst, fc.array(reading, { minLength: 1, maxLength: 5 })).map((readings): Operation => ({ t: "append", readings }));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: append },
  { weight: 4, arbitrary: fc.constantFrom<Operation>({ t: "checkpoint" }) },
  { weight: 3, arbitrary: fc.constantFrom<Operation>({ t: "compact" }, { t: "maintain" }) },
  { weight: 3, arbitrary: fc.constant<Operation>({ t: "scan" }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: ticks / 2 }).map((tick): Operation => ({ t: "drop", tick })) },
  { weight: 1, arbitrary: fc.boolean().map((power): Operation => ({ t: "crash", power })) },
  { weight: 1, arbitrary: fc.constantFrom(0, 0, 0.3).map((probability): Operation => ({ t: "errors", probability })) },
);
const step = fc.record({ operation, events: fc.integer({ min: 0, max: 12 }) });

class ModelRun {
  readonly site: SeriesSite;
  /** What scans must give now: "device us" -> value. */
  readonly state = new Map<string, number>();
  readonly #offered = new Map<string, Set<number>>();
  #horizonUs = 0;
  #open: OpenSeries;
  #scans: Promise<void>[] = [];
  /** Appends that are not durable yet. */
  #pending = 0;
  rounds = 0;
  checkpoints = 0;
  scans = 0;

  private constructor(site: SeriesSite, open: OpenSeries) {
    this.site = site;
    this.#open = open;
  }

  static async begin(seed: number): Promise<ModelRun> {
    const site = new SeriesSite(seed);
    // Two neighbours are enough to be merged, and two chunks at once.
    site.tuning = { ...defaultTuning, compactionFanIn: 2, compactionReadingsMax: 1, compactionQuietMs: 20, chunkCacheBytes: 2_000 };
    site.readDelayMs = 20;
    return new ModelRun(site, await opened(site));
  }

  async take(next: Operation): Promise<void> {
    const { store } = this.#open;
    switch (next.t) {
      case "append":
        this.#append(next.readings);
        return;
      case "checkpoint":
        void store.checkpoint();
        return;
      case "compact":
        void store.compactAll().catch(() => undefined);
        return;
      case "maintain":
        store.maintain();
        return;
      case "scan":
        this.#scan();
        return;
      case "drop":
        this.#horizonUs = Math.max(this.#horizonUs, next.tick * tickUs);
        store.retain(() => this.#horizonUs);
        void store.dropBefore(1_000);
        // Scans that begin from now on do not see it any more, whether it is deleted or not.
        for (const id of this.state.keys()) if (timeOf(id) < this.#horizonUs) this.state.delete(id);
        return;
      case "crash":
        await this.crash(next.power);
        return;
      case "errors":
        this.site.disk.setIoErrors(next.probability);
    }
  }

  async pass(events: number): Promise<void> {
    for (let left = events; left > 0; left--) {
      this.site.scheduler.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Starts again and compares: nothing that was durable is missing, nothing was made up, nothing is there twice. */
  async crash(power: boolean): Promise<void> {
    const { store } = this.#open;
    this.rounds += store.stats().compaction.rounds;
    this.checkpoints += store.stats().checkpoints;
    this.site.disk.crash({ power });
    this.#scans = [];
    this.#pending = 0;
    this.site.disk.setIoErrors(0);
    this.#open = await opened(this.site);
    this.#open.store.retain(() => this.#horizonUs);
    const found = await this.site.readAll(this.#open);
    for (const [id, value] of this.state) assert.ok((found.get(id) ?? -1) >= value, `${id} is ${found.get(id)}, ${value} was durable`);
    for (const [id, value] of found) assert.ok(this.#offered.get(id)?.has(value) === true, `${id} is ${value}, which nobody wrote`);
    for (const [id, value] of found) {
      assert.ok(timeOf(id) >= this.#horizonUs, `${id} is below the horizon`);
      this.state.set(id, value);
    }
  }

  /** What is under way ends well; then everything is merged, and there is nothing left to merge. */
  async end(): Promise<void> {
    const { site } = this;
    site.disk.setIoErrors(0);
    // The log tries again what met an error.
    while (this.#pending > 0) await site.settle(new Promise<void>((resolve) => site.scheduler.schedule(1_000, "wait", resolve)));
    await site.settle(Promise.all(this.#scans));
    await site.settle(this.#open.store.checkpoint());
    await site.settle(this.#open.store.compactAll());
    assert.equal(sorted(await site.readAll(this.#open)), sorted(this.state));
    for (const { chunks } of this.#open.store.index.all()) assert.ok(chunks.length <= 1, "so few readings are one chunk");
    await this.crash(true);
  }

  #append(readings: readonly Reading[]): void {
    for (const { device: name, us, value } of readings) {
      const id = `${name} ${us}`;
      this.#offered.set(id, (this.#offered.get(id) ?? new Set()).add(value));
    }
    const taken = this.site.append(this.#open, readings, () => {
      this.#pending--;
      for (const { device: name, us, value } of readings) {
        const id = `${name} ${us}`;
        if (us >= this.#horizonUs) this.state.set(id, Math.max(this.state.get(id) ?? -1, value));
      }
    });
    if (taken) this.#pending++;
  }

  #scan(): void {
    const expected = sorted(this.state);
    const found = new Map<string, number>();
    const reader = new SeriesReader(this.#open.store);
    const all = this.#open.store.index.all().map(async (series) => {
      const scanned = await reader.scan(series, { fromUs: 0, toUs: Number.MAX_SAFE_INTEGER }, (run, whole) => {
        assert.ok(whole === undefined || (whole.count === run.count && whole.minTimeUs === run.times[0]), "figures of another run");
        for (let i = 0; i < run.count; i++) {
          const id = `${series.device} ${run.times[i]}`;
          assert.not(found.has(id), `${id} comes twice`);
          found.set(id, run.numbers[i] as number);
        }
        return true;
      });
      assert.ok(scanned.ok, scanned.ok ? "" : scanned.message);
    });
    const done = Promise.all(all).then(() => {
      this.scans++;
      assert.equal(sorted(found), expected, "a scan gives the state at its start");
    });
    done.catch(() => undefined);
    this.#scans.push(done);
  }
}

async function opened(site: SeriesSite): Promise<OpenSeries> {
  const result = await site.open();
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

const timeOf = (id: string): number => Number(id.split(" ")[1]);
const sorted = (state: ReadonlyMap<string, number>): [string, number][] => [...state].sort(([a], [b]) => (a < b ? -1 : 1));

const test = suite("gateway/series: model");

test("operations in any order and with any timing", async () => {
  const total = { rounds: 0, checkpoints: 0, scans: 0 };
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 5, maxLength: 40, size: "max" }), async (seed, steps) => {
      const run = await ModelRun.begin(seed);
      for (const { operation: next, events } of steps) {
        await run.take(next);
        await run.pass(events);
      }
      await run.end();
      total.rounds += run.rounds;
      total.checkpoints += run.checkpoints;
      total.scans += run.scans;
    }),
    { numRuns: 40 },
  );
  assert.ok(total.rounds > 80 && total.checkpoints > 80 && total.scans > 40, JSON.stringify(total));
});

test.run();
