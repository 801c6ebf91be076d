/**
 * The MQTT broker for devices: Aedes behind the `Broker` port. The gateway's `done` gates every PUBLISH before PUBACK,
 * PUBREC and delivery; nothing that a client sends is buffered without a bound; a client that breaks the protocol is cut
 * with a counted reason and a log line; a slow subscriber is cut and stalls nobody. Sessions and retained messages are
 * this gateway's own, in memory.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import { assert } from "../../lib/assert.ts";
import type { Result } from "../../lib/errors.ts";
import { success } from "../../lib/errors.ts";
import type { Broker, BrokerClient, BrokerHandlers, BrokerStats, ClientRejection } from "../../ports/broker.ts";
import type { Diagnostics } from "../../ports/diagnostics.ts";
import { BoundedPersistence, defaultPersistenceLimits, type PersistenceLimits, type PersistenceStats } from "./bounded-persistence.ts";
import { HeldPublishes } from "./held-publishes.ts";
import { LimitedDiagnostics } from "./limited-diagnostics.ts";
import { boundPort, listen } from "./listen.ts";
import { capPacketSize, publishOverheadBytes } from "./packet-size-cap.ts";
import { classifyClientError, mqtt5Remedy, quote, ReportedRefusalError, topicProblem } from "./rejections.ts";
import { WillSession } from "./will-session.ts";

export interface DeviceBrokerOptions {
  readonly host: string;
  /** 0 lets the operating system choose; `port` tells. */
  readonly port: number;
  readonly diagnostics: Diagnostics;
  /** Largest payload of a PUBLISH in bytes; default 1 MiB. */
  readonly packetBytesMax?: number;
  /** Bytes of unfinished messages of one client beyond which it is not read on; default 8 MiB. */
  readonly heldBytesPerClientMax?: number;
  /** Bytes that may wait for a subscriber's socket before it loses QoS 0 messages, or is cut for others; default 256 KiB. */
  readonly subscriberQueueBytesMax?: number;
  /** Connections at a time; further ones are closed at once. Default 10,000. */
  readonly connectionsMax?: number;
  /** Subscriptions of one client; further ones are refused. Default 1,000. */
  readonly subscriptionsPerClientMax?: number;
  /** Until the CONNECT must have come; default 10 s. */
  readonly connectTimeoutMs?: number;
  readonly persistence?: PersistenceLimits;
}

export interface DeviceBrokerStats extends BrokerStats, PersistenceStats {
  /** Messages that slow subscribers lost at QoS 0. */
  readonly deliveriesDropped: number;
}

type PublishPacket = Parameters<Aedes["authorizePublish"]>[1];
type ConnectPacket = Parameters<Aedes["preConnect"]>[1];
type Subscription = Parameters<Aedes["authorizeSubscribe"]>[1];

const controlBytesMax = 64 * 1024;
/** A subscriber whose socket takes nothing for this long is cut; until then Aedes counts its messages as undelivered. */
const drainTimeoutMs = 5_000;
const tcpKeepAliveDelayMs = 30_000;
/** CONNACK codes (MQTT 3.1.1, table 3.1). */
const badCredentials = 4;
const notAuthorised = 5;

interface Defaults {
  readonly packetBytesMax: number;
  readonly heldBytesPerClientMax: number;
  readonly subscriberQueueBytesMax: number;
  readonly connectionsMax: number;
  readonly subscriptionsPerClientMax: number;
  readonly connectTimeoutMs: number;
  readonly persistence: PersistenceLimits;
}

const defaults: Defaults = {
  packetBytesMax: 1024 * 1024,
  heldBytesPerClientMax: 8 * 1024 * 1024,
  subscriberQueueBytesMax: 256 * 1024,
  connectionsMax: 10_000,
  subscriptionsPerClientMax: 1_000,
  connectTimeoutMs: 10_000,
  persistence: defaultPersistenceLimits,
};

/** One TCP connection; it has a session once Aedes registered the client. */
interface Connection {
  readonly remote: string;
  username: string | undefined;
  session: Session | undefined;
}

class Session implements BrokerClient {
  readonly id: string;
  readonly username: string | undefined;
  readonly session: "clean" | "persistent";
  readonly held: HeldPublishes;
  /** Topic filter to granted QoS. Those that a persistent session brought along are not in it. */
  readonly subscriptions = new Map<string, number>();
  readonly #client: Client;
  #closing = false;

  constructor(client: Client, username: string | undefined, heldBytesMax: number) {
    this.id = client.id;
    this.username = username;
    this.session = client.clean ? "clean" : "persistent";
    this.held = new HeldPublishes(client, heldBytesMax);
    this.#client = client;
  }

  /** `close` was called: what was still being read from the client is not taken any more. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Whether it may be owed messages at QoS 1 or 2, and not at QoS 0 only. */
  get expectsAll(): boolean {
    if (!this.#client.clean) return true;
    for (const qos of this.subscriptions.values()) if (qos > 0) return true;
    return false;
  }

  close(): void {
    this.#closing = true;
    // Destroying the socket (instead of the Aedes client) lets `disconnected` come in a later turn, not inside this call.
    this.#client.conn.destroy();
  }
}

export class DeviceBroker implements Broker {
  readonly #options: DeviceBrokerOptions & Defaults;
  readonly #diagnostics: LimitedDiagnostics;
  readonly #debug: Diagnostics;
  readonly #persistence: BoundedPersistence;
  readonly #connections = new WeakMap<Client, Connection>();
  readonly #sockets = new Set<Socket>();
  /** Wills that the gateway has not finished with. Bounded by its intake bound. */
  readonly #wills = new Set<WillSession>();
  #handlers: BrokerHandlers | undefined;
  #aedes: Aedes | undefined;
  #server: Server | undefined;
  #stopping = false;
  #clients = 0;
  #received = 0;
  #delivered = 0;
  #deliveriesDropped = 0;

  constructor(options: DeviceBrokerOptions) {
    this.#options = { ...defaults, ...options };
    this.#debug = options.diagnostics;
    this.#diagnostics = new LimitedDiagnostics(options.diagnostics);
    this.#persistence = new BoundedPersistence(this.#options.persistence);
  }

  /** The port that the broker listens on; 0 before `start`. */
  get port(): number {
    return this.#server === undefined ? 0 : boundPort(this.#server);
  }

  async start(handlers: BrokerHandlers): Promise<Result<void>> {
    assert(this.#server === undefined, "the device broker is started once");
    this.#handlers = handlers;
    const aedes = this.#createAedes();
    // The whole read buffer is one read for Aedes; a larger write buffer lets a subscriber fall behind without stalling others.
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepAliveDelayMs,
      highWaterMark: this.#options.subscriberQueueBytesMax,
    });
    server.maxConnections = this.#options.connectionsMax;
    server.on("connection", (socket) => this.#accept(aedes, socket));
    server.on("drop", (data) =>
      this.#diagnostics.warn("mqtt-connections-full", "", {
        remote: data?.remoteAddress ?? "unknown",
        connectionsMax: this.#options.connectionsMax,
      }),
    );
    await aedes.listen();
    const listening = await listen(server, this.#options, "MQTT for devices");
    if (!listening.ok) {
      await closeAedes(aedes);
      return listening;
    }
    // After listening: errors of accept (e.g. EMFILE). The listener stays open; clients try again.
    server.on("error", (error) => this.#diagnostics.warn("mqtt-listener-error", "", { error: error.message }));
    this.#server = server;
    this.#aedes = aedes;
    return success(undefined);
  }

  stats(): DeviceBrokerStats {
    return {
      clients: this.#clients,
      received: this.#received,
      delivered: this.#delivered,
      deliveriesDropped: this.#deliveriesDropped,
      ...this.#persistence.stats(),
    };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const server = this.#server;
    const aedes = this.#aedes;
    if (server === undefined || aedes === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await closeAedes(aedes);
    // Connections without a session, which Aedes does not list.
    for (const socket of this.#sockets) socket.destroy();
    for (const will of this.#wills) will.close();
    await closed;
    await this.#persistence.destroy();
  }

  #createAedes(): Aedes {
    const aedes = new Aedes({
      persistence: this.#persistence,
      connectTimeout: this.#options.connectTimeoutMs,
      drainTimeout: drainTimeoutMs,
      // MQTT 3.1 allows 23 characters; clients send more, and the CONNECT cap bounds them.
      maxClientsIdLength: controlBytesMax,
      // Identifiers only are kept, and there are 65,535 of them. A bound would cut well-behaved clients, again and again.
      maxInflightInbound: 0,
      preConnect: (client, packet, done) => this.#preConnect(client, packet, done),
      authenticate: (client, username, password, done) => this.#authenticate(client, username, password, done),
      authorizePublish: (client, packet, done) => this.#authorizePublish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => done(null, this.#maySubscribe(client, subscription) ? subscription : null),
      authorizeForward: (client, packet) => (this.#mayForward(client, packet.qos) ? packet : null),
    });
    aedes.on("client", (client) => this.#connected(client));
    aedes.on("clientDisconnect", (client) => this.#disconnected(client));
    aedes.on("clientError", (client, error) => this.#clientFailed(client, error));
    aedes.on("connectionError", (client, error) => this.#clientFailed(client, error));
    aedes.on("unsubscribe", (topics, client) => {
      const session = this.#connections.get(client)?.session;
      for (const topic of topics) session?.subscriptions.delete(topic);
    });
    return aedes;
  }

  #accept(aedes: Aedes, socket: Socket): void {
    if (this.#stopping) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    capPacketSize(socket, { controlBytesMax, publishBytesMax: this.#options.packetBytesMax + publishOverheadBytes });
    const remote = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    this.#connections.set(aedes.handle(socket), { remote, username: undefined, session: undefined });
  }

  #preConnect(client: Client, packet: ConnectPacket, done: (error: Error | null, success: boolean) => void): void {
    if (packet.protocolVersion === 5) {
      // Aedes answers CONNACK 1 (unacceptable protocol version).
      this.#reject(client, "unsupported-protocol", mqtt5Remedy, packet.clientId);
      return done(null, true);
    }
    const problem = connectProblem(packet);
    if (problem === undefined) return done(null, true);
    this.#reject(client, "malformed-packet", problem, packet.clientId);
    done(new ReportedRefusalError(0, problem), false);
  }

  #authenticate(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    const connection = this.#connections.get(client);
    const handlers = this.#handlers;
    // A client that comes while the broker stops: never admitted, closed by `stop`.
    if (connection === undefined || handlers === undefined || this.#stopping) return;
    // Absent fields come as null from the parser.
    const user = username ?? undefined;
    const credentials = { clientId: client.id, username: user, password: password?.toString("utf8") };
    if (handlers.authenticate(credentials)) {
      connection.username = user;
      return done(null, true);
    }
    const detail =
      user === undefined
        ? "no user name was given, and anonymous clients are not allowed"
        : `wrong password or unknown user ${quote(user)}`;
    this.#reject(client, "not-authorised", detail, client.id);
    done(new ReportedRefusalError(user === undefined ? notAuthorised : badCredentials, detail), false);
  }

  #connected(client: Client): void {
    const connection = this.#connections.get(client);
    if (connection === undefined) return;
    connection.session = new Session(client, connection.username, this.#options.heldBytesPerClientMax);
    this.#clients++;
    this.#handlers?.connected(connection.session);
  }

  #disconnected(client: Client): void {
    const connection = this.#connections.get(client);
    // Aedes also reports clients that closed before it had registered them.
    if (connection?.session === undefined) return;
    const session = connection.session;
    connection.session = undefined;
    this.#clients--;
    this.#handlers?.disconnected(session);
  }

  /** A PUBLISH, or the will of a client that has gone (its connection is closed then). */
  #authorizePublish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const session = client === null ? undefined : this.#connections.get(client)?.session;
    if (client === null || session === undefined || this.#handlers === undefined || this.#stopping) {
      return done(new ReportedRefusalError(0, "there is no session"));
    }
    const problem = topicProblem(packet.topic);
    if (problem !== undefined) {
      this.#reject(client, "malformed-packet", problem, client.id);
      return done(new ReportedRefusalError(0, problem));
    }
    const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    if (client.closed) return this.#publishWill(this.#handlers, session, { ...packet, payload }, done);
    if (session.closing) return;
    // MQTT-4.3.3-2: taken before, and durable since; its PUBREC was lost.
    if (packet.qos === 2 && this.#persistence.holdsIncoming(client.id, packet.messageId ?? 0)) return done(null);
    this.#received++;
    const release = session.held.hold(packet.topic.length + payload.length, done);
    const packetId = packet.qos === 0 ? 0 : (packet.messageId ?? 0);
    this.#handlers.publish(session, packet.topic, payload, packet.qos, release, packetId, packet.dup);
  }

  #publishWill(
    handlers: BrokerHandlers,
    author: Session,
    { topic, payload, qos }: { readonly topic: string; readonly payload: Uint8Array; readonly qos: 0 | 1 | 2 },
    done: (error?: Error | null) => void,
  ): void {
    this.#received++;
    const will = new WillSession({
      id: author.id,
      username: author.username,
      finish: (error) => {
        if (error !== null) this.#diagnostics.warn("mqtt-will-lost", "", { client: quote(author.id), topic: quote(topic) });
        done(error);
      },
      ended: (session) => {
        this.#wills.delete(session);
        handlers.disconnected(session);
      },
    });
    this.#wills.add(will);
    handlers.connected(will);
    handlers.publish(will, topic, payload, qos, () => will.done(), 0, false);
  }

  #maySubscribe(client: Client, subscription: Subscription): boolean {
    const session = this.#connections.get(client)?.session;
    // A restored session subscribes before it is registered; it was admitted when it first subscribed.
    if (session === undefined) return true;
    // $SYS shows other clients' ids; $share would be taken literally and never match.
    const refusal = subscription.topic.startsWith("$")
      ? "topics that begin with $ cannot be subscribed to"
      : session.subscriptions.size >= this.#options.subscriptionsPerClientMax && !session.subscriptions.has(subscription.topic)
        ? `more than ${this.#options.subscriptionsPerClientMax} subscriptions`
        : !client.clean && !this.#persistence.admitsSession(client.id)
          ? `more than ${this.#options.persistence.sessionsMax} persistent sessions (use clean session = 1)`
          : undefined;
    if (refusal === undefined) {
      session.subscriptions.set(subscription.topic, subscription.qos);
      return true;
    }
    this.#diagnostics.warn("mqtt-subscription-refused", "", {
      client: quote(client.id),
      topic: quote(subscription.topic),
      reason: refusal,
    });
    return false;
  }

  /** Never waits for a slow subscriber: Aedes would stall all publishers behind it until the drain time-out. */
  #mayForward(client: Client, qos: 0 | 1 | 2): boolean {
    if (client.conn.writableLength < this.#options.subscriberQueueBytesMax / 2) {
      this.#delivered++;
      return true;
    }
    // `qos` is the publisher's; delivery is at the lower of it and the subscription's.
    if (qos === 0 || this.#connections.get(client)?.session?.expectsAll !== true) {
      this.#deliveriesDropped++;
      return false;
    }
    this.#diagnostics.warn("mqtt-subscriber-cut", "", {
      client: quote(client.id),
      reason: `${client.conn.writableLength} bytes wait for it to read`,
    });
    client.conn.destroy();
    // A persistent session keeps the message in its queue, and gets it after the next connect.
    return true;
  }

  #clientFailed(client: Client, error: Error): void {
    const problem = classifyClientError(error);
    if (problem.kind === "rejected") this.#reject(client, problem.reason, problem.detail, client.id ?? undefined);
    if (problem.kind === "lost") {
      this.#debug.debug("mqtt-connection-lost", {
        client: client.id,
        remote: this.#connections.get(client)?.remote,
        reason: problem.detail,
      });
    }
  }

  #reject(client: Client, reason: ClientRejection, why: string, clientId: string | undefined): void {
    const remote = this.#connections.get(client)?.remote ?? "unknown";
    const who = clientId === undefined || clientId === "" ? remote : `client ${quote(clientId)} at ${remote}`;
    this.#diagnostics.warn("mqtt-client-rejected", reason, { client: clientId?.slice(0, 120), remote, reason, detail: why });
    this.#handlers?.rejected(reason, `${who}: ${why}`);
  }
}

function connectProblem(packet: ConnectPacket): string | undefined {
  // MQTT-1.5.3-2.
  if (packet.clientId.includes("\u0000")) return "the NUL character is not allowed in a client id";
  if (packet.will === undefined) return undefined;
  const problem = topicProblem(packet.will.topic);
  return problem === undefined ? undefined : `will: ${problem}`;
}

function closeAedes(aedes: Aedes): Promise<void> {
  return new Promise((resolve) => aedes.close(() => resolve()));
}
