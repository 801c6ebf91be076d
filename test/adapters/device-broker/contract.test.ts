// Goal: the device broker keeps the Broker port's contract. Method: the contract suite, with mqtt.js clients over TCP.
import mqtt from "mqtt";
import { DeviceBroker } from "../../../src/adapters/device-broker/device-broker.ts";
import { brokerContract, type ContractClient, type ContractClientOptions } from "../../contracts/broker.ts";
import { RecordedDiagnostics } from "./recorded-diagnostics.ts";
import { until } from "./until.ts";

function connect(port: number, options: ContractClientOptions): Promise<ContractClient | undefined> {
  const client = mqtt.connect({
    host: "127.0.0.1",
    port,
    protocolVersion: 4,
    clientId: options.id,
    reconnectPeriod: 0,
    clean: options.persistent !== true,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
  });
  const messages: { topic: string; payload: string }[] = [];
  let closed = false;
  client.on("message", (topic, payload) => messages.push({ topic, payload: payload.toString("utf8") }));
  client.on("close", () => {
    closed = true;
  });
  const device: ContractClient = {
    messages,
    get closed() {
      return closed;
    },
    publish(topic, payload, qos, { duplicate } = { duplicate: false }) {
      const sent = { acknowledged: false };
      client.publish(topic, payload, { qos, dup: duplicate }, (error) => {
        sent.acknowledged = error === undefined || error === null;
      });
      return sent;
    },
    async subscribe(filter, qos) {
      await client.subscribeAsync(filter, { qos });
    },
    end() {
      client.end(true);
    },
  };
  return new Promise((resolve) => {
    client.on("connect", () => resolve(device));
    client.on("error", () => {
      client.end(true);
      resolve(undefined);
    });
  });
}

brokerContract("Aedes", async () => {
  const broker = new DeviceBroker({ host: "127.0.0.1", port: 0, diagnostics: new RecordedDiagnostics() });
  const clients: ContractClient[] = [];
  return {
    broker,
    until,
    async connect(options) {
      const client = await connect(broker.port, options);
      if (client !== undefined) clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.end();
      await broker.stop();
    },
  };
});
