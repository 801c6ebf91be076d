/** A small MQTT client that publishes, for `replay` and the demo's devices: one connection, no reconnecting, no queue. */

import mqtt from "mqtt";
import { failure, type Result, success } from "../lib/errors.ts";

export interface PublisherOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly connectTimeoutMs: number;
}

export interface Publisher {
  /** Resolves with the PUBACK (QoS 1) or when written (QoS 0); rejects when the connection ends before. */
  publish(topic: string, payload: string, qos: 0 | 1): Promise<void>;
  readonly closed: Promise<string>;
  close(options: { readonly force: boolean }): Promise<void>;
}

export function connectPublisher(options: PublisherOptions): Promise<Result<Publisher>> {
  const { host, port, clientId, username, password, connectTimeoutMs } = options;
  const client = mqtt.connect({
    host,
    port,
    protocol: "mqtt",
    protocolVersion: 4,
    clientId,
    clean: true,
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    connectTimeout: connectTimeoutMs,
    keepalive: 30,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  });
  let reason = "the connection ended";
  const closed = new Promise<string>((resolve) => {
    client.once("close", () => resolve(reason));
  });
  return new Promise((resolve) => {
    client.on("error", (error) => {
      reason = error.message;
      const refused = "code" in error && (error.code === 4 || error.code === 5);
      resolve(
        failure(
          refused ? "unauthorized" : "unreachable",
          `mqtt ${host}:${port}: ${refused ? "user name or password refused" : error.message}`,
        ),
      );
      client.end(true);
    });
    client.once("connect", () => resolve(success(new MqttPublisher(client, closed))));
    void closed.then((why) => resolve(failure("unreachable", `mqtt ${host}:${port}: ${why}`)));
  });
}

class MqttPublisher implements Publisher {
  readonly closed: Promise<string>;
  readonly #client: mqtt.MqttClient;
  /** mqtt.js does not always answer what was under way when the connection ended. */
  readonly #open = new Set<(error: Error) => void>();

  constructor(client: mqtt.MqttClient, closed: Promise<string>) {
    this.#client = client;
    this.closed = closed;
    void closed.then((why) => {
      for (const reject of this.#open) reject(new Error(why));
      this.#open.clear();
    });
  }

  publish(topic: string, payload: string, qos: 0 | 1): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        this.#open.delete(fail);
        reject(error);
      };
      if (!this.#client.connected) return fail(new Error("not connected"));
      this.#open.add(fail);
      this.#client.publish(topic, payload, { qos }, (error) => {
        if (error !== undefined && error !== null) return fail(error);
        this.#open.delete(fail);
        resolve();
      });
    });
  }

  close({ force }: { readonly force: boolean }): Promise<void> {
    return new Promise((resolve) => {
      this.#client.end(force, {}, () => resolve());
    });
  }
}
