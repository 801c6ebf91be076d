// What devices of a test published and were acknowledged, to be compared with what the gateways answer.
import type { ReadingsRequest } from "../../../src/client/fogbank-client.ts";
import { Device } from "./device.ts";
import { assertSameReadings, readAll } from "./readings.ts";
import type { TestGateway } from "./site.ts";

const drainMs = 30_000;

/** The profile that the ledger's devices speak. */
export const ledgerProfile = `profile: counter
topic: counters/{device}
payload: json
timestamp: { path: ts, unit: ms }
metrics:
  v: { path: v }
`;

export class Ledger {
  readonly #acknowledged = new Map<string, [ms: number, value: number][]>();
  #lastMs = Date.now() - 3_600_000;

  get size(): number {
    return [...this.#acknowledged.values()].reduce((total, points) => total + points.length, 0);
  }

  /** A message whose reading has a time of its own; `acknowledged` enters it. */
  next(device: string): { readonly topic: string; readonly payload: string; acknowledged(): void } {
    const ms = ++this.#lastMs;
    const value = Math.random() * 1_000;
    return {
      topic: `counters/${device}`,
      payload: JSON.stringify({ ts: ms, v: value }),
      acknowledged: () => {
        const points = this.#acknowledged.get(device) ?? [];
        points.push([ms, value]);
        this.#acknowledged.set(device, points);
      },
    };
  }

  /** Publishes some readings through the gateway and waits until they are acknowledged. */
  async publish(device: string, gateway: TestGateway, count = 5): Promise<void> {
    const messages = Array.from({ length: count }, () => this.next(device));
    const publisher = new Device({
      clientId: `${device}-${gateway.id}`,
      ports: [gateway.ports.mqtt],
      windowMax: 10,
      onAcknowledged: (index) => messages[index]?.acknowledged(),
    });
    try {
      publisher.publish(messages);
      await publisher.drained(drainMs);
    } finally {
      await publisher.close();
    }
  }

  /** Everything that was acknowledged is there, and nothing else, at each of these gateways. */
  async check(gateways: readonly TestGateway[], request: Pick<ReadingsRequest, "consistency"> = {}): Promise<void> {
    const expected = new Map([...this.#acknowledged].map(([device, points]) => [device, [...points].sort((a, b) => a[0] - b[0])] as const));
    for (const gateway of gateways) {
      assertSameReadings(gateway.id, await readAll(gateway.client, { metric: "v", ...request }), expected);
    }
  }
}
