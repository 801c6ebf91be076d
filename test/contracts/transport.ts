// Goal: what src/ports/transport.ts promises holds for every implementation. Method: a small site of gateways on a
// faultless network, of which the implementation under test decides what it is; frames are sent again until they arrive,
// since a frame may always be lost.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type GatewayId, gatewayId } from "../../src/lib/ids.ts";
import type { Channel, PeerAddress, Transport, TransportHandlers } from "../../src/ports/transport.ts";

/** The site under test. Each gateway in `ids` (three) may be started, stopped, and started again. */
export interface TransportSite {
  readonly ids: readonly [GatewayId, GatewayId, GatewayId];
  /** Where the gateway's mesh listens. */
  addressOf(id: GatewayId): PeerAddress;
  /** A transport that is not started yet; it replaces an earlier one of the same id, which was stopped. */
  create(id: GatewayId): Transport;
  /** Lets time pass until the condition holds; fails after a few seconds. */
  until(what: string, condition: () => boolean): Promise<void>;
  /** Stops what still runs. */
  close(): Promise<void>;
}

interface Received {
  readonly from: GatewayId;
  readonly channel: Channel;
  readonly frame: Uint8Array;
}

class Recorder implements TransportHandlers {
  readonly received: Received[] = [];
  readonly events: string[] = [];

  receive(from: GatewayId, channel: Channel, frame: Uint8Array): void {
    this.received.push({ from, channel, frame });
  }

  up(peer: GatewayId): void {
    this.events.push(`up ${peer}`);
  }

  down(peer: GatewayId, reason: string): void {
    assert.ok(reason.length > 0, "a reason is given");
    this.events.push(`down ${peer}`);
  }
}

interface Running {
  readonly transport: Transport;
  readonly recorder: Recorder;
}

const channels: readonly Channel[] = ["raft", "replica", "register", "job", "bulk"];

async function start(site: TransportSite, id: GatewayId): Promise<Running> {
  const transport = site.create(id);
  const recorder = new Recorder();
  const started = await transport.start(recorder);
  assert.ok(started.ok, started.ok ? "" : started.message);
  return { transport, recorder };
}

async function deliver(
  site: TransportSite,
  options: { from: Running; to: Running; toId: GatewayId; channel: Channel; frame: Uint8Array },
): Promise<Received> {
  const { from, to, toId, channel, frame } = options;
  const before = to.recorder.received.length;
  // A copy of the frame before, which had to be sent again, may still come.
  const isIt = (received: Received) => received.channel === channel && received.frame.length === frame.length;
  await site.until(`a frame on ${channel} arrives`, () => {
    const arrived = to.recorder.received.slice(before).some(isIt);
    if (!arrived) from.transport.send(toId, channel, Uint8Array.from(frame));
    return arrived;
  });
  const received = to.recorder.received.slice(before).find(isIt);
  assert.ok(received);
  return received as Received;
}

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}

/** Registers the suite under `name`; the caller's file needs no `.run()` of its own for it. */
export function transportContract(name: string, createSite: () => Promise<TransportSite>): void {
  const test = suite<{ site: TransportSite }>(`transport contract: ${name}`);

  test.before.each(async (context) => {
    context.site = await createSite();
  });
  test.after.each(async (context) => {
    await context.site.close();
  });

  test("links come up on both sides, and isUp agrees", async ({ site }) => {
    const [idA, idB] = site.ids;
    const a = await start(site, idA);
    assert.not(a.transport.isUp(idB));
    const b = await start(site, idB);
    await site.until("both are up", () => a.transport.isUp(idB) && b.transport.isUp(idA));
    assert.is(a.recorder.events.filter((event) => event === `up ${idB}`).length, 1);
    assert.is(b.recorder.events.filter((event) => event === `up ${idA}`).length, 1);
  });

  test("frames arrive whole on their channel, under the sender's id", async ({ site }) => {
    const [idA, idB, idC] = site.ids;
    const b = await start(site, idB);
    const a = await start(site, idA);
    const c = await start(site, idC);
    const up = () => a.transport.isUp(idB) && c.transport.isUp(idB);
    await site.until("a and c reach b", up);
    for (const channel of channels) {
      for (const length of [0, 1, 200, 70_000]) {
        const frame = pattern(length, length + channels.indexOf(channel));
        const received = await deliver(site, { from: a, to: b, toId: idB, channel, frame });
        assert.is(received.from, idA);
        assert.ok(Buffer.compare(received.frame, frame) === 0, `${length} bytes on ${channel}`);
      }
    }
    const fromC = await deliver(site, { from: c, to: b, toId: idB, channel: "raft", frame: pattern(10, 1) });
    assert.is(fromC.from, idC);
  });

  test("a megabyte arrives whole on bulk and on replica", async ({ site }) => {
    const [idA, idB] = site.ids;
    const b = await start(site, idB);
    const a = await start(site, idA);
    await site.until("a reaches b", () => a.transport.isUp(idB));
    for (const channel of ["bulk", "replica"] as const) {
      const frame = pattern(1024 * 1024, 5);
      const received = await deliver(site, { from: a, to: b, toId: idB, channel, frame });
      assert.ok(Buffer.compare(received.frame, frame) === 0);
    }
  });

  test("a received frame stays what it was while others arrive", async ({ site }) => {
    const [idA, idB] = site.ids;
    const b = await start(site, idB);
    const a = await start(site, idA);
    await site.until("a reaches b", () => a.transport.isUp(idB));
    const kept = await deliver(site, { from: a, to: b, toId: idB, channel: "replica", frame: pattern(5_000, 9) });
    for (let i = 0; i < 200; i++) a.transport.send(idB, "replica", pattern(5_000, i));
    await deliver(site, { from: a, to: b, toId: idB, channel: "job", frame: pattern(1, 0) });
    assert.ok(Buffer.compare(kept.frame, pattern(5_000, 9)) === 0);
  });

  test("send says no, and counts it, without a link and to a stranger", async ({ site }) => {
    const [idA, idB] = site.ids;
    const a = await start(site, idA);
    assert.is(a.transport.send(idB, "raft", pattern(3, 0)), false);
    assert.is(a.transport.send(gatewayId("nobody"), "raft", pattern(3, 0)), false);
    assert.is(a.transport.isUp(gatewayId("nobody")), false);
    assert.is(a.transport.stats().framesDropped, 2);
    assert.is(a.transport.stats().framesSent, 0);
  });

  test("a peer that stops is down, and up again when it is back", async ({ site }) => {
    const [idA, idB] = site.ids;
    const a = await start(site, idA);
    const first = await start(site, idB);
    await site.until("a reaches b", () => a.transport.isUp(idB));
    await first.transport.stop();
    await site.until("b is down", () => !a.transport.isUp(idB));
    assert.is(a.transport.send(idB, "raft", pattern(3, 0)), false);
    const lost = first.recorder.received.length;
    const second = await start(site, idB);
    await site.until("b is up again", () => a.transport.isUp(idB));
    await deliver(site, { from: a, to: second, toId: idB, channel: "raft", frame: pattern(3, 1) });
    // Only what was sent since: a link keeps nothing for later.
    assert.ok(second.recorder.received.every((received) => received.frame[0] === pattern(3, 1)[0]));
    assert.is(first.recorder.received.length, lost);
    const ofB = a.recorder.events.filter((event) => event.endsWith(idB));
    const ups = ofB.flatMap((event, i) => (event.startsWith("up") ? [i] : []));
    assert.is(ups.length, 2);
    assert.ok(ofB.slice(ups[0], ups[1]).includes(`down ${idB}`), "a down between the ups");
  });

  test("setPeers: who is not listed is cut off, both ways, and linked when listed again; the same list changes nothing", async ({
    site,
  }) => {
    const [idA, idB, idC] = site.ids;
    const [a, b, c] = [await start(site, idA), await start(site, idB), await start(site, idC)];
    const linked = () => [a.transport.isUp(idB), a.transport.isUp(idC), b.transport.isUp(idA), c.transport.isUp(idA)].every((up) => up);
    await site.until("all are linked", linked);
    a.transport.setPeers([site.addressOf(idA), site.addressOf(idC), site.addressOf(idB), site.addressOf(idB)]);
    a.transport.setPeers([site.addressOf(idC)]);
    assert.not(a.transport.isUp(idB));
    assert.is(a.transport.send(idB, "replica", pattern(3, 0)), false);
    await site.until("a is told", () => a.recorder.events.includes(`down ${idB}`));
    await deliver(site, { from: a, to: c, toId: idC, channel: "raft", frame: pattern(3, 1) });
    a.transport.setPeers([site.addressOf(idB), site.addressOf(idC)]);
    await site.until("b is linked again", () => a.transport.isUp(idB));
    await deliver(site, { from: a, to: b, toId: idB, channel: "raft", frame: pattern(3, 2) });
    // Before the first "up" an attempt may have failed.
    const since = (id: GatewayId) => {
      const events = a.recorder.events.filter((event) => event.endsWith(id));
      return events.slice(events.indexOf(`up ${id}`));
    };
    assert.equal(since(idB), [`up ${idB}`, `down ${idB}`, `up ${idB}`]);
    assert.equal(since(idC), [`up ${idC}`], "nothing happened to the other");
    assert.is(a.transport.isUp(idA), false, "no link to itself");
  });

  test("setPeers before start: a gateway that is not listed is heard, and gets small answers on raft, until it is", async ({ site }) => {
    const [idA, idB] = site.ids;
    const a = site.create(idA);
    const recorder = new Recorder();
    a.setPeers([]);
    assert.ok((await a.start(recorder)).ok);
    const heard = { transport: a, recorder };
    const b = await start(site, idB);
    await site.until("b reaches a", () => b.transport.isUp(idA));
    const hello = await deliver(site, { from: b, to: heard, toId: idA, channel: "raft", frame: pattern(300, 1) });
    assert.is(hello.from, idB);
    assert.ok(Buffer.compare(hello.frame, pattern(300, 1)) === 0);
    assert.not(a.isUp(idB));
    const answer = await deliver(site, { from: heard, to: b, toId: idB, channel: "raft", frame: pattern(200, 4) });
    assert.equal([answer.from, answer.channel], [idA, "raft"]);
    assert.ok(Buffer.compare(answer.frame, pattern(200, 4)) === 0);
    for (const channel of channels) if (channel !== "raft") assert.is(a.send(idB, channel, pattern(3, 0)), false, channel);
    assert.is(a.send(idB, "raft", pattern(1024 * 1024, 0)), false, "too large");
    assert.equal(recorder.events, []);
    a.setPeers([site.addressOf(idB)]);
    await site.until("a reaches b", () => a.isUp(idB));
    await deliver(site, { from: heard, to: b, toId: idB, channel: "raft", frame: pattern(3, 1) });
    await deliver(site, { from: b, to: heard, toId: idA, channel: "replica", frame: pattern(1024 * 1024, 2) });
  });

  test("no event comes after stop", async ({ site }) => {
    const [idA, idB] = site.ids;
    const b = await start(site, idB);
    const a = await start(site, idA);
    await site.until("both are up", () => a.transport.isUp(idB) && b.transport.isUp(idA));
    for (let i = 0; i < 50; i++) a.transport.send(idB, "raft", pattern(100, i));
    await b.transport.stop();
    const [received, events] = [b.recorder.received.length, b.recorder.events.length];
    await site.until("a notices", () => !a.transport.isUp(idB));
    assert.is(b.recorder.received.length, received);
    assert.is(b.recorder.events.length, events);
    assert.is(b.transport.send(idA, "raft", pattern(1, 0)), false);
  });

  test("stats count frames and bytes", async ({ site }) => {
    const [idA, idB] = site.ids;
    const b = await start(site, idB);
    const a = await start(site, idA);
    await site.until("a reaches b", () => a.transport.isUp(idB));
    await deliver(site, { from: a, to: b, toId: idB, channel: "raft", frame: pattern(1_000, 3) });
    const sent = a.transport.stats();
    assert.ok(sent.framesSent >= 1);
    assert.is(sent.bytesSent, sent.framesSent * 1_000);
    await site.until("all that was sent arrived", () => b.transport.stats().framesReceived === a.transport.stats().framesSent);
    assert.is(b.transport.stats().bytesReceived, sent.bytesSent);
  });

  test.run();
}
