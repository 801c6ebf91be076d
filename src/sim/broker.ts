/**
 * The simulated device broker: simulated devices publish straight into the gateway, over links that a crash cuts. What a
 * client of MQTT may rely on holds: who may connect, one session for each client id, subscribers after `done`.
 */

import { type Result, success } from "../lib/errors.ts";
import type { Broker, BrokerClient, BrokerHandlers, BrokerStats } from "../ports/broker.ts";
import type { SimulatedProcess } from "./process.ts";

export interface DeviceLink {
  /**
   * `acknowledged` is called when the broker sends PUBACK (QoS 1) or PUBREC (QoS 2), or at once for QoS 0. Packet ids are counted up where
   * none is given.
   */
  publish(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, acknowledged: () => void, packet?: SentPacket): void;
  /** Messages whose topic the filter matches are handed to `receive` from now on. */
  subscribe(filter: string, receive: (topic: string, payload: Uint8Array) => void): void;
  /** The device hangs up. */
  close(): void;
}

export interface SentPacket {
  readonly packetId: number;
  readonly duplicate: boolean;
}

export interface DeviceCredentials {
  readonly clientId: string;
  /** Clean session 0. */
  readonly persistent?: boolean;
  readonly username?: string;
  readonly password?: string;
}

interface Subscription {
  readonly filter: string;
  readonly receive: (topic: string, payload: Uint8Array) => void;
}

class SimulatedClient implements BrokerClient {
  readonly id: string;
  readonly username: string | undefined;
  readonly session: "clean" | "persistent";
  readonly subscriptions: Subscription[] = [];
  open = true;
  readonly #closed: () => void;

  constructor(device: DeviceCredentials, closed: () => void) {
    this.id = device.clientId;
    this.username = device.username;
    this.session = device.persistent === true ? "persistent" : "clean";
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
  readonly #clients = new Map<string, SimulatedClient>();
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

  /**
   * `undefined` when nobody listens, or the gateway does not let the client in. `closed` is called when the gateway
   * hangs up; a crash is noticed by the caller.
   */
  connect(device: DeviceCredentials, closed: () => void): DeviceLink | undefined {
    const handlers = this.#handlers;
    if (handlers === undefined || !this.#process.alive()) return undefined;
    const credentials = { clientId: device.clientId, username: device.username, password: device.password };
    if (!handlers.authenticate(credentials)) {
      handlers.rejected("not-authorised", `client ${device.clientId} was refused`);
      return undefined;
    }
    // MQTT-3.1.4-2: the session that has the id already is closed.
    this.#clients.get(device.clientId)?.close();
    const client: SimulatedClient = new SimulatedClient(device, () => {
      if (this.#clients.get(client.id) === client) this.#clients.delete(client.id);
      handlers.disconnected(client);
      closed();
    });
    this.#clients.set(client.id, client);
    this.#process.deliver(() => handlers.connected(client));
    let packetId = 0;
    return {
      publish: (topic, payload, qos, acknowledged, packet = { packetId: qos === 0 ? 0 : (packetId++ % 65_535) + 1, duplicate: false }) =>
        this.#process.deliver(() => this.#publish(handlers, { client, topic, payload, qos, acknowledged, packet })),
      subscribe: (filter, receive) => this.#process.deliver(() => client.subscriptions.push({ filter, receive })),
      close: () => this.#process.deliver(() => client.close()),
    };
  }

  stats(): BrokerStats {
    return { clients: this.#clients.size, received: this.#received, delivered: this.#delivered };
  }

  stop(): Promise<void> {
    for (const client of [...this.#clients.values()]) client.close();
    this.#handlers = undefined;
    return Promise.resolve();
  }

  #publish(
    handlers: BrokerHandlers,
    message: {
      readonly client: SimulatedClient;
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly qos: 0 | 1 | 2;
      readonly acknowledged: () => void;
      readonly packet: SentPacket;
    },
  ): void {
    const { client, topic, payload, qos, acknowledged, packet } = message;
    if (!client.open) return;
    this.#received++;
    const done = (): void => {
      if (!client.open || !this.#process.alive()) return;
      acknowledged();
      for (const subscriber of this.#clients.values()) {
        for (const { filter, receive } of subscriber.subscriptions) {
          if (!matches(filter, topic)) continue;
          this.#delivered++;
          receive(topic, payload);
        }
      }
    };
    handlers.publish(client, topic, payload, qos, done, packet.packetId, packet.duplicate);
  }
}

/** MQTT 3.1.1 §4.7. */
function matches(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = filter.split("/");
  for (const [at, level] of wanted.entries()) {
    if (level === "#") return true;
    if (at >= levels.length || (level !== "+" && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}
