// Goal: every row of a CSV file is published until acknowledged, in order, with its exact value, whatever the gateways do.
// Method: the command on a fake world whose broker acknowledges, falls silent or drops connections; time is the fake clock's.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { failure } from "../../src/lib/errors.ts";
import { FakeBroker } from "./fake-broker.ts";
import { FakeWorld } from "./fake-world.ts";

function setup(csv: string): { readonly world: FakeWorld; readonly broker: FakeBroker } {
  const world = new FakeWorld();
  const broker = new FakeBroker();
  world.broker = broker.connect;
  world.contents.set("data.csv", csv);
  return { world, broker };
}

const base = ["replay", "data.csv", "--device", "room-1", "--topic", "nab/{device}/v"];
const rows = (count: number) =>
  `timestamp,value\n${Array.from({ length: count }, (_, index) => `${1_700_000_000 + index},${index / 3}\n`).join("")}`;
const payloads = (count: number) =>
  Array.from({ length: count }, (_, index) => JSON.stringify({ ts: (1_700_000_000 + index) * 1000, value: index / 3 }));
const decoded = (broker: FakeBroker): unknown[] => broker.acknowledged.map(({ payload }): unknown => JSON.parse(payload));
const unique = (broker: FakeBroker) => [...new Set(broker.acknowledged.map(({ payload }) => payload))];

const test = suite("cli: replay");

test("publishes times, numbers, booleans and texts, and notes each acknowledged reading", async () => {
  const { world, broker } = setup(
    'timestamp,value\n2014-02-14 14:30:00,19.761251903999998\n1392388260,-1e-7\n2014-02-14T14:32:00Z,true\n1392388380000,"a ""b"", c"\n1392388440,\n',
  );
  assert.is(await world.run(...base, "--mqtt", "gw:1883", "--metric", "v", "--acks", "acks.csv"), 1);
  const start = Date.UTC(2014, 1, 14, 14, 30);
  assert.equal(decoded(broker), [
    { ts: start, v: 19.761251903999998 },
    { ts: start + 60_000, v: -1e-7 },
    { ts: start + 120_000, v: true },
    { ts: start + 180_000, v: 'a "b", c' },
  ]);
  assert.is(broker.acknowledged[0]?.topic, "nab/room-1/v");
  assert.is(
    world.contents.get("acks.csv"),
    `${start},19.761251903999998\n${start + 60_000},-1e-7\n${start + 120_000},true\n${start + 180_000},"a ""b"", c"\n`,
  );
  assert.match(world.err.text, "data.csv:6: it has no value; the row is skipped");
  assert.match(world.out.text, "4 published, 4 acknowledged");
});

test("several columns make one message, and the acks name them", async () => {
  const { world, broker } = setup("time,t,h\n1000,1,2\n2000,,3\n");
  assert.is(await world.run(...base, "--mqtt", "gw", "--acks", "acks.csv", "-o", "json"), 0);
  assert.equal(
    broker.acknowledged.map(({ payload }) => payload),
    ['{"ts":1000000,"t":1,"h":2}', '{"ts":2000000,"h":3}'],
  );
  assert.is(world.contents.get("acks.csv"), "1000000,1,t\n1000000,2,h\n2000000,3,h\n");
  const summary: unknown = JSON.parse(world.out.text);
  assert.equal(
    { ...Object(summary), seconds: 0 },
    { published: 3, acknowledged: 3, unacknowledged: 0, skippedRows: 0, reconnects: 0, seconds: 0, interrupted: false },
  );
});

test("a dropped connection moves to the next gateway, and everything unacknowledged is sent again in order", async () => {
  const { world, broker } = setup(rows(50));
  broker.policy = (_message, index) => (index === 20 ? "drop" : "acknowledge");
  assert.is(await world.run(...base, "--mqtt", "a:1,b:2", "--acks", "acks.csv"), 0);
  assert.equal(unique(broker), payloads(50));
  assert.equal(
    broker.connections.map(({ port }) => port),
    [1, 2],
  );
  assert.is(world.contents.get("acks.csv")?.split("\n").length, 51);
});

test("a gateway that falls silent is left for the next, and its late acknowledgements count once", async () => {
  const { world, broker } = setup(rows(30));
  broker.policy = ({ port }, index) => (port === 1 && index >= 10 ? "ignore" : "acknowledge");
  assert.is(await world.run(...base, "--mqtt", "a:1,b:2", "--window", "5", "-o", "json"), 0);
  assert.equal(unique(broker), payloads(30));
  assert.match(world.out.text, '"acknowledged": 30');
  assert.ok(broker.received.length - 30 <= 5, `sent ${broker.received.length}`);
});

test("an unreachable first gateway is passed over; with none at all it gives up and exits 1", async () => {
  const { world, broker } = setup(rows(3));
  world.broker = async (options) => (options.port === 2 ? broker.connect(options) : failure("unreachable", "refused"));
  assert.is(await world.run(...base, "--mqtt", "a:1,b:2"), 0);
  world.broker = async () => failure("unreachable", "gw:1 refused");
  assert.is(await world.run(...base, "--mqtt", "a:1", "--timeout", "10s"), 1);
  assert.match(world.err.text, /gave up: nothing was acknowledged for 1\d s \(gw:1 refused\)/);
  assert.match(world.out.text, "3 published, 0 acknowledged (0/s), 3 unacknowledged");
});

test("--timeout bounds the time without an acknowledgement, whatever it is spent on", async () => {
  const { world, broker } = setup(rows(3));
  const replayFor5s = async () => {
    const startMs = world.clock.monotonicMs();
    world.err.text = "";
    assert.is(await world.run(...base, "--mqtt", "a:1", "--timeout", "5s"), 1);
    return world.clock.monotonicMs() - startMs;
  };
  broker.policy = () => "ignore";
  const silentMs = await replayFor5s();
  assert.ok(silentMs >= 5_000 && silentMs < 6_000, String(silentMs));
  assert.match(world.err.text, /nothing was acknowledged for 5 s \(a:1 is connected, and acknowledges nothing\)/);
  let tooLate = false;
  world.broker = async (options) => {
    await world.clock.sleep(20_000);
    tooLate = true;
    return broker.connect(options);
  };
  const connectingMs = await replayFor5s();
  assert.ok(connectingMs >= 5_000 && connectingMs < 6_000, String(connectingMs));
  await world.clock.sleep(20_000);
  assert.ok(tooLate);
  assert.is(broker.open, 0, "a connection that comes too late is closed");
});

test("refused credentials end it at once", async () => {
  const { world } = setup(rows(3));
  world.broker = async () => failure("unauthorized", "the gateway refused the user name");
  assert.is(await world.run(...base, "--mqtt", "a:1"), 1);
  assert.match(world.err.text, "refused the user name; give --username, and the password in FOGBANK_MQTT_PASSWORD");
  assert.not.match(world.err.text, "FOGBANK_TOKEN");
  assert.ok(world.clock.monotonicMs() < 5_000);
});

test("Ctrl-C ends it with a summary", async () => {
  const { world, broker } = setup(rows(1000));
  broker.policy = (_message, index) => {
    if (index === 99) world.interrupt();
    return index < 50 ? "acknowledge" : "ignore";
  };
  assert.is(await world.run(...base, "--mqtt", "a:1"), 1);
  assert.match(world.out.text, /\d+ published, 50 acknowledged .*interrupted/);
  assert.is(world.interrupts.size, 0);
});

test("--rate and --speed pace the rows", async () => {
  const { world } = setup(rows(11));
  assert.is(await world.run(...base, "--mqtt", "a:1", "--rate", "2", "-o", "json"), 0);
  const rated = world.clock.monotonicMs();
  assert.ok(rated >= 5_000 && rated < 7_000, String(rated));
  assert.is(await world.run(...base, "--mqtt", "a:1", "--speed", "0.5x", "-o", "json"), 0);
  const paced = world.clock.monotonicMs() - rated;
  assert.ok(paced >= 20_000 && paced < 23_000, String(paced));
});

test("--shift-to-now puts the greatest time at now", async () => {
  const { world, broker } = setup("time,v\n1700000010,1\n1700000000,2\n");
  const now = world.clock.wallMs();
  assert.is(await world.run(...base, "--mqtt", "a:1", "--shift-to-now"), 0);
  assert.equal(decoded(broker), [
    { ts: now, v: 1 },
    { ts: now - 10_000, v: 2 },
  ]);
});

test("bad rows are reported by line, skipped and counted; exit 1", async () => {
  const { world, broker } = setup('time,v\n1700000000,1\nyesterday,2\n1700000001\n1700000002,"3\n1700000003,4\n');
  assert.is(await world.run(...base, "--mqtt", "a:1"), 1);
  assert.is(broker.acknowledged.length, 2);
  for (const text of [
    'data.csv:3: "yesterday" is no time',
    "data.csv:4: it has 1 columns, the first line has 2",
    "data.csv:5: a quote is not closed",
  ])
    assert.match(world.err.text, text);
  assert.match(world.out.text, "3 rows skipped");
});

test("what cannot work is a usage error, before anything is published", async () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["time,a,b\n1,1,1\n", ["--mqtt", "a:1", "--metric", "v"], /has 2: a, b/],
    ["1700000000,1\n", ["--mqtt", "a:1"], /names of the columns/],
    ["", ["--mqtt", "a:1"], /names of the columns|at least two columns/],
    ["time,v\n1,1\n", ["--mqtt", "a:99999"], /HOST:PORT/],
    ["time,v\n1,1\n", ["--mqtt", "a:1", "--rate", "1", "--speed", "2x"], /cannot be used with/],
    ["time,v\n1,1\n", ["--mqtt", "a:1", "--time-zone", "Mars/Olympus"], /Mars\/Olympus/],
    ["time,v\n1,1\n", ["--mqtt", "a:1", "--topic", "a/+"], /wildcards/],
    ["time,v\n1,1\n", ["--mqtt", "a:1", "--rate", "0"], /number above 0/],
    ["time,v\n1,1\n", [], /--mqtt/],
  ];
  for (const [csv, options, expected] of cases) {
    const { world, broker } = setup(csv);
    assert.is(await world.run(...base, ...options), 2, String(expected));
    assert.match(world.err.text, expected);
    assert.is(broker.received.length, 0);
  }
  const { world } = setup("");
  assert.is(await world.run("replay", "none.csv", ...base.slice(2), "--mqtt", "a:1"), 2);
  assert.match(world.err.text, "none.csv cannot be read");
});

test.run();
