// A device: publishes its messages in order over MQTT 3.1.1 at QoS 1, up to a window of them unacknowledged, to one gateway, and when
// that connection ends to the next one, where it sends again what was not acknowledged. It remembers what was.
import mqtt from "mqtt";
import { pause } from "./until.ts";

export interface Message {
  readonly topic: string;
  readonly payload: string;
}

export interface DeviceOptions {
  readonly clientId: string;
  /** MQTT ports of loopback; the first is used first. */
  readonly ports: readonly number[];
  readonly windowMax: number;
  readonly onAcknowledged?: (index: number) => void;
}

const reconnectPauseMs = 100;
const connectTimeoutMs = 5_000;

export class Device {
  /** One entry for each message: whether a PUBACK for it has come. */
  readonly acknowledged: boolean[] = [];
  acknowledgedCount = 0;
  connections = 0;
  readonly #options: DeviceOptions;
  readonly #messages: Message[] = [];
  /** Indices that were sent over the present connection, or wait to be sent again. */
  readonly #underWay = new Set<number>();
  #next = 0;
  #client: mqtt.MqttClient | undefined;
  #ended = false;
  #idle: (() => void)[] = [];
  readonly #loop: Promise<void>;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  publish(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#messages.push(message);
      this.acknowledged.push(false);
    }
    this.#fill();
  }

  get isIdle(): boolean {
    return this.acknowledgedCount === this.#messages.length;
  }

  /** Until all that was published is acknowledged. */
  async drained(withinMs: number): Promise<void> {
    if (this.isIdle) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new Error(
              `${this.#options.clientId}: ${this.acknowledgedCount} of ${this.#messages.length} acknowledged within ${withinMs} ms`,
            ),
          ),
        withinMs,
      );
    });
    try {
      await Promise.race([late, new Promise<void>((resolve) => this.#idle.push(resolve))]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#client?.end(true);
    await this.#loop;
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#ended; attempt++) {
      const port = this.#options.ports[attempt % this.#options.ports.length] ?? 0;
      await this.#connection(port);
      if (!this.#ended) await pause(reconnectPauseMs);
    }
  }

  /** One connection, until it ends. */
  #connection(port: number): Promise<void> {
    return new Promise((resolve) => {
      const client = mqtt.connect({
        host: "127.0.0.1",
        port,
        protocolVersion: 4,
        clientId: this.#options.clientId,
        clean: true,
        reconnectPeriod: 0,
        connectTimeout: connectTimeoutMs,
        keepalive: 30,
      });
      // The connection's end says it all.
      client.on("error", () => client.end(true));
      client.once("connect", () => {
        this.connections++;
        this.#client = client;
        for (const index of this.#underWay) this.#send(client, index);
        this.#fill();
      });
      client.once("close", () => {
        this.#client = undefined;
        client.end(true);
        resolve();
      });
    });
  }

  #fill(): void {
    const client = this.#client;
    while (client !== undefined && this.#underWay.size < this.#options.windowMax && this.#next < this.#messages.length) {
      const index = this.#next++;
      this.#underWay.add(index);
      this.#send(client, index);
    }
  }

  #send(client: mqtt.MqttClient, index: number): void {
    const message = this.#messages[index] as Message;
    client.publish(message.topic, message.payload, { qos: 1 }, (error) => {
      if (error === undefined || error === null) this.#acknowledge(index);
    });
  }

  #acknowledge(index: number): void {
    if (this.acknowledged[index] === true) return;
    this.acknowledged[index] = true;
    this.acknowledgedCount++;
    this.#underWay.delete(index);
    this.#options.onAcknowledged?.(index);
    if (this.isIdle) {
      for (const resolve of this.#idle) resolve();
      this.#idle = [];
    }
    this.#fill();
  }
}
