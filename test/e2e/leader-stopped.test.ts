// Goal: ingest does not depend on the Raft leader, and a gateway that lost its memory is not let in again. Method: the leader's process
// is frozen for ten seconds while devices publish to the two others; then its data folder is deleted while it is down.
import { rmSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Device } from "./support/device.ts";
import { Ledger, ledgerProfile } from "./support/ledger.ts";
import { must, type TestGateway, TestSite } from "./support/site.ts";
import { pause, until } from "./support/until.ts";

const test = suite("the leader frozen, then its disk lost");

const devicesPerGateway = 3;
const windowMax = 5;
const frozenMs = 10_000;
/** The longest that devices of one gateway may be without an acknowledgement. */
const gapMsMax = 5_000;
const queueMax = 50;

/** Devices that publish without a pause until they are told to end; the longest time without an acknowledgement is kept. */
class SteadyDevices {
  longestGapMs = 0;
  acknowledged = 0;
  readonly #devices: Device[] = [];
  #lastMs = performance.now();
  #ended = false;
  readonly #loops: Promise<void>[] = [];

  constructor(ledger: Ledger, gateway: TestGateway) {
    for (let index = 0; index < devicesPerGateway; index++) {
      const name = `steady-${gateway.id}-${index}`;
      const under: { acknowledged(): void }[] = [];
      const device = new Device({
        clientId: name,
        ports: [gateway.ports.mqtt],
        windowMax,
        onAcknowledged: (at) => {
          under[at]?.acknowledged();
          this.acknowledged++;
          this.#noteGap();
        },
      });
      this.#devices.push(device);
      this.#loops.push(
        (async () => {
          while (!this.#ended) {
            if (under.length - device.acknowledgedCount < queueMax) {
              const message = ledger.next(name);
              under.push(message);
              device.publish([message]);
            }
            await pause(10);
          }
        })(),
      );
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#loops);
    await Promise.all(this.#devices.map((device) => device.drained(30_000)));
    this.#noteGap();
    await this.close();
  }

  async close(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  #noteGap(): void {
    const now = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastMs);
    this.#lastMs = now;
  }
}

async function freezeLeader(site: TestSite, ledger: Ledger, leader: TestGateway): Promise<void> {
  const others = site.gateways.filter((gateway) => gateway !== leader);
  // Devices of the leader before and after, so that it holds readings of its own too.
  await ledger.publish("via-leader", leader, 50);
  const steady = others.map((gateway) => new SteadyDevices(ledger, gateway));
  try {
    await until("devices publish", () => steady.every((devices) => devices.acknowledged > 50) || undefined, { withinMs: 15_000 });
    leader.process.signal("SIGSTOP");
    const before = steady.map((devices) => devices.acknowledged);
    await pause(frozenMs);
    const during = steady.map((devices, index) => devices.acknowledged - (before[index] ?? 0));
    const status = must(await (others[0] as TestGateway).client.status());
    leader.process.signal("SIGCONT");
    assert.is.not(status.raft.leader, leader.id, "the others have another leader");
    assert.ok(
      during.every((count) => count > 200),
      `acknowledgements went on: ${during.join(", ")}`,
    );
    await ledger.publish("via-leader", leader, 50);
    for (const devices of steady) {
      await devices.end();
      assert.ok(devices.longestGapMs <= gapMsMax, `the longest time without an acknowledgement was ${Math.round(devices.longestGapMs)} ms`);
    }
  } finally {
    leader.process.signal("SIGCONT");
    await Promise.all(steady.map((devices) => devices.close()));
  }
  await leader.ready();
  await ledger.check(site.gateways);
}

async function loseDisk(site: TestSite, ledger: Ledger, lost: TestGateway): Promise<void> {
  const others = site.gateways.filter((gateway) => gateway !== lost);
  assert.is((await lost.stop()).code, 0, `${lost.id} ends cleanly on SIGTERM`);
  rmSync(lost.dataFolder, { recursive: true });
  const started = lost.start();
  assert.equal(await started.ended(20_000), { code: 1, signal: undefined }, "the start is refused");
  assert.match(started.stderr, /fogbank gateway replace/, "the message names the way out");
  assert.match(started.stderr, new RegExp(lost.id), "the message names the gateway");
  assert.not.match(started.stderr, /^\s+at /m, "no stack trace");
  // Refused means refused: a second try does not get in either.
  assert.is((await lost.start().ended(20_000)).code, 1, "the second start is refused too");
  for (const gateway of others) {
    await gateway.ready();
    await ledger.publish(`after-${gateway.id}`, gateway, 20);
  }
  await ledger.check(others);
}

test("acknowledgements go on while the leader is frozen; without its data folder it is refused, and the others serve", async () => {
  const site = await TestSite.start({ files: { "devices/counter.yaml": ledgerProfile } });
  const ledger = new Ledger();
  try {
    const leader = await site.leader();
    await freezeLeader(site, ledger, leader);
    await loseDisk(site, ledger, leader);
  } finally {
    await site.end();
  }
});

test.run();
