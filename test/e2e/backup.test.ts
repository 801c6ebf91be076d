// Goal: a site of three processes, backed up while devices publish, comes back as a site of one with the same readings, results and keys,
// also when the restore is killed on the way and repeated; and what is exported is what was read. Method: the built program, as a
// technician runs it; answers of the new site are compared with those of the old one.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { restoreMarkerKey } from "../../src/lib/backup-file.ts";
import { Device, type Message } from "./support/device.ts";
import { FogbankProcess, runFogbank } from "./support/fogbank.ts";
import { assertSameReadings, readAll } from "./support/readings.ts";
import { must, type TestGateway, TestSite } from "./support/site.ts";
import { until } from "./support/until.ts";

const profile = `profile: press
topic: presses/{device}/state
payload: json
timestamp: { path: ts, unit: ms }
metrics:
${Array.from({ length: 8 }, (_, at) => `  m${at}: { path: m${at} }`).join("\n")}
  mode: { path: mode }
  on: { path: on }
`;
const job = `name: hourly
schedule: "0 0 1 1 *"
window: 1h
source: { metric: m0 }
groupBy: [device]
aggregate: { mean: mean, n: count }
sinks: [archive]
`;
const files = { "devices/press.yaml": profile, "jobs/hourly.yaml": job };
const startMs = Date.UTC(2026, 0, 1);
const devices = ["press-1", "press-2", "press-3", "press-4"];
const rows = 1_200;
const metrics = [...Array.from({ length: 8 }, (_, at) => `m${at}`), "mode", "on"];

function message(device: string, row: number): Message {
  const values = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`m${at}`, row * 8 + at + 0.25]));
  const payload = {
    ts: startMs + row * 1_500,
    ...values,
    ...(row % 50 === 0 ? { mode: `Modus ${row % 7} "ä"`, on: row % 100 === 0 } : {}),
  };
  return { topic: `presses/${device}/state`, payload: JSON.stringify(payload) };
}

interface Context {
  old: TestSite;
  young: TestSite;
  file: string;
}

const test = suite<Context>("backup, restore, export");

test.before(async (context) => {
  context.old = await TestSite.start({ site: "old-site", files });
  context.file = join(context.old.folder, "site.fogbank");
  const ports = context.old.gateways.map((gateway) => gateway.ports.mqtt);
  const publishers = devices.map((device, at) => {
    const publisher = new Device({ clientId: device, ports: [ports[at % 3] ?? 0], windowMax: 200 });
    publisher.publish(Array.from({ length: rows }, (_, row) => message(device, row)));
    return publisher;
  });
  for (const publisher of publishers) {
    await publisher.drained(60_000);
    await publisher.close();
  }
  const [first, second] = context.old.gateways as [TestGateway, TestGateway];
  must(await first.client.kvPut("setpoints/hall 2", new TextEncoder().encode("21.5"), {}));
  must(await second.client.kvPut("binary", new Uint8Array(300_000).fill(0xff), {}));
  must(await first.client.runJob("hourly", { from: String(startMs), to: String(startMs + 3_600_000) }));
  const corrected = new Device({ clientId: "corrects", ports, windowMax: 1 });
  corrected.publish([{ topic: "presses/press-1/state", payload: JSON.stringify({ ts: startMs + 1, m0: 1e6 }) }]);
  await corrected.drained(20_000);
  await corrected.close();
  must(await second.client.runJob("hourly", { from: String(startMs), to: String(startMs + 3_600_000) }));
});

test.after(async (context) => {
  await context.old?.end();
  await context.young?.end();
});

const run = (context: Context, gateway: TestGateway, ...args: readonly string[]) =>
  runFogbank(args, { cwd: context.old.folder, env: { FOGBANK_URL: gateway.url } });

test("a backup is made while devices publish, verified, and replaced only with --force", async (context) => {
  const [first, , third] = context.old.gateways as [TestGateway, TestGateway, TestGateway];
  const late = new Device({ clientId: "late", ports: [third.ports.mqtt], windowMax: 10 });
  late.publish(Array.from({ length: 20_000 }, (_, row) => message("late", row)));
  await until("the late device publishes", async () => (late.acknowledgedCount > 100 ? true : undefined), { withinMs: 20_000 });
  const made = await run(context, first, "backup", "-f", context.file, "-o", "json");
  const duringTo = late.acknowledgedCount;
  await late.close();
  assert.is(made.code, 0, made.stderr);
  assert.ok(duringTo > 100, "it was published meanwhile");
  const said = JSON.parse(made.stdout) as { counts: { readings: number; results: number; kv: number } };
  assert.ok(said.counts.readings >= 4 * rows * 8, JSON.stringify(said));
  assert.is(said.counts.kv, 2);
  assert.not.ok(existsSync(`${context.file}.part`));
  const again = await run(context, first, "backup", "-f", context.file);
  assert.is(again.code, 2);
  assert.match(again.stderr, /--force/);
  const verified = await run(context, first, "backup", "verify", context.file);
  assert.is(verified.code, 0, verified.stderr);
  const bytes = readFileSync(context.file);
  const broken = join(context.old.folder, "broken.fogbank");
  writeFileSync(broken, bytes.subarray(0, bytes.length - 10));
  const cut = await run(context, first, "restore", broken, "--yes");
  assert.is(cut.code, 1);
  assert.match(cut.stderr, /incomplete/);
});

test("a restore that is killed on the way goes on when it is repeated; another backup is refused meanwhile", async (context) => {
  context.young = await TestSite.start({ site: "new-site", gateways: 1, files });
  const [only] = context.young.gateways as [TestGateway];
  const unasked = await run(context, only, "restore", context.file);
  assert.is(unasked.code, 2, "there is no terminal to ask at");
  const killed = new FogbankProcess(["restore", context.file, "--yes", "--url", only.url], { cwd: context.old.folder });
  await until(
    "the restore is under way",
    async () => {
      assert.is(killed.exit, undefined, `it did not end before: ${killed.output}`);
      return must(await only.client.kvGet(restoreMarkerKey)) === undefined ? undefined : true;
    },
    { withinMs: 30_000, everyMs: 2 },
  );
  killed.signal("SIGKILL");
  assert.is((await killed.exited).signal, "SIGKILL");
  assert.ok(must(await only.client.kvGet(restoreMarkerKey)) !== undefined, "it was killed on the way");
  const other = join(context.old.folder, "other.fogbank");
  assert.is((await run(context, context.old.gateways[1] as TestGateway, "backup", "-f", other)).code, 0);
  const refused = await run(context, only, "restore", other, "--yes");
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /another backup/);
  const repeated = await run(context, only, "restore", context.file, "--yes");
  assert.is(repeated.code, 0, repeated.stderr);
  assert.match(repeated.stdout, /verified/);
  const twice = await run(context, only, "restore", context.file, "--yes");
  assert.is(twice.code, 1);
  assert.match(twice.stderr, /not empty/);
});

test("the new site answers like the old one", async (context) => {
  const [only] = context.young.gateways as [TestGateway];
  const [, second] = context.old.gateways as [TestGateway, TestGateway];
  for (const metric of metrics) {
    for (const device of devices) {
      const request = { metric, device, limit: 10_000 };
      assertSameReadings(`${device} ${metric}`, await readAll(only.client, request), await readAll(second.client, request));
    }
  }
  const range = { job: "hourly", from: String(startMs), to: String(startMs + 3_600_000) };
  const results = must(await second.client.results(range));
  assert.ok(results.results.some((row) => row.revision === 2));
  assert.equal(must(await only.client.results(range)), results);
  for (const key of ["setpoints/hall 2", "binary"])
    assert.equal(must(await only.client.kvGet(key))?.value, must(await second.client.kvGet(key))?.value);
  assert.is(must(await only.client.kvGet(restoreMarkerKey)), undefined);
  const listed = must(await only.client.devices()).devices.map((device) => device.id);
  for (const device of devices) assert.ok(listed.includes(device), device);
});

test("--merge adds readings to a site that has some, and leaves the rest", async (context) => {
  const [only] = context.young.gateways as [TestGateway];
  must(await only.client.kvPut("mine", new TextEncoder().encode("x"), {}));
  const merged = await run(context, only, "restore", context.file, "--merge", "--yes");
  assert.is(merged.code, 0, merged.stderr);
  assert.match(merged.stderr, /only the number/);
  assert.ok(must(await only.client.kvGet("mine")) !== undefined);
});

test("csv, ndjson and parquet say the same as the site", async (context) => {
  const [only] = context.young.gateways as [TestGateway];
  const { folder } = context.old;
  for (const format of ["csv", "ndjson", "parquet"]) {
    const made = await run(context, only, "export", "--format", format, "--device", "press-*", "-f", join(folder, `all.${format}`));
    assert.is(made.code, 0, made.stderr);
  }
  const expected = devices.length * (rows * 8 + (rows / 50) * 2) + 1;
  const ndjson = readFileSync(join(folder, "all.ndjson"), "utf8").trimEnd().split("\n");
  assert.is(ndjson.length, expected);
  const csv = readFileSync(join(folder, "all.csv"), "utf8").trimEnd().split("\n");
  assert.is(csv.length, expected + 1);
  assert.ok(csv.includes("press-1,m0,2026-01-01T00:00:00.001Z,1000000"), csv[1] ?? "");
  const table = await parquetReadObjects({ file: await asyncBufferFromFile(join(folder, "all.parquet")) });
  assert.is(table.length, expected);
  for (const [at, line] of ndjson.entries()) {
    const { device, metric, time, value } = JSON.parse(line) as { device: string; metric: string; time: number; value: unknown };
    const row = table[at] as Record<string, unknown>;
    assert.equal([row["device"], row["metric"], (row["time"] as Date).getTime()], [device, metric, time]);
    assert.is(row["value"] ?? row["text"] ?? row["boolean"], value);
  }
  const piped = await run(context, only, "export", "--format", "csv", "--metric", "mode", "--device", "press-1");
  assert.is(piped.stdout.trimEnd().split("\n").length, rows / 50 + 1);
});

test.run();
