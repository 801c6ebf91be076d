// Goal: each command's output, JSON and exit status; usage errors are 2, an absent gateway is 3; devices cannot steer the terminal.
// Method: `runCli` on a fake world; commands that talk to a gateway reach the real API on a fake service.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayRepair } from "../../src/gateway/repair/site-repair.ts";
import type { ReadingsAnswer } from "../../src/gateway/service.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { FakeService, fakeRepair } from "../api/fake-service.ts";
import { apiOf, fetchFrom } from "./fake-site.ts";
import { FakeWorld } from "./fake-world.ts";

function setup(token?: string): { readonly world: FakeWorld; readonly service: FakeService } {
  const world = new FakeWorld();
  const service = new FakeService();
  world.fetch = fetchFrom(new Map([["127.0.0.1:7880", apiOf(service, token)]]));
  return { world, service };
}

const threeGateways = `site: plant-7
secret: 0123456789abcdef0123456789abcdef
gateways:
  gw-a: { host: 10.0.0.11 }
  gw-b: { host: 10.0.0.12 }
  gw-c: { host: 10.0.0.13 }
`;

const usage = suite("cli: usage");

usage("help is 0 and names every command; a mistake is 2", async () => {
  const { world } = setup();
  assert.is(await world.run("--help"), 0);
  for (const name of [
    "init",
    "check",
    "start",
    "demo",
    "replay",
    "query",
    "repair",
    "status",
    "device",
    "tail",
    "decode",
    "dead-letter",
    "job",
    "kv",
    "gateway",
    "sync",
    "backup",
    "restore",
    "export",
    "version",
  ]) {
    assert.match(world.out.text, `\n  ${name} `);
    assert.is(await world.run(name, "--help"), 0, name);
  }
  assert.is(await world.run("--version"), 0);
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ["", /Usage: fogbank/],
    ["statsu", /Did you mean status/],
    ["status extra", /too many arguments/],
    ["status --ulr x", /unknown option '--ulr'/],
    ["status -o xml", /Allowed choices are text, json/],
    ["query", /missing required argument 'metric'/],
    ["query t --limit 0", /whole number from 1/],
    ["demo --for 30", /duration such as 30s/],
    ["demo --gateways 0", /from 1 to 9/],
    ["device", /Usage: fogbank device/],
    ["kv put k", /either as an argument or with --file/],
    ["kv put k v --if-match 1 --if-absent", /cannot be used with/],
    ["kv put k v --if-match 0", /Expected a whole number from 1/],
    ["kv delete k --if-match 0", /Expected a whole number from 1/],
  ];
  for (const [line, expected] of mistakes) {
    world.err.text = "";
    assert.is(await world.run(...line.split(" ").filter((word) => word !== "")), 2, line);
    assert.match(world.err.text, expected);
  }
});

usage("an absent gateway is 3, and the message names it", async () => {
  const { world } = setup();
  world.env["FOGBANK_URL"] = "10.0.0.99:1";
  assert.is(await world.run("status"), 3);
  assert.match(world.err.text, "no answer from http://10.0.0.99:1 (ECONNREFUSED)");
  assert.is(await world.run("status", "--url", "http://127.0.0.1:7880"), 0);
});

usage("FOGBANK_TOKEN is sent; without it the message says so", async () => {
  const { world } = setup("s3cret");
  assert.is(await world.run("status"), 1);
  assert.match(world.err.text, "FOGBANK_TOKEN");
  world.env["FOGBANK_TOKEN"] = "s3cret";
  assert.is(await world.run("status"), 0);
});

usage("a bug has no stack trace unless asked for", async () => {
  const { world } = setup();
  world.gateway = () => Promise.reject(new Error("impossible"));
  world.contents.set("site.yaml", threeGateways);
  assert.is(await world.run("start"), 1);
  assert.match(world.err.text, "unexpected: impossible (a bug;");
  assert.not.match(world.err.text, "commands.test.ts");
});

usage.run();

const remote = suite("cli: gateway commands");

remote("each prints a table, and with -o json what the API answers", async () => {
  const commands: readonly (readonly [readonly string[], RegExp, string])[] = [
    [["status"], /site +plant-7\n/, "site"],
    [["gateway", "list"], /gw-a +up +leader/, "gateways"],
    [["device", "list"], /room-1 +– +room=1 +temperature +gw-a/, "devices"],
    [["device", "show", "room-1"], /temperature +21.5 +1970-01-01T00:00:00.009Z/, "latest"],
    [["dead-letter", "list"], /bad-payload +no JSON/, "letters"],
    [["job", "list"], /hourly +0 \* \* \* \* +1h/, "jobs"],
    [["job", "run", "hourly", "--from", "-1h"], /hourly: 1 windows computed, 1 new or changed/, "rows"],
    [["job", "results", "hourly"], /1970-01-01T00:00:00.000Z +1h +device=room-1 +20.5/, "results"],
    [["status"], /repair +1023 of 1024 partitions equal, 2 hours differ, 4.*ago; 5 readings fetched, 6 written/, "repair"],
    [["status"], /hints +2 rounds \(2.0 kB\) for gw-c; given up: 18 rounds \(bytes\), 1 round \(age\)\n/, "hints"],
    [["repair"], /gw-b +1024 +3 +40 +1 +equal/, "gateways"],
    [["sync", "status"], /archive +file +gw-a +1 +0 +1/, "sinks"],
  ];
  for (const [argv, expected, key] of commands) {
    const { world } = setup();
    assert.is(await world.run(...argv), 0, world.err.text);
    assert.match(world.out.text, expected);
    world.out.text = "";
    assert.is(await world.run(...argv, "-o", "json"), 0);
    assert.match(world.out.text, new RegExp(`^  "${key}": `, "m"));
  }
});

remote("what is not there is 1", async () => {
  for (const argv of [
    ["device", "show", "none"],
    ["job", "run", "none"],
    ["job", "results", "none"],
    ["kv", "get", "none"],
    ["kv", "delete", "none"],
  ]) {
    const { world } = setup();
    assert.is(await world.run(...argv), 1, argv.join(" "));
    assert.match(world.err.text, "none");
  }
});

remote("control characters of devices are shown, not obeyed, in tables and in JSON", async () => {
  const { world, service } = setup();
  const evil = "a\u001b[2J\u009b1m\u202eb";
  service.readingsAnswer = success({ series: [{ device: evil, metric: "m", points: [[1, "\u0007\u007f\r\n"]] }], complete: true });
  for (const output of ["table", "json"]) {
    world.out.text = "";
    assert.is(await world.run("query", "m", "-o", output), 0);
    assert.not.match(world.out.text.replaceAll("\n", ""), /[\p{Cc}\p{Bidi_Control}]/u);
    assert.match(world.out.text, "\\u001b[2J");
  }
  const parsed: unknown = JSON.parse(world.out.text);
  assert.equal(parsed, { series: [{ device: evil, metric: "m", points: [[1, "\u0007\u007f\r\n"]] }], complete: true });
  world.out.text = "";
  await world.run("dead-letter", "list");
  assert.match(world.out.text, "\\u001b[2J{");
});

remote("kv: put, get, compare-and-set, delete; bytes from a file come back as they are", async () => {
  const { world } = setup();
  assert.is(await world.run("kv", "put", "a/b", "one", "--if-absent"), 0);
  assert.match(world.out.text, "a/b: revision 1");
  assert.is(await world.run("kv", "put", "a/b", "two", "--if-absent"), 1);
  assert.is(await world.run("kv", "put", "a/b", "two", "--if-match", "1"), 0);
  world.out.text = "";
  assert.is(await world.run("kv", "get", "a/b"), 0);
  assert.is(world.out.text, "two");
  world.out.text = "";
  assert.is(await world.run("kv", "get", "a/b", "-o", "json"), 0);
  assert.equal(JSON.parse(world.out.text), { key: "a/b", revision: 2, value: "two" });
  world.contents.set("value.bin", "\u001b[2J");
  assert.is(await world.run("kv", "put", "f", "--file", "value.bin"), 0);
  world.out.text = "";
  world.out.isTTY = true;
  assert.is(await world.run("kv", "get", "f"), 0);
  assert.is(world.out.text, "\\u001b[2J\n");
  assert.is(await world.run("kv", "delete", "a/b", "--if-match", "7"), 1);
  assert.is(await world.run("kv", "delete", "a/b"), 0);
});

remote("tail prints readings and what was dropped; a stream that breaks is 3", async () => {
  const { world } = setup();
  const asked: string[] = [];
  const events = [
    { type: "reading", device: "room-1\u001b[2J", metric: "t", ms: 1.5, value: 21, gateway: "gw-a" },
    { type: "of-a-later-version" },
    { type: "dropped", count: 3 },
  ];
  world.fetch = async (url) => {
    asked.push(url);
    return new Response(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""));
  };
  assert.is(await world.run("tail", "--device", "room-*"), 3);
  assert.is(world.out.text, "1970-01-01T00:00:00.001500Z  room-1\\u001b[2J  t  21\n");
  assert.match(world.err.text, "3 readings were not shown");
  assert.match(world.err.text, "ended the event stream");
  assert.equal(asked, ["http://127.0.0.1:7880/api/v1/events?readings=room-*"]);
  assert.is(world.interrupts.size, 0);
});

remote("repair: 1 when something stays unequal, 3 when a gateway was not reached, whose reason is said", async () => {
  const { world, service } = setup();
  const [first, second] = fakeRepair.gateways as [GatewayRepair, GatewayRepair];
  service.repairAnswer = success({ gateways: [first, { ...second, equal: false }], equal: false });
  assert.is(await world.run("repair"), 1);
  assert.match(world.out.text, /gw-b .* UNEQUAL/);
  service.repairAnswer = success({
    gateways: [first, { ...second, reached: false, equal: false, note: "gw-b is not connected" }],
    equal: false,
  });
  assert.is(await world.run("repair"), 3);
  assert.match(world.out.text, /gw-b .* NOT REACHED/);
  assert.match(world.err.text, "gw-b: gw-b is not connected");
  assert.is(await world.run("repair", "-o", "json"), 3);
  service.repairAnswer = failure("not-ready", "an older version is among the gateways");
  assert.is(await world.run("repair"), 3);
});

remote.run();

const query = suite("cli: query");

/** Pages of two points until `total`. */
function paged(service: FakeService, total: number): void {
  service.readings = async (wanted) => {
    service.queries.push(wanted);
    const from = Number(wanted.cursor ?? 0);
    const to = Math.min(from + Math.min(2, wanted.limit), total);
    const points = Array.from({ length: to - from }, (_, index) => [from + index, (from + index) / 10] as const);
    const answer: ReadingsAnswer = {
      series: [{ device: "d", metric: "m", points }],
      complete: true,
      ...(to < total ? { cursor: String(to) } : {}),
    };
    return success(answer);
  };
}

query("all pages are one answer", async () => {
  const { world, service } = setup();
  paged(service, 5);
  assert.is(await world.run("query", "m", "--device", "d*", "--from", "0", "-o", "csv"), 0);
  assert.is(world.out.text, "device,metric,time,value\nd,m,0,0\nd,m,1,0.1\nd,m,2,0.2\nd,m,3,0.3\nd,m,4,0.4\n");
  assert.is(service.queries.length, 3);
  world.out.text = "";
  assert.is(await world.run("query", "m", "-o", "json"), 0);
  const all = [0, 1, 2, 3, 4].map((index) => [index, index / 10]);
  assert.equal(JSON.parse(world.out.text), { series: [{ device: "d", metric: "m", points: all }], complete: true });
});

query("a limit ends it, and says that there is more", async () => {
  const { world, service } = setup();
  paged(service, 5);
  assert.is(await world.run("query", "m", "--limit", "3", "-o", "csv"), 0);
  assert.is(world.out.text.split("\n").length, 5);
  assert.match(world.err.text, "only the first 3 points");
});

query("windows and an incomplete answer", async () => {
  const { world, service } = setup();
  service.readingsAnswer = success({ series: [{ device: "d", metric: "m", points: [[60_000, null]] }], complete: false });
  assert.is(await world.run("query", "m", "--every", "1m", "--agg", "max", "--consistency", "one"), 0);
  assert.equal(service.queries[0]?.aggregate, { kind: "max" });
  assert.match(world.out.text, /1970-01-01T00:01:00.000Z +d +m +–/);
  assert.match(world.err.text, "the answer is not complete");
});

query("--flags: which points' time nothing confirmed", async () => {
  const { world, service } = setup();
  const points = [
    [1_000, 1],
    [2_000, 2],
    [3_000, 3],
  ] as const;
  service.readingsAnswer = success({
    series: [{ device: "d", metric: "m", points, flags: { unsynchronised: [[2_000, 2_000]] } }],
    complete: true,
  });
  assert.is(await world.run("query", "m", "--flags"), 0);
  assert.is(service.queries[0]?.clockFlags, true);
  assert.match(world.out.text, /CLOCK *\n.*00:01.000Z +d +m +1 *\n.*00:02.000Z +d +m +2 +unsynchronised *\n.*00:03.000Z +d +m +3 *\n/);
  world.out.text = "";
  assert.is(await world.run("query", "m", "--flags", "-o", "json"), 0);
  assert.match(world.out.text, /"unsynchronised": \[/);
  assert.is(await world.run("query", "m", "--flags", "-o", "csv"), 2);
  assert.is(await world.run("query", "m", "--flags", "--every", "1m"), 2);
});

query("a wrong parameter is 2, an unavailable quorum is 3", async () => {
  const { world, service } = setup();
  assert.is(await world.run("query", "m", "--agg", "mean"), 2);
  assert.match(world.err.text, '"agg" needs "every"');
  service.readingsAnswer = failure("quorum-unavailable", "1 of 3 gateways answer");
  assert.is(await world.run("query", "m"), 3);
});

query.run();

const site = suite("cli: site commands");

site("init writes a site that check accepts, its secret for the owner only, and overwrites nothing", async () => {
  const { world } = setup();
  assert.is(await world.run("init", "plant"), 0);
  assert.is(world.modes.get("plant/secret"), 0o600);
  assert.is(world.modes.get("plant/site.yaml"), 0o644);
  assert.is(await world.run("check", "plant/site.yaml"), 0, world.err.text);
  assert.match(world.out.text, "plant/site.yaml: valid");
  world.contents.delete("plant/site.yaml");
  assert.is(await world.run("init", "plant"), 2);
  assert.not(world.contents.has("plant/site.yaml"));
});

site("init -o json names the files that it wrote", async () => {
  const { world } = setup();
  assert.is(await world.run("init", "plant", "-o", "json"), 0);
  const written: unknown = JSON.parse(world.out.text);
  assert.equal(written, { folder: "plant", files: [...world.contents.keys()].filter((path) => path.startsWith("plant/")) });
});

site("check prints every problem with its place, exit 2; JSON too", async () => {
  const { world } = setup();
  world.contents.set("site.yaml", "site: plant-7\ngatways: {}\n");
  assert.is(await world.run("check"), 2);
  assert.match(world.err.text, /^site\.yaml:2:1: .*gatways/m);
  assert.is(await world.run("check", "-o", "json"), 2);
  assert.match(world.out.text, '"valid": false');
  assert.is(await world.run("check", "none.yaml"), 2);
});

site("start takes the entry that is this machine, by address or name", async () => {
  const { world } = setup();
  world.contents.set("plant/site.yaml", threeGateways);
  await world.run("start", "plant/site.yaml");
  assert.is(world.started[0]?.gateway, "gw-a");
  assert.is(world.started[0]?.dataFolder, "plant/data/gw-a");
  world.contents.set("plant/site.yaml", threeGateways.replace("10.0.0.12", "pi-1.example").replace("10.0.0.11", "10.0.0.77"));
  await world.run("start", "plant/site.yaml", "--data", "/var/lib/fogbank");
  assert.is(world.started[1]?.gateway, "gw-b");
  assert.is(world.started[1]?.dataFolder, "/var/lib/fogbank");
});

site("start: none or several entries of this machine is 2, with the list", async () => {
  const { world } = setup();
  world.contents.set("site.yaml", threeGateways.replace("10.0.0.11", "10.0.0.77"));
  assert.is(await world.run("start"), 2);
  assert.match(world.err.text, /--gateway: gw-a \(10\.0\.0\.77\), gw-b \(10\.0\.0\.12\), gw-c/);
  world.contents.set(
    "site.yaml",
    threeGateways
      .replace("10.0.0.12", "10.0.0.11")
      .replace("gw-b: { host: 10.0.0.11 }", "gw-b: { host: 10.0.0.11, listen: { mqtt: 2883, mesh: 8883, http: 8880 } }"),
  );
  world.err.text = "";
  assert.is(await world.run("start"), 2);
  assert.match(world.err.text, "2 gateways of the site are on this machine; say which with --gateway: gw-a, gw-b");
  assert.is(await world.run("start", "--gateway", "gw-x"), 2);
  assert.match(world.err.text, 'no gateway "gw-x"');
  assert.equal(world.started, []);
});

site("start: a failure to start has its exit status; a signal stops it, and so does the end of stdin", async () => {
  const { world } = setup();
  world.contents.set("site.yaml", threeGateways);
  assert.is(await world.run("start"), 1);
  assert.match(world.err.text, "mqtt port 1883 is in use");
  for (const [argv, end] of [
    [["start"], () => world.interrupt()],
    [["start", "--stop-with-stdin"], () => [...world.stdinEnds].map((handler) => handler())],
  ] as const) {
    let stopped = () => {};
    const running = new Promise<ReturnType<typeof success<void>>>((resolve) => {
      stopped = () => resolve(success(undefined));
    });
    world.gateway = async () => {
      setImmediate(end);
      return success({ stopped: running, stop: async () => stopped() });
    };
    assert.is(await world.run(...argv), 0);
    assert.is(world.interrupts.size + world.stdinEnds.size, 0);
  }
  world.gateway = async () =>
    success({ stopped: Promise.resolve(failure("log-damaged", "the log is damaged at record 7")), stop: async () => {} });
  assert.is(await world.run("start"), 1);
  assert.match(world.err.text, "record 7");
});

site("decode shows what a profile makes of a payload; anything refused is 1", async () => {
  const { world } = setup();
  await world.run("init", ".");
  const decode = (topic: string, payload: string, ...more: string[]) => world.run("decode", topic, payload, ...more);
  assert.is(await decode("sensors/room-1/climate", '{"ts":1767225600000,"t":21.5,"h":48}'), 0);
  assert.match(world.out.text, /temperature +21\.5 +Cel/);
  assert.match(world.out.text, "2026-01-01T00:00:00.000Z");
  assert.is(await decode("sensors/room-1/climate", '{"ts":1767225600000,"t":999}'), 1);
  assert.match(world.err.text, "temperature: out-of-range");
  assert.is(await decode("sensors/room-1/climate", "{"), 1);
  assert.is(await decode("other/topic", "1"), 1);
  assert.match(world.err.text, "no profile maps the topic other/topic");
  world.out.text = "";
  assert.is(await decode("sensors/room-1/climate", '{"ts":1767225600000,"t":21.5}', "-o", "json"), 0);
  assert.match(world.out.text, '"device": "room-1"');
  assert.is(await decode("a", "b", "--site", "none.yaml"), 2);
});

site.run();
