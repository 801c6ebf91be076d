/**
 * The stamps of messages without a time of their own, so that one that a client sends again is stored once: MQTT 3.1.1 resends what was
 * not acknowledged after a reconnect, with the same packet id, the same content and DUP (MQTT-4.4.0-1, 3.3.1-1). Then the stamp of the
 * first sending is given again. In doubt a message is a new one: at least once, never none. Memory only: a restart of the gateway, and
 * another gateway, know nothing of it.
 *
 * An id is its message's until the acknowledgement has left here. From then on the client may have it, and may have given the
 * id to its next message (MQTT-2.3.1), which says the same more often than not: whether that one was lost on its way or the
 * acknowledgement was, nobody can tell from a DUP, so it is a new one.
 */

import type { ClientSession } from "./client-session.ts";

/** Of a client the newest packet ids only: more are rarely on their way. */
export const resendsOfClientMax = 1_024;
/** Of all clients together; beyond it the client that connected first of all is forgotten, with all of its. */
export const resendsMax = 100_000;
const unplaced = -1;

export interface SentMessage {
  readonly packetId: number;
  /** The client says that it has sent it before. */
  readonly duplicate: boolean;
  /** Of topic and payload. */
  readonly digest: number;
}

interface Stamped {
  readonly digest: number;
  readonly stampUs: number;
  /** As which message of the connection it came; `unplaced`: in an earlier one, and was not acknowledged there. */
  place: number;
}

interface ClientMemory {
  readonly username: string | undefined;
  /** Whose messages have places; `undefined` between two connections, whose handles are not kept. */
  session: ClientSession | undefined;
  /** By packet id, the oldest first. */
  readonly stamped: Map<number, Stamped>;
}

export class Resends {
  readonly #clients = new Map<string, ClientMemory>();
  #size = 0;

  /** A connection begins. A clean session knows nothing of what was before it (MQTT-3.1.2-6). */
  connected({ client }: ClientSession): void {
    const memory = this.#clients.get(client.id);
    if (memory === undefined || client.session === "will") return;
    const wasClean = memory.session?.client.session === "clean";
    if (client.session === "clean" || wasClean || memory.username !== client.username) {
      this.#forget(client.id);
      return;
    }
    this.#leave(client.id, memory);
    if (memory.stamped.size === 0) return;
    // Reinserted, so that the map's order is that of the newest connection.
    this.#clients.delete(client.id);
    this.#clients.set(client.id, memory);
  }

  /** A connection has ended; with a clean session nothing is left of it. */
  disconnected(session: ClientSession): void {
    const { client } = session;
    const memory = this.#clients.get(client.id);
    if (memory === undefined || memory.session !== session) return;
    if (client.session === "clean") this.#forget(client.id);
    else this.#leave(client.id, memory);
  }

  /**
   * The stamp that this message has already; `undefined`: it is a new one. To be asked before the message has its place in the session.
   * A packet id that was acknowledged is free again, whatever DUP says. So a client that sets DUP always loses nothing.
   */
  stampOf(session: ClientSession, { packetId, duplicate, digest }: SentMessage): number | undefined {
    if (!duplicate) return undefined;
    const memory = this.#clients.get(session.client.id);
    const known = memory?.stamped.get(packetId);
    if (memory === undefined || known === undefined || known.digest !== digest) return undefined;
    if (known.place === unplaced) return known.stampUs;
    return memory.session !== session || session.hasReleased(known.place) ? undefined : known.stampUs;
  }

  /** The message, which comes as the session's next, has this stamp. */
  remember(session: ClientSession, { packetId, digest }: SentMessage, stampUs: number): void {
    const { client } = session;
    let memory = this.#clients.get(client.id);
    if (memory === undefined) {
      memory = { username: client.username, session, stamped: new Map() };
      this.#clients.set(client.id, memory);
    }
    if (memory.stamped.delete(packetId)) this.#size--;
    memory.session ??= session;
    // From a connection that another one of the client has taken the place of: its places are not those of the other.
    if (memory.session !== session) return;
    memory.stamped.set(packetId, { digest, stampUs, place: session.nextPlace() });
    this.#size++;
    if (memory.stamped.size > resendsOfClientMax) this.#forgetOldestOf(memory);
    if (this.#size > resendsMax) this.#forgetFirstClient(client.id);
  }

  /** Stamps that are remembered. */
  size(): number {
    return this.#size;
  }

  /** Its connection is over: what was acknowledged on it is, too, whether or not the client has heard of it. */
  #leave(id: string, memory: ClientMemory): void {
    const { session, stamped } = memory;
    if (session === undefined) return;
    memory.session = undefined;
    for (const [packetId, sent] of stamped) {
      if (sent.place === unplaced) continue;
      if (!session.hasReleased(sent.place)) sent.place = unplaced;
      else if (stamped.delete(packetId)) this.#size--;
    }
    if (stamped.size === 0) this.#forget(id);
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
