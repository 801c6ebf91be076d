// Goal: a disk that is full costs nothing that was acknowledged: the store and the log go on once there is room, and so does a
// gateway, which says meanwhile that its disk is full. Method: file systems of a few MiB that something else fills up, down to
// the last byte, while a device publishes.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LevelStoreDirectory } from "../../src/adapters/level-store.ts";
import { FailureError } from "../../src/lib/errors.ts";
import { Device } from "./support/device.ts";
import { Ledger, ledgerProfile } from "./support/ledger.ts";
import { must, type TestGateway, TestSite } from "./support/site.ts";
import { SmallDisk, whyNoSmallDisk } from "./support/small-disk.ts";
import { pause, until } from "./support/until.ts";

const whyNot = whyNoSmallDisk();
const test = suite("a disk that fills up");
const story = (name: string, body: () => Promise<void>): void => {
  if (whyNot === undefined) test(name, body);
  else test.skip(`${name} (no file system of its own can be mounted here: ${whyNot})`, body);
};
const mebibyte = 1 << 20;

story("the store: writes fail as disk-full, what was synced is there, and it goes on by itself when there is room", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-small-"));
  const disk = new SmallDisk(folder, 24);
  try {
    const opened = await new LevelStoreDirectory({ folder: join(folder, "stores") }).open("store");
    assert.ok(opened.ok);
    const store = opened.value;
    const keyOf = (at: number) => Uint8Array.of(at >> 8, at & 255);
    const bytesAt = (at: number) => Uint8Array.from({ length: 20_000 }, (_, i) => (at * 31 + i * i * 7 + (i >> 3)) & 255);
    const synced: number[] = [];
    const failures = new Set<string>();
    const write = async (at: number): Promise<void> => {
      try {
        await store.write([{ type: "put", key: keyOf(at), value: bytesAt(at) }], { sync: true });
        synced.push(at);
      } catch (error) {
        failures.add(error instanceof FailureError ? error.failure.code : String(error));
      }
    };
    for (let at = 0; at < 200; at++) await write(at);
    disk.fillUpTo(0);
    for (let at = 200; at < 700; at++) await write(at);
    assert.equal([...failures], ["disk-full"]);
    assert.ok(synced.length < 700);
    disk.makeRoom();
    await until(
      "a write succeeds",
      async () => {
        const before = synced.length;
        await write(700);
        return synced.length > before ? true : undefined;
      },
      { withinMs: 10_000 },
    );
    for (const at of synced) assert.equal(await store.get(keyOf(at)), bytesAt(at), `key ${at}`);
    const before = await store.sizeBytes();
    await store.write(
      synced.map((at) => ({ type: "delete" as const, key: keyOf(at) })),
      { sync: true },
    );
    await store.compact?.({ from: keyOf(0), to: Uint8Array.of(255, 255, 255) });
    assert.ok((await store.sizeBytes()) < before / 2, "what was dropped gives its room back");
    await store.close();
  } finally {
    disk.unmount();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A device that publishes one reading after the other, whatever comes. */
class SteadyDevice {
  acknowledged = 0;
  readonly #device: Device;
  #ended = false;
  readonly #loop: Promise<void>;

  constructor(ledger: Ledger, gateway: TestGateway) {
    const sent: { acknowledged(): void }[] = [];
    const device = new Device({
      clientId: "steady",
      ports: [gateway.ports.mqtt],
      windowMax: 20,
      onAcknowledged: (at) => {
        sent[at]?.acknowledged();
        this.acknowledged++;
      },
    });
    this.#device = device;
    this.#loop = (async () => {
      while (!this.#ended) {
        if (sent.length - this.acknowledged < 50) {
          const message = ledger.next("steady");
          sent.push(message);
          device.publish([message]);
        }
        await pause(2);
      }
    })();
  }

  /** True when an acknowledgement comes within this time. */
  async progresses(withinMs: number): Promise<boolean> {
    const before = this.acknowledged;
    const endMs = performance.now() + withinMs;
    while (performance.now() < endMs && this.acknowledged === before) await pause(20);
    return this.acknowledged > before;
  }

  /** All that was published is acknowledged. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#loop;
    await this.#device.drained(30_000);
    await this.#device.close();
  }
}

const stateOf = async (gateway: TestGateway): Promise<string | undefined> => must(await gateway.client.status()).disk?.state;

async function hasState(gateway: TestGateway, state: string): Promise<void> {
  await until(`the disk is ${state}`, async () => ((await stateOf(gateway)) === state ? true : undefined), {
    withinMs: 15_000,
    explain: () => gateway.process.tail(),
  });
}

async function metricOf(gateway: TestGateway, line: string): Promise<string | undefined> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  return text
    .split("\n")
    .find((candidate) => candidate.startsWith(line))
    ?.split(" ")
    .at(-1);
}

story("a gateway: nothing acknowledged is lost, its state is clear, and it resumes by itself, three times over", async () => {
  const site = await TestSite.create({ gateways: 1, files: { "devices/counter.yaml": ledgerProfile } });
  const gateway = site.gateway("gw-a");
  mkdirSync(gateway.dataFolder, { recursive: true });
  const disk = new SmallDisk(gateway.dataFolder, 160);
  const ledger = new Ledger();
  try {
    gateway.start();
    await gateway.ready();
    const steady = new SteadyDevice(ledger, gateway);
    assert.ok(await steady.progresses(10_000));
    // Down to less than the reserve: readings stop, the site's own state goes on.
    disk.fillUpTo(60 * mebibyte);
    await hasState(gateway, "disk-full");
    assert.is(await metricOf(gateway, 'fogbank_disk_state{state="disk-full"}'), "1");
    assert.match(must(await gateway.client.status()).warnings.join("\n"), /the disk is nearly full/);
    assert.not(await steady.progresses(2_000));
    must(await gateway.client.kvPut("during", new TextEncoder().encode("yes"), {}));
    disk.makeRoom();
    assert.ok(await steady.progresses(15_000), "readings are taken again");
    // At once to the last byte, in the middle of rounds: whichever write is under way finds no room.
    for (let times = 0; times < 2; times++) {
      disk.fillUpTo(0);
      await hasState(gateway, "disk-full");
      const put = await gateway.client.kvPut("full", new TextEncoder().encode("no"), {});
      assert.ok(put.ok || ["not-applied", "outcome-unknown", "unavailable"].includes(put.code), put.ok ? "" : put.code);
      await pause(1_000);
      assert.ok(gateway.isRunning, gateway.process.tail());
      disk.makeRoom();
      assert.ok(await steady.progresses(20_000), gateway.process.tail());
      await gateway.ready();
    }
    must(await gateway.client.kvPut("after", new TextEncoder().encode("yes"), {}));
    await steady.end();
    await ledger.check([gateway]);
    // And after the process is killed on a disk that is full once more, and started when there is room.
    disk.fillUpTo(0);
    await hasState(gateway, "disk-full");
    await gateway.kill();
    // A start on a full disk ends with a reason, or comes up without taking readings; either way nothing is lost.
    const second = gateway.start();
    await until(
      "it ended or it answers",
      async () => (second.exit !== undefined || (await gateway.client.status()).ok ? true : undefined),
      {
        withinMs: 20_000,
      },
    );
    if (second.exit === undefined) await gateway.kill();
    else assert.match(second.output, /no space left|disk is full/i);
    disk.makeRoom();
    gateway.start();
    await gateway.ready();
    await ledger.check([gateway]);
    assert.is(await stateOf(gateway), "ok");
  } finally {
    if (gateway.isRunning) await gateway.kill();
    disk.unmount();
    await site.end();
  }
});

test.run();
