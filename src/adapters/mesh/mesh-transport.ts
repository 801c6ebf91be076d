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
import type { Channel, Transport, TransportHandlers, TransportStats } from "../../ports/transport.ts";
import { LimitedDiagnostics } from "../device-broker/limited-diagnostics.ts";
import type { ListenAddress } from "../device-broker/listen.ts";
import { formatIdentity, type PeerName, presharedKey } from "./mesh-names.ts";
import { MeshServer } from "./mesh-server.ts";
import { PeerLink } from "./peer-link.ts";

export interface MeshPeer {
  readonly id: GatewayId;
  readonly host: string;
  readonly port: number;
}

export interface MeshTransportOptions {
  readonly site: string;
  readonly self: GatewayId;
  /** Random for each process start, a few hex digits, without "/". */
  readonly sessionPart: string;
  /** The site's secret, of any length; undefined for plain links on loopback. */
  readonly secret: string | undefined;
  /** Port 0 lets the operating system choose; `port` tells. */
  readonly listen: ListenAddress;
  /** The other gateways of the site. */
  readonly peers: readonly MeshPeer[];
  readonly diagnostics: Diagnostics;
}

/** OpenSSL takes no longer identity of a pre-shared key. */
const identityBytesMax = 128;

export class MeshTransport implements Transport {
  readonly #options: MeshTransportOptions;
  readonly #name: PeerName;
  readonly #links = new Map<GatewayId, PeerLink>();
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
    const { site, self, secret, listen, peers, diagnostics } = this.#options;
    if (secret === undefined && !isLoopback(listen.host)) {
      return failure(
        "configuration-invalid",
        `The mesh cannot listen on ${listen.host} without a secret: give the site one, or bind 127.0.0.1.`,
      );
    }
    const psk = secret === undefined ? undefined : presharedKey(secret, site);
    const server = new MeshServer({
      site,
      self,
      listen,
      psk,
      peers: peers.map((peer) => peer.id),
      diagnostics: new LimitedDiagnostics(diagnostics),
      connected: (peer) => this.#links.get(peer)?.hurry(),
      receive: (from, channel, frame) => {
        this.#framesReceived++;
        this.#bytesReceived += frame.byteLength;
        handlers.receive(from, channel, frame);
      },
    });
    const listening = await server.start();
    if (!listening.ok) return listening;
    this.#server = server;
    for (const peer of peers) {
      const link = new PeerLink(
        { self: this.#name, peer: peer.id, host: peer.host, port: peer.port, psk },
        { up: () => handlers.up(peer.id), down: (reason) => handlers.down(peer.id, reason) },
      );
      this.#links.set(peer.id, link);
      link.open();
    }
    return listening;
  }

  send(to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    const sent = this.#links.get(to)?.send(channel, frame) ?? false;
    if (sent) {
      this.#framesSent++;
      this.#bytesSent += frame.byteLength;
    } else {
      this.#framesDropped++;
    }
    return sent;
  }

  isUp(to: GatewayId): boolean {
    return this.#links.get(to)?.up ?? false;
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
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    await this.#server?.stop();
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
