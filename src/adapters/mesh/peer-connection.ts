/**
 * One of the connections to a peer's mesh broker: an mqtt.js client for each attempt, reconnected with a jittered, short
 * back-off for as long as it is open. Nothing is queued while it is down, and what waits for the socket is bounded.
 */
import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { MqttClient } from "mqtt";
import type { GatewayId } from "../../lib/ids.ts";
import type { Channel } from "../../ports/transport.ts";
import { connackHeader, PacketHeaderScanner, publishOverheadBytes } from "../device-broker/packet-size-cap.ts";
import { describeFailure } from "./connection-failure.ts";
import {
  formatClientId,
  formatIdentity,
  type LinkName,
  linkOf,
  linkRules,
  type PeerName,
  tlsSettings,
  topicFor,
  unlistedFrameBytesMax,
} from "./mesh-names.ts";

export interface PeerConnectionOptions {
  readonly self: PeerName;
  readonly peer: GatewayId;
  readonly link: LinkName;
  readonly host: string;
  readonly port: number;
  /** The derived key; undefined for plain TCP. */
  readonly psk: Buffer | undefined;
}

export interface PeerConnectionEvents {
  connected(): void;
  /** The peer, which does not list this gateway, says something all the same. */
  answered(channel: Channel, frame: Uint8Array): void;
  /** An attempt failed or a standing connection broke; the next attempt comes by itself. */
  failed(reason: string): void;
}

const connectTimeoutMs = 2_000;
/** A peer that says nothing for one and a half times this is taken for gone. */
const keepaliveSeconds = 5;
const firstRetryMs = { least: 50, most: 250 } as const;
/** A peer that restarts is back in less than a second: the first retries are all fast. */
const fastRetries = 4;
const retryMsMax = 2_000;
/** A mesh broker answers with CONNACK and PINGRESP, and on `raft` perhaps with a word to a gateway that it does not list. */
const answerBytesMax = 64;
const answerChannel: Channel = "raft";
/** A connection that stood this long starts its back-off anew. */
const stableMs = 2_000;

export class PeerConnection {
  readonly #options: PeerConnectionOptions;
  readonly #events: PeerConnectionEvents;
  readonly #queueBytesMax: number;
  readonly #wordBytesMax: number;
  readonly #answerTopic: string;
  #client: MqttClient | undefined;
  #socket: Socket | undefined;
  /** The socket that holds back what is written until the end of the turn. */
  #gathering: Socket | undefined;
  #connected = false;
  #connectedAtMs = 0;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PeerConnectionOptions, events: PeerConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#queueBytesMax = linkRules[options.link].queueBytesMax;
    this.#wordBytesMax = options.link === linkOf(answerChannel) ? unlistedFrameBytesMax + publishOverheadBytes : 0;
    this.#answerTopic = topicFor(options.self.site, options.self.gateway, options.peer, answerChannel);
  }

  get connected(): boolean {
    return this.#connected;
  }

  open(): void {
    this.#retry = undefined;
    let error: Error | undefined;
    let phase: "connecting" | "tls" | "mqtt" | "connected" = "connecting";
    const openSocket = () => {
      const socket = this.#connectSocket();
      // A lying peer cannot make mqtt.js buffer an endless packet.
      const scanner = new PacketHeaderScanner({ controlBytesMax: answerBytesMax, publishBytesMax: this.#wordBytesMax }, connackHeader);
      socket.on("data", (chunk: Uint8Array) => {
        const refused = scanner.scan(chunk);
        if (refused === undefined) return;
        // Noted here, since mqtt.js is about to complain about the same bytes in its own words.
        error ??= refused;
        socket.destroy();
      });
      socket.once("connect", () => {
        phase = this.#options.psk === undefined ? "mqtt" : "tls";
      });
      socket.once("secureConnect", () => {
        phase = "mqtt";
      });
      socket.on("error", (failed) => {
        error ??= failed;
      });
      this.#socket = socket;
      return socket;
    };
    const client = new MqttClient(openSocket, {
      clientId: formatClientId(this.#options.self, this.#options.link),
      protocolVersion: 4,
      clean: true,
      keepalive: keepaliveSeconds,
      // Else every frame sent would postpone the ping, and a cut link under load would never be noticed.
      reschedulePings: false,
      connectTimeout: connectTimeoutMs,
      // Each attempt is a new client: nothing is carried over, and the back-off is ours.
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
    });
    this.#client = client;
    client.on("connect", () => {
      if (this.#client !== client) return;
      phase = "connected";
      this.#connected = true;
      this.#connectedAtMs = performance.now();
      this.#events.connected();
    });
    client.on("message", (topic, payload) => {
      // Under another name than that of the gateway that was called it is nobody's word.
      if (this.#client === client && topic === this.#answerTopic) this.#events.answered(answerChannel, payload);
    });
    client.on("error", (failed) => {
      error ??= failed;
    });
    client.on("close", () => this.#ended(client, describeFailure(error, phase)));
  }

  /** The peer has just been heard of: a pending attempt is made now instead of when its back-off ends. */
  hurry(): void {
    if (this.#retry === undefined || this.#closed) return;
    clearTimeout(this.#retry);
    this.open();
  }

  close(): void {
    this.#closed = true;
    this.#connected = false;
    clearTimeout(this.#retry);
    this.#client?.end(true);
    this.#socket?.destroy();
    this.#client = undefined;
  }

  /** False: not connected, or more than the link's bound waits for the socket already. */
  publish(topic: string, frame: Uint8Array): boolean {
    if (!this.#connected || this.#client === undefined || this.#socket === undefined) return false;
    if (this.#socket.writableLength > this.#queueBytesMax) return false;
    this.#gatherWrites(this.#socket);
    this.#client.publish(topic, Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength), { qos: 0 });
    return true;
  }

  /** What this turn of the event loop has to say to the peer leaves in one write: one record of TLS, one packet, one wake-up there. */
  #gatherWrites(socket: Socket): void {
    if (this.#gathering === socket) return;
    this.#gathering = socket;
    socket.cork();
    setImmediate(() => {
      if (this.#gathering === socket) this.#gathering = undefined;
      socket.uncork();
    });
  }

  #connectSocket(): Socket {
    const { host, port, psk, self } = this.#options;
    if (psk === undefined) return createConnection({ host, port, noDelay: true });
    const socket = connectTls({
      ...tlsSettings,
      host,
      port,
      pskCallback: () => ({ psk, identity: formatIdentity(self) }),
      // There are no certificates: who knows the secret is a gateway of the site.
      checkServerIdentity: () => undefined,
    });
    socket.setNoDelay(true);
    return socket;
  }

  #ended(client: MqttClient, reason: string): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#connected = false;
    // mqtt.js leaves the socket of an unanswered attempt to itself.
    this.#socket?.destroy();
    this.#socket = undefined;
    client.end(true);
    if (this.#closed) return;
    if (this.#connectedAtMs > 0 && performance.now() - this.#connectedAtMs >= stableMs) this.#attempts = 0;
    this.#connectedAtMs = 0;
    this.#retry = setTimeout(() => this.open(), retryDelayMs(this.#attempts++));
    this.#events.failed(reason);
  }
}

/** 50–250 ms at first, then doubling up to 2 s, jittered so that gateways do not call in step. */
function retryDelayMs(attempts: number): number {
  const doublings = Math.min(Math.max(attempts - fastRetries, 0), 10);
  const most = Math.min(firstRetryMs.most * 2 ** doublings, retryMsMax);
  const least = doublings === 0 ? firstRetryMs.least : most / 2;
  return least + Math.random() * (most - least);
}
