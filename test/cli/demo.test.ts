// Goal: the demo proves what it claims: it ends with 0 only when every acknowledged reading comes back from the gateways.
// Method: the command on a fake world; its gateways are the real API over a fake service that keeps what the fake broker acknowledges.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ReadingsAnswer } from "../../src/gateway/service.ts";
import { success } from "../../src/lib/errors.ts";
import { setup } from "./demo-fixture.ts";

const test = suite("cli: demo");

test("runs for as long as asked, asks everything back, ends its gateways and removes its folder", async () => {
  const { world, broker, killed } = setup();
  assert.is(await world.run("demo", "--for", "20s"), 0, world.err.text);
  assert.ok(broker.acknowledged.length > 100);
  const readings = broker.acknowledged.length * 2;
  assert.match(world.out.text, `published ${readings} readings, acknowledged ${readings}, job results 1`);
  assert.match(world.out.text, `asked back from the gateways: ${readings} acknowledged readings, lost=0`);
  assert.match(world.out.text, "owners of partitions: gw-a 1024");
  assert.match(world.out.text, "result  hourly");
  assert.is(new Set(broker.connections.map(({ clientId }) => clientId)).size, 12);
  const ports = [...new Set(broker.connections.map(({ port }) => port))];
  assert.equal(ports, [18_001, 18_011, 18_021]);
  assert.equal(killed, ["SIGTERM", "SIGTERM", "SIGTERM"]);
  assert.equal(world.removed, ["/tmp/fogbank-demo-1"]);
  assert.equal(world.spawned[2], [
    "start",
    "/tmp/fogbank-demo-1/site.yaml",
    "--gateway",
    "gw-c",
    "--data",
    "/tmp/fogbank-demo-1/gw-c",
    "--stop-with-stdin",
  ]);
});

test("-o json: the summary alone on standard output, the rest on standard error", async () => {
  const { world, broker } = setup();
  assert.is(await world.run("demo", "--for", "7s", "--data", "kept", "-o", "json"), 0, world.err.text);
  const readings = broker.acknowledged.length * 2;
  const summary: unknown = JSON.parse(world.out.text);
  // The fake's only row is older than what the demo remembers, and counts each time that it is asked for.
  assert.equal(
    { ...Object(summary), results: 1 },
    {
      published: readings,
      acknowledged: readings,
      unacknowledged: 0,
      checked: readings,
      lost: 0,
      unproven: [],
      results: 1,
      crashed: false,
    },
  );
  assert.match(world.out.text, /"results": [1-9]/);
  for (const text of ["starting 3 gateways", "Try in another terminal", "owners of partitions", "data and logs are in kept"])
    assert.match(world.err.text, text);
});

test("in a terminal a block is written over, within the terminal's width", async () => {
  const { world } = setup();
  world.out.isTTY = true;
  world.out.columns = 60;
  world.env["NO_COLOR"] = "1";
  assert.is(await world.run("demo", "--for", "7s"), 0);
  const blocks = world.out.text.split("\u001b[0J").slice(1, -1);
  assert.ok(blocks.length >= 2);
  for (const block of blocks) {
    const lines = block.split("\n");
    assert.match(lines[0] ?? "", /^\d+\.\ds +published/);
    // What goes up before the next block is what this one has taken.
    assert.match(lines.at(-1) ?? "", `\u001b[${lines.length - 1}A`);
    for (const line of lines.slice(0, -1)) assert.ok(line.length < 60, line);
  }
});

test("one acknowledged reading missing or changed is lost, and 1", async () => {
  for (const damage of [
    (answer: ReadingsAnswer) => answer.series.map((series) => ({ ...series, points: series.points.slice(1) })),
    (answer: ReadingsAnswer) =>
      answer.series.map((series) => ({
        ...series,
        points: series.points.map(([ms, value], index) => [ms, index === 0 ? 0.123 : value] as const),
      })),
  ]) {
    const { world, service } = setup();
    const honest = service.readings.bind(service);
    service.readings = async (query) => {
      const answer = await honest(query);
      return query.device === "room-2-a" && answer.ok ? success({ ...answer.value, series: damage(answer.value) }) : answer;
    };
    assert.is(await world.run("demo", "--for", "4s"), 1);
    assert.match(world.out.text, "lost=2");
  }
});

test("an answer that never becomes complete proves nothing, and is 1", async () => {
  const { world, service } = setup();
  service.readingsAnswer = success({ series: [], complete: false });
  service.readings = async () => service.readingsAnswer;
  assert.is(await world.run("demo", "--for", "2s"), 1);
  assert.match(world.err.text, "could not be asked back: room-1-a temperature: the answer was not complete");
});

test("Ctrl-C ends it like the end of its time", async () => {
  const { world, broker } = setup();
  broker.policy = (_message, index) => {
    if (index === 50) world.interrupt();
    return "acknowledge";
  };
  assert.is(await world.run("demo"), 0, world.err.text);
  assert.match(world.out.text, "lost=0");
  assert.is(world.interrupts.size, 0);
});

test("a gateway that dies before it is ready: the end of its log, the others ended, exit 1", async () => {
  const { world, service, killed, end } = setup();
  service.readiness = () => {
    end(1, { code: 1, signal: undefined });
    return { ready: false, reasons: ["no leader is known"] };
  };
  assert.is(await world.run("demo", "--for", "5s"), 1);
  assert.match(world.err.text, "gw-b ended with exit status 1. The end of /tmp/fogbank-demo-1/gw-b.log:\n  starting\n  listening as");
  assert.equal(killed, ["SIGTERM", "SIGTERM"]);
  assert.equal(world.removed, []);
});

test("a gateway that somebody kills later is reported and does not fail the demo; one that crashes does", async () => {
  for (const [how, status] of [
    [{ code: undefined, signal: "SIGKILL" }, 0],
    [{ code: 1, signal: undefined }, 1],
  ] as const) {
    const { world, broker, end } = setup();
    broker.policy = (_message, index) => {
      if (index === 50) end(2, how);
      return "acknowledge";
    };
    assert.is(await world.run("demo", "--for", "10s"), status);
    assert.match(world.err.text, /gw-c (was ended by SIGKILL|ended with exit status 1)/);
    assert.match(world.out.text, "gw-c down");
    assert.match(world.out.text, "lost=0");
  }
});

test("a port in use is named, with the way out, and nothing is started", async () => {
  const { world } = setup();
  world.busyPorts.add(18_012);
  assert.is(await world.run("demo"), 1);
  assert.match(world.err.text, "port 18012 (mesh of gw-b) is in use; choose other ports with --port-base");
  assert.equal(world.spawned, []);
});

test("--data keeps the site, takes it up again, and refuses another", async () => {
  const { world } = setup();
  assert.is(await world.run("demo", "--for", "2s", "--data", "d"), 0);
  const secret = world.contents.get("d/secret");
  assert.equal(world.removed, []);
  const again = setup();
  for (const [path, text] of world.contents) again.world.contents.set(path, text);
  assert.is(await again.world.run("demo", "--for", "2s", "--data", "d"), 0, again.world.err.text);
  assert.is(again.world.contents.get("d/secret"), secret);
  assert.is(await again.world.run("demo", "--for", "2s", "--data", "d", "--gateways", "2"), 2);
  assert.match(again.world.err.text, "d holds another site");
});

test.run();
