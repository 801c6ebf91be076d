// Goal: one heap of events: by time, then by order of scheduling; a process that is paused or killed takes none. Method: random
// delays against a sort, and scenarios.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../src/lib/random.ts";
import { MachineClock } from "../../src/sim/machine-clock.ts";
import { SimulatedClock, SimulatedEntropy, SimulatedProcess } from "../../src/sim/process.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";

const test = suite("sim: scheduler and process");

test("events come by time, ties in the order of scheduling, cancelled ones never", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ delay: fc.nat(20), cancelled: fc.boolean() })), (events) => {
      const scheduler = new Scheduler();
      const fired: number[] = [];
      for (const [at, { delay, cancelled }] of events.entries()) {
        const event = scheduler.schedule(delay, "event", () => {
          assert.is(scheduler.nowMs(), delay);
          fired.push(at);
        });
        event.cancelled = cancelled;
      }
      while (scheduler.nextMs() !== undefined) assert.ok(scheduler.step());
      assert.not(scheduler.step());
      const expected = events.map(({ delay, cancelled }, at) => ({ delay, cancelled, at })).filter(({ cancelled }) => !cancelled);
      assert.equal(
        fired,
        expected.sort((x, y) => x.delay - y.delay || x.at - y.at).map(({ at }) => at),
      );
    }),
  );
});

test("the trace hash knows labels, times and order", () => {
  const traceOf = (labels: readonly (readonly [number, string])[]) => {
    const scheduler = new Scheduler();
    for (const [delay, label] of labels) scheduler.schedule(delay, label, () => undefined);
    while (scheduler.step());
    return scheduler.traceHash();
  };
  const base = traceOf([
    [1, "a"],
    [2, "b"],
  ]);
  assert.is(
    traceOf([
      [1, "a"],
      [2, "b"],
    ]),
    base,
  );
  for (const other of [
    [
      [1, "a"],
      [2, "c"],
    ],
    [
      [1, "a"],
      [3, "b"],
    ],
    [
      [2, "a"],
      [1, "b"],
    ],
    [[1, "a"]],
  ] as const)
    assert.is.not(traceOf(other), base);
});

test("a paused process takes its events when it goes on, in order; a killed one never", () => {
  const scheduler = new Scheduler();
  const process = new SimulatedProcess({ scheduler, name: "p" });
  const fired: string[] = [];
  process.schedule(1, "one", () => fired.push("one"));
  process.schedule(2, "two", () => fired.push("two"));
  process.pause();
  while (scheduler.step());
  assert.equal(fired, []);
  process.resume();
  while (scheduler.step());
  assert.equal(fired, ["one", "two"]);
  process.schedule(1, "three", () => fired.push("three"));
  process.kill();
  while (scheduler.step());
  assert.equal(fired, ["one", "two"]);
});

test("the wall clock follows its machine, the monotonic one does not; timers fire once unless cancelled", () => {
  const scheduler = new Scheduler();
  const process = new SimulatedProcess({ scheduler, name: "p" });
  const machine = new MachineClock({ scheduler, epochMs: 1_000_000 });
  const clock = new SimulatedClock({ process, machine });
  const fired: string[] = [];
  clock.schedule(10, () => fired.push("kept"));
  const cancelled = clock.schedule(10, () => fired.push("cancelled"));
  clock.cancel(cancelled);
  while (scheduler.step());
  assert.equal([fired, clock.wallMs(), Math.floor(clock.monotonicMs())], [["kept"], 1_000_010, 10]);
  machine.jump(-500);
  machine.synchronised = false;
  assert.equal([clock.wallMs(), Math.floor(clock.monotonicMs()), clock.synchronised()], [999_510, 10, false]);
  clock.cancel(cancelled);
  assert.match(new SimulatedEntropy(new SeededRandom(1)).hex(16), /^[0-9a-f]{32}$/);
});

test.run();
