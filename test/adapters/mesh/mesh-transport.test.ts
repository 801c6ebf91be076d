// Goal: the mesh admits the gateways of the site and nobody else, says in words why a link is down, and never queues
// without bound. Method: pairs of transports over loopback, some with a wrong secret, site or id; raw MQTT bytes as a
// lying peer; a peer whose sockets are not read.
import { createServer, type Socket } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { boundPort } from "../../../src/adapters/device-broker/listen.ts";
import { MeshTransport, type MeshTransportOptions } from "../../../src/adapters/mesh/mesh-transport.ts";
import { meshNamesBytesMax } from "../../../src/config/cross-checks.ts";
import { type GatewayId, gatewayId } from "../../../src/lib/ids.ts";
import type { Channel, TransportHandlers } from "../../../src/ports/transport.ts";
import { RawClient } from "../device-broker/raw-client.ts";
import { RecordedDiagnostics } from "../device-broker/recorded-diagnostics.ts";
import { until } from "../device-broker/until.ts";
import { freePorts } from "./free-ports.ts";

const gwA = gatewayId("gw-a");
const gwB = gatewayId("gw-b");

class Gateway implements TransportHandlers {
  readonly diagnostics = new RecordedDiagnostics();
  readonly received: { from: GatewayId; channel: Channel; bytes: number; first: number | undefined }[] = [];
  readonly ups: GatewayId[] = [];
  readonly downs: string[] = [];
  readonly transport: MeshTransport;

  constructor(options: Omit<MeshTransportOptions, "diagnostics" | "site" | "sessionPart"> & { site?: string; sessionPart?: string }) {
    this.transport = new MeshTransport({ site: "plant-7", sessionPart: "s1", ...options, diagnostics: this.diagnostics });
  }

  receive(from: GatewayId, channel: Channel, frame: Uint8Array): void {
    this.received.push({ from, channel, bytes: frame.length, first: frame[0] });
  }

  up(peer: GatewayId): void {
    this.ups.push(peer);
  }

  down(_peer: GatewayId, reason: string): void {
    this.downs.push(reason);
  }
}

const test = suite<{ a: number; b: number; running: Gateway[] }>("mesh transport");

test.before.each(async (context) => {
  const [a, b] = await freePorts(2);
  context.a = a ?? 0;
  context.b = b ?? 0;
  context.running = [];
});
test.after.each(async ({ running }) => {
  await Promise.all(running.map((gateway) => gateway.transport.stop()));
});

const local = (port: number) => ({ host: "127.0.0.1", port });

async function started(running: Gateway[], gateway: Gateway): Promise<Gateway> {
  running.push(gateway);
  const result = await gateway.transport.start(gateway);
  assert.ok(result.ok, result.ok ? "" : result.message);
  return gateway;
}

interface PairOptions {
  readonly secrets: readonly [string | undefined, string | undefined];
  readonly siteOfB?: string;
  readonly listOfB?: GatewayId;
}

/** gw-a, which knows gw-b's address, and gw-b, which calls nobody that answers. */
async function pair(context: { a: number; b: number; running: Gateway[] }, options: PairOptions): Promise<readonly [Gateway, Gateway]> {
  const b = await started(
    context.running,
    new Gateway({
      self: gwB,
      secret: options.secrets[1],
      listen: local(context.b),
      peers: [{ id: options.listOfB ?? gwA, ...local(1) }],
      ...(options.siteOfB === undefined ? {} : { site: options.siteOfB }),
    }),
  );
  const a = await started(
    context.running,
    new Gateway({ self: gwA, secret: options.secrets[0], listen: local(context.a), peers: [{ id: gwB, ...local(context.b) }] }),
  );
  return [a, b];
}

test("the longest names that the settings allow fit the pre-shared key's identity", async ({ a, b, running }) => {
  const [self, other] = [gatewayId("a".repeat(32)), gatewayId("b".repeat(32))];
  // 78 bytes in 26 characters.
  const site = "驛".repeat(26);
  assert.is(Buffer.byteLength(site) + self.length, meshNamesBytesMax);
  const names = { site, sessionPart: "0123abcd", secret: "s" };
  const one = await started(running, new Gateway({ ...names, self, listen: local(a), peers: [{ id: other, ...local(b) }] }));
  const two = await started(running, new Gateway({ ...names, self: other, listen: local(b), peers: [{ id: self, ...local(a) }] }));
  await until("both are up", () => one.transport.isUp(other) && two.transport.isUp(self));
});

test("a wrong secret is named on both sides", async (context) => {
  const [a, b] = await pair(context, { secrets: ["one", "two"] });
  await until("a knows", () => a.downs.includes("wrong secret: the peer has another one"));
  await until("b knows", () => b.diagnostics.warned("mesh-peer-refused", "wrong secret"));
  assert.ok(b.diagnostics.warned("mesh-peer-refused", "fogbank/plant-7/gw-a/s1"), "and who it was");
  assert.not(a.transport.isUp(gwB));
  assert.is(a.downs.length, 1, "once, however often it is tried");
});

test("a secret on one side only is named", async (context) => {
  const [a, b] = await pair(context, { secrets: [undefined, "two"] });
  await until("a knows", () => a.downs.some((reason) => reason.includes("a secret on one side only")));
  await until("b knows", () => b.diagnostics.warned("mesh-peer-refused", "no TLS"));
});

test("a gateway of another site is refused: TLS-PSK", async (context) => {
  const [a, b] = await pair(context, { secrets: ["s", "s"], siteOfB: "plant-8" });
  await until("a knows", () => a.downs.some((reason) => reason.startsWith("refused")));
  await until("b knows", () => b.diagnostics.warned("mesh-peer-refused", "another site (plant-7)"));
  assert.equal(a.ups, []);
});

for (const secret of [undefined, "s"]) {
  test(`a gateway that is not listed is heard with small frames only, until it is listed (${secret === undefined ? "plain" : "TLS"})`, async (context) => {
    const [a, b] = await pair(context, { secrets: [secret, secret], listOfB: gatewayId("gw-x") });
    await until("a is connected", () => a.transport.isUp(gwB));
    assert.ok(a.transport.send(gwB, "raft", new Uint8Array(1_000)));
    await until("b hears", () => b.received.length === 1);
    a.transport.send(gwB, "raft", new Uint8Array(1_000_000));
    await until("it is cut off", () => a.downs.length > 0);
    await until("and back", () => a.transport.isUp(gwB));
    b.transport.setPeers([{ id: gwA, ...local(context.a) }]);
    await until("b reaches a", () => b.transport.isUp(gwA));
    await until("what is larger passes", () => {
      a.transport.send(gwB, "raft", new Uint8Array(1_000_000));
      return b.received.some((frame) => frame.bytes === 1_000_000);
    });
  });
}

test("of gateways that are not listed sixteen are let in, and listed ones all the same", async ({ b, running }) => {
  const gateway = await started(
    running,
    new Gateway({ self: gwB, secret: undefined, listen: local(b), peers: [{ id: gwA, ...local(1) }] }),
  );
  const clients: RawClient[] = [];
  for (let i = 0; i < 16; i++) {
    const client = new RawClient(b);
    await client.connect(`fogbank/plant-7/new-${i}/s/raft`);
    clients.push(client);
  }
  const oneMore = new RawClient(b);
  oneMore.send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId: "fogbank/plant-7/new-16/s/raft",
  });
  await until("the seventeenth is turned away", () => oneMore.closed);
  assert.ok(gateway.diagnostics.warned("mesh-peer-refused", "new-16"));
  const peer = new RawClient(b);
  await peer.connect("fogbank/plant-7/gw-a/s/raft");
  const second = new RawClient(b);
  await second.connect("fogbank/plant-7/new-3/s/data");
  clients[0]?.end();
  let late = new RawClient(b);
  const ask = () =>
    late.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId: "fogbank/plant-7/new-17/s/raft",
    });
  ask();
  await until("another one has the place that is free now", () => {
    if (late.closed) {
      late = new RawClient(b);
      ask();
    }
    return late.received.some((packet) => packet.cmd === "connack" && packet.returnCode === 0);
  });
  for (const client of [...clients, peer, second, late]) client.end();
});

test("an answer counts under the name of the gateway that was called only, and only where it is small", async ({ a, b, running }) => {
  const [gwO, gwZ] = [gatewayId("gw-o"), gatewayId("gw-z")];
  const answering = await started(running, new Gateway({ self: gwB, secret: "s", listen: local(b), peers: [] }));
  const one = await started(running, new Gateway({ self: gwA, secret: "s", listen: local(a), peers: [{ id: gwB, ...local(b) }] }));
  const [port = 0] = await freePorts(1);
  // It takes gw-b for gw-z.
  const other = await started(running, new Gateway({ self: gwO, secret: "s", listen: local(port), peers: [{ id: gwZ, ...local(b) }] }));
  await until("both are connected", () => one.transport.isUp(gwB) && other.transport.isUp(gwZ));
  assert.ok(answering.transport.send(gwO, "raft", Uint8Array.of(1)));
  assert.ok(answering.transport.send(gwA, "raft", new Uint8Array(64 * 1024)));
  assert.is(answering.transport.send(gwA, "raft", new Uint8Array(64 * 1024 + 1)), false);
  assert.is(answering.transport.send(gwZ, "raft", Uint8Array.of(1)), false, "nobody of that name is connected");
  await until("the largest answer arrives", () => one.received.length === 1);
  assert.equal(one.received, [{ from: gwB, channel: "raft", bytes: 64 * 1024, first: 0 }]);
  assert.equal([other.received, one.downs, other.downs], [[], [], []]);
  assert.equal(answering.ups, []);
});

test("a gateway that is taken off the list is cut off, may come back to be told, and is called again at its new address", async (context) => {
  const [a, b] = await pair(context, { secrets: ["s", "s"] });
  await until("up", () => a.transport.isUp(gwB));
  b.transport.setPeers([]);
  await until("a was cut off", () => a.downs.includes("connection closed by the peer"));
  await until("a is back", () => a.transport.isUp(gwB));
  assert.equal(b.ups, [], "b called nobody that answers");
  b.transport.setPeers([{ id: gwA, ...local(1) }]);
  b.transport.setPeers([{ id: gwA, ...local(context.a) }]);
  await until("b reaches a at its new address", () => b.ups.length === 1);
  b.transport.setPeers([{ id: gwA, ...local(1) }]);
  await until("and lets go of it for another one", () => b.downs.includes("its address is 127.0.0.1:1 now"));
  await until("which does not answer", () => b.downs.at(-1)?.startsWith("connection refused") === true);
});

test("a gateway of another site is refused: plain", async (context) => {
  const [a, b] = await pair(context, { secrets: [undefined, undefined], siteOfB: "plant-8" });
  await until("a knows", () => a.downs.includes("refused: the peer does not admit this gateway"));
  await until("b knows", () => b.diagnostics.warned("mesh-peer-refused", "another site (plant-7)"));
  assert.equal(a.ups, []);
});

test("a refused connection, an unknown host and a stranger's port have their reasons", async ({ a, b, running }) => {
  const stranger = createServer((socket) => {
    socket.on("error", () => {});
    socket.resume();
    socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
  const gateway = new Gateway({
    self: gwA,
    secret: undefined,
    listen: local(a),
    peers: [
      { id: gwB, ...local(b) },
      { id: gatewayId("gw-c"), host: "host.invalid", port: 1 },
      { id: gatewayId("gw-d"), ...local(boundPort(stranger)) },
    ],
  });
  await started(running, gateway);
  await until("all are known", () =>
    ["connection refused", "host not found", "no mesh broker listens there"].every((reason) =>
      gateway.downs.some((down) => down.startsWith(reason)),
    ),
  );
  stranger.close();
});

test("without a secret only loopback is bound", async ({ a }) => {
  const gateway = new Gateway({ self: gwA, secret: undefined, listen: { host: "0.0.0.0", port: a }, peers: [] });
  const result = await gateway.transport.start(gateway);
  assert.not(result.ok);
  if (!result.ok) assert.is(result.code, "configuration-invalid");
});

test("a port in use is a failure that names the address", async ({ a, running }) => {
  await started(running, new Gateway({ self: gwA, secret: undefined, listen: local(a), peers: [] }));
  const second = new Gateway({ self: gwA, secret: undefined, listen: local(a), peers: [] });
  const result = await second.transport.start(second);
  assert.not(result.ok);
  if (!result.ok) {
    assert.is(result.code, "port-in-use");
    assert.ok(result.message.includes(`127.0.0.1:${a}`), result.message);
  }
  await second.transport.stop();
});

for (const secret of [undefined, "s"]) {
  test(`two processes under one id both connect (${secret === undefined ? "plain" : "TLS"})`, async ({ a, b, running }) => {
    const receiver = await started(running, new Gateway({ self: gwB, secret, listen: local(b), peers: [{ id: gwA, ...local(1) }] }));
    const peers = [{ id: gwB, ...local(b) }];
    const one = await started(running, new Gateway({ self: gwA, secret, listen: local(a), peers }));
    const [other] = await freePorts(1);
    const two = await started(running, new Gateway({ self: gwA, sessionPart: "s2", secret, listen: local(other ?? 0), peers }));
    await until("both are up", () => one.transport.isUp(gwB) && two.transport.isUp(gwB));
    one.transport.send(gwB, "raft", Uint8Array.of(1));
    two.transport.send(gwB, "raft", Uint8Array.of(2));
    await until("both are heard", () => receiver.received.length === 2);
    assert.equal(new Set(receiver.received.map((frame) => frame.first)), new Set([1, 2]));
    assert.equal([one.downs, two.downs], [[], []]);
  });
}

test("a lying peer cannot speak for another, subscribe, retain, or send what is too large", async ({ b, running }) => {
  const peers = [gwA, gatewayId("gw-c")].map((id) => ({ id, ...local(1) }));
  const gateway = await started(running, new Gateway({ self: gwB, secret: undefined, listen: local(b), peers }));
  const liar = async (link: string): Promise<RawClient> => {
    const client = new RawClient(b);
    await client.connect(`fogbank/plant-7/gw-a/s9/${link}`);
    return client;
  };
  const attempts: ((client: RawClient) => void)[] = [
    (client) => client.publish("fogbank/plant-7/gw-b/gw-c/raft", "x", 0),
    (client) => client.publish("fogbank/plant-7/gw-b/gw-a/bulk", "x", 0),
    (client) => client.publish("fogbank/plant-7/gw-b/gw-a/secret", "x", 0),
    (client) => client.publish("fogbank/plant-7/gw-b/gw-a/raft", "x", 1),
    (client) => client.publish("fogbank/plant-7/gw-b/gw-a/raft", "x", 0, 1, { retain: true }),
    // A header that announces 17 MiB + 64 KiB; not one byte of it follows.
    (client) => client.sendBytes(Uint8Array.of(0x30, 0x80, 0x80, 0xc4, 0x08)),
  ];
  for (const [i, attempt] of attempts.entries()) {
    const client = await liar("raft");
    attempt(client);
    await until(`attempt ${i} is cut`, () => client.closed);
  }
  const listener = await liar("raft");
  listener.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] });
  await until("answered", () => listener.count("suback") === 1);
  const suback = listener.received.find((packet) => packet.cmd === "suback");
  assert.equal(suback?.cmd === "suback" ? suback.granted : undefined, [128]);
  listener.publish("fogbank/plant-7/gw-b/gw-a/raft", "true", 0);
  await until("what is right passes", () => gateway.received.length === 1);
  listener.end();
  assert.equal(gateway.received, [{ from: gwA, channel: "raft", bytes: 4, first: "t".charCodeAt(0) }]);
  const stranger = new RawClient(b);
  stranger.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0, clientId: "a-device" });
  await until("a device is turned away", () => stranger.closed);
  assert.ok(gateway.diagnostics.warned("mesh-peer-refused", "a-device"));
});

test("a frame too large is not sent, and the link stays", async (context) => {
  const [a, b] = await pair(context, { secrets: [undefined, undefined] });
  await until("up", () => a.transport.isUp(gwB));
  assert.is(a.transport.send(gwB, "raft", new Uint8Array(16 * 1024 * 1024 + 1)), false);
  await until("the largest bulk frame passes", () => {
    if (b.received.length > 0) return true;
    if (a.transport.stats().framesSent === 0) a.transport.send(gwB, "bulk", new Uint8Array(17 * 1024 * 1024));
    return false;
  });
  assert.equal(b.received[0], { from: gwA, channel: "bulk", bytes: 17 * 1024 * 1024, first: 0 });
  assert.equal(a.downs, []);
});

test("to a peer that does not read, frames are dropped at the bound, on that link only", async ({ a, running }) => {
  // A broker that admits everybody and then reads nothing more.
  const sockets: Socket[] = [];
  const frozen = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.pause();
      socket.write(Uint8Array.of(0x20, 2, 0, 0));
    });
  });
  await new Promise<void>((resolve) => frozen.listen(0, "127.0.0.1", resolve));
  const gateway = await started(
    running,
    new Gateway({ self: gwA, secret: undefined, listen: local(a), peers: [{ id: gwB, ...local(boundPort(frozen)) }] }),
  );
  await until("up", () => gateway.transport.isUp(gwB));
  const frame = new Uint8Array(64 * 1024);
  let accepted = 0;
  // The raft link's bound of 1 MiB, one frame more, and what the kernel's socket buffers take.
  await until("the bound is reached", () => {
    for (let i = 0; i < 16; i++) {
      if (!gateway.transport.send(gwB, "raft", frame)) return true;
      accepted++;
    }
    return false;
  });
  assert.ok(accepted * frame.length < 32 * 1024 * 1024, `${accepted} frames were accepted`);
  assert.ok(gateway.transport.stats().framesDropped >= 1);
  assert.ok(gateway.transport.send(gwB, "replica", frame), "the data link has a queue of its own");
  for (const socket of sockets) socket.destroy();
  frozen.close();
});

test.run();
