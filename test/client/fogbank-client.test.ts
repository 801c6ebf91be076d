// Goal: the client and the API agree, over a real socket, and a lost answer is told from a lost request.
// Method: the API on a fake service at a free loopback port; failures of the network by an injected fetch.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createApi } from "../../src/api/create-api.ts";
import { FogbankClient } from "../../src/client/fogbank-client.ts";
import type { ClientEvent, GatewayUpdate } from "../../src/client/schema.ts";
import { failure, type Result, success } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { FakeService, fakeRow } from "../api/fake-service.ts";

async function site(run: (client: FogbankClient, service: FakeService) => Promise<void>, token?: string): Promise<void> {
  const service = new FakeService();
  const events = { bufferBytesMax: 4096, heartbeatMs: 5 };
  const api = createApi({
    service,
    token,
    version: "0.1.0",
    now: () => 0,
    log: { error: (event, details) => assert.unreachable(`${event} ${details?.["error"]}`) },
    events,
  });
  const listening = await api.listen({ host: "127.0.0.1", port: 0 });
  assert.ok(listening.ok);
  try {
    await run(new FogbankClient({ fetch, baseUrl: `http://127.0.0.1:${listening.value.port}/`, token }), service);
  } finally {
    await api.close();
  }
}

function unwrap<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

const codeOf = (result: Result<unknown>): string => (result.ok ? "ok" : result.code);

const calls = suite("client: calls");

calls("every call is understood", () =>
  site(async (client, service) => {
    assert.is(unwrap(await client.status()).site, "plant-7");
    service.isReady = false;
    assert.equal(unwrap(await client.readiness()).reasons, ["no leader is known"]);
    assert.equal(
      unwrap(await client.gateways()).gateways.map(({ id, kind, membership, matchIndex, note }) => [
        id,
        kind,
        membership,
        matchIndex,
        note,
      ]),
      [
        ["gw-a", "full", "voter", 9, undefined],
        ["gw-w", "witness", "expected", undefined, "not seen"],
      ],
    );
    assert.is(unwrap(await client.ring("a/b")).device?.id, "a/b");
    assert.is(unwrap(await client.devices()).devices[0]?.id, "room-1");
    assert.is(unwrap(await client.device("room-1")).latest?.["temperature"]?.value, 21.5);
    assert.is(codeOf(await client.device("a/b ?")), "not-found");
    assert.is(unwrap(await client.deadLetters()).letters.length, 1);
    service.readingsAnswer = success({ series: [{ device: "d", metric: "m", points: [[1, null]] }], complete: true, cursor: "c" });
    assert.equal(unwrap(await client.readings({ device: "d*", from: "-1h", limit: 3 })).series[0]?.points, [[1, null]]);
    assert.is(service.queries[0]?.limit, 3);
    assert.is(codeOf(await client.readings({ from: "2026-01-31T12:00:00+01:00" })), "ok");
    assert.is(codeOf(await client.readings({ from: "nonsense" })), "bad-request");
    assert.is(unwrap(await client.jobs()).jobs[0]?.name, "hourly");
    assert.is(unwrap(await client.runJob("hourly", { from: "-1h" })).rows[0]?.id, fakeRow.id);
    assert.is(codeOf(await client.runJob("none", {})), "not-found");
    assert.is(unwrap(await client.results({ job: "hourly" })).results.length, 1);
    assert.is(unwrap(await client.sync()).sinks[0]?.name, "archive");
  }),
);

calls("members are changed, and a refusal keeps its code", () =>
  site(async (client, service) => {
    const address = { host: "10.0.0.14", mqtt: 1883, mesh: 7883, http: 7880 };
    assert.is(unwrap(await client.addGateway({ id: "gw-d", role: "witness", zone: "x", address })).gateway, "gw-d");
    assert.is(unwrap(await client.updateGateway("gw-b", { weight: 0, zone: "" })).gateway, "gw-b");
    assert.is(unwrap(await client.updateGateway("gw-b", { zone: "hall-2" })).gateway, "gw-b");
    for (const wrong of [{}, { weight: 65 }, { weight: 1.5 }, { zone: 7 }, { wieght: 1 }])
      assert.is(codeOf(await client.updateGateway("gw-b", wrong as GatewayUpdate)), "bad-request", JSON.stringify(wrong));
    assert.is(unwrap(await client.replaceGateway("gw-b", { force: false })).gateway, "gw-b");
    assert.is(unwrap(await client.removeGateway("gw-b", { force: true })).gateway, "gw-b");
    assert.is(unwrap(await client.transferLeadership(undefined)).leader, "gw-a");
    assert.is(unwrap(await client.transferLeadership("gw-c")).leader, "gw-c");
    assert.equal(service.changes, [
      { add: { id: "gw-d", role: "witness", zone: "x", weight: 1, address } },
      { update: "gw-b", weight: 0, zone: null },
      { update: "gw-b", weight: undefined, zone: "hall-2" },
      { replace: "gw-b", force: false },
      { remove: "gw-b", force: true },
      { transfer: undefined },
      { transfer: "gw-c" },
    ]);
    service.memberFailure = failure("under-replicated", "gw-c is not filled yet");
    assert.equal(await client.removeGateway("gw-b", { force: false }), service.memberFailure);
  }),
);

calls("a repair is asked for, and its report understood", () =>
  site(async (client, service) => {
    assert.equal(
      unwrap(await client.repair()).gateways.map(({ gateway, chunksRestored }) => [gateway, chunksRestored]),
      [
        ["gw-a", 1],
        ["gw-b", 1],
      ],
    );
    service.repairAnswer = failure("not-ready", "an older version is among the gateways");
    assert.equal(await client.repair(), service.repairAnswer);
  }),
);

calls("an answer of a version that knew no members is understood", async () => {
  const old = { id: "gw-a", host: "h", weight: 1, up: true, role: "leader", partitions: 1, mqtt: "h:1", http: "h:2" };
  const client = new FogbankClient({ fetch: async () => Response.json({ gateways: [old] }), baseUrl: "http://old", token: undefined });
  assert.is(unwrap(await client.gateways()).gateways[0]?.membership, undefined);
});

calls("kv round trip with preconditions, keys of any characters", () =>
  site(async (client) => {
    for (const key of ["plain", "a/b//c", "ü ?#%2F", "../x"]) {
      const bytes = new Uint8Array([0, 200, 13, 10]);
      const { revision } = unwrap(await client.kvPut(key, bytes, { ifAbsent: true }));
      assert.equal(unwrap(await client.kvGet(key)), { value: bytes, revision }, key);
      assert.is(codeOf(await client.kvPut(key, bytes, { ifAbsent: true })), "precondition-failed");
      assert.is(codeOf(await client.kvDelete(key, { ifMatch: revision + 1 })), "precondition-failed");
      assert.is(codeOf(await client.kvDelete(key, { ifMatch: revision })), "ok");
      assert.is(unwrap(await client.kvGet(key)), undefined);
    }
  }),
);

calls("the token is sent; without it the call is refused", () =>
  site(async (client) => {
    assert.is(codeOf(await client.status()), "ok");
    const stranger = new FogbankClient({ fetch, baseUrl: client.baseUrl, token: "other" });
    assert.is(codeOf(await stranger.status()), "unauthorized");
  }, "s3cret"),
);

calls("a second listener on the port is port-in-use", () =>
  site(async (client) => {
    const api = createApi({ service: new FakeService(), token: undefined, version: "0", now: () => 0, log: { error: () => {} } });
    assert.is(codeOf(await api.listen({ host: "127.0.0.1", port: Number(new URL(client.baseUrl).port) })), "port-in-use");
    await api.close();
  }),
);

calls("a lost answer of a change is outcome-unknown; a request never sent is unreachable", async () => {
  const failing = (code: string) => {
    const cause = Object.assign(new Error(code), { code });
    return new FogbankClient({
      fetch: () => Promise.reject(new TypeError("fetch failed", { cause })),
      baseUrl: "http://gw",
      token: undefined,
    });
  };
  assert.is(codeOf(await failing("ECONNREFUSED").status()), "unreachable");
  assert.is(codeOf(await failing("ECONNREFUSED").kvPut("k", new Uint8Array(1), {})), "unreachable");
  assert.is(codeOf(await failing("ECONNRESET").status()), "unreachable");
  assert.is(codeOf(await failing("ECONNRESET").kvPut("k", new Uint8Array(1), {})), "outcome-unknown");
  assert.is(codeOf(await failing("UND_ERR_SOCKET").kvDelete("k", {})), "outcome-unknown");
  assert.is(codeOf(await failing("UND_ERR_SOCKET").runJob("j", {})), "outcome-unknown");
});

calls("something that is no gateway is told from one", async () => {
  const answering = (response: () => Response) =>
    new FogbankClient({ fetch: async () => response(), baseUrl: "http://gw", token: undefined });
  for (const response of [
    () => new Response("<html>"),
    () => new Response("{}"),
    () => new Response("no", { status: 404 }),
    () => new Response('{"code":"bogus","detail":"x"}', { status: 400 }),
  ]) {
    const result = await answering(response).status();
    assert.is(codeOf(result), "unreachable");
    assert.match(result.ok ? "" : result.message, "does not answer like a Fogbank gateway");
  }
  assert.is(codeOf(await answering(() => new Response("<html>")).kvPut("k", new Uint8Array(1), {})), "outcome-unknown");
  assert.is(codeOf(await new FogbankClient({ fetch, baseUrl: "nonsense", token: undefined }).status()), "usage");
});

calls.run();

const events = suite("client: events");

events("arrive typed, in order, and closing unsubscribes", () =>
  site(async (client, service) => {
    const stop = new AbortController();
    const stream = unwrap(await client.events("room-*", stop.signal));
    assert.equal([...service.listeners.values()], [{ readingsOf: "room-*" }]);
    const sent: ClientEvent[] = [
      { type: "leadership", leader: "gw-a", term: 4 },
      { type: "membership", gateway: "gw-b", up: false, reason: "no\nheartbeat" },
      { type: "result", row: fakeRow },
      { type: "reading", device: "room-1", metric: "t", ms: 1.5, value: "ü", gateway: "gw-a" },
    ];
    service.emit({ type: "leadership", leader: gatewayId("gw-a"), term: 4 });
    service.emit({ type: "membership", gateway: gatewayId("gw-b"), up: false, reason: "no\nheartbeat" });
    service.emit({ type: "result", row: fakeRow });
    service.emit({ type: "reading", device: "room-1", metric: "t", ms: 1.5, value: "ü", gateway: gatewayId("gw-a") });
    const got: ClientEvent[] = [];
    for await (const event of stream) {
      got.push(unwrap(event));
      if (got.length === sent.length) stop.abort();
    }
    assert.equal(got, sent);
    for (let turn = 0; service.listeners.size > 0 && turn < 10_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.is(service.listeners.size, 0);
  }),
);

events("a slow client loses events, learns how many, and takes no memory", () =>
  site(async (client, service) => {
    const stop = new AbortController();
    const stream = unwrap(await client.events("*", stop.signal));
    const total = 20_000;
    const value = "x".repeat(1000);
    for (let ms = 0; ms < total; ms++) service.emit({ type: "reading", device: "d", metric: "m", ms, value, gateway: gatewayId("gw-a") });
    let readings = 0;
    let dropped = 0;
    for await (const event of stream) {
      const got = unwrap(event);
      if (got.type === "reading") readings++;
      if (got.type === "dropped") dropped += got.count;
      if (readings + dropped === total) stop.abort();
    }
    assert.is(readings + dropped, total);
    assert.ok(dropped > total / 2, `dropped ${dropped}`);
  }),
);

events("closing the gateway ends the stream with a failure", async () => {
  let last: Promise<Result<ClientEvent>[]> | undefined;
  await site(async (client) => {
    const stream = unwrap(await client.events(undefined, new AbortController().signal));
    last = (async () => {
      const got: Result<ClientEvent>[] = [];
      for await (const event of stream) got.push(event);
      return got;
    })();
  });
  assert.equal((await last)?.map(codeOf), ["unreachable"]);
});

events.run();
