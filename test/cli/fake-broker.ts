import type { MqttOptions, MqttPublisher } from "../../src/cli/world.ts";
import { type Result, success } from "../../src/lib/errors.ts";

export interface Published {
  readonly topic: string;
  readonly payload: string;
  readonly port: number;
}

/** A broker that acknowledges, falls silent or drops connections as told, and keeps what it acknowledged. */
export class FakeBroker {
  readonly acknowledged: Published[] = [];
  readonly received: Published[] = [];
  readonly connections: MqttOptions[] = [];
  /** Connections that neither side has ended. */
  open = 0;
  /** Called for each message; what it answers happens. */
  policy: (message: Published, index: number) => "acknowledge" | "ignore" | "drop" = () => "acknowledge";

  readonly connect = async (options: MqttOptions): Promise<Result<MqttPublisher>> => {
    this.connections.push(options);
    this.open++;
    let end = (_reason: string) => {};
    const closed = new Promise<string>((resolve) => {
      end = resolve;
    });
    let isOpen = true;
    const drop = (reason: string) => {
      if (isOpen) this.open--;
      isOpen = false;
      end(reason);
    };
    return success({
      closed,
      publish: async (topic, payload) => {
        const message = { topic, payload, port: options.port };
        const index = this.received.push(message) - 1;
        const decision = isOpen ? this.policy(message, index) : "drop";
        if (decision === "drop") drop("connection reset");
        if (decision === "ignore") await closed;
        if (!isOpen) throw new Error("connection lost");
        this.acknowledged.push(message);
      },
      close: async () => drop("closed"),
    });
  };
}
