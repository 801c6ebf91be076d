// Goal: a real client whose connection is cut before the PUBACK resends by itself, and its reading, which has no time of its own, is
// stored once. Method: mqtt.js with a persistent session at one of three real gateways, the others stopped (SIGSTOP) until its socket is gone.
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readAll } from "./support/readings.ts";
import { must, TestSite } from "./support/site.ts";
import { until } from "./support/until.ts";

const test = suite("a resend without device time");

const profile = "profile: plain\ntopic: plain/{device}\npayload: number\nmetrics:\n  v: {}\n";

/** What mqtt.js keeps for a resend gets the DUP flag that MQTT-3.3.1-1 asks for, and that it leaves out itself. */
class ResendStore extends mqtt.Store {
  override put(...[packet, callback]: Parameters<mqtt.Store["put"]>): this {
    return super.put(packet.cmd === "publish" ? { ...packet, dup: true } : packet, callback);
  }
}

test("cut before the PUBACK: mqtt.js sends it again with DUP, and it is stored once", async () => {
  const site = await TestSite.start({ files: { "devices/plain.yaml": profile } });
  const near = site.gateway("gw-a");
  const others = site.gateways.filter((gateway) => gateway !== near);
  const client = await mqtt.connectAsync({
    host: "127.0.0.1",
    port: near.ports.mqtt,
    protocolVersion: 4,
    clientId: "thermometer",
    clean: false,
    reconnectPeriod: 200,
    outgoingStore: new ResendStore(),
  });
  const resent: number[] = [];
  client.on("packetsend", (packet) => {
    if (packet.cmd === "publish" && packet.dup) resent.push(packet.messageId ?? 0);
  });
  try {
    await client.publishAsync("plain/d1", "1", { qos: 1 });
    for (const other of others) other.process.signal("SIGSTOP");
    const waiting = Promise.all([2, 3].map((value) => client.publishAsync("plain/d1", String(value), { qos: 1 })));
    await until("both have come to the gateway", async () => (must(await near.client.status()).ingest.pending === 2 ? true : undefined), {
      withinMs: 10_000,
    });
    client.stream.destroy();
    // One at a time, as mqtt.js does it.
    await until("it has sent the first again", () => (resent.length === 1 ? true : undefined), { withinMs: 10_000 });
    for (const other of others) other.process.signal("SIGCONT");
    await waiting;
    assert.is(resent.length, 2);
    await client.publishAsync("plain/d1", "4", { qos: 1 });
    for (const gateway of site.gateways) {
      const points = (await readAll(gateway.client, { metric: "v", device: "d1" })).get("d1") ?? [];
      assert.equal(
        points.map(([, value]) => value),
        [1, 2, 3, 4],
        gateway.id,
      );
    }
  } finally {
    for (const other of others) other.process.signal("SIGCONT");
    client.end(true);
    await site.end();
  }
});

test.run();
