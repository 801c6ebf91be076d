// Goal: a backup of a running site holds all that was acknowledged before it, and a new site of another size that it is restored into
// says the same to every question. Method: simulated sites; the blocks go from one to the other as the command line sends them.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import type { GatewayService, ResultRow } from "../../src/gateway/service.ts";
import { type BackupBlock, BackupKind, BackupReader, type BackupTrailer, readFailed } from "../../src/lib/backup-file.ts";
import type { Result } from "../../src/lib/errors.ts";
import { Packing } from "../../src/lib/packing.ts";
import { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, isServing, readingsAt } from "./harness.ts";

const packing = new Packing();
const startMs = Date.UTC(2026, 0, 1);
const utf8 = new TextEncoder();

function service(site: SimulatedSite, id: string): GatewayService {
  const running = site.gateway(id).running();
  if (running === undefined) throw new Error(`${id} is not running`);
  return running.service;
}

function must<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

interface Read {
  readonly blocks: BackupBlock[];
  readonly trailer: Result<BackupTrailer>;
}

async function backupOf(site: SimulatedSite, id: string, options: { allowIncomplete?: boolean; between?: () => void } = {}): Promise<Read> {
  const { allowIncomplete = false, between } = options;
  const pieces = must(await site.answer(service(site, id).backup({ allowIncomplete })));
  const reader = new BackupReader(packing);
  const blocks: BackupBlock[] = [];
  for (;;) {
    const next = await site.answer(pieces.next(), 300_000);
    if (next.done === true) break;
    blocks.push(...must(reader.push(next.value)));
    between?.();
  }
  return { blocks, trailer: reader.ended() };
}

const restorable: readonly number[] = [BackupKind.Kv, BackupKind.Devices, BackupKind.Readings, BackupKind.Results, BackupKind.Jobs];

async function restoreInto(site: SimulatedSite, id: string, blocks: readonly BackupBlock[], check = false) {
  const done = [];
  for (const block of blocks) {
    if (!restorable.includes(block.kind) || (check && block.kind === BackupKind.Readings)) continue;
    done.push(must(await site.answer(service(site, id).restoreBlock(block.bytes, { check }))));
  }
  return done;
}

/** Started later than the first site was, as a new site is: its jobs have no windows of that time. */
async function newSite(gateways: number, afterMs: number): Promise<SimulatedSite> {
  const site = new SimulatedSite({ seed: 77, gateways, world: await simulatorWorld() });
  await site.runFor(afterMs);
  site.startAll();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 30_000, what: "the site is founded" });
  return site;
}

async function digestsOf(site: SimulatedSite, id: string) {
  const all = [];
  let cursor: string | undefined;
  do {
    const page = must(await site.answer(service(site, id).digests(cursor)));
    all.push(...page.series);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}

async function resultsOf(site: SimulatedSite, id: string): Promise<readonly ResultRow[]> {
  return must(await site.answer(service(site, id).results({ job: "mean", fromMs: undefined, toMs: startMs + 100_000 })));
}

/** Readings of 40 devices, one of them with a correction of a result, and some keys. */
async function livedIn(): Promise<SimulatedSite> {
  const site = await foundedSite(5);
  const gateways = site.gateways;
  const devices = Array.from({ length: 40 }, (_, at) => new Device(gateways[at % 3] as (typeof gateways)[number], `d${at}`));
  for (let value = 0; value < 30; value++) {
    for (const device of devices) device.publish(startMs + value * 1_000, value);
    await site.runFor(50);
  }
  await site.until(() => devices.every((device) => device.acknowledged.size === 30), { withinMs: 20_000 });
  await site.until(() => service(site, "gw-a").jobs()[0]?.runs !== 0, { withinMs: 60_000, what: "the job ran" });
  // Not while it runs, and all windows of these readings are closed.
  await site.runFor(45_500);
  must(await site.answer(service(site, "gw-b").runJob("mean", { fromMs: startMs, toMs: startMs + 30_000 })));
  const [first] = devices as [Device];
  first.publish(startMs + 500, 1_000);
  await site.until(() => first.acknowledged.has(1_000), { withinMs: 5_000 });
  must(await site.answer(service(site, "gw-b").runJob("mean", { fromMs: startMs, toMs: startMs + 30_000 })));
  for (const key of ["a", "b/c", "d"])
    must(await site.answer(service(site, "gw-c").kvPut(key, utf8.encode(`value of ${key}`), { kind: "any" })));
  must(await site.answer(service(site, "gw-a").kvDelete("d", { kind: "any" })));
  return site;
}

const test = suite("backup and restore");

test("a site of three goes into a site of one, and into one of five: readings, results with their revisions, keys and devices", async () => {
  const old = await livedIn();
  const { blocks, trailer } = await backupOf(old, "gw-b");
  assert.ok(trailer.ok);
  assert.equal(must(trailer).missing, { partitions: [], results: 0 });
  assert.is(must(trailer).counts.readings, 40 * 30 + 1);
  assert.is(must(trailer).counts.series, 40);
  assert.is(must(trailer).counts.kv, 2);
  const results = await resultsOf(old, "gw-a");
  assert.ok(results.some((row) => row.revision === 2) && results.some((row) => row.revision === 1), "a correction is among them");
  for (const gateways of [1, 5]) {
    const young = await newSite(gateways, 200_000);
    assert.equal(must(await young.answer(service(young, "gw-a").siteContents())), {
      kv: 0,
      devices: 0,
      readings: false,
      results: false,
      complete: true,
    });
    const done = await restoreInto(young, "gw-a", blocks);
    for (const { kind, items, applied, conflicts } of done) {
      assert.is(conflicts, 0, kind);
      assert.ok(kind === "jobs" || applied === items, kind);
    }
    const last = young.gateways.at(-1)?.id ?? "";
    assert.equal(await digestsOf(young, last), await digestsOf(old, "gw-c"));
    assert.equal(await resultsOf(young, last), results);
    for (const key of ["a", "b/c", "d"]) {
      const [was, is] = [
        must(await old.answer(service(old, "gw-a").kvGet(key))),
        must(await young.answer(service(young, last).kvGet(key))),
      ];
      assert.equal(is?.value, was?.value, key);
    }
    const devices = must(await young.answer(service(young, last).devices()));
    assert.is(devices.length, 40);
    for (const { missing, conflicts, kind } of await restoreInto(young, "gw-a", blocks, true)) assert.is(missing + conflicts, 0, kind);
    const again = await restoreInto(young, last, blocks);
    for (const { kind, applied } of again) assert.ok(kind === "readings" || applied === 0, `${kind} again`);
    assert.equal(await digestsOf(young, last), await digestsOf(old, "gw-c"), "the same again changes nothing");
    assert.equal(await resultsOf(young, last), results);
  }
});

test("windows that the new site found empty meanwhile get the results of the backup, and what it computed itself stays", async () => {
  const old = await livedIn();
  const { blocks } = await backupOf(old, "gw-a");
  const results = await resultsOf(old, "gw-a");
  const young = await newSite(1, 0);
  await young.runFor(100_000);
  assert.ok((service(young, "gw-a").jobs()[0]?.runs ?? 0) > 5, "its job ran over the same windows");
  for (let round = 0; round < 2; round++) {
    for (const { kind, conflicts } of await restoreInto(young, "gw-a", blocks)) assert.is(conflicts, 0, kind);
    assert.equal(await resultsOf(young, "gw-a"), results, `restored ${round + 1} times`);
    for (const { missing, conflicts, kind } of await restoreInto(young, "gw-a", blocks, true)) assert.is(missing + conflicts, 0, kind);
  }
  // A correction of a restored result is a higher revision of it.
  const device = new Device(young.gateway("gw-a"), "d1");
  device.publish(startMs + 700, 5_000);
  await young.until(() => device.acknowledged.has(5_000), { withinMs: 5_000 });
  must(await young.answer(service(young, "gw-a").runJob("mean", { fromMs: startMs, toMs: startMs + 10_000 })));
  const first = (rows: readonly ResultRow[]) => rows.find((row) => row.from === startMs && row.group["device"] === "d1");
  const corrected = first(await resultsOf(young, "gw-a"));
  assert.ok((corrected?.revision ?? 0) > (first(results)?.revision ?? 0), JSON.stringify(corrected));

  const other = await newSite(1, 0);
  const own = new Device(other.gateway("gw-a"), "d1");
  own.publish(startMs + 700, 5_000);
  await other.runFor(60_000);
  const before = first(await resultsOf(other, "gw-a"));
  assert.ok(before !== undefined, "it has a result of its own");
  const done = await restoreInto(other, "gw-a", blocks);
  assert.ok(done.some(({ kind, conflicts }) => kind === "results" && conflicts > 0));
  assert.equal(first(await resultsOf(other, "gw-a")), before);
});

test("readings and keys that come during a backup do not disturb it, and what was acknowledged before is in it", async () => {
  const old = await livedIn();
  const before = await readingsAt(old, old.gateway("gw-a"), "d7");
  const device = new Device(old.gateway("gw-c"), "d7");
  let value = 2_000;
  const { blocks, trailer } = await backupOf(old, "gw-a", {
    between: () => {
      device.publish(startMs + 40_000 + value, value++);
      void service(old, "gw-b").kvPut(`later-${value}`, utf8.encode("x"), { kind: "any" });
    },
  });
  assert.ok(trailer.ok && value > 2_010);
  assert.is(must(trailer).counts.kv, 2, "the state is that of one index");
  const young = await newSite(1, 200_000);
  await restoreInto(young, "gw-a", blocks);
  const after = await readingsAt(young, young.gateway("gw-a"), "d7");
  const restored = after.points.map((point) => JSON.stringify(point));
  for (const point of before.points) assert.ok(restored.includes(JSON.stringify(point)), JSON.stringify(point));
});

test("with too few owners a backup fails and says so, unless an incomplete one is wanted; then it says what is missing", async () => {
  const old = await livedIn();
  const leader = old.leader()?.id ?? "gw-a";
  const [near, far] = old.gateways.filter((gateway) => gateway.id !== leader) as [
    (typeof old.gateways)[number],
    (typeof old.gateways)[number],
  ];
  const pieces = must(await old.answer(service(old, leader).backup({ allowIncomplete: false })));
  const refused = await old.answer(service(old, leader).backup({ allowIncomplete: false }));
  assert.is(refused.ok ? "" : refused.code, "busy");
  await old.answer(pieces.next());
  near.crash({ power: false });
  far.crash({ power: false });
  const reader = new BackupReader(packing);
  let failed: BackupBlock | undefined;
  for (let next = await old.answer(pieces.next(), 600_000); next.done !== true; next = await old.answer(pieces.next(), 600_000)) {
    const bytes = next.value;
    const kind = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (kind === BackupKind.Failed) failed = { kind, ordinal: 0, content: bytes.subarray(12, bytes.length - 4), bytes };
    assert.is.not(kind, BackupKind.Trailer);
  }
  assert.is(readFailed(packing, failed?.content ?? new Uint8Array(0)).code, "quorum-unavailable");
  assert.is(reader.ended().ok, false);
  near.start();
  far.start();
  await old.until(() => old.leader() !== undefined && old.gateways.every(isServing), { withinMs: 60_000 });
  const partial = must(await old.answer(service(old, leader).backup({ allowIncomplete: true })));
  const partialReader = new BackupReader(packing);
  must(partialReader.push((await old.answer(partial.next())).value as Uint8Array));
  near.crash({ power: false });
  far.crash({ power: false });
  for (let next = await old.answer(partial.next(), 900_000); next.done !== true; next = await old.answer(partial.next(), 900_000))
    must(partialReader.push(next.value));
  assert.ok(must(partialReader.ended()).missing.partitions.length > 0);
});

test("a restore is refused what the site has in another form, and overwrites nothing", async () => {
  const old = await livedIn();
  const { blocks } = await backupOf(old, "gw-a");
  const young = await newSite(1, 200_000);
  must(await young.answer(service(young, "gw-a").kvPut("a", utf8.encode("mine"), { kind: "any" })));
  const done = await restoreInto(young, "gw-a", blocks);
  assert.equal(
    done.filter(({ conflicts }) => conflicts > 0).map(({ kind, examples }) => [kind, examples]),
    [["kv", ["key a: the site has another one"]]],
  );
  assert.is(new TextDecoder().decode(must(await young.answer(service(young, "gw-a").kvGet("a")))?.value), "mine");
  const [first] = blocks as [BackupBlock];
  const codes = [];
  for (const bytes of [new Uint8Array(0), new Uint8Array([1, 2, 3]), first.bytes]) {
    const refused = await young.answer(service(young, "gw-a").restoreBlock(bytes, { check: false }));
    codes.push(refused.ok ? "ok" : refused.code);
  }
  assert.equal(codes, ["bad-request", "bad-request", "bad-request"]);
});

test.run();
