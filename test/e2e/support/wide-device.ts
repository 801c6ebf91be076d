// A device with so many metrics that a gateway has enough readings to seal them into chunks after some thousand messages: nothing but
// their number makes it do so. What each reading is follows from its place, so that answers can be compared with nothing kept.
import { Device } from "./device.ts";
import type { Points } from "./readings.ts";
import type { TestGateway } from "./site.ts";
import { until } from "./until.ts";

const metrics = 64;
/** Of one message after the other: a million readings are what a gateway keeps in memory. */
const messages = 16_000;
const everyMs = 1_000;
const withinMs = 60_000;

export const wideMetric = (at: number): string => `m${at}`;

/** The profile that it speaks. */
export const wideProfile = `profile: wide
topic: wide/{device}
payload: json
timestamp: { path: ts, unit: ms }
metrics:
${Array.from({ length: metrics }, (_, at) => `  ${wideMetric(at)}: { path: "m[${at}]" }\n`).join("")}`;

export class WideDevice {
  readonly id: string;
  readonly readings = metrics * messages;
  readonly #fromMs: number;

  constructor(id: string) {
    this.id = id;
    this.#fromMs = Date.now() - messages * everyMs;
  }

  /** Publishes all of them, and resolves when they are acknowledged and each of these gateways has sealed what it has. */
  async fill(publishTo: TestGateway, sealedAt: readonly TestGateway[]): Promise<void> {
    const device = new Device({ clientId: this.id, ports: [publishTo.ports.mqtt], windowMax: 200 });
    try {
      for (let first = 0; first < messages; first += 1_000) {
        device.publish(Array.from({ length: 1_000 }, (_, at) => this.#message(first + at)));
        await device.drained(withinMs);
      }
    } finally {
      await device.close();
    }
    for (const gateway of sealedAt)
      await until(`${gateway.id} has sealed chunks`, async () => (await gateway.metric("fogbank_checkpoints_total")) > 0 || undefined, {
        withinMs,
        everyMs: 200,
      });
  }

  points(metric: number): Points {
    return Array.from({ length: messages }, (_, at) => [this.#fromMs + at * everyMs, numberAt(metric, at)] as const);
  }

  #message(at: number): { readonly topic: string; readonly payload: string } {
    const m = Array.from({ length: metrics }, (_, metric) => numberAt(metric, at));
    return { topic: `wide/${this.id}`, payload: JSON.stringify({ ts: this.#fromMs + at * everyMs, m }) };
  }
}

/** Numbers that no codec makes much shorter, so that they take their place on the disk. */
function numberAt(metric: number, at: number): number {
  return ((Math.imul(at + 1, 2_654_435_761) ^ Math.imul(metric + 1, 40_503)) >>> 8) / 1_000;
}
