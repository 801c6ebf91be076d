// Goal: the command line does what its help says against a running site, and its exit status tells how it went. Method: one site of three
// processes with a CSV file replayed into it; each command runs as a process of its own, as a person or a script would run it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DeadLetters, Device, Devices, JobResults, JobRun, Jobs, Readings, Status } from "../../src/client/schema.ts";
import { freePorts } from "../adapters/mesh/free-ports.ts";
import { type CommandResult, FogbankProcess, runFogbank } from "./support/fogbank.ts";
import { type TestGateway, TestSite } from "./support/site.ts";
import { until } from "./support/until.ts";

interface Context {
  site: TestSite;
  first: TestGateway;
  /** Runs a command against the first gateway. */
  run: (...args: readonly string[]) => Promise<CommandResult>;
}

const test = suite<Context>("the command line against a running site");

const profile = `profile: climate
topic: rooms/{device}/climate
payload: json
timestamp: { path: ts, unit: ms }
metrics:
  temperature: { path: t, unit: Cel, min: -40, max: 125 }
`;
const inventory = `devices:
  room-1: { profile: climate, labels: { floor: "1" } }
  room-2: { profile: climate, labels: { floor: "2" } }
`;
const job = `name: hourly
schedule: "0 * * * *"
window: 1h
source: { metric: temperature }
groupBy: [device]
aggregate: { mean: mean, max: max, n: count }
sinks: [archive]
`;

/** Three hours, one reading every ten minutes: the value is the number of the row. */
const startMs = Date.UTC(2026, 0, 1);
const rows = Array.from({ length: 18 }, (_, index) => [startMs + index * 600_000, index] as const);
const csv = `time,t\n${rows.map(([ms, value]) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")},${value}\n`).join("")}`;
const range = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T03:00:00Z"] as const;

test.before(async (context) => {
  const site = await TestSite.start({
    files: { "devices/climate.yaml": profile, "devices/inventory.yaml": inventory, "jobs/hourly.yaml": job, "room.csv": csv },
  });
  const [first] = site.gateways as [TestGateway];
  context.site = site;
  context.first = first;
  context.run = (...args) => runFogbank(args, { cwd: site.folder, env: { FOGBANK_URL: first.url } });
  // Through the gateways in turn, the first of which nobody answers at.
  const [nobody = 0] = await freePorts(1);
  const mqtt = [nobody, ...site.gateways.map((gateway) => gateway.ports.mqtt)].map((port) => `127.0.0.1:${port}`).join(",");
  const replayed = await context.run(
    "replay",
    "room.csv",
    "--device",
    "room-1",
    "--topic",
    "rooms/{device}/climate",
    "--mqtt",
    mqtt,
    "--acks",
    "acks.csv",
  );
  assert.is(replayed.code, 0, replayed.stderr);
});

test.after(async (context) => {
  await context.site?.end();
});

test.after.each(({ site }) => {
  for (const gateway of site.gateways) assert.ok(gateway.isRunning, `${gateway.id} runs: ${gateway.process.tail()}`);
});

function json<T>(result: CommandResult): T {
  assert.is(result.code, 0, result.stderr);
  return JSON.parse(result.stdout) as T;
}

function text(result: CommandResult): string {
  assert.is(result.code, 0, result.stderr);
  assert.not.ok(result.stdout.includes("\u001b"), "no colours outside a terminal");
  return result.stdout;
}

test("replay wrote a line for each acknowledged reading", ({ site }) => {
  const lines = readFileSync(join(site.folder, "acks.csv"), "utf8").trimEnd().split("\n");
  assert.equal(lines.sort(), rows.map(([ms, value]) => `${ms},${value}`).sort());
});

test("replay exits with 1 when a row cannot be read, and publishes the others", async ({ site, run }) => {
  site.write("bad.csv", "time,t\n2026-01-02 00:00:00,1\nnonsense,2\n2026-01-02 00:01:00,3\n");
  const mqtt = `127.0.0.1:${site.gateway("gw-b").ports.mqtt}`;
  const result = await run("replay", "bad.csv", "--device", "room-2", "--topic", "rooms/{device}/climate", "--mqtt", mqtt, "-o", "json");
  assert.is(result.code, 1);
  assert.match(result.stderr, /bad\.csv:3|line 3/);
  const found = json<Readings>(await run("query", "temperature", "--device", "room-2", "-o", "json"));
  assert.equal(
    found.series[0]?.points.map(([, value]) => value),
    [1, 3],
  );
});

test("replay exits with 1 when nobody acknowledges", async ({ run }) => {
  const [nobody = 0] = await freePorts(1);
  const target = ["--device", "x", "--topic", "rooms/{device}/climate", "--mqtt", `127.0.0.1:${nobody}`, "--timeout", "1s"];
  const result = await run("replay", "room.csv", ...target);
  assert.is(result.code, 1);
  assert.match(result.stderr, /acknowledged/);
});

test("status: as text and as JSON", async ({ run, first }) => {
  const shown = text(await run("status"));
  assert.match(shown, /^site +e2e/m);
  assert.match(shown, /survives/);
  const status = json<Status>(await run("status", "-o", "json"));
  assert.is(status.gateway, first.id);
  assert.is(status.phase, "serving");
  assert.equal(status.warnings, []);
});

test("gateway list and sync status", async ({ run }) => {
  const { gateways } = json<{ gateways: { id: string; up: boolean }[] }>(await run("gateway", "list", "-o", "json"));
  assert.equal(
    gateways.map(({ id, up }) => [id, up]),
    [
      ["gw-a", true],
      ["gw-b", true],
      ["gw-c", true],
    ],
  );
  assert.match(text(await run("sync", "status")), /archive/);
});

test("device list and device show", async ({ run }) => {
  // Devices register asynchronously.
  const devices = await until(
    "room-1 is registered with its metric",
    async () => {
      const list = json<Devices>(await run("device", "list", "-o", "json"));
      return list.devices.find((device) => device.id === "room-1")?.metrics.includes("temperature") === true ? list.devices : undefined;
    },
    { withinMs: 15_000 },
  );
  assert.equal(devices.map((device) => device.id).sort(), ["room-1", "room-2"]);
  assert.match(text(await run("device", "list")), /room-1 .*climate .*floor=1 .*temperature/);
  const shown = json<Device>(await run("device", "show", "room-1", "-o", "json"));
  assert.equal(shown.latest?.["temperature"], { ms: rows.at(-1)?.[0], value: rows.at(-1)?.[1] });
  assert.equal(shown.labels, { floor: "1" });
  assert.match(text(await run("device", "show", "room-1")), /temperature +17 /);
  const missing = await run("device", "show", "nobody");
  assert.is(missing.code, 1);
  assert.match(missing.stderr, /nobody/);
});

test("query: table, csv and JSON hold the same readings", async ({ run }) => {
  const found = json<Readings>(await run("query", "temperature", "--device", "room-1", "-o", "json"));
  assert.ok(found.complete);
  assert.equal(found.series, [{ device: "room-1", metric: "temperature", points: rows.map(([ms, value]) => [ms, value]) }]);
  const [head, ...lines] = text(await run("query", "temperature", "--device", "room-?", ...range, "-o", "csv"))
    .trimEnd()
    .split("\n");
  assert.match(head ?? "", /device.*metric.*value/);
  assert.is(lines.length, rows.length);
  assert.ok(lines.every((line, index) => line.includes("room-1") && line.endsWith(`,${index}`)));
  const table = text(await run("query", "temperature", "--device", "room-1"))
    .trimEnd()
    .split("\n");
  assert.is(table.length, rows.length + 1);
  assert.match(table[0] ?? "", /TIME +DEVICE +METRIC +VALUE/);
  assert.match(table[1] ?? "", /^2026-01-01T00:00:00\.000Z +room-1 +temperature +0$/);
});

test("query with windows", async ({ run }) => {
  const hours = json<Readings>(
    await run("query", "temperature", "--device", "room-1", ...range, "--every", "1h", "--agg", "mean", "-o", "json"),
  );
  assert.equal(hours.series[0]?.points, [
    [startMs, 2.5],
    [startMs + 3_600_000, 8.5],
    [startMs + 7_200_000, 14.5],
  ]);
});

test("query says what is wrong with its arguments: exit status 2", async ({ run }) => {
  for (const args of [
    ["query"],
    ["query", "temperature", "--every", "often"],
    ["query", "temperature", "--every", "1h", "--agg", "men"],
    ["query", "temperature", "--from", "yesterday"],
    ["query", "temperature", "--limit", "-1"],
    ["query", "temperature", "-o", "xml"],
    ["quarry"],
    ["status", "--url", "not a url"],
  ]) {
    const result = await run(...args);
    assert.is(result.code, 2, `${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, /error/);
    assert.not.match(result.stderr, /^\s+at /m, "no stack trace");
  }
});

test("a gateway that does not answer: exit status 3", async ({ run }) => {
  const [nobody = 0] = await freePorts(1);
  for (const command of [["status"], ["query", "temperature"], ["device", "list"], ["job", "list"], ["kv", "get", "x"], ["tail"]]) {
    const result = await run(...command, "--url", `http://127.0.0.1:${nobody}`);
    assert.is(result.code, 3, `${command.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, new RegExp(String(nobody)));
  }
});

test("job run, job results and job list", async ({ run }) => {
  const ran = json<JobRun>(await run("job", "run", "hourly", ...range, "-o", "json"));
  assert.is(ran.windows, 3);
  assert.is(ran.committed, 3);
  const { results } = json<JobResults>(await run("job", "results", "hourly", ...range, "-o", "json"));
  assert.equal(
    results.map((row) => [row.from, row.group, row.values, row.revision, row.complete]),
    [2.5, 8.5, 14.5].map((mean, hour) => [startMs + hour * 3_600_000, { device: "room-1" }, { mean, max: 6 * hour + 5, n: 6 }, 1, true]),
  );
  assert.match(text(await run("job", "results", "hourly", ...range)), /device=room-1 +8\.5 +11 +6/);
  const { jobs } = json<Jobs>(await run("job", "list", "-o", "json"));
  assert.is(jobs[0]?.name, "hourly");
  assert.ok((jobs[0]?.runs ?? 0) >= 3);
  for (const command of ["run", "results"]) {
    const unknown = await run("job", command, "daily");
    assert.is(unknown.code, 1, unknown.stderr);
    assert.match(unknown.stderr, /daily/);
  }
});

test("dead-letter list, and decode, which says the same without a gateway", async ({ site, run }) => {
  site.write("hot.csv", "time,t\n2026-01-03 00:00:00,1000\n");
  const mqtt = `127.0.0.1:${site.gateway("gw-c").ports.mqtt}`;
  assert.is((await run("replay", "hot.csv", "--device", "room-9", "--topic", "rooms/{device}/climate", "--mqtt", mqtt)).code, 0);
  const { letters, counts } = json<DeadLetters>(await run("dead-letter", "list", "-o", "json"));
  const letter = letters.find((one) => one.device === "room-9");
  assert.is(letter?.reason, "out-of-range");
  assert.is(letter?.gateway, "gw-c");
  assert.ok((counts["out-of-range"] ?? 0) >= 1);
  assert.match(text(await run("dead-letter", "list")), /out-of-range/);
  const refused = await run("decode", "rooms/room-9/climate", letter?.payload ?? "");
  assert.is(refused.code, 1);
  assert.match(refused.stderr + refused.stdout, /out-of-range/);
  const decoded = json<{ device: string; time: number; readings: { metric: string; value: number }[] }>(
    await run("decode", "rooms/room-1/climate", '{"ts": 1767225600000, "t": 21.5}', "-o", "json"),
  );
  assert.is(decoded.device, "room-1");
  assert.is(decoded.time, 1_767_225_600_000);
  assert.is(decoded.readings[0]?.value, 21.5);
  assert.is((await run("decode", "attic/x", "1")).code, 1, "a topic that no profile maps");
  assert.is((await run("decode", "rooms/x/climate", "{}", "--site", "nowhere.yaml")).code, 2, "a site that does not exist");
});

test("tail shows what is acknowledged anywhere, until it is interrupted", async ({ site, first }) => {
  const tail = new FogbankProcess(["tail", "--device", "room-2", "-o", "json", "--url", first.url], { cwd: site.folder });
  try {
    const mqtt = `127.0.0.1:${site.gateway("gw-b").ports.mqtt}`;
    // The stream begins when it is there: readings are published until one is shown.
    await until(
      "tail shows a reading of another gateway",
      async () => {
        site.write("now.csv", `time,t\n${Date.now()},19.5\n`);
        const command = ["replay", "now.csv", "--device", "room-2", "--topic", "rooms/{device}/climate", "--mqtt", mqtt];
        assert.is((await runFogbank(command, { cwd: site.folder })).code, 0);
        return tail.stdout.includes("\n") ? true : undefined;
      },
      { withinMs: 20_000, explain: () => tail.tail() },
    );
    const line = JSON.parse(tail.stdout.split("\n")[0] ?? "") as Record<string, unknown>;
    assert.is(line["device"], "room-2");
    assert.is(line["metric"], "temperature");
    assert.is(line["value"], 19.5);
    assert.is(line["gateway"], "gw-b");
    tail.signal("SIGINT");
    assert.is((await tail.ended(10_000)).code, 0, "Ctrl-C is how it ends");
  } finally {
    tail.signal("SIGKILL");
  }
});

test("kv: put, get, compare-and-set and delete, through different gateways", async ({ site, run }) => {
  const other = ["--url", site.gateway("gw-c").url];
  const put = json<{ key: string; revision: number }>(await run("kv", "put", "setpoints/hall-2", "21.5", "-o", "json"));
  const got = await run("kv", "get", "setpoints/hall-2", ...other);
  assert.is(got.code, 0, got.stderr);
  assert.is(got.stdout, "21.5", "the value's bytes, and nothing else");
  const stale = await run("kv", "put", "setpoints/hall-2", "22", "--if-match", String(put.revision + 100));
  assert.is(stale.code, 1);
  assert.match(stale.stderr, /revision/);
  assert.is((await run("kv", "put", "setpoints/hall-2", "22", "--if-absent")).code, 1);
  assert.is((await run("kv", "put", "setpoints/hall-2", "22", "--if-match", String(put.revision), ...other)).code, 0);
  const entry = json<{ value: string; revision: number }>(await run("kv", "get", "setpoints/hall-2", "-o", "json"));
  assert.is(entry.value, "22");
  assert.ok(entry.revision > put.revision);
  assert.is((await run("kv", "delete", "setpoints/hall-2", ...other)).code, 0);
  assert.is((await run("kv", "get", "setpoints/hall-2")).code, 1, "there is no such key any more");
  assert.is((await run("kv", "put", "key")).code, 2, "a value is missing");
});

test("check, version and help need no gateway", async ({ site, run }) => {
  assert.is((await run("check", "site.yaml")).code, 0);
  site.write("typo.yaml", "site: x\ngatway: {}\ngateways:\n  gw-a: { host: 127.0.0.1 }\n");
  const checked = await run("check", "typo.yaml");
  assert.is(checked.code, 2);
  assert.match(checked.stdout + checked.stderr, /typo\.yaml:2:1: .*gatway.*gateways/s);
  assert.match(text(await run("--version")), /^\d+\.\d+\.\d+/);
  assert.match(text(await run("help", "replay")), /--acks/);
});

test.run();
