// A client that sends exactly the bytes it is told to: what a library would refuse to send.
import { connect, type Socket } from "node:net";
import { generate, type Packet, parser } from "mqtt-packet";
import { until } from "./until.ts";

export class RawClient {
  readonly received: Packet[] = [];
  closed = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const incoming = parser();
    incoming.on("packet", (packet) => this.received.push(packet));
    this.socket.on("data", (chunk) => incoming.parse(chunk));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
    });
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet));
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  count(cmd: Packet["cmd"]): number {
    return this.received.filter((packet) => packet.cmd === cmd).length;
  }

  /** A CONNECT that was accepted; the keep-alive is off unless given. */
  async connect(
    clientId: string,
    more: { clean?: boolean; keepalive?: number; will?: { topic: string; payload: Buffer; qos: 0 | 1 | 2; retain: boolean } } = {},
  ): Promise<void> {
    this.send({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0, clientId, ...more });
    await until(`${clientId} is connected`, () => this.count("connack") === 1);
  }

  publish(topic: string, payload: string | Buffer, qos: 0 | 1 | 2, messageId = 1, more: { retain?: boolean; dup?: boolean } = {}): void {
    this.send({ cmd: "publish", topic, payload, qos, messageId, retain: false, dup: false, ...more });
  }

  end(): void {
    this.socket.destroy();
  }
}
