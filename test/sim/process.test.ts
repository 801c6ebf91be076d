// Goal: simulated clocks and dice keep the contracts of the real ones, and processes die and pause like real ones. Method:
// the contract suites in virtual time, then kills and pauses by hand.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../src/lib/random.ts";
import { SimulatedClock, SimulatedEntropy, SimulatedProcess } from "../../src/sim/process.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { clockContract } from "../contracts/clock.ts";
import { entropyContract } from "../contracts/entropy.ts";
import { settle } from "./virtual-time.ts";

const epochMs = Date.UTC(2026, 0, 1);

function simulated() {
  const scheduler = new Scheduler();
  const process = new SimulatedProcess({ scheduler, name: "gw-a.1" });
  const fault = { offsetMs: 0, synchronised: true };
  return { scheduler, process, fault, clock: new SimulatedClock({ scheduler, process, epochMs, fault }) };
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

test("a clock's fault moves the wall, never the monotonic clock", () => {
  const { clock, fault } = simulated();
  const before = clock.monotonicMs();
  fault.offsetMs = -3_600_000;
  assert.is(clock.wallMs(), epochMs - 3_600_000);
  assert.is(clock.monotonicMs(), before);
});

test.run();
