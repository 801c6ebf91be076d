// Goal: a message without a time of its own that a client sends again keeps its stamp, and whatever may be a new message gets a new
// one: in doubt twice, never none (MQTT 3.1.1, 3.1.2-6, 3.3.1-1, 4.4.0-1). Method: sessions by hand; the memory at its bounds.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ClientSession } from "../../../src/gateway/ingest/client-session.ts";
import { Resends, resendsMax, resendsOfClientMax } from "../../../src/gateway/ingest/resends.ts";
import type { BrokerClient } from "../../../src/ports/broker.ts";

const test = suite("gateway/ingest: resends");

function clientOf(id: string, session: BrokerClient["session"] = "persistent", username?: string): BrokerClient {
  return { id, username, session, close: () => undefined };
}

/** A client's connections, as ingest sees them. */
class Client {
  session: ClientSession;
  readonly #resends: Resends;
  #stampUs = 0;

  constructor(resends: Resends, client = clientOf("c")) {
    this.#resends = resends;
    this.session = new ClientSession(client);
    resends.connected(this.session);
  }

  reconnect(client = this.session.client): void {
    this.session.end();
    this.#resends.disconnected(this.session);
    this.takeOver(client);
  }

  /** The connection before is not known to be over. */
  takeOver(client = this.session.client): void {
    this.session = new ClientSession(client);
    this.#resends.connected(this.session);
  }

  /** Sends; answers the stamp. */
  send(packetId: number, digest: number, duplicate = false): number {
    const sent = { packetId, duplicate, digest };
    const stampUs = this.#resends.stampOf(this.session, sent) ?? ++this.#stampUs;
    this.#resends.remember(this.session, sent, stampUs);
    this.session.arrive();
    return stampUs;
  }

  /** All that came is acknowledged. */
  acknowledge(): void {
    for (let place = this.session.nextPlace() - this.session.held(); place < this.session.nextPlace(); place++)
      this.session.release(place, () => undefined);
  }
}

test("resent after a reconnect: the same stamps, as often as it takes, in the order of the first sending", () => {
  const client = new Client(new Resends());
  assert.equal([client.send(1, 11), client.send(2, 22)], [1, 2]);
  for (let again = 0; again < 3; again++) {
    client.reconnect();
    assert.equal([client.send(1, 11, true), client.send(2, 22, true)], [1, 2]);
  }
  assert.is(client.send(3, 33), 3);
});

test("acknowledged, and the PUBACK lost with the connection or the next message of that id: a new one, since nobody can tell", () => {
  for (const end of ["reconnect", "takeOver"] as const) {
    const client = new Client(new Resends());
    client.send(1, 11);
    client.acknowledge();
    client[end]();
    assert.is(client.send(1, 11, true), 2, end);
    client[end]();
    assert.is(client.send(1, 11, true), 2, "that one was not acknowledged");
  }
});

test("what comes late of a connection that was taken over is no message of the new one", () => {
  const client = new Client(new Resends());
  client.send(1, 11);
  const before = client.session;
  client.takeOver();
  const after = client.session;
  client.send(2, 22);
  client.session = before;
  assert.is(client.send(2, 22, true), 3);
  client.session = after;
  assert.is(client.send(2, 22, true), 4);
  assert.is(client.send(1, 11, true), 1);
});

test("between two connections nothing is kept of what was acknowledged", () => {
  const resends = new Resends();
  const client = new Client(resends);
  for (let id = 1; id <= 3; id++) client.send(id, id);
  client.acknowledge();
  client.send(4, 4);
  client.reconnect();
  assert.is(resends.size(), 1);
});

test("a timer's resend on the same connection, as MQTT 3.1 allows: the same stamp, until it is acknowledged", () => {
  const client = new Client(new Resends());
  client.send(1, 11);
  assert.is(client.send(1, 11, true), 1);
  client.acknowledge();
  assert.is(client.send(1, 11, true), 2);
});

test("packet ids are used again: another content, or no DUP, is a new message, and takes the id over", () => {
  const client = new Client(new Resends());
  client.send(1, 11);
  client.acknowledge();
  assert.is(client.send(1, 11), 2, "the same content, said anew");
  client.reconnect();
  assert.is(client.send(1, 11, true), 2, "the newest of that id");
  assert.is(client.send(1, 99, true), 3, "DUP with another content is none");
  client.reconnect();
  assert.is(client.send(1, 11, true), 4, "the id is the other's now");
});

test("a client that sets DUP always, with one packet id, loses nothing on a connection that holds", () => {
  const client = new Client(new Resends());
  const stamps = [1, 2, 3].map(() => {
    const stamp = client.send(1, 11, true);
    client.acknowledge();
    return stamp;
  });
  assert.equal(stamps, [1, 2, 3]);
});

test("a clean session knows nothing of the one before, whichever of the two is the clean one", () => {
  for (const [before, after] of [
    ["clean", "clean"],
    ["persistent", "clean"],
    ["clean", "persistent"],
  ] as const) {
    const resends = new Resends();
    const client = new Client(resends, clientOf("c", before));
    client.send(1, 11);
    client.reconnect(clientOf("c", after));
    assert.is(client.send(1, 11, true), 2, `${before}, then ${after}`);
  }
});

test("another user under the same client id is another client; a will leaves the session as it is", () => {
  const resends = new Resends();
  const client = new Client(resends, clientOf("c", "persistent", "anna"));
  client.send(1, 11);
  const will = clientOf("c", "will", "anna");
  const willSession = new ClientSession(will);
  resends.connected(willSession);
  resends.disconnected(willSession);
  client.reconnect();
  assert.is(client.send(1, 11, true), 1);
  client.reconnect(clientOf("c", "persistent", "bert"));
  assert.is(client.send(1, 11, true), 2);
});

test("bounded per client: the oldest ids are forgotten", () => {
  const resends = new Resends();
  const client = new Client(resends);
  for (let id = 1; id <= resendsOfClientMax + 10; id++) client.send(id, id);
  assert.is(resends.size(), resendsOfClientMax);
  client.reconnect();
  assert.is(client.send(10, 10, true), resendsOfClientMax + 11, "forgotten");
  assert.is(client.send(12, 12, true), 12);
});

test("bounded in all: the client whose connection is the oldest goes first", () => {
  const resends = new Resends();
  const clients = Array.from({ length: 101 }, (_, at) => new Client(resends, clientOf(`c${at}`)));
  for (const client of clients) client.send(1, 11);
  clients[0]?.reconnect();
  for (const client of clients) for (let id = 2; id <= resendsOfClientMax; id++) client.send(id, id);
  assert.ok(resends.size() <= resendsMax);
  assert.is(clients[0]?.send(2, 2, true), 2, "connected lately");
  assert.is.not(clients[1]?.send(2, 2, true), 2);
});

test.run();
