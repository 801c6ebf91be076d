/** The simulated device broker: simulated devices publish straight into the gateway, over links that a crash cuts. */

import { type Result, success } from "../lib/errors.ts";
import type { Broker, BrokerClient, BrokerHandlers, BrokerStats } from "../ports/broker.ts";
import type { SimulatedProcess } from "./process.ts";

export interface DeviceLink {
  /** `acknowledged` is called when the broker sends PUBACK (QoS 1) or PUBREC (QoS 2), or at once for QoS 0. */
  publish(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, acknowledged: () => void): void;
  /** The device hangs up. */
  close(): void;
}

class SimulatedClient implements BrokerClient {
  readonly id: string;
  readonly username = undefined;
  open = true;
  readonly #closed: () => void;

  constructor(id: string, closed: () => void) {
    this.id = id;
    this.#closed = closed;
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.#closed();
  }
}

export class SimulatedBroker implements Broker {
  readonly #process: SimulatedProcess;
  #handlers: BrokerHandlers | undefined;
  readonly #clients = new Set<SimulatedClient>();
  #received = 0;
  #delivered = 0;

  constructor(process: SimulatedProcess) {
    this.#process = process;
  }

  start(handlers: BrokerHandlers): Promise<Result<void>> {
    this.#handlers = handlers;
    return Promise.resolve(success(undefined));
  }

  listening(): boolean {
    return this.#handlers !== undefined && this.#process.alive();
  }

  /** `undefined` when nobody listens. `closed` is called when the gateway hangs up; a crash is noticed by the caller. */
  connect(clientId: string, closed: () => void): DeviceLink | undefined {
    const handlers = this.#handlers;
    if (handlers === undefined || !this.#process.alive()) return undefined;
    const gone = (client: SimulatedClient): void => {
      this.#clients.delete(client);
      handlers.disconnected(client);
      closed();
    };
    const client: SimulatedClient = new SimulatedClient(clientId, () => gone(client));
    this.#clients.add(client);
    this.#process.deliver(() => handlers.connected(client));
    return {
      publish: (topic, payload, qos, acknowledged) =>
        this.#process.deliver(() => {
          if (!client.open) return;
          this.#received++;
          handlers.publish(client, topic, payload, qos, () => {
            if (!client.open || !this.#process.alive()) return;
            this.#delivered++;
            acknowledged();
          });
        }),
      close: () => this.#process.deliver(() => client.close()),
    };
  }

  stats(): BrokerStats {
    return { clients: this.#clients.size, received: this.#received, delivered: this.#delivered };
  }

  stop(): Promise<void> {
    for (const client of [...this.#clients]) client.close();
    this.#handlers = undefined;
    return Promise.resolve();
  }
}
