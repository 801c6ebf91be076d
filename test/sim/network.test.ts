// Goal: the simulated network keeps the Transport port's contract, and its faults do what they say. Method: the contract
// suite in virtual time; then frames over links that are cut, clogged, slow, lossy and reordering, alone and together.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { gatewayId } from "../../src/lib/ids.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Transport } from "../../src/ports/transport.ts";
import { cloggedFramesMax, type NetworkTuning, SimulatedNetwork } from "../../src/sim/network.ts";
import { SimulatedProcess } from "../../src/sim/process.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { transportContract } from "../contracts/transport.ts";

const ids = [gatewayId("gw-a"), gatewayId("gw-b"), gatewayId("gw-c")] as const;
const [a, b] = ids;
const calm: NetworkTuning = { delayMinMs: 0.1, delayMaxMs: 5, dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 };

function networkOf(tuning: Partial<NetworkTuning> = {}) {
  const scheduler = new Scheduler();
  const network = new SimulatedNetwork({ scheduler, random: new SeededRandom(1), tuning: { ...calm, ...tuning } });
  return { scheduler, network };
}

transportContract("simulated", async () => {
  const { scheduler, network } = networkOf();
  const running: Transport[] = [];
  return {
    ids,
    addressOf: (id) => ({ id, host: "simulated", port: 1 }),
    create(id) {
      const transport = network.transport(id, new SimulatedProcess({ scheduler, name: id }));
      running.push(transport);
      return transport;
    },
    async until(what, condition) {
      // All that is under way arrives before the suite looks again, and sends again.
      while (!condition()) {
        if (!scheduler.step()) throw new Error(`not: ${what}`);
        while (scheduler.step());
      }
    },
    async close() {
      for (const transport of running) await transport.stop();
    },
  };
});

const test = suite("sim/network: faults");

function runFor(scheduler: Scheduler, ms: number): void {
  const deadline = scheduler.nowMs() + ms;
  while ((scheduler.nextMs() ?? Number.POSITIVE_INFINITY) <= deadline) scheduler.step();
  scheduler.advanceTo(deadline);
}

/** A linked pair; what b receives, as first bytes. */
async function pair(tuning: Partial<NetworkTuning> = {}) {
  const { scheduler, network } = networkOf(tuning);
  const processes = new Map([a, b].map((id) => [id, new SimulatedProcess({ scheduler, name: id })]));
  const received: number[] = [];
  const events: string[] = [];
  const start = async (id: typeof a) => {
    const transport = network.transport(id, processes.get(id) as SimulatedProcess);
    await transport.start({
      receive: (_from, _channel, frame) => void (id === b && received.push(frame[0] as number)),
      up: (peer) => void events.push(`${id}: ${peer} up`),
      down: (peer) => void events.push(`${id}: ${peer} down`),
    });
    return transport;
  };
  const from = await start(a);
  await start(b);
  while (scheduler.step());
  return { scheduler, network, processes, received, events, from, start };
}

test("a cut is one direction; what was under way is lost with it, and nothing is kept for later", async () => {
  const { scheduler, network, received, from } = await pair();
  from.send(b, "raft", Uint8Array.of(1));
  network.cut(a, b);
  assert.ok(from.send(b, "raft", Uint8Array.of(2)), "the sender cannot know");
  runFor(scheduler, 100);
  assert.equal(received, []);
  network.heal();
  from.send(b, "raft", Uint8Array.of(3));
  runFor(scheduler, 100);
  assert.equal(received, [3]);
  network.cut(b, a);
  from.send(b, "raft", Uint8Array.of(4));
  runFor(scheduler, 100);
  assert.equal(received, [3, 4]);
});

test("cuts add up and heal one by one, each once", async () => {
  const { scheduler, network, received, from } = await pair();
  const first = network.cut(a, b);
  const second = network.cut(a, b);
  first();
  first();
  assert.not(network.passes(a, b));
  from.send(b, "raft", Uint8Array.of(1));
  runFor(scheduler, 100);
  assert.equal(received, []);
  second();
  assert.ok(network.passes(a, b));
  from.send(b, "raft", Uint8Array.of(2));
  runFor(scheduler, 100);
  assert.equal(received, [2]);
  const stale = network.cut(a, b);
  network.heal();
  network.cut(a, b);
  stale();
  assert.not(network.passes(a, b), "what `heal` ended does not end what came after it");
});

test("a way that stays blocked breaks the links of both sides, by their keep-alives; they come back when it is free", async () => {
  const { scheduler, network, events, from } = await pair();
  const blocks = [() => network.cut(a, b), () => network.cut(b, a), () => network.clog(a, b)];
  for (const block of blocks) {
    events.length = 0;
    const heal = block();
    runFor(scheduler, 4_900);
    assert.equal(events, [], "not after a short while");
    assert.ok(from.isUp(b));
    runFor(scheduler, 5_200);
    assert.equal([...events].sort(), ["gw-a: gw-b down", "gw-b: gw-a down"]);
    assert.is(from.send(b, "raft", Uint8Array.of(1)), false);
    runFor(scheduler, 60_000);
    assert.is(events.length, 2, "and no link comes up through it");
    heal();
    runFor(scheduler, 2_000);
    assert.equal([...events].sort(), ["gw-a: gw-b down", "gw-a: gw-b up", "gw-b: gw-a down", "gw-b: gw-a up"]);
  }
});

test("a short block breaks nothing, however many of them there are", async () => {
  const { scheduler, network, events } = await pair();
  events.length = 0;
  for (let turn = 0; turn < 10; turn++) {
    const heal = network.cut(a, b);
    runFor(scheduler, 3_000);
    heal();
    runFor(scheduler, 10);
  }
  runFor(scheduler, 20_000);
  assert.equal(events, []);
});

test("a clogged link keeps what it can hold, in order, refuses the rest, and lets all of it go at once", async () => {
  const { scheduler, network, received, from } = await pair({ delayMinMs: 1, delayMaxMs: 1 });
  const heal = network.clog(a, b);
  const taken = Array.from({ length: cloggedFramesMax + 3 }, (_, i) => from.send(b, "raft", Uint8Array.of(i & 255)));
  assert.is(taken.filter((sent) => sent).length, cloggedFramesMax);
  assert.not(taken.at(-1));
  runFor(scheduler, 1_000);
  assert.equal(received, []);
  heal();
  runFor(scheduler, 2);
  assert.equal(
    received,
    Array.from({ length: cloggedFramesMax }, (_, i) => i & 255),
  );
});

test("a clogged link that broke has lost what it held", async () => {
  const { scheduler, network, received, from } = await pair();
  const heal = network.clog(a, b);
  from.send(b, "raft", Uint8Array.of(1));
  runFor(scheduler, 11_000);
  heal();
  runFor(scheduler, 3_000);
  from.send(b, "raft", Uint8Array.of(2));
  runFor(scheduler, 100);
  assert.equal(received, [2]);
});

test("a slow link delays its own direction, and slownesses add up", async () => {
  const { scheduler, network, received, from } = await pair();
  const heals = [network.slow(a, b, 300), network.slow(a, b, 200), network.slow(b, a, 10_000)];
  from.send(b, "raft", Uint8Array.of(1));
  runFor(scheduler, 499);
  assert.equal(received, []);
  runFor(scheduler, 10);
  assert.equal(received, [1]);
  for (const heal of heals) heal();
  from.send(b, "raft", Uint8Array.of(2));
  runFor(scheduler, 10);
  assert.equal(received, [1, 2]);
});

test("one channel of a link may be slow, and another one not", async () => {
  const { scheduler, network, received, from } = await pair();
  const heals = [network.slow(a, b, 300, "replica"), network.slow(a, b, 200)];
  from.send(b, "replica", Uint8Array.of(1));
  from.send(b, "raft", Uint8Array.of(2));
  runFor(scheduler, 210);
  assert.equal(received, [2]);
  runFor(scheduler, 300);
  assert.equal(received, [2, 1]);
  for (const heal of heals) heal();
  from.send(b, "replica", Uint8Array.of(3));
  runFor(scheduler, 10);
  assert.equal(received, [2, 1, 3]);
});

test("a peer that restarts behind a cut is found out when the way is free: down first, then up", async () => {
  const { scheduler, network, processes, events, from, start } = await pair();
  events.length = 0;
  const heal = network.cut(b, a);
  processes.get(b)?.kill();
  network.detach(b);
  processes.set(b, new SimulatedProcess({ scheduler, name: "gw-b.2" }));
  await start(b);
  runFor(scheduler, 1_000);
  assert.equal(events, []);
  assert.ok(from.isUp(b), "it cannot know yet");
  heal();
  runFor(scheduler, 2_000);
  assert.equal(
    events.filter((event) => event.startsWith("gw-a")),
    ["gw-a: gw-b down", "gw-a: gw-b up"],
  );
});

test("probabilities drop, duplicate and reorder, and none of them invents a frame", async () => {
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  for (const [tuning, holds] of [
    [{ dropProbability: 0.5 }, (got: number[]) => got.length > 50 && got.length < 150],
    [{ duplicateProbability: 0.5 }, (got: number[]) => got.length > 250 && got.length < 350 && new Set(got).size === 200],
    [{ reorderProbability: 0.5 }, (got: number[]) => got.length === 200 && got.some((value, i) => value < (got[i - 1] ?? 0))],
  ] as const) {
    const { scheduler, received, from } = await pair(tuning);
    for (const number of numbers) from.send(b, "replica", Uint8Array.of(number));
    while (scheduler.step());
    assert.ok(holds(received), JSON.stringify(tuning));
    assert.ok(received.every((value) => numbers.includes(value)));
  }
});

test("a process that is gone is told to its peers, also when another takes its place at once", async () => {
  const { scheduler, network, processes, events, start } = await pair();
  processes.get(b)?.kill();
  network.detach(b);
  processes.set(b, new SimulatedProcess({ scheduler, name: "gw-b.2" }));
  await start(b);
  while (scheduler.step());
  assert.equal(
    events.filter((event) => event.startsWith("gw-a")),
    ["gw-a: gw-b up", "gw-a: gw-b down", "gw-a: gw-b up"],
  );
});

test("frames to a process that ended are not its successor's", async () => {
  const { scheduler, network, processes, received, from, start } = await pair();
  from.send(b, "raft", Uint8Array.of(1));
  processes.get(b)?.kill();
  network.detach(b);
  processes.set(b, new SimulatedProcess({ scheduler, name: "gw-b.2" }));
  await start(b);
  while (scheduler.step());
  assert.equal(received, []);
});

test("a paused process gets its frames when it goes on", async () => {
  const { scheduler, processes, received, from } = await pair();
  processes.get(b)?.pause();
  from.send(b, "raft", Uint8Array.of(1));
  while (scheduler.step());
  assert.equal(received, []);
  processes.get(b)?.resume();
  while (scheduler.step());
  assert.equal(received, [1]);
});

test.run();
