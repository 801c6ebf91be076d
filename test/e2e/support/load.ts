// Devices that go on publishing, so that whatever befalls the gateways befalls them under load.
import { Device } from "./device.ts";
import type { Ledger } from "./ledger.ts";
import type { TestGateway } from "./site.ts";
import { pause, until } from "./until.ts";

const devices = 4;
const windowMax = 5;
const queueMax = 50;
const publishEveryMs = 5;
const settleMs = 30_000;

/** Devices that publish without a pause, each to whichever gateway of the list takes it. */
export class Load {
  acknowledged = 0;
  readonly #devices: Device[] = [];
  readonly #loops: Promise<void>[] = [];
  #ended = false;

  constructor(ledger: Ledger, gateways: readonly TestGateway[]) {
    for (let index = 0; index < devices; index++) {
      const name = `load-${index}`;
      const published: { acknowledged(): void }[] = [];
      const ports = gateways.map((_, at) => gateways[(at + index) % gateways.length]?.ports.mqtt ?? 0);
      const onAcknowledged = (at: number): void => {
        published[at]?.acknowledged();
        this.acknowledged++;
      };
      const device = new Device({ clientId: name, ports, windowMax, onAcknowledged });
      this.#devices.push(device);
      this.#loops.push(this.#publish(ledger, device, { name, published }));
    }
  }

  async #publish(
    ledger: Ledger,
    device: Device,
    { name, published }: { name: string; published: { acknowledged(): void }[] },
  ): Promise<void> {
    while (!this.#ended) {
      if (published.length - device.acknowledgedCount < queueMax) {
        const message = ledger.next(name);
        published.push(message);
        device.publish([message]);
      }
      await pause(publishEveryMs);
    }
  }

  /** Resolves when so many more were acknowledged: the load goes on. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged + count;
    await until(`${count} more readings are acknowledged`, () => this.acknowledged >= goal || undefined, { withinMs: settleMs });
  }

  async drain(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#loops);
    await Promise.all(this.#devices.map((device) => device.drained(settleMs)));
  }

  async close(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#devices.map((device) => device.close()));
  }
}
