// Goal: the simulated disk keeps the contracts of the ports, its faults do what they say, and one seed gives one history.
// Method: the contract suites in virtual time, then one scenario for each fault.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Log } from "../../src/ports/log.ts";
import { SimulatedDisk } from "../../src/sim/disk.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { documentsContract } from "../contracts/documents.ts";
import { logContract } from "../contracts/log.ts";
import { resultFileContract } from "../contracts/result-file.ts";
import { snapshotFilesContract } from "../contracts/snapshot-files.ts";
import { storeContract } from "../contracts/store.ts";
import { settle } from "./virtual-time.ts";

function simulated(seed: number) {
  const scheduler = new Scheduler();
  const disk = new SimulatedDisk({
    schedule: (delayMs, fire) => scheduler.schedule(delayMs, "disk", fire),
    random: new SeededRandom(seed),
  });
  const world = {
    settle: <T>(promise: Promise<T>) => settle(scheduler, promise),
    dispose: async () => undefined,
  };
  return { scheduler, disk, world };
}

for (const power of [true, false]) {
  const how = power ? "power cut" : "process killed";
  logContract(`sim/disk: log, ${how}`, async () => {
    const { disk, world } = simulated(1);
    return {
      ...world,
      open: (options) => disk.ports().logs.open("readings", options),
      crash: async () => disk.crash({ power }),
      flipBit: (segment, offset) => {
        const names = disk.logFiles("readings").filter((name) => name.endsWith(".log"));
        disk.flipLogFile("readings", { file: names.at(segment === "oldest" ? 0 : -1) as string, offset, bit: 2 });
      },
    };
  });
  snapshotFilesContract(`sim/disk: snapshot files, ${how}`, async () => {
    const { disk, world } = simulated(5);
    return {
      ...world,
      open: () => disk.ports().snapshots,
      crash: async () => disk.crash({ power }),
      everything: () => disk.snapshotFiles(),
    };
  });
  storeContract(`sim/disk: store, ${how}`, async () => {
    const { disk, world } = simulated(2);
    return {
      ...world,
      open: () => disk.ports().stores.open("series"),
      crash: async () => disk.crash({ power }),
      damage: async () => assert.ok(disk.damageStore("series")),
    };
  });
}

documentsContract("sim/disk: documents", async () => {
  const { disk, world } = simulated(3);
  return { ...world, open: () => disk.ports().documents, damage: async (name) => assert.ok(disk.damageDocument(name)) };
});

resultFileContract("sim/disk: result files", async () => {
  const { disk, world } = simulated(4);
  return { ...world, files: () => disk.ports().results, contents: (name) => disk.resultText(name) as string };
});

const test = suite("sim/disk: faults");

type Simulated = ReturnType<typeof simulated>;

async function openLog({ disk, world }: Simulated): Promise<{ readonly log: Log; readonly records: number }> {
  let records = 0;
  const opened = await world.settle(disk.ports().logs.open("raft", { visit: () => records++, segmentBytesMax: 2000 }));
  if (!opened.ok) throw new Error(opened.message);
  return { log: opened.value, records };
}

async function append({ world }: Simulated, log: Log, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await world.settle(new Promise<void>((resolve) => log.append([new Uint8Array(100).fill(i)], resolve)));
  }
}

/** Lets virtual time pass. */
async function pass({ scheduler, world }: Simulated, ms: number): Promise<void> {
  await world.settle(new Promise<void>((resolve) => scheduler.schedule(ms, "pass", resolve)));
}

test("one seed gives one history", async () => {
  const run = async (seed: number) => {
    const site = simulated(seed);
    const { disk, scheduler, world } = site;
    for (let life = 0; life < 4; life++) {
      const { log, records } = await openLog(site);
      scheduler.note(`records ${records}`);
      await append(site, log, 10);
      log.append([new Uint8Array(2000)], () => undefined);
      void disk.ports().documents.write("cursor", { life });
      const opened = await world.settle(disk.ports().stores.open("series"));
      if (opened.ok) void opened.value.write([{ type: "put", key: Uint8Array.of(life), value: new Uint8Array(9) }], { sync: false });
      disk.setIoErrors(life === 1 ? 0.3 : 0);
      await pass(site, 50);
      disk.setIoErrors(0);
      disk.crash();
    }
    const { records } = await openLog(site);
    return `${scheduler.traceHash()} ${records}`;
  };
  assert.is(await run(77), await run(77));
  assert.is.not(await run(77), await run(78));
});

test("a power cut tears and loses unsynced records, but only those", async () => {
  let torn = 0;
  let lost = 0;
  let kept = 0;
  for (let seed = 0; seed < 60; seed++) {
    const site = simulated(seed);
    const { log } = await openLog(site);
    await append(site, log, 3);
    for (let i = 0; i < 2; i++) log.append([new Uint8Array(700)], () => undefined);
    await pass(site, 0.4);
    site.disk.crash();
    const again = await openLog(site);
    assert.ok(again.records >= 3 && again.records <= 5);
    if (again.log.stats().tornTailBytes > 0) torn++;
    if (again.records === 3) lost++;
    if (again.records === 5) kept++;
  }
  assert.ok(torn > 5 && lost > 5 && kept > 5, `torn ${torn}, lost ${lost}, kept ${kept}`);
});

test("a flipped bit where later bytes prove durability is always found", async () => {
  for (let seed = 0; seed < 100; seed++) {
    const site = simulated(seed);
    assert.is(site.disk.flipLogBit("raft"), false, "there is no log yet");
    const { log } = await openLog(site);
    await append(site, log, 1 + (seed % 40));
    log.append([new Uint8Array(700)], () => undefined);
    if (seed % 3 === 0) await pass(site, 2000);
    if (seed % 5 === 0) await site.world.settle(log.trim(10));
    site.disk.crash({ power: seed % 2 === 0 });
    assert.ok(site.disk.flipLogBit("raft"));
    const opened = await site.world.settle(site.disk.ports().logs.open("raft", { visit: () => undefined }));
    assert.is(!opened.ok && opened.code, "log-damaged", `seed ${seed}`);
  }
});

test("while the disk is full or fails, everything is late or says so; then it goes on", async () => {
  const site = simulated(9);
  const { disk, world } = site;
  const { log } = await openLog(site);
  const { documents, results, stores } = disk.ports();
  const store = await world.settle(stores.open("series"));
  const file = await world.settle(results.open("archive"));
  assert.ok(store.ok && file.ok);
  await world.settle(documents.write("cursor", 1));
  disk.setFull(true);
  let durable = false;
  log.append([new Uint8Array(10)], () => {
    durable = true;
  });
  await pass(site, 5000);
  assert.is(durable, false);
  assert.is(log.health().code, "disk-full");
  const failed = [await world.settle(documents.write("cursor", 2)), await world.settle(file.value.append("x"))];
  for (const result of failed) assert.is(!result.ok && result.code, "disk-full");
  const write = () => store.value.write([{ type: "put", key: Uint8Array.of(1), value: Uint8Array.of(1) }], { sync: true });
  const refused = await world.settle(write().catch((error: Error) => error));
  assert.match(refused instanceof Error ? refused.message : "", "no space left");
  assert.equal(await world.settle(documents.read("cursor")), { ok: true, value: 1 });
  disk.setFull(false);
  await pass(site, 10_000);
  assert.is(durable, true);
  assert.equal(log.health(), { ok: true });
  await world.settle(write());
  assert.equal(await world.settle(file.value.append("y")), { ok: true, value: 1 });
});

test("a slow fsync delays acknowledgements by as much", async () => {
  const site = simulated(10);
  const { log } = await openLog(site);
  site.disk.setFsync({ minMs: 700, maxMs: 900 });
  const began = site.scheduler.nowMs();
  await append(site, log, 1);
  assert.ok(site.scheduler.nowMs() - began >= 700);
  assert.ok(log.stats().lastFsyncMs >= 700);
  site.disk.setFsync(undefined);
  const then = site.scheduler.nowMs();
  await append(site, log, 1);
  assert.ok(site.scheduler.nowMs() - then < 10);
});

test("what a dead process had under way is never answered, and what it asks for later is never done", async () => {
  const site = simulated(11);
  const { disk, world, scheduler } = site;
  const dead = disk.ports();
  const { log } = await openLog(site);
  await append(site, log, 2);
  const store = await world.settle(dead.stores.open("series"));
  assert.ok(store.ok);
  let answered = 0;
  const answer = () => answered++;
  const ask = () => {
    log.append([new Uint8Array(5)], answer);
    void dead.documents.read("cursor").then(answer);
    void dead.documents.write("cursor", "dead").then(answer);
    void store.value.get(Uint8Array.of(1)).then(answer);
  };
  ask();
  disk.crash({ power: false });
  ask();
  void store.value.write([{ type: "put", key: Uint8Array.of(1), value: Uint8Array.of(1) }], { sync: true }).then(answer);
  void log.close().then(answer);
  await pass(site, 10_000);
  while (scheduler.step());
  assert.is(answered, 0);
  const alive = await world.settle(disk.ports().stores.open("series"));
  assert.ok(alive.ok);
  assert.is(await world.settle(alive.value.get(Uint8Array.of(1))), undefined);
});

test("wipe leaves an empty disk; an image brings an old state back", async () => {
  const site = simulated(12);
  const { disk, world } = site;
  const { log } = await openLog(site);
  await append(site, log, 3);
  await world.settle(disk.ports().documents.write("identity", "a"));
  const image = disk.image();
  await append(site, log, 4);
  disk.wipe();
  assert.is((await openLog(site)).records, 0);
  assert.equal(await world.settle(disk.ports().documents.read("identity")), { ok: true, value: undefined });
  for (let i = 0; i < 2; i++) {
    disk.restore(image);
    const restored = await openLog(site);
    assert.is(restored.records, 3);
    await append(site, restored.log, 1);
    disk.crash();
    assert.equal(await world.settle(disk.ports().documents.read("identity")), { ok: true, value: "a" });
  }
});

test("a document or a result under way when the power goes is old or new; a result may be cut", async () => {
  const documents = new Set<unknown>();
  const texts = new Set<string | undefined>();
  for (let seed = 0; seed < 60; seed++) {
    const { disk, world } = simulated(seed);
    await world.settle(disk.ports().documents.write("cursor", "old"));
    const file = await world.settle(disk.ports().results.open("archive"));
    assert.ok(file.ok);
    await world.settle(file.value.append("one\n"));
    void disk.ports().documents.write("cursor", "new");
    void disk.ports().documents.write("cursor", "never begun");
    void file.value.append("two\n");
    await new Promise((resolve) => setImmediate(resolve));
    disk.crash();
    const read = await world.settle(disk.ports().documents.read("cursor"));
    documents.add(read.ok && read.value);
    texts.add(disk.resultText("archive"));
  }
  assert.equal([...documents].map(String).sort(), ["new", "old"]);
  assert.equal([...texts].map(String).sort(), ["one\n", "one\nt", "one\ntw", "one\ntwo", "one\ntwo\n"]);
});

test("a snapshot file that a start has seen stays, though the process that made it died before the folder was synced", async () => {
  let seen = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const { scheduler, disk, world } = simulated(seed);
    void disk.ports().snapshots.write("state.snap", [new Uint8Array(8).fill(seed)]);
    for (let step = 0; step < seed % 12; step++) {
      await new Promise((resolve) => setImmediate(resolve));
      scheduler.step();
    }
    disk.crash({ power: false });
    const found = await world.settle(disk.ports().snapshots.list());
    disk.crash({ power: true });
    const kept = await world.settle(disk.ports().snapshots.list());
    assert.ok(kept.length >= found.length, `seed ${seed}: it was there, and a power cut later it is not`);
    seen += found.length;
  }
  assert.ok(seen > 0 && seen < 60, `${seen} of 60 were there after the first crash`);
});

test.run();
