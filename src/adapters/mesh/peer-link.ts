/** All connections to one peer, as one link that is up or down: up while the raft and the data connection both stand. */
import type { GatewayId } from "../../lib/ids.ts";
import type { Channel } from "../../ports/transport.ts";
import { type LinkName, linkNames, linkOf, linkRules, type PeerName, topicFor } from "./mesh-names.ts";
import { PeerConnection } from "./peer-connection.ts";

export interface PeerLinkOptions {
  readonly self: PeerName;
  readonly peer: GatewayId;
  readonly host: string;
  readonly port: number;
  readonly psk: Buffer | undefined;
}

export interface PeerLinkEvents {
  up(): void;
  /** See `PeerConnectionEvents`. */
  answered(channel: Channel, frame: Uint8Array): void;
  /** When the link goes down, and again when, still down, the reason is another. */
  down(reason: string): void;
}

const channels: readonly Channel[] = linkNames.flatMap((link) => linkRules[link].channels);

export class PeerLink {
  readonly #events: PeerLinkEvents;
  readonly #connections: Readonly<Record<LinkName, PeerConnection>>;
  readonly #topics: ReadonlyMap<Channel, string>;
  #up = false;
  #downReason = "";

  constructor(options: PeerLinkOptions, events: PeerLinkEvents) {
    this.#events = events;
    const connection = (link: LinkName): PeerConnection =>
      new PeerConnection(
        { ...options, link },
        {
          answered: (channel, frame) => events.answered(channel, frame),
          connected: () => this.#changed(link, ""),
          failed: (reason) => this.#changed(link, reason),
        },
      );
    this.#connections = { raft: connection("raft"), data: connection("data"), bulk: connection("bulk") };
    this.#topics = new Map(
      channels.map((channel) => [channel, topicFor(options.self.site, options.peer, options.self.gateway, channel)] as const),
    );
  }

  get up(): boolean {
    return this.#up;
  }

  open(): void {
    for (const link of linkNames) this.#connections[link].open();
  }

  /** The peer has just connected to this gateway: its own broker is up. */
  hurry(): void {
    for (const link of linkNames) this.#connections[link].hurry();
  }

  close(): void {
    this.#up = false;
    for (const link of linkNames) this.#connections[link].close();
  }

  /** False: dropped here. */
  send(channel: Channel, frame: Uint8Array): boolean {
    const link = linkOf(channel);
    if (frame.byteLength > linkRules[link].frameBytesMax) return false;
    return this.#connections[link].publish(this.#topics.get(channel) ?? "", frame);
  }

  #changed(link: LinkName, reason: string): void {
    const up = this.#connections.raft.connected && this.#connections.data.connected;
    if (up && !this.#up) {
      this.#up = true;
      this.#downReason = "";
      this.#events.up();
    }
    if (up || reason === "" || link === "bulk") return;
    // One of the two speaks for the link while it is down, else two reasons would alternate.
    if (!this.#up && this.#downReason !== "" && (link === "data" || this.#downReason === reason)) return;
    this.#up = false;
    this.#downReason = reason;
    this.#events.down(reason);
  }
}
