// Goal: `backup`, `restore` and `export` leave either a whole file or none, send nothing before all of it is verified, go on where a
// restore ended, and exit with what happened. Method: `runCli` on a fake world, over the real API, on a fake service.
import { parquetReadObjects } from "hyparquet";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BackupKind, BackupWriter, restoreMarkerKey } from "../../src/lib/backup-file.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { Packing } from "../../src/lib/packing.ts";
import { encodeChunk } from "../../src/series/chunk.ts";
import { digestRun, seriesHashOf } from "../../src/series/digest.ts";
import { FakeService } from "../api/fake-service.ts";
import { apiOf, fetchFrom } from "./fake-site.ts";
import { FakeWorld } from "./fake-world.ts";

const packing = new Packing();
const hash = seriesHashOf("room-1", "t");
const run = { count: 3, times: new Float64Array([1e15, 2e15, 3e15]), types: undefined, numbers: new Float64Array([1, 2, 3]), texts: [] };
const digest = { device: "room-1", metric: "t", ...digestRun(hash, run) };
const manifest = {
  site: "plant-7",
  clusterId: "c1",
  gateway: "gw-a",
  version: "0.1.0",
  startedMs: Date.UTC(2026, 0, 2),
  featureLevel: 2,
  appliedIndex: 9,
  timeZone: "UTC",
};

function pieces(
  change: { readonly count?: number; readonly missing?: readonly number[]; readonly readings?: number; readonly startedMs?: number } = {},
): Uint8Array[] {
  const writer = new BackupWriter(packing);
  return [
    writer.header(),
    writer.block(BackupKind.Manifest, { ...manifest, startedMs: change.startedMs ?? manifest.startedMs }),
    writer.block(BackupKind.Kv, [["a", new Uint8Array([1]), 4]]),
    writer.block(BackupKind.Devices, [["room-1", "climate", ["t"], 5]]),
    writer.block(BackupKind.Readings, [["room-1", "t", [encodeChunk(hash, run)]]]),
    writer.block(BackupKind.Series, [["room-1", "t", change.count ?? 3, digest.low, digest.high]]),
    writer.block(BackupKind.Jobs, [["hourly", 7]]),
    writer.trailer({
      counts: { kv: 1, devices: 1, readings: change.readings ?? 3, series: 1, results: 0, jobs: 1 },
      missing: { partitions: change.missing ?? [], results: 0 },
    }),
  ];
}

const file = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function setup() {
  const world = new FakeWorld();
  const service = new FakeService();
  service.digestPages = [
    { series: [{ ...digest, count: 1, low: 0, high: 0 }], cursor: "1" },
    { series: [{ ...digest, count: 2 }], cursor: undefined },
  ];
  world.fetch = fetchFrom(new Map([["127.0.0.1:7880", apiOf(service)]]));
  return { world, service };
}

const backup = suite("cli: backup");

backup("a whole file is written under the name of the site and the time, and told", async () => {
  const { world, service } = setup();
  service.backupPieces = pieces();
  assert.is(await world.run("backup"), 0, world.err.text);
  const [name] = [...world.binaries.keys()];
  assert.is(name, "plant-7-20260131T120000Z.fogbank");
  assert.equal(world.binaries.get(name ?? ""), file(pieces()));
  assert.match(world.out.text, /3 readings of 1 series, 1 devices, 1 keys, 0 results of 1 jobs/);
  assert.is(await world.run("backup", "-f", name ?? ""), 2, "it exists");
  assert.is(await world.run("backup", "-f", name ?? "", "--force", "-o", "json"), 0);
  assert.is(await world.run("backup", "verify", name ?? "", "-o", "json"), 0);
  assert.is(await world.run("backup", "verify", "nothing.fogbank"), 2);
  assert.is(await world.run("backup", "verify", name ?? "", "--force"), 2, "an option that says nothing there");
});

backup("a stream that breaks, or that the gateway could not finish, leaves no file", async () => {
  const { world, service } = setup();
  service.backupPieces = pieces().slice(0, -1);
  assert.is(await world.run("backup", "-f", "x"), 3);
  assert.match(world.err.text, /before the backup was whole/);
  const writer = new BackupWriter(packing);
  service.backupPieces = [
    writer.header(),
    writer.block(BackupKind.Manifest, manifest),
    writer.block(BackupKind.Failed, { code: "quorum-unavailable", message: "too few owners of 12 partitions" }),
  ];
  assert.is(await world.run("backup", "-f", "x"), 3);
  assert.match(world.err.text, /too few owners of 12 partitions/);
  service.backupPieces = [new Uint8Array([1, 2, 3]), new Uint8Array(100)];
  assert.is(await world.run("backup", "-f", "x"), 1);
  service.backupFailure = failure("busy", "another one is being made");
  assert.is(await world.run("backup", "-f", "x"), 3);
  assert.is(world.binaries.size, 0);
  assert.is(world.abandoned.length, 3);
});

backup("what an incomplete one lacks is said loudly, each time", async () => {
  const { world, service } = setup();
  service.backupPieces = pieces({ missing: [1, 2] });
  assert.is(await world.run("backup", "-f", "x", "--allow-incomplete"), 0);
  assert.equal(service.backupOptions, { allowIncomplete: true });
  assert.is(await world.run("backup", "verify", "x"), 0);
  assert.is(world.err.text.match(/2 of 1024 partitions/g)?.length, 2);
});

backup("verify finds what checksums alone would not", async () => {
  const { world } = setup();
  for (const [name, bytes] of [
    ["a series that is listed otherwise", file(pieces({ count: 4 }))],
    ["counts that are wrong", file(pieces({ readings: 4 }))],
    ["the end is missing", file(pieces().slice(0, -1))],
  ] as const) {
    world.binaries.set("x", bytes);
    assert.is(await world.run("backup", "verify", "x"), 1, name);
  }
});

const restore = suite("cli: restore");

restore("every block is sent once and compared, in the order of the file, and the mark of the restore goes", async () => {
  const { world, service } = setup();
  world.binaries.set("x", file(pieces()));
  assert.is(await world.run("restore", "x", "--yes"), 0, world.err.text);
  const kinds = service.blocks.map(({ bytes, check }) => `${bytes[0]}${check ? "?" : ""}`);
  assert.equal(kinds, ["2", "3", "4", "7", "2?", "3?", "7?"]);
  assert.is(service.kv.has(restoreMarkerKey), false);
  assert.match(world.out.text, /verified/);
});

restore("nothing is sent of a damaged file, without a yes, or to a site that has something", async () => {
  const { world, service } = setup();
  const whole = file(pieces());
  const damaged = whole.slice();
  damaged[damaged.length - 30] = (damaged[damaged.length - 30] as number) ^ 1;
  world.binaries.set("damaged", damaged);
  world.binaries.set("whole", whole);
  assert.is(await world.run("restore", "damaged", "--yes"), 1);
  assert.is(await world.run("restore", "whole"), 2, "nobody to ask");
  world.answer = "n";
  assert.is(await world.run("restore", "whole"), 1);
  for (const contents of [{ kv: 2 }, { readings: true }, { results: true }]) {
    service.contents = { kv: 0, devices: 0, readings: false, results: false, complete: true, ...contents };
    assert.is(await world.run("restore", "whole", "--yes"), 1, JSON.stringify(contents));
    assert.match(world.err.text, /not empty/);
  }
  service.contents = { kv: 0, devices: 0, readings: false, results: false, complete: false };
  assert.is(await world.run("restore", "whole", "--yes"), 3);
  assert.is(service.blocks.length, 0);
  assert.is(service.kv.size, 0);
});

restore("a restore that ended on the way goes on, that of another backup does not", async () => {
  const { world, service } = setup();
  world.binaries.set("x", file(pieces()));
  world.binaries.set("other", file(pieces({ startedMs: 5 })));
  service.restoreAnswer = (bytes) =>
    bytes[0] === BackupKind.Readings
      ? failure("disk-full", "the disk of gw-a is full")
      : success({ kind: "kv", items: 1, applied: 1, present: 0, missing: 0, conflicts: 0, examples: [] });
  assert.is(await world.run("restore", "x", "--yes"), 1);
  assert.ok(service.kv.has(restoreMarkerKey));
  service.contents = { kv: 1, devices: 1, readings: true, results: true, complete: true };
  assert.is(await world.run("restore", "other", "--yes"), 1);
  assert.match(world.err.text, /another backup/);
  service.restoreAnswer = () => success({ kind: "kv", items: 1, applied: 0, present: 1, missing: 0, conflicts: 0, examples: [] });
  assert.is(await world.run("restore", "x", "--yes"), 0, world.err.text);
  assert.match(world.err.text, /going on/);
  assert.is(service.kv.has(restoreMarkerKey), false);
});

restore("what passes by itself is waited for, what does not ends with what to do", async () => {
  const { world, service } = setup();
  world.binaries.set("x", file(pieces()));
  let refusals = 5;
  const done = success({ kind: "kv", items: 1, applied: 1, present: 0, missing: 0, conflicts: 0, examples: [] });
  service.restoreAnswer = () => (refusals-- > 0 ? failure("quorum-unavailable", "gw-b is away") : done);
  assert.is(await world.run("restore", "x", "--yes"), 0, world.err.text);
  refusals = Number.POSITIVE_INFINITY;
  assert.is(await world.run("restore", "x", "--yes"), 3);
  assert.match(world.err.text, /gw-b is away; repeat the command to go on from here/);
});

restore("each difference ends with 1: a series with other readings, a conflict, a missing item", async () => {
  const { world, service } = setup();
  world.binaries.set("x", file(pieces()));
  const pages = service.digestPages;
  service.digestPages = [{ series: [{ ...digest, low: (digest.low ^ 1) >>> 0 }], cursor: undefined }];
  assert.is(await world.run("restore", "x", "--yes"), 1);
  assert.match(world.err.text, /room-1 t: as many readings as in the backup \(3\), but not the same/);
  service.digestPages = [{ series: [digest, { ...digest, device: "room-9" }], cursor: undefined }];
  assert.is(await world.run("restore", "x", "--yes"), 1);
  assert.match(world.err.text, /room-9 t: none in the backup, 3 readings found/);
  service.digestPages = pages;
  service.restoreAnswer = (_bytes, check) =>
    success({
      kind: "kv",
      items: 1,
      applied: 0,
      present: 0,
      missing: 0,
      conflicts: check ? 1 : 0,
      examples: check ? ["key a: the site has another one"] : [],
    });
  assert.is(await world.run("restore", "x", "--yes"), 1);
  assert.match(world.err.text, /key a: the site has another one/);
  assert.ok(service.kv.has(restoreMarkerKey), "it can be repeated");
});

restore("--merge sends devices and readings only, whatever the site has, and leaves no mark", async () => {
  const { world, service } = setup();
  world.binaries.set("x", file(pieces()));
  service.contents = { kv: 9, devices: 9, readings: true, results: true, complete: true };
  service.digestPages = [
    {
      series: [
        { ...digest, count: 10 },
        { ...digest, device: "more" },
      ],
      cursor: undefined,
    },
  ];
  assert.is(await world.run("restore", "x", "--merge", "--yes"), 0, world.err.text);
  assert.equal(
    service.blocks.map(({ bytes, check }) => `${bytes[0]}${check ? "?" : ""}`),
    ["3", "4", "3?"],
  );
  assert.is(service.kv.size, 0);
  service.digestPages = [{ series: [{ ...digest, count: 2 }], cursor: undefined }];
  assert.is(await world.run("restore", "x", "--merge", "--yes"), 1);
});

const exported = suite("cli: export");

const points = [
  [Date.UTC(2026, 0, 1), 21.5],
  [Date.UTC(2026, 0, 1) + 0.25, 'a "b", c'],
  [Date.UTC(2026, 0, 1) + 1, true],
  [Date.UTC(2026, 0, 1) + 2, null],
] as const;

function exporting() {
  const { world, service } = setup();
  const answer = { series: [{ device: "room-1", metric: "t", points }], complete: true };
  service.readings = async (query) => {
    service.queries.push(query);
    const next = query.cursor === undefined ? { cursor: "next" } : {};
    return success({ ...answer, ...next } as never);
  };
  return { world, service };
}

exported("csv and ndjson, page by page, to standard output or into a file", async () => {
  const { world, service } = exporting();
  assert.is(await world.run("export", "--format", "csv", "--metric", "t", "--device", "room-*", "--from", "0"), 0, world.err.text);
  const rows = `room-1,t,2026-01-01T00:00:00.000Z,21.5
room-1,t,2026-01-01T00:00:00.000250Z,"a ""b"", c"
room-1,t,2026-01-01T00:00:00.001Z,true
room-1,t,2026-01-01T00:00:00.002Z,
`;
  assert.is(world.out.text, `device,metric,time,value\n${rows}${rows}`);
  assert.equal([service.queries[0]?.metric, service.queries[0]?.device, service.queries[1]?.cursor], ["t", "room-*", "next"]);
  assert.is(await world.run("export", "--format", "ndjson", "-f", "x.ndjson"), 0);
  const lines = new TextDecoder().decode(world.binaries.get("x.ndjson")).trimEnd().split("\n");
  assert.equal(
    lines.map((line) => JSON.parse(line) as unknown),
    [...points, ...points].map(([time, value]) => ({ device: "room-1", metric: "t", time, value })),
  );
  assert.is(await world.run("export", "--format", "ndjson", "-f", "x.ndjson"), 2, "it exists");
  assert.is(await world.run("export"), 2, "no format");
});

exported("parquet is read back as it was written", async () => {
  const { world } = exporting();
  assert.is(await world.run("export", "--format", "parquet", "-f", "x.parquet", "-o", "json"), 0, world.err.text);
  const bytes = world.binaries.get("x.parquet") ?? new Uint8Array(0);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const rows = await parquetReadObjects({ file: buffer, columns: ["device", "metric", "value", "text", "boolean"] });
  const expected = [...points, ...points].map(([, value]) => ({
    device: "room-1",
    metric: "t",
    value: typeof value === "number" ? value : null,
    text: typeof value === "string" ? value : null,
    boolean: typeof value === "boolean" ? value : null,
  }));
  const absent: Record<string, unknown> = { value: null, text: null, boolean: null };
  assert.equal(
    rows.map((row: Record<string, unknown>) => ({
      ...row,
      ...Object.fromEntries(Object.keys(absent).map((name) => [name, row[name] ?? null])),
    })),
    expected,
  );
  const times = await parquetReadObjects({ file: buffer, columns: ["time"] });
  assert.equal(
    times.slice(0, 4).map((row) => (row["time"] as Date).getTime()),
    [Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1) + 1, Date.UTC(2026, 0, 1) + 2],
  );
  world.out.isTTY = true;
  assert.is(await world.run("export", "--format", "parquet"), 2, "not into a terminal");
});

exported("an answer that is not complete ends it with 1 and no file, unless it is wanted", async () => {
  const { world, service } = setup();
  service.readingsAnswer = success({ series: [], complete: false });
  assert.is(await world.run("export", "--format", "csv", "-f", "x"), 1);
  assert.match(world.err.text, /would not be complete/);
  assert.equal(world.abandoned, ["x"]);
  assert.is(await world.run("export", "--format", "csv", "-f", "x", "--allow-incomplete"), 0);
  assert.match(world.err.text, /not complete/);
  service.readingsAnswer = failure("quorum-unavailable", "nobody answers");
  assert.is(await world.run("export", "--format", "csv", "-f", "y"), 3);
});

backup.run();
restore.run();
exported.run();
