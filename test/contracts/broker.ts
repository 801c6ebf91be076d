// Goal: what src/ports/broker.ts promises holds for every implementation. Method: a gateway that records what it is told
// and decides by hand when each message is done; clients by way of the implementation under test.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Broker, BrokerClient, BrokerHandlers, ClientCredentials, ClientRejection } from "../../src/ports/broker.ts";

export interface ContractClientOptions {
  readonly id: string;
  readonly username?: string;
  readonly password?: string;
  /** Clean session 0. */
  readonly persistent?: boolean;
}

/** A device, as the contract needs it. */
export interface ContractClient {
  /** Sends without waiting; `acknowledged` turns true with PUBACK (QoS 1) or PUBCOMP (QoS 2). */
  publish(topic: string, payload: string, qos: 0 | 1 | 2, options?: { readonly duplicate: boolean }): { readonly acknowledged: boolean };
  /** Resolves when the subscription stands. */
  subscribe(filter: string, qos: 0 | 1 | 2): Promise<void>;
  readonly messages: readonly { readonly topic: string; readonly payload: string }[];
  /** The connection has ended, from whichever side. */
  readonly closed: boolean;
  end(): void;
}

export interface BrokerSite {
  readonly broker: Broker;
  /** Resolves to `undefined` when the broker refused the client. */
  connect(options: ContractClientOptions): Promise<ContractClient | undefined>;
  until(what: string, condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

interface Publish {
  readonly client: BrokerClient;
  readonly topic: string;
  readonly payload: string;
  readonly qos: 0 | 1 | 2;
  readonly done: () => void;
  readonly packetId: number;
  readonly duplicate: boolean;
}

class RecordingGateway implements BrokerHandlers {
  readonly credentials: ClientCredentials[] = [];
  readonly sessions: string[] = [];
  readonly handles = new Map<string, BrokerClient>();
  readonly published: Publish[] = [];
  readonly rejections: { readonly reason: ClientRejection; readonly detail: string }[] = [];
  automatic = false;

  authenticate(credentials: ClientCredentials): boolean {
    this.credentials.push(credentials);
    return credentials.password !== "wrong";
  }

  connected(client: BrokerClient): void {
    this.sessions.push(`+${client.id}`);
    this.handles.set(client.id, client);
  }

  disconnected(client: BrokerClient): void {
    this.sessions.push(`-${client.id}`);
  }

  publish(
    client: BrokerClient,
    topic: string,
    payload: Uint8Array,
    qos: 0 | 1 | 2,
    done: () => void,
    packetId: number,
    duplicate: boolean,
  ): void {
    this.published.push({ client, topic, payload: Buffer.from(payload).toString("utf8"), qos, done, packetId, duplicate });
    if (this.automatic) done();
  }

  rejected(reason: ClientRejection, detail: string): void {
    this.rejections.push({ reason, detail });
  }

  /** Finishes the message with this payload. */
  finish(payload: string): void {
    const publish = this.published.find((candidate) => candidate.payload === payload);
    assert.ok(publish, `message ${payload} was handed over`);
    publish?.done();
  }
}

interface Context {
  site: BrokerSite;
  gateway: RecordingGateway;
}

async function connect(site: BrokerSite, options: ContractClientOptions): Promise<ContractClient> {
  const client = await site.connect(options);
  assert.ok(client, `${options.id} may connect`);
  return client as ContractClient;
}

/** Registers the suite under `name`. */
export function brokerContract(name: string, createSite: () => Promise<BrokerSite>): void {
  const test = suite<Context>(`broker contract: ${name}`);

  test.before.each(async (context) => {
    context.site = await createSite();
    context.gateway = new RecordingGateway();
    const started = await context.site.broker.start(context.gateway);
    assert.ok(started.ok, started.ok ? "" : started.message);
  });
  test.after.each(async ({ site }) => {
    await site.close();
  });

  test("the gateway decides who may connect", async ({ site, gateway }) => {
    await connect(site, { id: "good", username: "u", password: "right" });
    assert.equal(gateway.credentials[0], { clientId: "good", username: "u", password: "right" });
    assert.is(await site.connect({ id: "bad", username: "u", password: "wrong" }), undefined);
    await site.until("the refusal is told", () => gateway.rejections.length === 1);
    assert.is(gateway.rejections[0]?.reason, "not-authorised");
    assert.ok(gateway.rejections[0]?.detail.includes("bad"), "names the client");
    await connect(site, { id: "anonymous" });
    assert.equal(gateway.credentials[2], { clientId: "anonymous", username: undefined, password: undefined });
    assert.equal(gateway.sessions, ["+good", "+anonymous"]);
  });

  test("a session begins and ends once, under one handle", async ({ site, gateway }) => {
    const client = await connect(site, { id: "d1" });
    client.publish("t", "x", 1);
    await site.until("the message comes", () => gateway.published.length === 1);
    assert.is(gateway.published[0]?.client, gateway.handles.get("d1"));
    assert.is(site.broker.stats().clients, 1);
    client.end();
    await site.until("the session ends", () => gateway.sessions.includes("-d1"));
    assert.equal(gateway.sessions, ["+d1", "-d1"]);
    assert.is(site.broker.stats().clients, 0);
  });

  for (const qos of [1, 2] as const) {
    test(`QoS ${qos} is acknowledged after done, not before`, async ({ site, gateway }) => {
      const client = await connect(site, { id: "d1" });
      const held = client.publish("t", "held", qos);
      const later = client.publish("t", "later", qos);
      await site.until("both are handed over", () => gateway.published.length === 2);
      // Another client's whole round trip lies between: what was to leak out has leaked.
      const other = await connect(site, { id: "d2" });
      const otherSent = other.publish("t", "other", qos);
      await site.until("the other is handed over", () => gateway.published.length === 3);
      gateway.finish("other");
      await site.until("the other is acknowledged", () => otherSent.acknowledged);
      assert.not(held.acknowledged);
      assert.not(later.acknowledged);
      gateway.finish("held");
      await site.until("the first is acknowledged", () => held.acknowledged);
      assert.not(later.acknowledged);
      gateway.finish("later");
      await site.until("the second is acknowledged", () => later.acknowledged);
      assert.is(gateway.published[0]?.qos, qos);
    });
  }

  test("subscribers see a message after done, in the order of done", async ({ site, gateway }) => {
    const subscriber = await connect(site, { id: "s" });
    await subscriber.subscribe("room/+/t", 1);
    const client = await connect(site, { id: "d1" });
    for (const payload of ["1", "2", "3"]) client.publish("room/a/t", payload, 1);
    client.publish("elsewhere", "4", 1);
    await site.until("all are handed over", () => gateway.published.length === 4);
    gateway.finish("1");
    await site.until("the first is delivered", () => subscriber.messages.length === 1);
    gateway.finish("2");
    gateway.finish("3");
    gateway.finish("4");
    await site.until("the others are delivered", () => subscriber.messages.length === 3);
    assert.equal(
      subscriber.messages.map((message) => message.payload),
      ["1", "2", "3"],
    );
    assert.is(subscriber.messages[0]?.topic, "room/a/t");
    assert.ok(site.broker.stats().delivered >= 3);
    assert.is(site.broker.stats().received, 4);
  });

  test("QoS 0 is handed over and delivered", async ({ site, gateway }) => {
    gateway.automatic = true;
    const subscriber = await connect(site, { id: "s" });
    await subscriber.subscribe("t", 0);
    const client = await connect(site, { id: "d1" });
    client.publish("t", "zero", 0);
    await site.until("it is delivered", () => subscriber.messages.length === 1);
    assert.is(gateway.published[0]?.qos, 0);
  });

  test("packet ids, DUP and clean session come through", async ({ site, gateway }) => {
    const client = await connect(site, { id: "keeps", persistent: true });
    client.publish("t", "1", 1);
    client.publish("t", "2", 2, { duplicate: true });
    client.publish("t", "3", 0);
    await site.until("all are handed over", () => gateway.published.length === 3);
    assert.equal(
      gateway.published.map(({ duplicate }) => duplicate),
      [false, true, false],
    );
    const [first, second, third] = gateway.published.map(({ packetId }) => packetId) as [number, number, number];
    assert.ok(first > 0 && second > 0 && first !== second, "two under way have two ids");
    assert.is(third, 0);
    await connect(site, { id: "clean" });
    assert.equal([gateway.handles.get("keeps")?.session, gateway.handles.get("clean")?.session], ["persistent", "clean"]);
  });

  test("done after the client has gone is ignored", async ({ site, gateway }) => {
    const client = await connect(site, { id: "d1" });
    client.publish("t", "orphan", 1);
    await site.until("it is handed over", () => gateway.published.length === 1);
    client.end();
    await site.until("the session ends", () => gateway.sessions.includes("-d1"));
    gateway.finish("orphan");
    const next = await connect(site, { id: "d1" });
    const sent = next.publish("t", "next", 1);
    await site.until("the next is handed over", () => gateway.published.some((publish) => publish.payload === "next"));
    gateway.finish("next");
    await site.until("the next is acknowledged", () => sent.acknowledged);
  });

  test("close ends the connection, once, and acknowledges nothing", async ({ site, gateway }) => {
    const client = await connect(site, { id: "d1" });
    const sent = client.publish("t", "held", 1);
    await site.until("it is handed over", () => gateway.published.length === 1);
    const handle = gateway.handles.get("d1");
    handle?.close();
    handle?.close();
    await site.until("the client notices", () => client.closed && gateway.sessions.includes("-d1"));
    handle?.close();
    gateway.finish("held");
    assert.not(sent.acknowledged);
    assert.equal(gateway.sessions, ["+d1", "-d1"]);
  });

  test("a second connection under the same id takes over", async ({ site, gateway }) => {
    const first = await connect(site, { id: "d1" });
    const second = await connect(site, { id: "d1" });
    await site.until("the first is closed", () => first.closed && gateway.sessions.length === 3);
    assert.equal(gateway.sessions, ["+d1", "-d1", "+d1"]);
    const sent = second.publish("t", "x", 1);
    await site.until("it is handed over", () => gateway.published.length === 1);
    gateway.finish("x");
    await site.until("it is acknowledged", () => sent.acknowledged);
    assert.is(site.broker.stats().clients, 1);
  });

  test("stop ends all sessions", async ({ site, gateway }) => {
    const client = await connect(site, { id: "d1" });
    const sent = client.publish("t", "held", 1);
    await site.until("it is handed over", () => gateway.published.length === 1);
    await site.broker.stop();
    await site.until("the client notices", () => client.closed);
    gateway.finish("held");
    assert.not(sent.acknowledged);
    assert.equal(gateway.sessions, ["+d1", "-d1"]);
  });

  test.run();
}
