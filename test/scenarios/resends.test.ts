// Goal: a message without a time of its own that is sent again after its connection was lost is stored once where MQTT says that it is
// the same, and again where it may not be. Method: a simulated site; a device with a persistent session that resends as MQTT 3.1.1 does.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DeviceLink } from "../../src/sim/broker.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { foundedSite, readingsAt } from "./harness.ts";

const test = suite("resends without device time");

/** Packet ids are the values that are said. */
class Sayer {
  readonly acknowledged: number[] = [];
  closed = false;
  readonly #link: DeviceLink;

  constructor(gateway: SimulatedGateway, persistent = true) {
    const link = gateway.running()?.broker.connect({ clientId: "sayer", persistent }, () => {
      this.closed = true;
    });
    if (link === undefined) throw new Error(`${gateway.id} does not listen`);
    this.#link = link;
  }

  say(value: number, duplicate = false): void {
    const packet = { packetId: value, duplicate };
    this.#link.publish("plain/d1", new TextEncoder().encode(String(value)), 1, () => this.acknowledged.push(value), packet);
  }

  hangUp(): void {
    this.#link.close();
  }
}

test("the time-out of the acknowledgement closes the connection; the resend is stored once, in its order, with its first time", async () => {
  const site = await foundedSite(11);
  const near = site.gateway("gw-a");
  const first = new Sayer(near);
  first.say(1);
  await site.until(() => first.acknowledged.length === 1, { withinMs: 5_000 });
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).crash({ power: false });
  const sentMs = site.wallMs();
  for (const value of [2, 3, 4]) first.say(value);
  await site.until(() => first.closed, { withinMs: 25_000 });
  assert.equal(first.acknowledged, [1]);
  for (const id of ["gw-b", "gw-c"]) site.gateway(id).start();
  const second = new Sayer(near);
  for (const value of [2, 3, 4]) second.say(value, true);
  second.say(5);
  await site.until(() => second.acknowledged.length === 4, { withinMs: 20_000 });
  for (const gateway of site.gateways) {
    const { points } = await readingsAt(site, gateway, "d1");
    assert.equal(
      points.map(([, value]) => value),
      [1, 2, 3, 4, 5],
      gateway.id,
    );
    assert.ok((points[3]?.[0] ?? 0) <= sentMs + 10, "the time of the first sending");
  }
});

test("another gateway, or a clean session, does not know that it is a resend: at least once", async () => {
  const site = await foundedSite(12);
  for (const [index, again] of [() => new Sayer(site.gateway("gw-b")), () => new Sayer(site.gateway("gw-a"), false)].entries()) {
    const first = new Sayer(site.gateway("gw-a"));
    first.say(10 + index);
    await site.until(() => first.acknowledged.length === 1, { withinMs: 5_000 });
    first.hangUp();
    await site.runFor(10);
    const second = again();
    second.say(10 + index, true);
    await site.until(() => second.acknowledged.length === 1, { withinMs: 5_000 });
    second.hangUp();
  }
  const { points } = await readingsAt(site, site.gateway("gw-c"), "d1");
  assert.equal(
    points.map(([, value]) => value),
    [10, 10, 11, 11],
  );
});

test.run();
