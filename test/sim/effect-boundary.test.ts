// Goal: a process can die between any two of its effects, and nothing of it gets out afterwards. Method: the boundary around
// a simulated disk and a transport that counts.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { gatewayId } from "../../src/lib/ids.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Transport } from "../../src/ports/transport.ts";
import { SimulatedDisk } from "../../src/sim/disk.ts";
import { EffectBoundary } from "../../src/sim/effect-boundary.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { settle } from "./virtual-time.ts";

const test = suite("sim/effect boundary");
const peer = gatewayId("gw-b");

function transportThatCounts(): { readonly transport: Transport; readonly sent: () => number } {
  let sent = 0;
  const transport: Transport = {
    setPeers: () => undefined,
    start: () => Promise.resolve({ ok: true, value: undefined }),
    send: () => {
      sent++;
      return true;
    },
    isUp: () => true,
    stats: () => ({ framesSent: sent, framesReceived: 0, framesDropped: 0, bytesSent: 0, bytesReceived: 0 }),
    stop: () => Promise.resolve(),
  };
  return { transport, sent: () => sent };
}

async function guarded() {
  const scheduler = new Scheduler();
  const disk = new SimulatedDisk({ schedule: (delayMs, fire) => scheduler.schedule(delayMs, "disk", fire), random: new SeededRandom(1) });
  const boundary = new EffectBoundary();
  const ports = boundary.guardDisk(disk.ports());
  const { transport, sent } = transportThatCounts();
  const link = boundary.guardTransport(transport);
  const log = await settle(scheduler, ports.logs.open("raft", { visit: () => undefined }));
  const store = await settle(scheduler, ports.stores.open("store"));
  const file = await settle(scheduler, ports.results.open("sink"));
  if (!log.ok || !store.ok || !file.ok) throw new Error("the disk does not open");
  return { scheduler, disk, boundary, ports, link, sent, log: log.value, store: store.value, file: file.value };
}

test("effects are counted over all ports, and the one after the last is not made, nor any other", async () => {
  const { scheduler, disk, boundary, ports, link, sent, log, store, file } = await guarded();
  let deaths = 0;
  boundary.sentence({ effects: 3, die: () => deaths++ });
  assert.is(
    log.append([Uint8Array.of(1)], () => undefined),
    1,
  );
  assert.ok(link.send(peer, "raft", Uint8Array.of(1)));
  await settle(scheduler, ports.documents.write("one", 1));
  assert.is(deaths, 0);
  let settled = 0;
  const key = Uint8Array.of(1);
  void store.write([{ type: "put", key, value: key }], { sync: true }).then(() => settled++);
  assert.is(deaths, 1, "the fourth");
  assert.is(
    log.append([Uint8Array.of(2)], () => undefined),
    undefined,
  );
  assert.not(link.send(peer, "raft", Uint8Array.of(2)));
  void ports.documents.write("two", 2).then(() => settled++);
  void file.append("a line").then(() => settled++);
  while (scheduler.step());
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal([deaths, settled, sent(), log.nextSequence()], [1, 0, 1, 2]);
  assert.equal([disk.document("one"), disk.document("two"), disk.resultText("sink")], [1, undefined, ""]);
  assert.equal(await settle(scheduler, store.getMany([key])), [undefined]);
});

test("a sentence may count some kinds only", async () => {
  const { boundary, link, sent, log } = await guarded();
  let deaths = 0;
  boundary.sentence({ effects: 1, kinds: ["frame"], die: () => deaths++ });
  for (let i = 0; i < 5; i++) log.append([Uint8Array.of(i)], () => undefined);
  assert.ok(link.send(peer, "raft", Uint8Array.of(1)));
  assert.is(deaths, 0);
  assert.not(link.send(peer, "raft", Uint8Array.of(1)));
  assert.equal([deaths, sent()], [1, 1]);
  assert.is(
    log.append([Uint8Array.of(9)], () => undefined),
    undefined,
    "dead for all kinds",
  );
});

test("a sentence may be lifted", async () => {
  const { boundary, link } = await guarded();
  let deaths = 0;
  boundary.sentence({ effects: 1, die: () => deaths++ });
  boundary.pardon();
  for (let i = 0; i < 5; i++) assert.ok(link.send(peer, "raft", Uint8Array.of(i)));
  assert.is(deaths, 0);
});

test("a process that died otherwise makes no effects either, and does not die again", async () => {
  const { boundary, link, sent } = await guarded();
  let deaths = 0;
  boundary.sentence({ effects: 0, die: () => deaths++ });
  boundary.close();
  assert.not(link.send(peer, "raft", Uint8Array.of(1)));
  assert.equal([deaths, sent()], [0, 0]);
});

test.run();
