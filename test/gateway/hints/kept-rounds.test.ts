// Goal: what was said to be kept outlives a crash at any point until it was settled, what was settled comes back at most until it was
// written down, and bounds, ages and damage do what they say. Method: random histories of a book on a simulated disk that loses
// power, beside a model; then the bounds one by one.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayContext } from "../../../src/gateway/context.ts";
import { type OpenedKept, openKept } from "../../../src/gateway/hints/kept-disk.ts";
import { KeptKind } from "../../../src/gateway/hints/kept-record.ts";
import { everyOwner, type KeptRound, KeptRounds, type KeptTarget } from "../../../src/gateway/hints/kept-rounds.ts";
import { gatewayId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import { SimulatedDisk } from "../../../src/sim/disk.ts";
import { Scheduler } from "../../../src/sim/scheduler.ts";

const b = gatewayId("gw-b");
const c = gatewayId("gw-c");
const hourMs = 3_600_000;

/** A disk that outlives the books that are opened on it, and the clocks of its machine. */
class World {
  readonly scheduler = new Scheduler();
  readonly disk: SimulatedDisk;
  monotonicMs = 0;
  wallMs = Date.UTC(2026, 0, 1);

  constructor(seed: number) {
    this.disk = new SimulatedDisk({
      schedule: (delayMs, fire) => this.scheduler.schedule(delayMs, "disk", fire),
      random: new SeededRandom(seed),
    });
  }

  async opened(name: "hints" | "held", bytesMax: number): Promise<OpenedKept> {
    const context = {
      packing: new Packing(),
      diagnostics: { warn: () => undefined },
      ports: { logs: this.disk.ports().logs },
    } as unknown as GatewayContext;
    const kept = await this.settled(openKept(context, name, bytesMax));
    if (!kept.ok) throw new Error(kept.message);
    return kept.value;
  }

  async book(name: "hints" | "held", bounds: { readonly bytesMax: number; readonly ageMaxMs?: number }): Promise<KeptRounds> {
    const clock = { monotonicMs: () => this.monotonicMs, wallMs: () => this.wallMs } as Clock;
    const { log, restored } = await this.opened(name, bounds.bytesMax);
    return new KeptRounds({ log, restored, packing: new Packing(), clock, bytesMax: bounds.bytesMax, ageMaxMs: bounds.ageMaxMs });
  }

  /** Lets the disk work until the promise has settled. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let done = false;
    const marked = promise.finally(() => {
      done = true;
    });
    for (let turn = 0; !done && turn < 10_000; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!done) this.scheduler.step();
    }
    return marked;
  }

  /** Up to so many events of the disk. */
  async work(events: number): Promise<void> {
    for (let i = 0; i < events; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!this.scheduler.step()) return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  elapse(ms: number): void {
    this.monotonicMs += ms;
    this.wallMs += ms;
  }
}

const bytesOf = (value: number, length = 100): Uint8Array => new Uint8Array(length).fill(value);
const valuesFor = (book: KeptRounds, target: KeptTarget): number[] =>
  [...book.waitingFor(target)].map(({ bytes }) => bytes[0] as number).sort((x, y) => x - y);

const test = suite("gateway/hints/kept-rounds");

test("after any crash: all that was kept and not settled is there for whom it was, and nothing that never was", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const world = new World(seed);
    const bounds = { bytesMax: 3_700 };
    let book = await world.book("held", bounds);
    const targetsOf = new Map<number, readonly KeptTarget[]>();
    const durable = new Set<number>();
    const settled = new Set<string>();
    let next = 1;
    for (let step = 0; step < 60; step++) {
      const what = random.below(10);
      if (what < 5) {
        const value = next;
        const targets = random.pick([[b], [c], [b, c], []]);
        const kind = targets.length === 0 ? KeptKind.Held : KeptKind.Copy;
        const kept = book.add(kind, { bytes: bytesOf(value), readings: 1, targets }, () => durable.add(value));
        if (kept !== undefined) {
          next++;
          targetsOf.set(value, targets.length === 0 ? [everyOwner] : targets);
        }
      } else if (what < 7) {
        const target = random.pick<KeptTarget>([b, c, everyOwner]);
        const waiting: KeptRound[] = [...book.waitingFor(target)];
        if (waiting.length > 0) {
          const round = random.pick(waiting);
          settled.add(`${round.bytes[0]} ${target}`);
          book.deliveredTo(target, round);
        }
      } else if (what === 7) book.tidy();
      else if (what === 8) await world.work(random.below(12));
      else {
        world.disk.crash({ power: true });
        book = await world.book("held", bounds);
      }
      for (const target of [b, c, everyOwner] as const) {
        const found = valuesFor(book, target);
        for (const value of found) assert.ok(targetsOf.get(value)?.includes(target), `seed ${seed}: ${value} was never for "${target}"`);
        for (const value of durable)
          if (targetsOf.get(value)?.includes(target) === true && !settled.has(`${value} ${target}`))
            assert.ok(found.includes(value), `seed ${seed}, step ${step}: ${value} for "${target}" is lost`);
      }
    }
  }
});

test("what was settled and written down does not come back", async () => {
  const world = new World(1);
  let book = await world.book("hints", { bytesMax: 10_000, ageMaxMs: hourMs });
  for (let value = 1; value <= 5; value++)
    book.add(KeptKind.Hint, { bytes: bytesOf(value), readings: 1, targets: [b, c] }, () => undefined);
  for (const round of [...book.waitingFor(b)].slice(0, 3)) book.deliveredTo(b, round);
  for (const round of [...book.waitingFor(c)].slice(2, 4)) book.dropFor(c, round, "refused");
  book.tidy();
  await world.work(50);
  world.disk.crash({ power: true });
  book = await world.book("hints", { bytesMax: 10_000, ageMaxMs: hourMs });
  assert.equal(
    [valuesFor(book, b), valuesFor(book, c)],
    [
      [4, 5],
      [1, 2, 5],
    ],
  );
});

test("hints: at the bound the oldest go; held rounds: no more are taken", async () => {
  const world = new World(2);
  const hints = await world.book("hints", { bytesMax: 2_600, ageMaxMs: hourMs });
  const held = await world.book("held", { bytesMax: 2_600 });
  const add = (book: KeptRounds, value: number) =>
    book.add(KeptKind.Hint, { bytes: bytesOf(value), readings: 2, targets: [b] }, () => undefined);
  for (let value = 1; value <= 6; value++) assert.ok(add(hints, value));
  assert.equal(valuesFor(hints, b), [3, 4, 5, 6]);
  assert.equal(hints.dropped().get("bytes"), { rounds: 2, readings: 4 });
  assert.equal(
    [1, 2, 3, 4, 5, 6].map((value) => add(held, value) !== undefined),
    [true, true, true, true, false, false],
  );
  assert.is(
    hints.add(KeptKind.Hint, { bytes: bytesOf(7, 3_000), readings: 1, targets: [b] }, () => undefined),
    undefined,
  );
  assert.equal(valuesFor(hints, b), [3, 4, 5, 6]);
});

test("one old round does not keep the log behind it on the disk: it moves, and outlives that", async () => {
  const world = new World(3);
  const bounds = { bytesMax: 10_000 };
  let book = await world.book("held", bounds);
  book.add(KeptKind.Copy, { bytes: bytesOf(1), readings: 1, targets: [b] }, () => undefined);
  for (let i = 0; i < 400; i++) {
    const kept = book.add(KeptKind.Copy, { bytes: bytesOf(2, 400), readings: 1, targets: [c] }, () => undefined);
    if (kept !== undefined) book.deliveredTo(c, kept);
    if (i % 5 === 0) {
      book.tidy();
      await world.work(30);
    }
  }
  await world.work(200);
  assert.ok(world.disk.usedBytes() < 4 * bounds.bytesMax, `the log has ${world.disk.usedBytes()} bytes`);
  world.disk.crash({ power: true });
  book = await world.book("held", bounds);
  assert.equal(valuesFor(book, b), [1]);
});

test("age goes on over a restart, and a wall clock that jumps makes nothing too old at once, nor young for ever", async () => {
  const world = new World(4);
  const bounds = { bytesMax: 10_000, ageMaxMs: 3 * hourMs };
  const reopen = async (jumpMs: number): Promise<KeptRounds> => {
    world.disk.crash({ power: true });
    world.monotonicMs = 0;
    world.wallMs += jumpMs;
    const book = await world.book("hints", bounds);
    book.tidy();
    await world.work(30);
    return book;
  };
  const first = await world.book("hints", bounds);
  first.add(KeptKind.Hint, { bytes: bytesOf(1), readings: 1, targets: [b] }, () => undefined);
  await world.work(30);
  assert.equal(valuesFor(await reopen(10 * 365 * 24 * hourMs), b), [1], "ten years ahead");
  const backwards = await reopen(-20 * 365 * 24 * hourMs);
  assert.equal(valuesFor(backwards, b), [1]);
  for (let i = 0; i < 2; i++) {
    world.elapse(hourMs + 1);
    backwards.tidy();
  }
  assert.equal(valuesFor(backwards, b), [], "an hour of the restarts, and two more that were lived through");
  assert.is(backwards.dropped().get("age")?.rounds, 1);
});

test("a damaged log opens without what is lost, and says so; one whose end is gone gets a successor", async () => {
  const world = new World(5);
  const bounds = { bytesMax: 10_000 };
  let book = await world.book("held", bounds);
  for (let value = 1; value <= 3; value++) book.add(KeptKind.Held, { bytes: bytesOf(value), readings: 1, targets: [] }, () => undefined);
  await world.work(50);
  await world.settled(book.close());
  world.disk.crash({ power: false });
  assert.ok(world.disk.flipLogBit("held"));
  const opened = await world.opened("held", bounds.bytesMax);
  assert.match(opened.lost ?? "", /lost|damaged/);
  await world.settled(opened.log.close());
  world.disk.crash({ power: false });
  book = await world.book("held", bounds);
  const kept = book.add(KeptKind.Held, { bytes: bytesOf(9), readings: 1, targets: [] }, () => undefined);
  assert.ok(kept);
  await world.work(50);
  world.disk.crash({ power: true });
  book = await world.book("held", bounds);
  assert.ok(valuesFor(book, everyOwner).includes(9));
});

test.run();
