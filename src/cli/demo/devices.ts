import { type DemoDevice, demoDevices } from "../../config/demo-site.ts";
import { type Random, SeededRandom } from "../../lib/random.ts";
import { ReliablePublisher } from "../reliable-publisher.ts";
import type { World } from "../world.ts";
import { type DemoGateway, demoHost } from "./gateways.ts";
import { AckLedger } from "./ledger.ts";

/** A dozen climate sensors: a daily curve and some noise, each connected to one of the gateways and able to change it. */

const dayMs = 86_400_000;
/** Two readings a message: 1 to 5 readings a second each. */
const defaultIntervalMs: IntervalMs = { min: 400, max: 2_000 };
const drainWithinMs = 25_000;

interface IntervalMs {
  readonly min: number;
  readonly max: number;
}

export interface DevicesOptions {
  /** Between two messages of a device; each has its own. */
  readonly intervalMs?: IntervalMs;
  /** A message was acknowledged that was published at this monotonic instant. */
  readonly acknowledged?: (publishedMs: number) => void;
}

export class SimulatedDevices {
  readonly ledger = new AckLedger();
  published = 0;
  readonly #world: World;
  readonly #options: DevicesOptions;
  readonly #publishers: readonly ReliablePublisher[];
  /** One for each device: a signal with a dozen sleepers would look like a leak. */
  readonly #stops: readonly AbortController[];
  readonly #loops: readonly Promise<void>[];

  constructor(world: World, gateways: readonly DemoGateway[], options: DevicesOptions = {}) {
    this.#world = world;
    this.#options = options;
    const random = new SeededRandom(7);
    const started = demoDevices.map((device, index) => {
      const targets = gateways.map((_, turn) => ({ host: demoHost, port: gateways[(index + turn) % gateways.length]?.ports.mqtt ?? 0 }));
      const publisher = new ReliablePublisher(world, {
        targets,
        clientId: device.id,
        username: undefined,
        password: undefined,
        windowMax: 100,
        stallMs: 22_000,
        giveUpMs: 600_000,
      });
      const stop = new AbortController();
      return { publisher, stop, loop: this.#run(device, publisher, random.fork(), stop.signal) };
    });
    this.#publishers = started.map(({ publisher }) => publisher);
    this.#stops = started.map(({ stop }) => stop);
    this.#loops = started.map(({ loop }) => loop);
  }

  get unacknowledged(): number {
    return this.published - this.ledger.acknowledged;
  }

  /** No more readings; waits for the acknowledgements of those that are on their way. */
  async stop(): Promise<void> {
    for (const stop of this.#stops) stop.abort();
    const drained = new AbortController();
    const all = Promise.all(this.#publishers.map((publisher) => publisher.drain())).then(() => drained.abort());
    await this.#world.clock.sleep(drainWithinMs, drained.signal);
    await Promise.all(this.#publishers.map((publisher) => publisher.close()));
    await Promise.all([all, ...this.#loops]);
  }

  /** At once, whatever is still unacknowledged. */
  async abandon(): Promise<void> {
    for (const stop of this.#stops) stop.abort();
    await Promise.all(this.#publishers.map((publisher) => publisher.close()));
    await Promise.all(this.#loops);
  }

  async #run(device: DemoDevice, publisher: ReliablePublisher, random: Random, stop: AbortSignal): Promise<void> {
    const { clock } = this.#world;
    const { min, max } = this.#options.intervalMs ?? defaultIntervalMs;
    const everyMs = min + random.below(max - min);
    const offset = random.real();
    let ts = 0;
    await clock.sleep(random.below(everyMs), stop);
    while (!stop.aborted) {
      // A clock that is set back gives no time twice.
      ts = Math.max(ts + 1, clock.wallMs());
      const { temperature, humidity } = climateAt(ts, offset, random);
      this.published += 2;
      const sent = await publisher.publish(
        device.topic,
        JSON.stringify({ ts, t: temperature, h: humidity }),
        this.#acknowledge(device.id, ts, temperature, humidity),
      );
      if (!sent.ok) return;
      await clock.sleep(everyMs, stop);
    }
  }

  #acknowledge(device: string, ts: number, temperature: number, humidity: number): () => void {
    const publishedMs = this.#world.clock.monotonicMs();
    return () => {
      this.#options.acknowledged?.(publishedMs);
      this.ledger.add(device, "temperature", ts, temperature);
      this.ledger.add(device, "humidity", ts, humidity);
    };
  }
}

function climateAt(ms: number, offset: number, random: Random): { readonly temperature: number; readonly humidity: number } {
  const day = Math.sin((2 * Math.PI * (ms % dayMs)) / dayMs + offset);
  const noise = () => random.real() - 0.5;
  return {
    temperature: hundredths(20 + 3 * offset + 2.5 * day + 0.4 * noise()),
    humidity: hundredths(50 - 8 * day + 4 * offset + 1.5 * noise()),
  };
}

const hundredths = (value: number): number => Math.round(value * 100) / 100;
