// Goal: the simulated broker keeps the Broker port's contract. Method: the contract suite, in one process that never ends.
import { SimulatedBroker } from "../../src/sim/broker.ts";
import { SimulatedProcess } from "../../src/sim/process.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { brokerContract } from "../contracts/broker.ts";

brokerContract("simulated", async () => {
  const process = new SimulatedProcess({ scheduler: new Scheduler(), name: "gw-a" });
  const broker = new SimulatedBroker(process);
  return {
    broker,
    async until(what, condition) {
      // Nothing takes time here: what is to happen has happened.
      if (!condition()) throw new Error(`not: ${what}`);
    },
    async connect({ id, username, password, persistent }) {
      let closed = false;
      const messages: { topic: string; payload: string }[] = [];
      const credentials = {
        clientId: id,
        persistent: persistent === true,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
      };
      const link = broker.connect(credentials, () => {
        closed = true;
      });
      if (link === undefined) return undefined;
      return {
        messages,
        get closed() {
          return closed;
        },
        publish(topic, payload, qos, options) {
          const sent = { acknowledged: false };
          const acknowledged = (): void => {
            sent.acknowledged = true;
          };
          const packet = options === undefined ? undefined : { packetId: qos === 0 ? 0 : 60_000, duplicate: options.duplicate };
          link.publish(topic, new TextEncoder().encode(payload), qos, acknowledged, packet);
          return sent;
        },
        async subscribe(filter) {
          link.subscribe(filter, (topic, payload) => messages.push({ topic, payload: new TextDecoder().decode(payload) }));
        },
        end: () => link.close(),
      };
    },
    close: () => broker.stop(),
  };
});
