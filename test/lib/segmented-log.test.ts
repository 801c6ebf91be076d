// Goal: whatever single call to the disk fails, having happened or not, and wherever the process dies or the power is cut, no
// acknowledged record is lost, none is acknowledged twice or out of order, and the log goes on. Method: one workload with
// rotation, trimming, idle time and a clean close on simulated files in virtual time; first counted, then repeated once
// for each call and each kind of fault; then sweeps of many faults at once. A model beside it knows what was acknowledged.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { LogHost } from "../../src/lib/log-files.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { openSegmentedLog, type SegmentedLog } from "../../src/lib/segmented-log.ts";
import { SimulatedFiles, SimulatedFolder } from "../../src/sim/disk-files.ts";
import { DiskSession } from "../../src/sim/disk-session.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { type Decide, FaultyFiles } from "./faulty-files.ts";

const test = suite("lib/segmented-log");

/** One disk, and what the world was told about the log on it. */
class Bench {
  readonly scheduler = new Scheduler();
  readonly random: SeededRandom;
  readonly folder = new SimulatedFolder();
  readonly faults = { fsync: { minMs: 1, maxMs: 4 }, ioErrorProbability: 0, full: false, capacityBytes: undefined };
  session: DiskSession;
  files: FaultyFiles | undefined;
  log: SegmentedLog | undefined;
  appended = 0;
  acknowledged = 0;
  trimmedBefore = 0;
  commitDelayMs = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.session = this.#newSession();
  }

  /** Text of record `sequence`, of a length that differs. */
  static text(sequence: number): string {
    return `${sequence}:${"x".repeat((sequence * 37) % 150)}`;
  }

  async open(decide?: Decide): Promise<void> {
    this.files = new FaultyFiles(new SimulatedFiles(this.folder, this.session), decide);
    const session = this.session;
    const host: LogHost = {
      after: (delayMs, fire) => {
        let cancelled = false;
        session.later(delayMs, () => {
          if (!cancelled && this.files?.dead === false) fire();
        });
        return () => {
          cancelled = true;
        };
      },
      salt: () => 1 + this.random.below(0xffffffff),
    };
    const seen: number[] = [];
    const visit = (sequence: number, payload: Uint8Array) => {
      assert.is(new TextDecoder().decode(payload), Bench.text(sequence));
      if (seen.length > 0) assert.is(sequence, (seen.at(-1) as number) + 1);
      seen.push(sequence);
    };
    const files = this.files;
    const { commitDelayMs } = this;
    const opening = openSegmentedLog({
      name: "readings",
      files,
      host,
      visit,
      segmentBytesMax: 700,
      pendingBytesMax: 10_000,
      commitDelayMs,
    });
    let result: Awaited<typeof opening> | undefined;
    void opening.then((value) => {
      result = value;
    });
    await this.until(() => result !== undefined || files.dead);
    if (result === undefined) return;
    if (!result.ok) {
      assert.ok(result.code !== "log-damaged", result.message);
      return;
    }
    this.log = result.value;
    const last = seen.at(-1) ?? 0;
    assert.is(this.log.durableSequence(), this.log.nextSequence() - 1);
    if (seen.length > 0) {
      assert.is(this.log.durableSequence(), last);
      assert.ok((seen[0] as number) <= Math.max(1, this.trimmedBefore), `begins with ${seen[0]}, trimmed before ${this.trimmedBefore}`);
    }
    assert.ok(this.log.durableSequence() >= this.acknowledged, `${this.log.durableSequence()} on disk, ${this.acknowledged} acknowledged`);
    assert.ok(this.log.durableSequence() <= this.appended, "nothing comes back that was never appended");
    this.appended = this.log.durableSequence();
    this.acknowledged = this.log.durableSequence();
  }

  append(count: number): void {
    const log = this.log as SegmentedLog;
    for (let i = 0; i < count; i++) {
      const text = new TextEncoder().encode(Bench.text(log.nextSequence()));
      const sequence = log.append([text.subarray(0, 2), text.subarray(2)], () => {
        assert.is(sequence, this.acknowledged + 1, "acknowledged in order, once");
        this.acknowledged++;
      });
      if (sequence !== undefined) this.appended = sequence;
    }
  }

  /** The workload: small and large flushes, rotation, a trim in the middle, an idle time, a clean close. */
  async work(): Promise<void> {
    const log = this.log as SegmentedLog;
    for (const count of [1, 3, 7, 2]) {
      this.append(count);
      await this.quiet();
    }
    this.trimmedBefore = Math.max(1, this.acknowledged - 5);
    await this.ended(log.trim(this.trimmedBefore));
    this.append(2);
    await this.quiet();
    await this.pass(2500);
    this.append(4);
    await this.quiet();
    await this.ended(log.close());
  }

  /** Until all that was appended is acknowledged, or the process is dead. */
  async quiet(): Promise<void> {
    await this.until(() => this.files?.dead === true || this.acknowledged === this.appended || this.log?.health().code === "log-damaged");
    assert.is.not(this.log?.health().code, "log-damaged");
  }

  async ended(promise: Promise<void>): Promise<void> {
    let done = false;
    void promise.then(() => {
      done = true;
    });
    await this.until(() => done || this.files?.dead === true);
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    let over = false;
    this.scheduler.schedule(ms, "pass", () => {
      over = true;
    });
    await this.until(() => over);
  }

  async until(condition: () => boolean): Promise<void> {
    for (let steps = 0; !condition(); steps++) {
      assert.ok(steps < 100_000, "nothing comes of it");
      // Promises that the last event settled go first.
      await new Promise((resolve) => setImmediate(resolve));
      if (condition()) return;
      this.scheduler.step();
    }
  }

  crash(power: boolean): void {
    this.session.alive = false;
    if (this.files !== undefined) this.files.dead = true;
    this.log = undefined;
    if (power) this.folder.powerCut(this.random);
    this.session = this.#newSession();
  }

  #newSession(): DiskSession {
    return new DiskSession({
      faults: this.faults,
      random: this.random,
      schedule: (delayMs, fire) => this.scheduler.schedule(delayMs, "disk", fire),
      usedBytes: () => 0,
    });
  }
}

/** How many calls the workload makes when nothing fails. */
async function countCalls(): Promise<number> {
  const bench = new Bench(1);
  await bench.open();
  await bench.work();
  return bench.files?.count ?? 0;
}

test("each call fails once: acknowledgements are late, nothing else", async () => {
  const calls = await countCalls();
  assert.ok(calls > 50, `${calls} calls`);
  for (let at = 1; at <= calls; at++) {
    for (const happens of [true, false]) {
      const code = at % 3 === 0 ? "ENOSPC" : "EIO";
      const bench = new Bench(at);
      await bench.open((_, index) => (index === at ? { happens, code } : undefined));
      if (bench.log === undefined) await bench.open();
      await bench.work();
      assert.is(bench.acknowledged, bench.appended);
      const { appended } = bench;
      bench.crash(true);
      await bench.open();
      assert.is(bench.log?.durableSequence(), appended, `call ${at}, ${code}, happens: ${happens}`);
    }
  }
});

test("two calls in a row fail, then the power is cut", async () => {
  const calls = await countCalls();
  for (let at = 1; at <= calls; at += 2) {
    const bench = new Bench(1000 + at);
    await bench.open((_, index) => {
      if (index === at || index === at + 1) return { happens: bench.random.chance(0.5), code: "EIO" };
      return index === at + 8 ? { happens: bench.random.chance(0.5) } : undefined;
    });
    if (bench.log !== undefined) await bench.work();
    bench.crash(true);
    await bench.open();
    assert.ok(bench.log !== undefined);
    bench.append(3);
    await bench.quiet();
  }
});

test("the process dies at each call, with and without a power cut, then the log goes on", async () => {
  const calls = await countCalls();
  for (let at = 1; at <= calls; at++) {
    for (const power of [true, false]) {
      for (const happens of power ? [true, false] : [at % 2 === 0]) {
        const bench = new Bench(at);
        await bench.open((_, index) => (index === at ? { happens } : undefined));
        if (bench.log !== undefined) await bench.work();
        // The call itself may still be under way when the power goes.
        if (!power) await bench.pass(10);
        bench.crash(power);
        await bench.open();
        assert.ok(bench.log !== undefined, `call ${at}`);
        // What opening has served is durable from then on.
        bench.crash(true);
        await bench.open();
        bench.append(5);
        await bench.quiet();
        assert.is(bench.acknowledged, bench.appended);
      }
    }
  }
});

test("many seeds of errors, crashes and full disks at once", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const bench = new Bench(seed);
    const { random } = bench;
    bench.commitDelayMs = seed % 3 === 0 ? 40 : 0;
    for (let life = 0; life < 6; life++) {
      await bench.open();
      if (bench.log !== undefined) {
        for (let step = 0; step < 12; step++) {
          bench.faults.ioErrorProbability = random.chance(0.3) ? random.real() * 0.6 : 0;
          bench.faults.full = random.chance(0.15);
          bench.append(random.below(5));
          await bench.pass(random.below(400));
          if (random.chance(0.1)) {
            bench.trimmedBefore = Math.max(bench.trimmedBefore, bench.acknowledged - random.below(6));
            void bench.log.trim(bench.trimmedBefore);
          }
        }
      }
      bench.faults.ioErrorProbability = 0;
      bench.faults.full = false;
      if (random.chance(0.3) && bench.log !== undefined) {
        await bench.quiet();
        assert.equal(bench.log.health(), { ok: true }, `seed ${seed}`);
        if (random.chance(0.5)) await bench.ended(bench.log.close());
      }
      bench.crash(random.chance(0.6));
    }
    await bench.open();
    assert.ok(bench.log !== undefined, `seed ${seed}`);
  }
});

test("a failing disk shows in health, and files do not pile up while it fails", async () => {
  const bench = new Bench(3);
  await bench.open();
  bench.append(3);
  await bench.quiet();
  bench.faults.full = true;
  bench.append(2);
  await bench.pass(60_000);
  assert.is(bench.log?.health().code, "disk-full");
  assert.is(bench.acknowledged, 3);
  bench.faults.full = false;
  bench.faults.ioErrorProbability = 1;
  await bench.pass(10_000);
  assert.is(bench.log?.health().code, "EIO");
  bench.faults.ioErrorProbability = 0.4;
  await bench.pass(600_000);
  bench.faults.ioErrorProbability = 0;
  await bench.quiet();
  assert.equal(bench.log?.health(), { ok: true });
  assert.is(bench.acknowledged, 5);
  assert.ok(bench.folder.names.size <= 6, [...bench.folder.names.keys()].join(" "));
});

test("closing on a disk that fails gives up after a few attempts, and says nothing was durable that is not", async () => {
  const bench = new Bench(4);
  await bench.open();
  bench.append(2);
  await bench.quiet();
  bench.faults.full = true;
  bench.append(2);
  const log = bench.log as SegmentedLog;
  await bench.ended(log.close());
  assert.is(bench.acknowledged, 2);
  assert.is(log.durableSequence(), 2);
});

test("what was durable is damaged while the log is open: found after the next failed write, and nothing is acknowledged", async () => {
  const bench = new Bench(5);
  await bench.open();
  bench.append(3);
  await bench.quiet();
  const [, file] = [...bench.folder.names].find(([name]) => name.endsWith("-00000001.log")) as [
    string,
    import("../../src/sim/disk-files.ts").SimulatedFile,
  ];
  file.flip(100, 3);
  bench.faults.ioErrorProbability = 1;
  bench.append(1);
  await bench.pass(50);
  bench.faults.ioErrorProbability = 0;
  await bench.until(() => bench.log?.health().code === "log-damaged");
  await bench.pass(20_000);
  assert.is(bench.acknowledged, 3);
  assert.match(bench.log?.health().message ?? "", /0000000000000001-00000001\.log, byte 64, sequence 1/);
  await bench.ended((bench.log as SegmentedLog).close());
});

test.run();
