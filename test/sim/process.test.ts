// Goal: simulated clocks and dice keep the contracts of the real ones, and processes die and pause like real ones. Method:
// the contract suites in virtual time, then kills and pauses by hand.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../src/lib/random.ts";
import { MachineClock } from "../../src/sim/machine-clock.ts";
import { SimulatedClock, SimulatedEntropy, SimulatedProcess } from "../../src/sim/process.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { clockContract } from "../contracts/clock.ts";
import { entropyContract } from "../contracts/entropy.ts";
import { settle } from "./virtual-time.ts";

const epochMs = Date.UTC(2026, 0, 1);

function simulated() {
  const scheduler = new Scheduler();
  const process = new SimulatedProcess({ scheduler, name: "gw-a.1" });
  const machine = new MachineClock({ scheduler, epochMs });
  return { scheduler, process, machine, clock: new SimulatedClock({ process, machine }) };
}

clockContract("SimulatedClock", () => {
  const { scheduler, clock } = simulated();
  return Promise.resolve({ clock, settle: (promise) => settle(scheduler, promise), dispose: () => Promise.resolve() });
});

entropyContract("SimulatedEntropy", () => new SimulatedEntropy(new SeededRandom(1)));

const test = suite("a simulated process");

test("what a killed process had under way never happens", () => {
  const { scheduler, process, clock } = simulated();
  let fired = 0;
  clock.schedule(10, () => fired++);
  process.schedule(5, "work", () => fired++);
  process.kill();
  while (scheduler.step());
  assert.is(fired, 0);
  assert.not(process.alive());
});

test("what came while a process stood still happens in order when it goes on, unless it is killed first", () => {
  const { scheduler, process } = simulated();
  const order: number[] = [];
  for (const at of [1, 2, 3]) process.schedule(at, "work", () => order.push(at));
  process.pause();
  while (scheduler.step());
  assert.equal(order, []);
  process.resume();
  while (scheduler.step());
  assert.equal(order, [1, 2, 3]);
  process.pause();
  process.deliver(() => order.push(4));
  process.kill();
  process.resume();
  while (scheduler.step());
  assert.equal(order, [1, 2, 3]);
});

test("what comes in the moment of going on waits behind what came before it, also when the process stands still again", () => {
  const { scheduler, process } = simulated();
  const order: number[] = [];
  process.pause();
  process.deliver(() => order.push(1));
  process.deliver(() => order.push(2));
  scheduler.schedule(5, "resume", () => process.resume());
  scheduler.schedule(5, "same moment", () => process.deliver(() => order.push(3)));
  scheduler.schedule(5, "still again", () => process.pause());
  scheduler.schedule(6, "and on", () => process.resume());
  scheduler.schedule(6, "same moment", () => process.deliver(() => order.push(4)));
  while (scheduler.step());
  assert.equal(order, [1, 2, 3, 4]);
  process.deliver(() => order.push(5));
  assert.equal(order, [1, 2, 3, 4, 5], "at once again");
});

test("a jump and a stuck wall clock leave the monotonic one alone", () => {
  const { scheduler, clock, machine } = simulated();
  machine.jump(-3_600_000);
  assert.is(clock.wallMs(), epochMs - 3_600_000);
  assert.is(clock.monotonicMs(), 0);
  machine.stick();
  scheduler.advanceTo(5_000);
  assert.is(clock.wallMs(), epochMs - 3_600_000);
  assert.is(clock.monotonicMs(), 5_000);
  machine.jump(1_000);
  assert.is(clock.wallMs(), epochMs - 3_599_000);
  machine.unstick();
  assert.is(clock.wallMs(), epochMs - 3_594_000);
  machine.set();
  assert.is(clock.wallMs(), epochMs + 5_000);
});

test("a clock that drifts runs both clocks and the timers at its own rate, and is continuous when the rate changes", () => {
  const { scheduler, clock, machine } = simulated();
  machine.run(1.1);
  scheduler.advanceTo(1_000);
  assert.ok(Math.abs(clock.monotonicMs() - 1_100) < 1e-6);
  assert.is(clock.wallMs(), epochMs + 1_100);
  machine.run(0.5);
  assert.ok(Math.abs(clock.monotonicMs() - 1_100) < 1e-6);
  const fired: number[] = [];
  clock.schedule(100, () => fired.push(scheduler.nowMs()));
  while (scheduler.step());
  assert.ok(Math.abs((fired[0] ?? 0) - 1_200) < 1e-3, `100 own milliseconds are 200: ${fired.join()}`);
  machine.set();
  assert.is(clock.wallMs(), Math.floor(epochMs + scheduler.nowMs()), "whoever sets a clock sets it right");
});

test("a timer is not early on a clock that is slowed down while it waits", () => {
  const { scheduler, clock, machine } = simulated();
  const startedMs = clock.monotonicMs();
  let elapsedMs = 0;
  clock.schedule(100, () => {
    elapsedMs = clock.monotonicMs() - startedMs;
  });
  scheduler.advanceTo(50);
  machine.run(0.9);
  while (scheduler.step());
  assert.ok(elapsedMs >= 100 && elapsedMs < 100.001, String(elapsedMs));
});

test("the monotonic clock begins anew when a machine has lost power, the wall clock goes on", () => {
  const { scheduler, clock, machine } = simulated();
  scheduler.advanceTo(90_000);
  machine.reboot(700);
  assert.is(clock.monotonicMs(), 700);
  assert.is(clock.wallMs(), epochMs + 90_000);
});

test.run();
