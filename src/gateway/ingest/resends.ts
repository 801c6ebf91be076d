/**
 * The stamps of messages without a time of their own, so that one that a client sends again is stored once: MQTT 3.1.1 resends what was
 * not acknowledged after a reconnect, with the same packet id, the same content and DUP (MQTT-4.4.0-1, 3.3.1-1). Then the stamp of the
 * first sending is given again. In doubt a message is a new one: at least once, never none. Memory only: a restart of the gateway, and
 * another gateway, know nothing of it.
 */

import type { BrokerClient } from "../../ports/broker.ts";
import type { ClientSession } from "./client-session.ts";

/** Of a client the newest packet ids only: more are rarely on their way. */
export const resendsOfClientMax = 1_024;
/** Of all clients together; beyond it the client that connected first of all is forgotten, with all of its. */
export const resendsMax = 100_000;

export interface SentMessage {
  readonly packetId: number;
  /** The client says that it has sent it before. */
  readonly duplicate: boolean;
  /** Of topic and payload. */
  readonly digest: number;
}

interface Stamped {
  digest: number;
  stampUs: number;
  /** In which of the client's connections it came last, and as which of its messages. */
  connection: number;
  place: number;
}

interface ClientMemory {
  readonly username: string | undefined;
  /** Counts the client's connections, as far as its session goes back. */
  connection: number;
  /** By packet id, the oldest first. */
  readonly stamped: Map<number, Stamped>;
}

export class Resends {
  readonly #clients = new Map<string, ClientMemory>();
  #size = 0;

  /** A connection begins. A clean session knows nothing of what was before it (MQTT-3.1.2-6). */
  connected(client: BrokerClient): void {
    const memory = this.#clients.get(client.id);
    if (memory === undefined || client.session === "will") return;
    if (client.session === "clean" || memory.username !== client.username) {
      this.#forget(client.id);
      return;
    }
    memory.connection++;
    // Reinserted, so that the map's order is that of the newest connection.
    this.#clients.delete(client.id);
    this.#clients.set(client.id, memory);
  }

  /** A connection has ended; with a clean session nothing is left of it. */
  disconnected(client: BrokerClient): void {
    if (client.session === "clean") this.#forget(client.id);
  }

  /**
   * The stamp that this message has already; `undefined`: it is a new one. To be asked before the message has its place in the session.
   * A packet id that was acknowledged on this very connection is free again, whatever DUP says: the client has the PUBACK, or is
   * about to get it. So a client that sets DUP always loses nothing.
   */
  stampOf(session: ClientSession, { packetId, duplicate, digest }: SentMessage): number | undefined {
    if (!duplicate) return undefined;
    const memory = this.#clients.get(session.client.id);
    const known = memory?.stamped.get(packetId);
    if (memory === undefined || known === undefined || known.digest !== digest) return undefined;
    if (known.connection === memory.connection && session.hasReleased(known.place)) return undefined;
    return known.stampUs;
  }

  /** The message, which comes as the session's next, has this stamp. */
  remember(session: ClientSession, { packetId, digest }: SentMessage, stampUs: number): void {
    const { client } = session;
    let memory = this.#clients.get(client.id);
    if (memory === undefined) {
      memory = { username: client.username, connection: 0, stamped: new Map() };
      this.#clients.set(client.id, memory);
    }
    if (memory.stamped.delete(packetId)) this.#size--;
    memory.stamped.set(packetId, { digest, stampUs, connection: memory.connection, place: session.nextPlace() });
    this.#size++;
    if (memory.stamped.size > resendsOfClientMax) this.#forgetOldestOf(memory);
    if (this.#size > resendsMax) this.#forgetFirstClient(client.id);
  }

  /** Stamps that are remembered. */
  size(): number {
    return this.#size;
  }

  #forgetOldestOf(memory: ClientMemory): void {
    for (const packetId of memory.stamped.keys()) {
      memory.stamped.delete(packetId);
      this.#size--;
      return;
    }
  }

  #forgetFirstClient(except: string): void {
    for (const id of this.#clients.keys()) {
      if (id === except) continue;
      this.#forget(id);
      return;
    }
  }

  #forget(id: string): void {
    this.#size -= this.#clients.get(id)?.stamped.size ?? 0;
    this.#clients.delete(id);
  }
}
