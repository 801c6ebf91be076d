/**
 * The `Transport` port over MQTT: every gateway embeds a broker, every other gateway is its client. A frame is one QoS 0
 * PUBLISH to the receiver's own broker: at most once, dropped rather than queued when the link is down or slow. With the
 * site's secret, links are TLS 1.2 with a pre-shared key; without it they are plain, and the broker binds loopback only.
 *
 * Who holds the secret is a gateway of the site and could claim any of its ids: the secret divides the site from the
 * rest, not gateways from each other.
 */
import { isIPv4 } from "node:net";
import { assert } from "../../lib/assert.ts";
import { failure, type Result } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Diagnostics } from "../../ports/diagnostics.ts";
import type { Channel, PeerAddress, Transport, TransportHandlers, TransportStats } from "../../ports/transport.ts";
import { LimitedDiagnostics } from "../device-broker/limited-diagnostics.ts";
import type { ListenAddress } from "../device-broker/listen.ts";
import { formatIdentity, type PeerName, presharedKey } from "./mesh-names.ts";
import { MeshServer } from "./mesh-server.ts";
import { PeerLink } from "./peer-link.ts";

export interface MeshTransportOptions {
  readonly site: string;
  readonly self: GatewayId;
  /** Random for each process start, a few hex digits, without "/". */
  readonly sessionPart: string;
  /** The site's secret, of any length; undefined for plain links on loopback. */
  readonly secret: string | undefined;
  /** Port 0 lets the operating system choose; `port` tells. */
  readonly listen: ListenAddress;
  /** The other gateways of the site, until `setPeers` says otherwise. */
  readonly peers: readonly PeerAddress[];
  readonly diagnostics: Diagnostics;
}

interface OpenLink {
  readonly address: PeerAddress;
  readonly link: PeerLink;
}

/** OpenSSL takes no longer identity of a pre-shared key. */
const identityBytesMax = 128;

export class MeshTransport implements Transport {
  readonly #options: MeshTransportOptions;
  readonly #name: PeerName;
  readonly #links = new Map<GatewayId, OpenLink>();
  #peers: readonly PeerAddress[] = [];
  #handlers: TransportHandlers | undefined;
  #server: MeshServer | undefined;
  #framesSent = 0;
  #framesReceived = 0;
  #framesDropped = 0;
  #bytesSent = 0;
  #bytesReceived = 0;

  constructor(options: MeshTransportOptions) {
    this.#options = options;
    this.#name = { site: options.site, gateway: options.self, session: options.sessionPart };
    const identity = formatIdentity(this.#name);
    assert(identity.split("/").length === 4, `site, gateway id and session part contain no "/": ${identity}`);
    assert(Buffer.byteLength(identity) <= identityBytesMax, `site, gateway id and session part fit ${identityBytesMax} bytes: ${identity}`);
    this.setPeers(options.peers);
  }

  /** The port that the mesh broker listens on; 0 before `start`. */
  get port(): number {
    return this.#server?.port ?? 0;
  }

  /**
   * Fails with `port-in-use`, and with `configuration-invalid` for a host that cannot be bound or that is not loopback
   * where there is no secret. `down` is called when a link goes down and, while it is down, when the reason changes:
   * so also when the first attempt fails.
   */
  async start(handlers: TransportHandlers): Promise<Result<void>> {
    assert(this.#server === undefined, "the mesh is started once");
    const { site, self, secret, listen, diagnostics } = this.#options;
    if (secret === undefined && !isLoopback(listen.host)) {
      return failure(
        "configuration-invalid",
        `The mesh cannot listen on ${listen.host} without a secret: give the site one, or bind 127.0.0.1.`,
      );
    }
    const psk = this.#psk();
    this.#handlers = handlers;
    const server = new MeshServer({
      site,
      self,
      listen,
      psk,
      diagnostics: new LimitedDiagnostics(diagnostics),
      connected: (peer) => this.#links.get(peer)?.link.hurry(),
      receive: (from, channel, frame) => this.#receive(from, channel, frame),
    });
    const listening = await server.start();
    if (!listening.ok) {
      this.#handlers = undefined;
      return listening;
    }
    this.#server = server;
    this.#relink();
    return listening;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = [...new Map(peers.map((peer) => [peer.id, peer])).values()].filter((peer) => peer.id !== this.#options.self);
    if (this.#server !== undefined && this.#handlers !== undefined) this.#relink();
  }

  send(to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    const sent = this.#links.get(to)?.link.send(channel, frame) ?? this.#server?.answer(to, channel, frame) ?? false;
    if (sent) {
      this.#framesSent++;
      this.#bytesSent += frame.byteLength;
    } else {
      this.#framesDropped++;
    }
    return sent;
  }

  isUp(to: GatewayId): boolean {
    return this.#links.get(to)?.link.up ?? false;
  }

  stats(): TransportStats {
    return {
      framesSent: this.#framesSent,
      framesReceived: this.#framesReceived,
      framesDropped: this.#framesDropped,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
    };
  }

  async stop(): Promise<void> {
    this.#handlers = undefined;
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
    await this.#server?.stop();
  }

  #receive(from: GatewayId, channel: Channel, frame: Uint8Array): void {
    this.#framesReceived++;
    this.#bytesReceived += frame.byteLength;
    this.#handlers?.receive(from, channel, frame);
  }

  #psk(): Buffer | undefined {
    const { secret, site } = this.#options;
    return secret === undefined ? undefined : presharedKey(secret, site);
  }

  /** Makes the links those of the list: first who may connect, then whom to call. */
  #relink(): void {
    this.#server?.list(this.#peers.map((peer) => peer.id));
    const wanted = new Map(this.#peers.map((peer) => [peer.id, peer]));
    for (const [id, { address }] of [...this.#links]) {
      const next = wanted.get(id);
      if (next === undefined) this.#unlink(id, "it is no gateway of the site any more");
      else if (next.host !== address.host || next.port !== address.port) this.#unlink(id, `its address is ${next.host}:${next.port} now`);
    }
    for (const address of this.#peers) if (!this.#links.has(address.id)) this.#link(address);
  }

  #link(address: PeerAddress): void {
    const { id, host, port } = address;
    const link = new PeerLink(
      { self: this.#name, peer: id, host, port, psk: this.#psk() },
      {
        up: () => this.#handlers?.up(id),
        down: (reason) => this.#handlers?.down(id, reason),
        answered: (channel, frame) => this.#receive(id, channel, frame),
      },
    );
    this.#links.set(id, { address, link });
    link.open();
  }

  #unlink(id: GatewayId, reason: string): void {
    const link = this.#links.get(id)?.link;
    const wasUp = link?.up === true;
    this.#links.delete(id);
    link?.close();
    // Not while the caller is still at it: events come by themselves.
    if (wasUp) queueMicrotask(() => this.#handlers?.down(id, reason));
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
