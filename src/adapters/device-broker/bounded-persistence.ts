/**
 * What the device broker keeps for sessions, in memory and bounded: retained messages, queues of persistent sessions
 * (clean session = 0) and the identifiers of QoS 2 handshakes. Aedes' own memory persistence holds subscriptions and
 * wills; everything that a client could grow without end is held here instead, and every bound says what happens at it.
 * Nothing of it survives a restart of the gateway.
 */
import { Readable } from "node:stream";
import type { Client, Subscription } from "aedes";
import memoryPersistence from "aedes-persistence";

export interface PersistenceLimits {
  /** Retained messages and their bytes (topic and payload); a new one beyond is delivered, but not retained. */
  readonly retainedMax: number;
  readonly retainedBytesMax: number;
  /** Persistent sessions with subscriptions; a subscription of one more is refused (SUBACK 0x80). */
  readonly sessionsMax: number;
  /** Messages and bytes that wait for one persistent session; newer ones are dropped and counted. */
  readonly queuedPerSessionMax: number;
  readonly queuedBytesPerSessionMax: number;
  /** Bytes that wait for all persistent sessions together; newer messages are dropped and counted. */
  readonly queuedBytesMax: number;
  /** QoS 2 identifiers awaiting PUBREL, all sessions; at the bound the session idle for longest forgets its own. */
  readonly incomingIdsMax: number;
}

export const defaultPersistenceLimits: PersistenceLimits = {
  retainedMax: 10_000,
  retainedBytesMax: 32 * 1024 * 1024,
  sessionsMax: 1_000,
  queuedPerSessionMax: 1_000,
  queuedBytesPerSessionMax: 4 * 1024 * 1024,
  queuedBytesMax: 64 * 1024 * 1024,
  incomingIdsMax: 262_144,
};

export interface PersistenceStats {
  readonly retained: number;
  readonly retainedBytes: number;
  readonly sessions: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Retained messages that were not kept, and queued ones that were dropped, at a bound. */
  readonly retainedRefused: number;
  readonly queuedDropped: number;
}

type ClientKey = Pick<Client, "id">;

/** The fields that Aedes puts on and reads from a message that it stores. */
interface StoredPacket {
  cmd: string;
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
  dup?: boolean;
  brokerId: string;
  brokerCounter: number;
  messageId?: number | undefined;
}

interface Will {
  readonly topic: string;
}

/** The part of Aedes' memory persistence that stays in use. It answers with promises when no callback is given. */
interface SubscriptionStore {
  setup(broker: unknown): Promise<void>;
  addSubscriptions(client: ClientKey, subscriptions: readonly Subscription[]): Promise<void>;
  removeSubscriptions(client: ClientKey, topics: readonly string[]): Promise<void>;
  subscriptionsByClient(client: ClientKey): Promise<{ readonly topic: string }[]>;
  subscriptionsByTopic(topic: string): Promise<{ readonly clientId: string }[]>;
  cleanSubscriptions(client: ClientKey): Promise<void>;
  storeRetained(packet: StoredPacket): Promise<void>;
  createRetainedStreamCombi(patterns: readonly string[]): Readable;
  putWill(client: ClientKey, will: Will): Promise<void>;
  delWill(client: ClientKey): Promise<Will | undefined>;
}

interface Queue {
  bytes: number;
  packets: StoredPacket[];
}

// Made once: a rejection is the ordinary answer for a QoS 2 message seen for the first time, and a stack trace costs.
const noSuchPacket = new Error("no such packet");

/** Bytes that a queued message costs beside topic and payload. */
const packetOverheadBytes = 200;

const bytesOf = (packet: StoredPacket): number => packet.topic.length + packet.payload.length + packetOverheadBytes;

export class BoundedPersistence {
  readonly #limits: PersistenceLimits;
  readonly #inner: SubscriptionStore;
  readonly #sessions = new Set<string>();
  readonly #retained = new Map<string, number>();
  readonly #queues = new Map<string, Queue>();
  readonly #incoming = new Map<string, Set<number>>();
  #retainedBytes = 0;
  #queued = 0;
  #queuedBytes = 0;
  #incomingIds = 0;
  #retainedRefused = 0;
  #queuedDropped = 0;

  constructor(limits: PersistenceLimits) {
    this.#limits = limits;
    // Its type declarations describe neither its CommonJS export nor its promises.
    this.#inner = (memoryPersistence as unknown as () => SubscriptionStore)();
  }

  stats(): PersistenceStats {
    return {
      retained: this.#retained.size,
      retainedBytes: this.#retainedBytes,
      sessions: this.#sessions.size,
      queued: this.#queued,
      queuedBytes: this.#queuedBytes,
      retainedRefused: this.#retainedRefused,
      queuedDropped: this.#queuedDropped,
    };
  }

  /** Whether a persistent session of this client may hold subscriptions. */
  admitsSession(clientId: string): boolean {
    return this.#sessions.has(clientId) || this.#sessions.size < this.#limits.sessionsMax;
  }

  /** Whether a QoS 2 message of this client was taken and its PUBREL has not come yet. */
  holdsIncoming(clientId: string, messageId: number): boolean {
    return this.#incoming.get(clientId)?.has(messageId) ?? false;
  }

  // From here on: what Aedes 1.2 calls.

  async setup(broker: unknown): Promise<void> {
    await this.#inner.setup(broker);
  }

  async storeRetained(packet: StoredPacket): Promise<void> {
    const before = this.#retained.get(packet.topic);
    if (packet.payload.length === 0) {
      this.#retained.delete(packet.topic);
      this.#retainedBytes -= before ?? 0;
      return this.#inner.storeRetained(packet);
    }
    const bytes = bytesOf(packet);
    const bytesAfter = this.#retainedBytes - (before ?? 0) + bytes;
    if ((before === undefined && this.#retained.size >= this.#limits.retainedMax) || bytesAfter > this.#limits.retainedBytesMax) {
      this.#retainedRefused++;
      return;
    }
    this.#retained.set(packet.topic, bytes);
    this.#retainedBytes = bytesAfter;
    await this.#inner.storeRetained(ownCopy(packet));
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return this.#inner.createRetainedStreamCombi(patterns);
  }

  async addSubscriptions(client: ClientKey, subscriptions: readonly Subscription[]): Promise<void> {
    this.#sessions.add(client.id);
    await this.#inner.addSubscriptions(client, subscriptions);
  }

  async removeSubscriptions(client: ClientKey, topics: readonly string[]): Promise<void> {
    await this.#inner.removeSubscriptions(client, topics);
    const left = await this.#inner.subscriptionsByClient(client);
    if (left.length === 0) this.#sessions.delete(client.id);
  }

  subscriptionsByClient(client: ClientKey): Promise<{ readonly topic: string }[]> {
    return this.#inner.subscriptionsByClient(client);
  }

  subscriptionsByTopic(topic: string): Promise<{ readonly clientId: string }[]> {
    return this.#inner.subscriptionsByTopic(topic);
  }

  /** MQTT-3.1.2-6: a clean session discards the one before, its queue too. */
  async cleanSubscriptions(client: ClientKey): Promise<void> {
    this.#sessions.delete(client.id);
    this.#dropQueue(client.id);
    await this.#inner.cleanSubscriptions(client);
  }

  async outgoingEnqueue(client: { readonly clientId: string }, packet: StoredPacket): Promise<void> {
    this.#enqueue(client.clientId, ownCopy(packet));
  }

  async outgoingEnqueueCombi(clients: readonly { readonly clientId: string }[], packet: StoredPacket): Promise<void> {
    if (clients.length === 0) return;
    const shared = ownCopy(packet);
    // One client may have several matching subscriptions; each session gets its own copy of the envelope.
    for (const client of clients) this.#enqueue(client.clientId, { ...shared });
  }

  async outgoingUpdate(client: ClientKey, packet: StoredPacket): Promise<void> {
    const packets = this.#queues.get(client.id)?.packets ?? [];
    for (let i = 0; i < packets.length; i++) {
      const queued = packets[i] as StoredPacket;
      if (queued.brokerId === packet.brokerId && queued.brokerCounter === packet.brokerCounter) {
        queued.messageId = packet.messageId;
        return;
      }
      if (queued.brokerId !== packet.brokerId && queued.messageId === packet.messageId) {
        // A PUBREL takes the place of its message. It keeps the size that the message was counted with.
        packets[i] = { ...queued, cmd: packet.cmd };
        return;
      }
    }
    // The message was dropped at the bound: it is delivered once, without being kept.
  }

  async outgoingClearMessageId(client: ClientKey, packet: { readonly messageId?: number }): Promise<StoredPacket | undefined> {
    const queue = this.#queues.get(client.id);
    if (queue === undefined || packet.messageId === undefined) return undefined;
    const at = queue.packets.findIndex((queued) => queued.messageId === packet.messageId);
    if (at < 0) return undefined;
    const [cleared] = queue.packets.splice(at, 1);
    if (cleared === undefined) return undefined;
    const bytes = bytesOf(cleared);
    queue.bytes -= bytes;
    this.#queuedBytes -= bytes;
    this.#queued--;
    if (queue.packets.length === 0) this.#queues.delete(client.id);
    return cleared;
  }

  outgoingStream(client: ClientKey): Readable {
    return Readable.from([...(this.#queues.get(client.id)?.packets ?? [])]);
  }

  /** Keeps the identifier only: the message was published before its PUBREC, so a resend needs recognising, no more. */
  async incomingStorePacket(client: ClientKey, packet: { readonly messageId: number }): Promise<void> {
    let ids = this.#incoming.get(client.id);
    if (ids?.has(packet.messageId)) return;
    if (this.#incomingIds >= this.#limits.incomingIdsMax) this.#forgetIdlestIncoming(client.id);
    if (ids === undefined) ids = new Set();
    // Reinserted, so that the map's order is the order of last use.
    this.#incoming.delete(client.id);
    this.#incoming.set(client.id, ids);
    ids.add(packet.messageId);
    this.#incomingIds++;
  }

  incomingGetPacket(client: ClientKey, packet: { readonly messageId: number }): Promise<{ readonly messageId: number }> {
    if (!this.holdsIncoming(client.id, packet.messageId)) return Promise.reject(noSuchPacket);
    return Promise.resolve({ messageId: packet.messageId });
  }

  async incomingDelPacket(client: ClientKey, packet: { readonly messageId: number }): Promise<void> {
    const ids = this.#incoming.get(client.id);
    if (ids === undefined || !ids.delete(packet.messageId)) throw noSuchPacket;
    this.#incomingIds--;
    if (ids.size === 0) this.#incoming.delete(client.id);
  }

  async cleanIncoming(client: ClientKey): Promise<void> {
    this.#forgetIncoming(client.id);
  }

  putWill(client: ClientKey, will: Will): Promise<void> {
    return this.#inner.putWill(client, will);
  }

  delWill(client: ClientKey): Promise<Will | undefined> {
    return this.#inner.delWill(client);
  }

  /**
   * Empty, always: Aedes asks for the wills of *other* brokers that died. There are none, but after a long stop of the
   * process (SIGSTOP, a sleeping laptop) it takes itself for one and would publish the wills of connected clients.
   */
  streamWill(): Readable {
    return Readable.from([]);
  }

  async destroy(): Promise<void> {
    this.#queues.clear();
    this.#incoming.clear();
  }

  #enqueue(clientId: string, packet: StoredPacket): void {
    let queue = this.#queues.get(clientId);
    const bytes = bytesOf(packet);
    if (
      (queue?.packets.length ?? 0) >= this.#limits.queuedPerSessionMax ||
      (queue?.bytes ?? 0) + bytes > this.#limits.queuedBytesPerSessionMax ||
      this.#queuedBytes + bytes > this.#limits.queuedBytesMax
    ) {
      this.#queuedDropped++;
      return;
    }
    if (queue === undefined) {
      queue = { bytes: 0, packets: [] };
      this.#queues.set(clientId, queue);
    }
    queue.packets.push(packet);
    queue.bytes += bytes;
    this.#queued++;
    this.#queuedBytes += bytes;
  }

  #dropQueue(clientId: string): void {
    const queue = this.#queues.get(clientId);
    if (queue === undefined) return;
    this.#queued -= queue.packets.length;
    this.#queuedBytes -= queue.bytes;
    this.#queues.delete(clientId);
  }

  #forgetIdlestIncoming(except: string): void {
    for (const clientId of this.#incoming.keys()) {
      if (clientId === except) continue;
      this.#forgetIncoming(clientId);
      return;
    }
  }

  #forgetIncoming(clientId: string): void {
    this.#incomingIds -= this.#incoming.get(clientId)?.size ?? 0;
    this.#incoming.delete(clientId);
  }
}

/** A copy that does not pin the socket's whole read buffer, which `payload` may be a window of. */
function ownCopy(packet: StoredPacket): StoredPacket {
  return {
    cmd: packet.cmd,
    topic: packet.topic,
    payload: Buffer.from(packet.payload),
    qos: packet.qos,
    retain: packet.retain,
    brokerId: packet.brokerId,
    brokerCounter: packet.brokerCounter,
    messageId: undefined,
  };
}
