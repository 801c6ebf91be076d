/**
 * The mesh broker: Aedes for the other gateways of the site, and for nobody else. It admits the listed peers (with the
 * site's secret, if there is one) and a few gateways of the site that are not listed, takes their frames where Aedes asks
 * whether they may be published, and refuses what a peer never does: subscriptions, retained messages, wills, other topics
 * than its own. A frame is handed up as it was parsed; its bytes are never reused.
 */
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import type { Result } from "../../lib/errors.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Channel } from "../../ports/transport.ts";
import type { LimitedDiagnostics } from "../device-broker/limited-diagnostics.ts";
import { boundPort, type ListenAddress, listen } from "../device-broker/listen.ts";
import { capPacketSize, type PacketHeaderScanner, publishOverheadBytes } from "../device-broker/packet-size-cap.ts";
import { describeHandshakeFailure } from "./connection-failure.ts";
import { type LinkName, linkRules, parseClientId, parseIdentity, tlsSettings, topicFor, unlistedFrameBytesMax } from "./mesh-names.ts";

export interface MeshServerOptions {
  readonly site: string;
  readonly self: GatewayId;
  readonly listen: ListenAddress;
  readonly psk: Buffer | undefined;
  readonly diagnostics: LimitedDiagnostics;
  receive(from: GatewayId, channel: Channel, frame: Uint8Array): void;
  /** A peer's connection was accepted. */
  connected(peer: GatewayId): void;
}

type PublishPacket = Parameters<Aedes["authorizePublish"]>[1];
type ConnectPacket = Parameters<Aedes["preConnect"]>[1];

interface Connection {
  readonly socket: Socket;
  readonly remote: string;
  readonly scanner: PacketHeaderScanner;
  /** What the TLS handshake proved; undefined without a secret. */
  readonly pskIdentity: string | undefined;
  readonly refused: string | undefined;
  readonly sender: Sender | undefined;
}

/** An admitted peer's connection: which topics it may publish on, and the channel of each. */
interface Sender {
  readonly gateway: GatewayId;
  readonly link: LinkName;
  readonly channels: ReadonlyMap<string, Channel>;
}

const controlBytesMax = 64 * 1024;
const handshakeTimeoutMs = 5_000;
const connectTimeoutMs = 5_000;
/** Three for each peer; restarts and second processes under one id leave some over for a while. */
const connectionsPerPeerMax = 16;
/** Gateways that hold the secret and are not listed: new ones, which say hello, and removed ones, which do not know it yet. */
const unlistedGatewaysMax = 16;
const notAuthorised = 5;

class PeerRefusedError extends Error {
  override readonly name = "PeerRefusedError";
  readonly returnCode = notAuthorised;
}

export class MeshServer {
  readonly #options: MeshServerOptions;
  readonly #aedes: Aedes;
  readonly #server: Server;
  readonly #connections = new Map<Client, Connection>();
  readonly #pskIdentities = new WeakMap<Socket, string>();
  readonly #sockets = new Set<Socket>();
  #listed: ReadonlySet<GatewayId> = new Set();

  constructor(options: MeshServerOptions) {
    this.#options = options;
    this.#aedes = this.#createAedes();
    this.#server = this.#createServer();
    this.list([]);
  }

  /** The gateways to admit as peers from now on. One that was listed and is not any more is cut off. */
  list(peers: readonly GatewayId[]): void {
    const before = this.#listed;
    this.#listed = new Set(peers);
    this.#server.maxConnections = connectionsPerPeerMax * (peers.length + unlistedGatewaysMax + 1);
    for (const { sender, socket, scanner } of this.#connections.values()) {
      if (sender === undefined) continue;
      const listed = this.#listed.has(sender.gateway);
      if (listed) scanner.limit(limitsOf(sender.link, listed));
      else if (before.has(sender.gateway)) socket.destroy();
    }
  }

  /** A word to a gateway that is not listed, over the connections that it opened. False: dropped here. */
  answer(to: GatewayId, channel: Channel, frame: Uint8Array): boolean {
    if (this.#listed.has(to) || channel !== "raft" || frame.byteLength > unlistedFrameBytesMax) return false;
    const topic = topicFor(this.#options.site, to, this.#options.self, channel);
    const payload = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    let sent = false;
    // Two processes may run under the id: an answer says for itself whose it is.
    for (const [client, { sender, socket }] of this.#connections) {
      if (sender?.gateway !== to || sender.link !== "raft" || socket.destroyed || socket.writableLength > unlistedFrameBytesMax) continue;
      client.publish({ cmd: "publish", topic, payload, qos: 0, retain: false, dup: false }, () => undefined);
      sent = true;
    }
    return sent;
  }

  get port(): number {
    return boundPort(this.#server);
  }

  async start(): Promise<Result<void>> {
    await this.#aedes.listen();
    const listening = await listen(this.#server, this.#options.listen, "Mesh for gateways");
    if (!listening.ok) {
      await this.#closeAedes();
      return listening;
    }
    this.#server.on("error", (error) => this.#options.diagnostics.warn("mesh-listener-error", "", { error: error.message }));
    return listening;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#closeAedes();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #closeAedes(): Promise<void> {
    return new Promise((resolve) => this.#aedes.close(() => resolve()));
  }

  #createServer(): Server {
    const { psk } = this.#options;
    if (psk === undefined) {
      const server = createTcpServer({ noDelay: true }, (socket) => this.#accept(socket));
      server.on("connection", (socket) => this.#track(socket));
      return server;
    }
    const server = createTlsServer({
      ...tlsSettings,
      noDelay: true,
      handshakeTimeout: handshakeTimeoutMs,
      pskCallback: (socket: TLSSocket, identity: string) => {
        this.#pskIdentities.set(socket, identity);
        return this.#identityProblem(identity) === undefined ? psk : null;
      },
    });
    server.on("connection", (socket: Socket) => this.#track(socket));
    server.on("secureConnection", (socket) => this.#accept(socket));
    server.on("tlsClientError", (error, socket) => this.#handshakeFailed(error, socket));
    return server;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const identity = this.#pskIdentities.get(socket);
    const reason = (identity === undefined ? undefined : this.#identityProblem(identity)) ?? describeHandshakeFailure(error);
    this.#options.diagnostics.warn("mesh-peer-refused", `tls ${reason}`, {
      claimed: identity?.slice(0, 200),
      remote: socket.remoteAddress,
      reason,
    });
  }

  #createAedes(): Aedes {
    const aedes = new Aedes({
      connectTimeout: connectTimeoutMs,
      maxClientsIdLength: 512,
      preConnect: (client, packet, done) => this.#preConnect(client, packet, done),
      authenticate: (client, _username, _password, done) => this.#authenticate(client, done),
      authorizePublish: (client, packet, done) => this.#authorizePublish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        this.#refuse(client, `subscription to ${subscription.topic.slice(0, 200)}`);
        done(null, null);
      },
    });
    const failed = (client: Client, error: Error) => this.#clientFailed(client, error);
    aedes.on("clientError", failed);
    aedes.on("connectionError", failed);
    return aedes;
  }

  #accept(socket: Socket): void {
    const scanner = capPacketSize(socket, { controlBytesMax, publishBytesMax: controlBytesMax });
    const remote = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    const pskIdentity = this.#pskIdentities.get(socket);
    const client = this.#aedes.handle(socket);
    this.#connections.set(client, { socket, remote, scanner, pskIdentity, refused: undefined, sender: undefined });
    socket.once("close", () => this.#connections.delete(client));
  }

  /** Decides, and leaves the answer to `authenticate`, where a refusal reaches the peer as CONNACK 5. */
  #preConnect(client: Client, packet: ConnectPacket, done: (error: Error | null, success: boolean) => void): void {
    const connection = this.#connections.get(client);
    if (connection === undefined) return done(new PeerRefusedError("unknown connection"), false);
    const name = parseClientId(packet.clientId);
    const refused = this.#connectProblem(packet, connection);
    if (refused !== undefined || name === undefined) {
      this.#connections.set(client, { ...connection, refused: refused ?? "not a client id of the mesh" });
      return done(null, true);
    }
    const { site, self } = this.#options;
    const { link } = name;
    const from = name.peer.gateway;
    const channels = new Map(linkRules[link].channels.map((channel) => [topicFor(site, self, from, channel), channel] as const));
    // Nothing but the CONNECT may have come before its CONNACK, so the frames' cap can wait until here.
    connection.scanner.limit(limitsOf(link, this.#listed.has(from)));
    this.#connections.set(client, { ...connection, sender: { gateway: from, link, channels } });
    done(null, true);
  }

  #connectProblem(packet: ConnectPacket, connection: Connection): string | undefined {
    const name = parseClientId(packet.clientId);
    if (name === undefined) return `client id ${JSON.stringify(packet.clientId.slice(0, 200))} is none of the mesh`;
    // The identity that knew the secret is the one that speaks.
    if (connection.pskIdentity !== undefined && connection.pskIdentity !== name.identity) {
      return `client id ${name.identity} under the TLS identity ${connection.pskIdentity}`;
    }
    if (packet.will !== undefined || !packet.clean) return "a will or a persistent session";
    return this.#identityProblem(name.identity) ?? this.#unlistedProblem(name.peer.gateway);
  }

  #identityProblem(identity: string): string | undefined {
    const peer = parseIdentity(identity);
    if (peer === undefined) return "not an identity of the mesh";
    if (peer.site !== this.#options.site) return `a gateway of another site (${peer.site.slice(0, 100)})`;
    if (peer.gateway === this.#options.self) return "this gateway's own id: two gateways have one id";
    return undefined;
  }

  /** The listed have their places; those who are not listed share a few. */
  #unlistedProblem(gateway: GatewayId): string | undefined {
    if (this.#listed.has(gateway)) return undefined;
    const open = new Map<GatewayId, number>();
    for (const { sender } of this.#connections.values()) {
      if (sender !== undefined && !this.#listed.has(sender.gateway)) open.set(sender.gateway, (open.get(sender.gateway) ?? 0) + 1);
    }
    const own = open.get(gateway) ?? 0;
    const who = `gateway ${gateway.slice(0, 100)} is not in this gateway's list`;
    if (own === 0 && open.size >= unlistedGatewaysMax) return `${who}, and neither are ${open.size} others that are connected`;
    return own >= connectionsPerPeerMax ? `${who}, and has ${own} connections already` : undefined;
  }

  #authenticate(client: Client, done: (error: AuthenticateError | null, success: boolean | null) => void): void {
    const connection = this.#connections.get(client);
    if (connection?.sender !== undefined) {
      this.#options.connected(connection.sender.gateway);
      return done(null, true);
    }
    const reason = connection?.refused ?? "unknown connection";
    this.#refuse(client, reason);
    done(new PeerRefusedError(reason), false);
  }

  #authorizePublish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const sender = client === null ? undefined : this.#connections.get(client)?.sender;
    const channel = sender?.channels.get(packet.topic);
    if (client === null || sender === undefined || channel === undefined || packet.qos !== 0 || packet.retain) {
      const what = `a message on ${packet.topic.slice(0, 200)} (QoS ${packet.qos}${packet.retain ? ", retained" : ""})`;
      if (client !== null) this.#refuse(client, what);
      return done(new PeerRefusedError(what));
    }
    this.#options.receive(sender.gateway, channel, typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload);
    // Nobody can have subscribed: Aedes matches the topic against nothing, and is done.
    done(null);
  }

  #clientFailed(client: Client, error: Error): void {
    // Broken connections are the connecting side's to report, refusals were reported where they were decided.
    if (error instanceof PeerRefusedError || ("code" in error && typeof error.code === "string")) return;
    if (error.message === "keep alive timeout") return;
    this.#refuse(client, error.message);
  }

  #refuse(client: Client, reason: string): void {
    const connection = this.#connections.get(client);
    this.#options.diagnostics.warn("mesh-peer-refused", connection?.sender?.gateway ?? "", {
      claimed: connection?.sender?.gateway ?? connection?.pskIdentity?.slice(0, 200),
      remote: connection?.remote,
      reason,
    });
  }
}

function limitsOf(link: LinkName, listed: boolean): { readonly controlBytesMax: number; readonly publishBytesMax: number } {
  return { controlBytesMax, publishBytesMax: (listed ? linkRules[link].frameBytesMax : unlistedFrameBytesMax) + publishOverheadBytes };
}
