// A device of a trial: takes its messages one by one from a source that has no end, and publishes them over MQTT 3.1.1 at QoS 1 with a
// window of them unacknowledged. When the connection ends, or nothing is acknowledged for a while, it goes to the next gateway, where it sends
// again what was not acknowledged. It remembers nothing else, so that it can go on for hours.
import mqtt from "mqtt";
import type { TestGateway } from "./site.ts";
import type { Outgoing } from "./trial-journal.ts";
import { pause, until } from "./until.ts";

export interface TrialDeviceOptions {
  readonly clientId: string;
  readonly windowMax: number;
  /** Those that are members now. */
  readonly gateways: () => readonly TestGateway[];
  /** With which of them it begins. */
  readonly first: number;
  readonly source: Generator<Outgoing, never>;
  readonly onAcknowledged: () => void;
}

const reconnectPauseMs = 100;
const connectTimeoutMs = 3_000;
/** A gateway that is silent for so long is left: it may be frozen. */
const silenceMaxMs = 3_000;
const lookMs = 250;

export class TrialDevice {
  readonly #options: TrialDeviceOptions;
  readonly #underWay = new Set<Outgoing>();
  #client: mqtt.MqttClient | undefined;
  #gateway = "";
  #heardMs = 0;
  #isDraining = false;
  #closed = false;
  readonly #loop: Promise<void>;

  constructor(options: TrialDeviceOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Takes nothing new; resolves when all that it took is acknowledged. */
  async drain(withinMs: number): Promise<void> {
    this.#isDraining = true;
    const explain = (): string =>
      `${this.#underWay.size} are not; it is connected to ${this.#client === undefined ? "nobody" : this.#gateway}`;
    await until(`all messages of ${this.#options.clientId} are acknowledged`, () => this.#underWay.size === 0 || undefined, {
      withinMs,
      explain,
    });
  }

  async close(): Promise<void> {
    this.#isDraining = true;
    this.#closed = true;
    this.#client?.end(true);
    await this.#loop;
  }

  async #run(): Promise<void> {
    for (let attempt = this.#options.first; !this.#closed; attempt++) {
      const gateways = this.#options.gateways();
      const gateway = gateways[attempt % gateways.length];
      if (gateway !== undefined) await this.#connection(gateway);
      if (!this.#closed) await pause(reconnectPauseMs);
    }
  }

  /** One connection, until it ends. */
  #connection(gateway: TestGateway): Promise<void> {
    return new Promise((resolve) => {
      const client = mqtt.connect({
        host: "127.0.0.1",
        port: gateway.ports.mqtt,
        protocolVersion: 4,
        clientId: this.#options.clientId,
        clean: true,
        reconnectPeriod: 0,
        connectTimeout: connectTimeoutMs,
        keepalive: 30,
      });
      const watch = setInterval(() => {
        if (this.#client !== client) return;
        if (this.#underWay.size > 0 && performance.now() - this.#heardMs > silenceMaxMs) client.end(true);
      }, lookMs);
      // The connection's end says it all.
      client.on("error", () => client.end(true));
      client.once("connect", () => {
        this.#client = client;
        this.#gateway = gateway.id;
        this.#heardMs = performance.now();
        for (const message of this.#underWay) this.#send(client, message);
        this.#fill();
      });
      client.once("close", () => {
        clearInterval(watch);
        this.#client = undefined;
        client.end(true);
        resolve();
      });
    });
  }

  #fill(): void {
    const client = this.#client;
    while (client !== undefined && !this.#isDraining && this.#underWay.size < this.#options.windowMax) {
      const message = this.#options.source.next().value;
      this.#underWay.add(message);
      this.#send(client, message);
    }
  }

  #send(client: mqtt.MqttClient, message: Outgoing): void {
    message.sent(this.#gateway);
    client.publish(message.topic, message.payload, { qos: 1 }, (error) => {
      if ((error !== undefined && error !== null) || !this.#underWay.delete(message)) return;
      this.#heardMs = performance.now();
      message.acknowledged();
      this.#options.onAcknowledged();
      this.#fill();
    });
  }
}
