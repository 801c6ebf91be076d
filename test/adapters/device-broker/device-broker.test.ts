// Goal: no client, hostile or merely unlucky, crashes the device broker, starves itself of PINGRESP, grows its memory
// without bound or stalls others; every refusal has its reason. Method: raw bytes over loopback, against a gateway that
// holds messages for as long as the test wants.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeviceBroker, type DeviceBrokerOptions } from "../../../src/adapters/device-broker/device-broker.ts";
import type { BrokerClient, BrokerHandlers, ClientRejection } from "../../../src/ports/broker.ts";
import { RawClient } from "./raw-client.ts";
import { RecordedDiagnostics } from "./recorded-diagnostics.ts";
import { until } from "./until.ts";

class Gateway implements BrokerHandlers {
  readonly rejections: { reason: ClientRejection; detail: string }[] = [];
  readonly published: { client: BrokerClient; topic: string; payload: string; qos: number }[] = [];
  readonly sessions: string[] = [];
  readonly ended: BrokerClient[] = [];
  held: (() => void)[] = [];
  hold = false;

  authenticate(): boolean {
    return true;
  }

  connected(client: BrokerClient): void {
    this.sessions.push(`+${client.id}`);
  }

  disconnected(client: BrokerClient): void {
    this.sessions.push(`-${client.id}`);
    this.ended.push(client);
  }

  publish(client: BrokerClient, topic: string, payload: Uint8Array, qos: 0 | 1 | 2, done: () => void): void {
    this.published.push({ client, topic, payload: Buffer.from(payload.subarray(0, 50)).toString(), qos });
    if (this.hold) this.held.push(done);
    else done();
  }

  rejected(reason: ClientRejection, detail: string): void {
    this.rejections.push({ reason, detail });
  }

  release(): void {
    const held = this.held;
    this.held = [];
    for (const done of held) done();
  }
}

class Site {
  readonly gateway = new Gateway();
  readonly diagnostics = new RecordedDiagnostics();
  readonly broker: DeviceBroker;
  readonly #clients: RawClient[] = [];

  constructor(options: Partial<DeviceBrokerOptions> = {}) {
    this.broker = new DeviceBroker({ host: "127.0.0.1", port: 0, diagnostics: this.diagnostics, ...options });
  }

  async start(): Promise<this> {
    const started = await this.broker.start(this.gateway);
    assert.ok(started.ok);
    return this;
  }

  client(): RawClient {
    const client = new RawClient(this.broker.port);
    this.#clients.push(client);
    return client;
  }

  async rejection(reason: ClientRejection, count = 1): Promise<string> {
    await until(`rejected: ${reason}`, () => this.gateway.rejections.length >= count);
    const last = this.gateway.rejections[count - 1];
    assert.is(last?.reason, reason, JSON.stringify(this.gateway.rejections));
    assert.is(this.gateway.rejections.length, count, JSON.stringify(this.gateway.rejections));
    return last?.detail ?? "";
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.end();
    await this.broker.stop();
  }
}

const test = suite<{ site: Site }>("device broker");

test.before.each(async (context) => {
  context.site = await new Site().start();
});
test.after.each(async ({ site }) => {
  await site.close();
});

const mebibyte = 1024 * 1024;

test("a 200 MB CONNECT is cut at its header, with flat memory", async ({ site }) => {
  const before = process.memoryUsage().rss;
  const client = site.client();
  client.sendBytes(Uint8Array.of(0x10, 0x80, 0x84, 0xaf, 0x5f));
  let written = 0;
  const chunk = Buffer.alloc(mebibyte);
  while (!client.closed && written < 200) {
    client.sendBytes(chunk);
    written++;
    await until("written, or cut", () => client.closed || client.socket.writableLength === 0);
  }
  assert.ok(client.closed && written < 50, `cut after ${written} MiB`);
  const detail = await site.rejection("packet-too-large");
  assert.ok(detail.includes("CONNECT of 200000000 bytes"), detail);
  assert.ok(process.memoryUsage().rss - before < 60 * mebibyte);
  assert.ok(site.diagnostics.warned("mqtt-client-rejected", "packet-too-large"));
});

test("a payload of 1 MiB passes, one of 3 MiB ends the session with its reason", async ({ site }) => {
  const client = site.client();
  await client.connect("big");
  client.publish("t", Buffer.alloc(mebibyte), 1);
  await until("acknowledged", () => client.count("puback") === 1);
  client.publish("t", Buffer.alloc(3 * mebibyte), 1, 2);
  await until("cut", () => client.closed);
  const detail = await site.rejection("packet-too-large");
  assert.ok(detail.includes('"big"') && detail.includes("PUBLISH of"), detail);
  await until("the session ends", () => site.gateway.sessions.includes("-big"));
});

test("garbage, a bad Remaining Length and a second CONNECT are malformed", async ({ site }) => {
  const http = site.client();
  http.sendBytes(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  await site.rejection("malformed-packet", 1);
  const endless = site.client();
  endless.sendBytes(Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0xff, 0x7f));
  await site.rejection("malformed-packet", 2);
  const twice = site.client();
  await twice.connect("twice");
  twice.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0, clientId: "twice" });
  await site.rejection("malformed-packet", 3);
  const garbage = site.client();
  await garbage.connect("garbage");
  garbage.sendBytes(Uint8Array.of(0x36, 0x02, 0xff, 0xff));
  await site.rejection("malformed-packet", 4);
  await until("all are cut", () => [http, endless, twice, garbage].every((client) => client.closed));
});

test("wildcards, NUL, an empty topic and $ topics in PUBLISH end the connection", async ({ site }) => {
  const bad = ["a/+/b", "a/#", "a\u0000b", "", "$SYS/x"];
  for (const [i, topic] of bad.entries()) {
    const client = site.client();
    await client.connect(`d${i}`);
    const topicBytes = Buffer.from(topic);
    const body = Buffer.concat([Buffer.of(0, topicBytes.length), topicBytes, Buffer.of(0, 1), Buffer.from("x")]);
    client.sendBytes(Buffer.concat([Buffer.of(0x32, body.length), body]));
    await until(`${JSON.stringify(topic)} is cut`, () => client.closed);
    const detail = await site.rejection("malformed-packet", i + 1);
    assert.ok(detail.includes(`"d${i}"`), detail);
    assert.is(client.count("puback"), 0);
  }
  assert.is(site.gateway.published.length, 0);
});

test("MQTT 5 is refused with CONNACK 1 and the remedy; MQTT 3.1 is served", async ({ site }) => {
  const modern = site.client();
  modern.sendBytes(Buffer.from([0x10, 18, 0, 4, ...Buffer.from("MQTT"), 5, 2, 0, 60, 0, 0, 5, ...Buffer.from("dev-5")]));
  const detail = await site.rejection("unsupported-protocol");
  assert.ok(detail.includes('"dev-5"') && detail.includes("127.0.0.1") && detail.includes("configure MQTT 3.1.1"), detail);
  await until("cut", () => modern.closed);
  assert.equal(
    modern.received.map((packet) => (packet.cmd === "connack" ? packet.returnCode : packet.cmd)),
    [1],
  );
  assert.ok(site.diagnostics.warned("mqtt-client-rejected", "configure MQTT 3.1.1"));
  const old = site.client();
  old.send({ cmd: "connect", protocolId: "MQIsdp", protocolVersion: 3, clean: true, keepalive: 0, clientId: "old" });
  await until("the old one is connected", () => old.count("connack") === 1);
  old.publish("t", "x", 1);
  await until("and served", () => old.count("puback") === 1);
});

test("a client that never sends CONNECT is closed", async () => {
  const site = await new Site({ connectTimeoutMs: 50 }).start();
  const client = site.client();
  client.sendBytes(Uint8Array.of(0x10, 0x20));
  await site.rejection("connect-timeout");
  await until("cut", () => client.closed);
  await site.close();
});

test("answers PINGREQ while messages are held", async ({ site }) => {
  site.gateway.hold = true;
  const client = site.client();
  await client.connect("window");
  for (let id = 1; id <= 100; id++) client.publish("t", "x", 1, id);
  await until("all are handed over", () => site.gateway.published.length === 100);
  client.send({ cmd: "pingreq" });
  await until("PINGRESP", () => client.count("pingresp") === 1);
  assert.is(client.count("puback"), 0);
  // And so for each further message that arrives while the others wait.
  for (let id = 101; id <= 110; id++) {
    client.publish("t", "x", id % 2 === 0 ? 1 : 2, id);
    client.send({ cmd: "pingreq" });
    await until("PINGRESP again", () => client.count("pingresp") === id - 99);
  }
  client.send({ cmd: "subscribe", messageId: 500, subscriptions: [{ topic: "other", qos: 0 }] });
  await until("SUBACK too", () => client.count("suback") === 1);
  site.gateway.release();
  await until("all are acknowledged", () => client.count("puback") === 105 && client.count("pubrec") === 5);
});

test("65,535 messages in flight: held up to a bound, then TCP pushes back, none is lost", async ({ site }) => {
  site.gateway.hold = true;
  const client = site.client();
  await client.connect("greedy");
  for (let id = 1; id <= 65_535; id++) client.publish("sensors/x/climate", "{}", 1, id);
  client.send({ cmd: "pingreq" });
  await until("the bound is reached", () => site.gateway.held.length > 15_000);
  const other = site.client();
  await other.connect("other");
  other.send({ cmd: "pingreq" });
  await until("another client is served", () => other.count("pingresp") === 1);
  assert.ok(site.gateway.held.length < 40_000, `${site.gateway.held.length} are held`);
  assert.is(client.count("pingresp"), 0);
  site.gateway.hold = false;
  site.gateway.release();
  await until("all are acknowledged", () => client.received.length === 1 + 65_535 + 1, 10_000);
  assert.is(client.count("puback"), 65_535);
  assert.is(client.count("pingresp"), 1);
  const ids = client.received.flatMap((packet) => (packet.cmd === "puback" ? [packet.messageId] : []));
  assert.ok(
    ids.every((id, i) => id === i + 1),
    "in order (MQTT-4.6.0)",
  );
});

test("a QoS 2 message sent again after its PUBREC was lost is not handed over twice", async ({ site }) => {
  const first = site.client();
  await first.connect("exactly", { clean: false });
  first.publish("t", "once", 2, 7);
  await until("PUBREC", () => first.count("pubrec") === 1);
  first.end();
  await until("gone", () => site.gateway.sessions.includes("-exactly"));
  const second = site.client();
  await second.connect("exactly", { clean: false });
  second.publish("t", "once", 2, 7, { dup: true });
  await until("PUBREC again", () => second.count("pubrec") === 1);
  second.send({ cmd: "pubrel", messageId: 7 });
  await until("PUBCOMP", () => second.count("pubcomp") === 1);
  assert.is(site.gateway.published.length, 1);
  second.publish("t", "twice", 2, 7);
  await until("the identifier is free again", () => site.gateway.published.length === 2);
});

test("the will of a client that breaks off goes through the gateway, and is delivered after done", async ({ site }) => {
  site.gateway.hold = true;
  const subscriber = site.client();
  await subscriber.connect("watcher");
  subscriber.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "gone/#", qos: 0 }] });
  await until("subscribed", () => subscriber.count("suback") === 1);
  const client = site.client();
  await client.connect("mortal", { will: { topic: "gone/mortal", payload: Buffer.from("bye"), qos: 1, retain: false } });
  client.end();
  await until("the will is handed over", () => site.gateway.published.length === 1);
  const { topic, payload, qos, client: author } = site.gateway.published[0] ?? {};
  assert.equal([topic, payload, qos, author?.id], ["gone/mortal", "bye", 1, "mortal"]);
  subscriber.send({ cmd: "pingreq" });
  await until("a round trip", () => subscriber.count("pingresp") === 1);
  assert.is(subscriber.count("publish"), 0);
  site.gateway.release();
  await until("delivered", () => subscriber.count("publish") === 1);
  const polite = site.client();
  await polite.connect("polite", { will: { topic: "gone/polite", payload: Buffer.from("bye"), qos: 0, retain: false } });
  polite.send({ cmd: "disconnect" });
  await until("the polite one is gone", () => site.gateway.sessions.includes("-polite"));
  assert.is(site.gateway.published.length, 1);
});

test("a will outlives the session of its client, and messages of it that were never finished", async ({ site }) => {
  const { gateway } = site;
  gateway.hold = true;
  const subscriber = site.client();
  await subscriber.connect("watcher");
  subscriber.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "gone/#", qos: 0 }] });
  await until("subscribed", () => subscriber.count("suback") === 1);
  const client = site.client();
  await client.connect("mortal", { will: { topic: "gone/mortal", payload: Buffer.from("bye"), qos: 1, retain: false } });
  client.publish("t", "unfinished", 1, 1);
  await until("handed over", () => gateway.published.length === 1);
  client.end();
  await until("the client's session has ended, and the will is handed over", () => gateway.sessions.includes("-mortal"));
  const [unfinished, will] = gateway.published;
  assert.is(will?.payload, "bye");
  assert.is.not(will?.client, unfinished?.client);
  assert.equal(gateway.ended, [unfinished?.client], "the will's session goes on");
  gateway.release();
  await until("the will's session ends with it", () => gateway.ended.length === 2);
  assert.is(gateway.ended[1], will?.client);
  await until("delivered", () => subscriber.count("publish") === 1);
  assert.equal(gateway.sessions, ["+watcher", "+mortal", "+mortal", "-mortal", "-mortal"]);
});

test("a will that the gateway gives up is deleted, with a log line", async ({ site }) => {
  const { gateway } = site;
  gateway.hold = true;
  const subscriber = site.client();
  await subscriber.connect("watcher");
  subscriber.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] });
  await until("subscribed", () => subscriber.count("suback") === 1);
  const client = site.client();
  await client.connect("mortal", { will: { topic: "gone/mortal", payload: Buffer.from("bye"), qos: 1, retain: false } });
  client.end();
  await until("the will is handed over", () => gateway.published.length === 1);
  gateway.published[0]?.client.close();
  await until("both sessions have ended", () => gateway.ended.length === 2);
  assert.ok(site.diagnostics.warned("mqtt-will-lost", "gone/mortal"));
  // Too late: it must not be delivered after all.
  gateway.release();
  gateway.hold = false;
  subscriber.publish("next", "x", 0, 0);
  await until("the next message is delivered", () => subscriber.count("publish") >= 1);
  assert.is(subscriber.count("publish"), 1);
});

test("a will on a topic that no PUBLISH may have is refused with the CONNECT", async ({ site }) => {
  const client = site.client();
  client.send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId: "w",
    will: { topic: "a/#", payload: Buffer.from("x"), qos: 0, retain: false },
  });
  assert.ok((await site.rejection("malformed-packet")).includes("will"));
  await until("cut", () => client.closed);
  assert.equal(site.gateway.sessions, []);
});

test("retained messages are kept up to the bound", async () => {
  const { defaultPersistenceLimits } = await import("../../../src/adapters/device-broker/bounded-persistence.ts");
  const site = await new Site({ persistence: { ...defaultPersistenceLimits, retainedMax: 2 } }).start();
  const client = site.client();
  await client.connect("keeper");
  for (let id = 1; id <= 3; id++) client.publish(`state/${id}`, `v${id}`, 1, id, { retain: true });
  await until("acknowledged", () => client.count("puback") === 3);
  client.send({ cmd: "subscribe", messageId: 9, subscriptions: [{ topic: "state/+", qos: 0 }] });
  await until("the retained ones come", () => client.count("publish") === 2);
  assert.is(site.broker.stats().retained, 2);
  assert.is(site.broker.stats().retainedRefused, 1);
  await site.close();
});

test("a persistent session gets what was sent while it was away, up to the bound", async () => {
  const { defaultPersistenceLimits } = await import("../../../src/adapters/device-broker/bounded-persistence.ts");
  const site = await new Site({ persistence: { ...defaultPersistenceLimits, queuedPerSessionMax: 3, sessionsMax: 1 } }).start();
  const first = site.client();
  await first.connect("reader", { clean: false });
  first.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "news", qos: 1 }] });
  await until("subscribed", () => first.count("suback") === 1);
  first.end();
  await until("away", () => site.gateway.sessions.includes("-reader"));
  const writer = site.client();
  await writer.connect("writer");
  for (let id = 1; id <= 5; id++) writer.publish("news", `n${id}`, 1, id);
  await until("acknowledged", () => writer.count("puback") === 5);
  await until("two too many", () => site.broker.stats().queuedDropped === 2);
  const second = site.client();
  await second.connect("reader", { clean: false });
  await until("the queue comes", () => second.count("publish") === 3);
  assert.equal(
    second.received.flatMap((packet) => (packet.cmd === "publish" ? [packet.payload.toString()] : [])),
    ["n1", "n2", "n3"],
  );
  for (const packet of second.received) {
    if (packet.cmd === "publish" && packet.messageId !== undefined) second.send({ cmd: "puback", messageId: packet.messageId });
  }
  await until("the queue is empty", () => site.broker.stats().queued === 0 && site.broker.stats().queuedBytes === 0);
  // One more persistent session than allowed: its subscription is refused, its connection is not.
  const third = site.client();
  await third.connect("other", { clean: false });
  third.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "news", qos: 1 }] });
  await until("refused", () => third.count("suback") === 1);
  const suback = third.received.find((packet) => packet.cmd === "suback");
  assert.equal(suback?.cmd === "suback" ? suback.granted : undefined, [128]);
  await site.close();
});

test("a subscriber that does not read loses its messages, and stalls nobody", async ({ site }) => {
  const frozen = site.client();
  await frozen.connect("frozen");
  frozen.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] });
  await until("subscribed", () => frozen.count("suback") === 1);
  frozen.socket.pause();
  const writer = site.client();
  await writer.connect("writer");
  const payload = Buffer.alloc(60_000);
  let sent = 0;
  // Far more than the two sockets hold; each next message waits for the acknowledgement of the one before.
  while (site.broker.stats().deliveriesDropped < 5 && sent < 2_000) {
    writer.publish("t", payload, 1, ++sent);
    await until("acknowledged at once", () => writer.count("puback") === sent, 1_000);
  }
  assert.ok(site.broker.stats().deliveriesDropped >= 5);
  assert.ok(site.gateway.sessions.includes("+frozen"));
  assert.not(site.gateway.sessions.includes("-frozen"));
});

test("a subscriber at QoS 1 that does not read is cut, and stalls nobody", async ({ site }) => {
  const frozen = site.client();
  await frozen.connect("frozen");
  frozen.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 1 }] });
  await until("subscribed", () => frozen.count("suback") === 1);
  frozen.socket.pause();
  const writer = site.client();
  await writer.connect("writer");
  const payload = Buffer.alloc(60_000);
  let sent = 0;
  while (!site.gateway.sessions.includes("-frozen") && sent < 2_000) {
    writer.publish("t", payload, 1, ++sent);
    await until("acknowledged at once", () => writer.count("puback") === sent, 1_000);
  }
  assert.ok(site.gateway.sessions.includes("-frozen"));
  assert.ok(site.diagnostics.warned("mqtt-subscriber-cut", "frozen"));
});

test("$ topics cannot be subscribed to, and subscriptions are bounded", async () => {
  const site = await new Site({ subscriptionsPerClientMax: 2 }).start();
  const client = site.client();
  await client.connect("s");
  const topics = ["$SYS/#", "a", "b", "c", "a"];
  for (const [i, topic] of topics.entries()) {
    client.send({ cmd: "subscribe", messageId: i + 1, subscriptions: [{ topic, qos: 0 }] });
    await until("answered", () => client.count("suback") === i + 1);
  }
  const granted = client.received.flatMap((packet) => (packet.cmd === "suback" ? packet.granted : []));
  assert.equal(granted, [128, 0, 0, 128, 0]);
  client.send({ cmd: "unsubscribe", messageId: 9, unsubscriptions: ["a"] });
  await until("unsubscribed", () => client.count("unsuback") === 1);
  client.send({ cmd: "subscribe", messageId: 10, subscriptions: [{ topic: "c", qos: 0 }] });
  await until("there is room again", () => client.count("suback") === 6);
  assert.equal(client.received.flatMap((packet) => (packet.cmd === "suback" ? packet.granted : [])).at(-1), 0);
  await site.close();
});

test("a port in use is a failure that names the address", async ({ site }) => {
  const second = new DeviceBroker({ host: "127.0.0.1", port: site.broker.port, diagnostics: site.diagnostics });
  const started = await second.start(new Gateway());
  assert.not(started.ok);
  if (!started.ok) {
    assert.is(started.code, "port-in-use");
    assert.ok(started.message.includes(`127.0.0.1:${site.broker.port}`), started.message);
  }
  await second.stop();
});

test("log lines that strangers cause are limited", async ({ site }) => {
  for (let i = 1; i <= 30; i++) {
    site.client().sendBytes(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await site.rejection("malformed-packet", i);
  }
  assert.is(site.diagnostics.lines.filter((line) => line.event === "mqtt-client-rejected").length, 10);
});

test.run();
