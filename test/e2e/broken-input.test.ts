// Goal: broken input, of people, of devices and of neighbours, gets a clear message each; no gateway falls, and nothing acknowledged is
// lost. Method: one site of three processes; each test does one thing wrong to it, and afterwards new readings are acknowledged by every
// gateway, and all readings acknowledged so far come back from every gateway.
import { cpSync, mkdirSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FogbankClient } from "../../src/client/fogbank-client.ts";
import { freePorts } from "../adapters/mesh/free-ports.ts";
import { Device } from "./support/device.ts";
import { FogbankProcess, runFogbank } from "./support/fogbank.ts";
import { Ledger, ledgerProfile } from "./support/ledger.ts";
import { must, type Ports, siteYaml, type TestGateway, TestSite } from "./support/site.ts";
import { pause, until } from "./support/until.ts";

interface Context {
  site: TestSite;
  ledger: Ledger;
}

const test = suite<Context>("broken input");
const startMs = 30_000;
const megabyte = 1_000_000;

test.before(async (context) => {
  context.site = await TestSite.start({ files: { "devices/counter.yaml": ledgerProfile } });
  context.ledger = new Ledger();
});

test.after(async (context) => {
  await context.site?.end();
});

test.after.each(async ({ site, ledger }) => {
  for (const gateway of site.gateways) {
    assert.ok(gateway.isRunning, `${gateway.id} runs: ${gateway.process.tail()}`);
    await ledger.publish("steady", gateway);
  }
  await ledger.check(site.gateways);
});

/** Publishes one message at QoS 1; whether it was acknowledged, or the connection ended first. */
async function publishOnce(port: number, topic: string, payload: string | Buffer): Promise<"acknowledged" | "closed"> {
  const client = mqtt.connect({ host: "127.0.0.1", port, protocolVersion: 4, reconnectPeriod: 0, clientId: "once" });
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`neither acknowledged nor closed: ${topic}`)), startMs);
      const settle = (outcome: "acknowledged" | "closed"): void => {
        clearTimeout(timer);
        resolve(outcome);
      };
      client.on("error", () => settle("closed"));
      client.on("close", () => settle("closed"));
      client.publish(topic, payload, { qos: 1 }, (error) => settle(error === undefined || error === null ? "acknowledged" : "closed"));
    });
  } finally {
    client.end(true);
  }
}

/** Writes bytes from `chunks` to a gateway until they end or it closes the connection. Resolves with how many were taken. */
function sendRaw(gateway: TestGateway, chunks: Iterable<Uint8Array>, withinMs = 20_000): Promise<{ sent: number; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: gateway.ports.mqtt });
    const rest = chunks[Symbol.iterator]();
    let sent = 0;
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ sent, closed });
    };
    const timer = setTimeout(() => finish(false), withinMs);
    const pump = (): void => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) {
        sent += next.value.length;
        if (!socket.write(next.value)) return;
      }
    };
    socket.on("connect", pump);
    socket.on("drain", pump);
    // What the gateway answers is not of interest, but must be read for its end to be seen.
    socket.resume();
    socket.on("error", () => undefined);
    socket.on("close", () => finish(true));
  });
}

function connectPacket(clientId: string): Buffer {
  const id = Buffer.from(clientId);
  const body = Buffer.concat([Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, id.length]), id]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

function publishPacket(topic: Buffer, payload: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([topic.length >> 8, topic.length & 255]), topic, Buffer.from([0, 1]), payload]);
  return Buffer.concat([Buffer.from([0x32, body.length]), body]);
}

async function memoryOf(gateway: TestGateway): Promise<number> {
  return must(await gateway.client.status()).process.memoryBytes;
}

/** A warning in the log or the status of a gateway; the log line counts when it was written after `offset`. */
async function untilSaid(gateway: TestGateway, pattern: RegExp, offset = 0): Promise<void> {
  await until(
    `${gateway.id} says ${pattern}`,
    async () => {
      if (pattern.test(gateway.output.slice(offset))) return true;
      const status = await gateway.client.status();
      return status.ok && status.value.warnings.some((warning) => pattern.test(warning)) ? true : undefined;
    },
    { withinMs: 15_000, explain: () => gateway.output.slice(offset).slice(-3_000) },
  );
}

/** A second site.yaml beside the first, in a folder of its own, with the same devices. */
function copySite(site: TestSite, name: string, yaml: string, secret?: string): string {
  const folder = join(site.folder, name);
  mkdirSync(join(folder, "jobs"), { recursive: true });
  cpSync(join(site.folder, "devices"), join(folder, "devices"), { recursive: true });
  cpSync(join(site.folder, "secret"), join(folder, "secret"));
  if (secret !== undefined) site.write(`${name}/secret`, secret);
  return site.write(`${name}/site.yaml`, yaml);
}

test("malformed YAML ends the start with status 2 and the place of each problem", async ({ site }) => {
  const broken = site.write("broken.yaml", "site: e2e\ngateways:\n  gw-a: { host: 127.0.0.1\nsecret: x\n");
  for (const command of [
    ["start", broken, "--gateway", "gw-a"],
    ["check", broken],
  ]) {
    const syntax = await runFogbank(command, { cwd: site.folder });
    assert.is(syntax.code, 2, syntax.stderr);
    assert.match(syntax.stdout + syntax.stderr, /broken\.yaml:\d+:\d+: /);
    assert.not.match(syntax.stderr, /^\s+at /m, "no stack trace");
  }
  const wrong = site.write(
    "wrong.yaml",
    "site: e2e\ngateway:\n  gw-a: { host: 127.0.0.1 }\ngateways:\n  gw-a: { host: 127.0.0.1, weight: heavy }\n",
  );
  const checked = await runFogbank(["start", wrong, "--gateway", "gw-a"], { cwd: site.folder });
  assert.is(checked.code, 2, checked.stderr);
  assert.match(checked.stderr, /wrong\.yaml:2:1: .*gateway/, "the unknown key, with its place");
  assert.match(checked.stderr, /wrong\.yaml:5:36: /, "the wrong type, with its place, in the same run");
});

test("a garbage payload is acknowledged, and kept as a dead letter with the reason", async ({ site }) => {
  const [first, second] = site.gateways as [TestGateway, TestGateway];
  assert.is(await publishOnce(first.ports.mqtt, "counters/garbage", Buffer.from([0xff, 0x00, 0x9f, 0x92, 0x96])), "acknowledged");
  assert.is(await publishOnce(first.ports.mqtt, "counters/garbage", "{]"), "acknowledged");
  assert.is(await publishOnce(first.ports.mqtt, "counters/garbage", '{"ts": "soon", "v": 1}'), "acknowledged");
  assert.is(await publishOnce(first.ports.mqtt, "counters/garbage", ""), "acknowledged");
  const { letters } = must(await second.client.deadLetters());
  const mine = letters.filter((letter) => letter.device === "garbage");
  assert.is(mine.length, 4, "dead letters, asked for at another gateway");
  assert.ok(mine.every((letter) => letter.gateway === first.id && letter.reason !== "" && letter.detail !== ""));
  assert.ok(
    mine.some((letter) => letter.payload.startsWith("0xff00")),
    "the payload's beginning is shown",
  );
});

test("a payload of 1 MB is no danger: as text it is a dead letter, as JSON it is read", async ({ site, ledger }) => {
  const [gateway] = site.gateways as [TestGateway];
  assert.is(await publishOnce(gateway.ports.mqtt, "counters/large", Buffer.alloc(megabyte, "x")), "acknowledged");
  const { letters } = must(await gateway.client.deadLetters());
  const letter = letters.find((one) => one.device === "large");
  assert.ok(letter !== undefined && letter.payload.length < 2_000, "a dead letter with the payload's beginning only");
  const message = ledger.next("large");
  const padded = `{"padding": "${"x".repeat(megabyte)}", ${message.payload.slice(1)}`;
  assert.is(await publishOnce(gateway.ports.mqtt, message.topic, padded), "acknowledged");
  message.acknowledged();
  // Above the limit the connection is cut: an acknowledgement without storing it would be a lie.
  const offset = gateway.output.length;
  assert.is(await publishOnce(gateway.ports.mqtt, message.topic, Buffer.alloc(3 * megabyte, "x")), "closed");
  await untilSaid(gateway, /packet-too-large/, offset);
});

test("a CONNECT of 200 MB is cut at once, and memory stays flat", async ({ site }) => {
  const [gateway] = site.gateways as [TestGateway];
  const before = await memoryOf(gateway);
  const offset = gateway.output.length;
  const chunk = Buffer.alloc(megabyte, 0x41);
  function* huge(): Generator<Uint8Array> {
    // Remaining Length 200,000,000 in four bytes (MQTT 3.1.1 §2.2.3).
    yield Buffer.from([
      0x10,
      0x80 | (200_000_000 & 127),
      0x80 | ((200_000_000 >> 7) & 127),
      0x80 | ((200_000_000 >> 14) & 127),
      200_000_000 >> 21,
    ]);
    for (let megabytes = 0; megabytes < 200; megabytes++) yield chunk;
  }
  let peak = before;
  for (let attempt = 0; attempt < 3; attempt++) {
    const { sent, closed } = await sendRaw(gateway, huge());
    assert.ok(closed, "the connection was cut");
    assert.ok(sent < 20 * megabyte, `cut after ${sent} bytes at the sender`);
    peak = Math.max(peak, await memoryOf(gateway));
  }
  assert.ok(peak - before < 50 * megabyte, `memory grew by ${Math.round((peak - before) / megabyte)} MB`);
  await untilSaid(gateway, /packet-too-large/, offset);
});

for (const [what, topic] of [
  ["a wildcard", "counters/+"],
  ["a multi-level wildcard", "counters/#"],
  ["NUL", "counters/a\u0000b"],
] as const) {
  test(`a topic with ${what} closes the connection`, async ({ site }) => {
    const [, gateway] = site.gateways as [TestGateway, TestGateway];
    const offset = gateway.output.length;
    const { closed } = await sendRaw(gateway, [connectPacket("odd-topic"), publishPacket(Buffer.from(topic), Buffer.from('{"v": 1}'))]);
    assert.ok(closed, "the connection was closed");
    await untilSaid(gateway, /malformed-packet/, offset);
  });
}

test("an MQTT 5 client is refused, and the log names the remedy", async ({ site }) => {
  const [gateway] = site.gateways as [TestGateway];
  const offset = gateway.output.length;
  const client = mqtt.connect({ host: "127.0.0.1", port: gateway.ports.mqtt, protocolVersion: 5, reconnectPeriod: 0, clientId: "five" });
  const outcome = await new Promise<string>((resolve) => {
    client.on("connect", () => resolve("connected"));
    client.on("error", (error) => resolve(error.message));
    client.on("close", () => resolve("closed"));
  });
  client.end(true);
  assert.is.not(outcome, "connected");
  await untilSaid(gateway, /five.*MQTT 3\.1\.1|MQTT 3\.1\.1.*five/, offset);
});

test("a second process with a gateway's id, an empty data folder and other ports stays outside, both sides say why, and the genuine one is not disturbed", async ({
  site,
  ledger,
}) => {
  const [mqttPort = 0, mesh = 0, http = 0] = await freePorts(3);
  const ports = new Map<string, Ports>([...site.portsById, ["gw-b", { mqtt: mqttPort, mesh, http }]]);
  const file = copySite(site, "twin", siteYaml("e2e", ports));
  const [peer, other] = [site.gateway("gw-a"), site.gateway("gw-c")];
  const offsets = [peer.output.length, other.output.length];
  const twin = new FogbankProcess(["start", file, "--gateway", "gw-b", "--data", join(site.folder, "twin-data")], { cwd: site.folder });
  try {
    // Both sides say so; the twin cannot be answered, since its peers know gw-b at another address.
    await untilSaid(peer, /a second process under its id/, offsets[0]);
    await untilSaid(other, /a second process under its id/, offsets[1]);
    await until("the twin says why it waits", () => /another process runs as gw-b/.test(twin.output) || undefined, {
      withinMs: startMs,
      explain: () => twin.tail(),
    });
    const readiness = must(await new FogbankClient({ fetch, baseUrl: `http://127.0.0.1:${http}`, token: undefined }).readiness());
    assert.not(readiness.ready, "the twin is not ready");
    assert.is(await publishOnce(mqttPort, "counters/twin", '{"ts": 1, "v": 1}'), "closed", "the twin takes no devices");
    // The genuine one is not disturbed.
    for (const gateway of site.gateways) {
      const { gateways } = must(await gateway.client.gateways());
      assert.ok(
        gateways.every((one) => one.up),
        `${gateway.id} sees all gateways: ${JSON.stringify(gateways)}`,
      );
      await ledger.publish("beside-the-twin", gateway);
    }
    twin.signal("SIGTERM");
    assert.is((await twin.ended(startMs)).code, 0, "the twin ends cleanly");
  } finally {
    twin.signal("SIGKILL");
  }
});

test("a data folder of another site, or of another gateway, is refused", async ({ site }) => {
  const gateway = site.gateway("gw-c");
  const file = copySite(site, "elsewhere", siteYaml("elsewhere", site.portsById));
  assert.is((await gateway.stop()).code, 0);
  try {
    const foreign = await gateway.start(file).ended(startMs);
    assert.equal(foreign, { code: 1, signal: undefined }, gateway.process.tail());
    assert.match(gateway.process.stderr, /data folder belongs to site "e2e".*"elsewhere"/s);
    const swapped = await runFogbank(
      ["start", join(site.folder, "site.yaml"), "--gateway", "gw-c", "--data", site.gateway("gw-a").dataFolder],
      {
        cwd: site.folder,
        withinMs: startMs,
      },
    );
    assert.is(swapped.code, 1, "the folder of a running gateway");
    assert.match(swapped.stderr, /in use/);
  } finally {
    gateway.start();
    await gateway.ready();
  }
});

test("a port that is in use is named", async ({ site }) => {
  const gateway = site.gateway("gw-c");
  assert.is((await gateway.stop()).code, 0);
  try {
    for (const use of ["mqtt", "mesh", "http"] as const) {
      const strangers = new Set<Socket>();
      // The peers of the gateway connect to its mesh port.
      const blocker = createServer((socket) => strangers.add(socket.on("error", () => undefined)));
      await new Promise<void>((resolve) => blocker.listen(gateway.ports[use], "127.0.0.1", resolve));
      try {
        const exit = await gateway.start().ended(startMs);
        assert.equal(exit, { code: 1, signal: undefined }, gateway.process.tail());
        assert.match(gateway.process.stderr, new RegExp(`127\\.0\\.0\\.1:${gateway.ports[use]}\\b`), `the port of ${use}`);
        assert.match(gateway.process.stderr, /in use|uses the port/);
        assert.not.match(gateway.process.stderr, /^\s+at /m, "no stack trace");
      } finally {
        for (const socket of strangers) socket.destroy();
        await new Promise((resolve) => blocker.close(resolve));
      }
    }
  } finally {
    gateway.start();
    await gateway.ready();
  }
});

test("a gateway with a wrong secret stays outside, says why, and both sides go on", async ({ site, ledger }) => {
  const gateway = site.gateway("gw-c");
  const others = site.gateways.filter((one) => one !== gateway);
  const file = copySite(site, "wrong-secret", siteYaml("e2e", site.portsById), "another secret, and not the right one\n");
  assert.is((await gateway.stop()).code, 0);
  const offsets = new Map(others.map((one) => [one, one.output.length]));
  try {
    const started = gateway.start(file);
    await untilSaid(gateway, /wrong secret/);
    for (const other of others) await untilSaid(other, /wrong secret/, offsets.get(other));
    await pause(500);
    assert.is(started.exit, undefined, "it does not fall");
    const readiness = must(await gateway.client.readiness());
    assert.not(readiness.ready, "it is not ready");
    // It is alone, so that it may not acknowledge: a device's message waits there, and is acknowledged at the next gateway.
    const message = ledger.next("at-the-wrong-door");
    let acknowledgedAlone = false;
    const device = new Device({
      clientId: "wrong-door",
      ports: [gateway.ports.mqtt],
      windowMax: 1,
      onAcknowledged: () => (acknowledgedAlone = true),
    });
    device.publish([message]);
    await pause(1_500);
    await device.close();
    assert.not(acknowledgedAlone, "a gateway without its peers acknowledges nothing");
    for (const other of others) await ledger.publish("beside-the-wrong-secret", other);
    const retry = new Device({
      clientId: "right-door",
      ports: [others[0]?.ports.mqtt ?? 0],
      windowMax: 1,
      onAcknowledged: () => message.acknowledged(),
    });
    retry.publish([message]);
    await retry.drained(startMs);
    await retry.close();
    assert.is((await gateway.stop()).code, 0, "it ends cleanly");
  } finally {
    if (gateway.isRunning) await gateway.kill();
    gateway.start();
    await gateway.ready();
  }
});

test.run();
