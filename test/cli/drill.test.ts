// Goal: a drill does to the gateway what it says, waits until the site is whole again, and ends with 0 only when each gateway answers
// every acknowledged reading once. Method: the command on the demo's fake world; test/long/e2e/drill.test.ts does it to real processes.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GatewayView, ReadingsAnswer } from "../../src/gateway/service.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { type DemoSetup, setup } from "./demo-fixture.ts";

function wholeSite(): DemoSetup {
  const made = setup();
  const view = made.service.gateways()[0] as GatewayView;
  made.service.gateways = () => ["gw-a", "gw-b", "gw-c"].map((id) => ({ ...view, id: gatewayId(id) }));
  return made;
}

const test = suite("cli: drill");

test("power-off: SIGKILL, started again on the same folder, asked back from every gateway", async () => {
  const { world, broker, killed } = wholeSite();
  assert.is(await world.run("drill", "power-off", "--for", "5s"), 0, world.err.text);
  assert.equal(killed, ["SIGKILL", "SIGTERM", "SIGTERM", "SIGTERM"]);
  assert.equal(world.spawned[3], world.spawned[1]);
  const readings = broker.acknowledged.length * 2;
  assert.ok(readings > 500);
  assert.match(world.out.text, `published=${readings} acknowledged=${readings}`);
  assert.match(world.out.text, `gw-a: ${readings}, gw-b: ${readings}, gw-c: ${readings}  lost=0 duplicated=0`);
  assert.match(world.out.text, /gw-b loses its power.*\n.*ingest goes on.*\n.*gw-b is started again.*\n.*healed/);
  assert.match(world.out.text, "gw-b lost its power");
  assert.equal(world.removed, ["/tmp/fogbank-drill-1"]);
});

test("wipe: the folder is deleted after the kill, replaced by another gateway, and started empty", async () => {
  const { world, service } = wholeSite();
  assert.is(await world.run("drill", "wipe", "gw-c", "--for", "3s"), 0, world.err.text);
  assert.equal(service.changes, [{ replace: "gw-c", force: false }]);
  assert.equal(world.removed[0], "/tmp/fogbank-drill-1/gw-c");
  assert.match(world.out.text, /loses its power and its disk.*gateway replace gw-c.*started with an empty data folder.*healed/s);
});

test("wipe: a site that refuses the replacement has not healed, and says why", async () => {
  const { world, broker, service } = wholeSite();
  broker.policy = (_message, index) => (index < 500 ? "acknowledge" : "ignore");
  service.memberFailure = failure("quorum-unavailable", "no leader answers");
  assert.is(await world.run("drill", "wipe", "--for", "1s"), 3);
  assert.match(world.err.text, "no leader answers");
  assert.not.match(world.out.text, "lost=");
});

test("cut: gateways listen behind proxies, the links of one are cut both ways and mended, no process ends", async () => {
  const { world, killed } = wholeSite();
  assert.is(await world.run("drill", "cut", "gw-a", "--for", "3s"), 0, world.err.text);
  assert.equal(world.links, [
    "127.0.0.1:18002 to gw-a at 127.0.0.2:18002",
    "127.0.0.1:18012 to gw-b at 127.0.0.2:18012",
    "127.0.0.1:18022 to gw-c at 127.0.0.2:18022",
    "cut gw-a>gw-b gw-b>gw-a gw-a>gw-c gw-c>gw-a",
    "mend",
    "close",
  ]);
  assert.match(world.contents.get("/tmp/fogbank-drill-1/site.yaml") ?? "", 'mesh: "127.0.0.2:18012"');
  assert.equal(killed, ["SIGTERM", "SIGTERM", "SIGTERM"]);
});

test("a reading that one gateway lacks, or answers twice, fails the drill", async () => {
  const damages: ((answer: ReadingsAnswer) => ReadingsAnswer["series"])[] = [
    (answer) => answer.series.map((series) => ({ ...series, points: series.points.slice(1) })),
    (answer) => answer.series.map((series) => ({ ...series, points: [...series.points, ...series.points.slice(0, 1)] })),
  ];
  for (const [index, damage] of damages.entries()) {
    const { world, service } = wholeSite();
    const honest = service.readings.bind(service);
    let asked = 0;
    service.readings = async (query) => {
      const answer = await honest(query);
      return answer.ok && ++asked === 30 ? success({ ...answer.value, series: damage(answer.value) }) : answer;
    };
    assert.is(await world.run("drill", "power-off", "--for", "1s", "-o", "json"), 1);
    const { lost, duplicated, drill, gateway } = JSON.parse(world.out.text) as Record<string, unknown>;
    assert.equal([lost, duplicated, drill, gateway], index === 0 ? [1, 0, "power-off", "gw-b"] : [0, 1, "power-off", "gw-b"]);
    assert.match(world.err.text, /acknowledged readings were lost, \d came twice/);
  }
});

test("a gateway that does not become whole again fails the drill, with what is missing", async () => {
  const { world, broker, service } = wholeSite();
  // Devices that fall silent keep the fake's clock from being busy.
  broker.policy = (_message, index) => (index < 500 ? "acknowledge" : "ignore");
  const whole = service.gateways.bind(service);
  service.gateways = () => whole().map((view) => (view.id === "gw-b" ? { ...view, filling: 7 } : view));
  assert.is(await world.run("drill", "power-off", "--for", "1s"), 3);
  assert.match(world.err.text, "not healed within 2m: gw-a: gw-b has 7 partitions to fill");
});

test("another gateway that ends by itself fails the drill, with the end of its log", async () => {
  const { world, broker, end } = wholeSite();
  broker.policy = (_message, index) => {
    if (index === 400) end(2, { code: 1, signal: undefined });
    return "acknowledge";
  };
  assert.is(await world.run("drill", "power-off", "--for", "5s"), 1);
  assert.match(world.err.text, "gw-c ended with exit status 1. The end of /tmp/fogbank-drill-1/gw-c.log");
});

test("a pause of all devices shows, and goes by acknowledgements", async () => {
  const { world, broker } = wholeSite();
  let deadMs: number | undefined;
  broker.policy = (_message, index) => {
    if (index === 500) deadMs = world.clock.monotonicMs();
    return deadMs !== undefined && world.clock.monotonicMs() - deadMs < 3_000 ? "drop" : "acknowledge";
  };
  assert.is(await world.run("drill", "cut", "--for", "8s", "-o", "json"), 0, world.err.text);
  const { ingestPausedMs, slowestAcknowledgementMs } = JSON.parse(world.out.text) as Record<string, number>;
  assert.ok((ingestPausedMs ?? 0) >= 2_900, String(ingestPausedMs));
  assert.ok((slowestAcknowledgementMs ?? 0) >= 2_900, String(slowestAcknowledgementMs));
});

test("Ctrl-C ends all processes, and nothing was shown", async () => {
  const { world, broker, killed } = wholeSite();
  broker.policy = (_message, index) => {
    if (index === 500) world.interrupt();
    return "acknowledge";
  };
  assert.is(await world.run("drill", "power-off", "--for", "60s"), 1);
  assert.match(world.err.text, "interrupted: nothing was shown");
  assert.equal(killed, ["SIGKILL", "SIGTERM", "SIGTERM"]);
  assert.is(world.interrupts.size, 0);
  assert.equal(world.links.at(-1), "close");
});

test("another site's folder, an unknown gateway and two gateways are refused, and nothing is started", async () => {
  const { world } = wholeSite();
  world.contents.set("mine/site.yaml", "site: plant-7\n");
  assert.is(await world.run("drill", "wipe", "--data", "mine"), 2);
  assert.match(world.err.text, "mine holds another site");
  assert.is(await world.run("drill", "wipe", "gw-x"), 2);
  assert.match(world.err.text, 'there is no gateway "gw-x": the drill\'s site has gw-a, gw-b, gw-c');
  assert.is(await world.run("drill", "wipe", "--gateways", "2"), 2);
  assert.is(await world.run("drill", "flood"), 2);
  assert.equal([world.spawned, world.removed], [[], []]);
});

test.run();
