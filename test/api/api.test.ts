// Goal: the HTTP surface of the design's section 9: routes, parameters, problems, kv preconditions, who may change what.
// Method: requests injected into the real application on a fake gateway service; no socket.

import Type, { type TSchema } from "typebox";
import { Value } from "typebox/value";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Api, createApi } from "../../src/api/create-api.ts";
import { ProblemSchema } from "../../src/client/schema.ts";
import { type Endpoint, surface } from "../../src/client/surface.ts";
import { encodeCursor } from "../../src/gateway/query/cursor.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { deviceId } from "../../src/lib/ids.ts";
import { FakeService, fakeRow } from "./fake-service.ts";

const now = Date.UTC(2026, 0, 31, 12);

interface Setup {
  readonly service: FakeService;
  readonly api: Api;
  readonly logged: string[];
}

function setup(token?: string): Setup {
  const service = new FakeService();
  const logged: string[] = [];
  const api = createApi({
    service,
    token,
    version: "0.1.0",
    now: () => now,
    log: { error: (event, details) => logged.push(`${event} ${details?.["error"]}`) },
  });
  return { service, api, logged };
}

async function problemOf(api: Api, url: string, method: "GET" | "PUT" | "POST" | "DELETE" | "PATCH" = "GET") {
  const response = await api.inject({ method, url });
  assert.match(String(response.headers["content-type"]), "application/problem+json");
  const problem: unknown = response.json();
  assert.ok(Value.Check(ProblemSchema, problem), response.body);
  assert.is(problem.status, response.statusCode);
  return problem;
}

function codeOf(response: { json(): unknown }): unknown {
  const problem: unknown = response.json();
  return Value.Check(ProblemSchema, problem) ? problem.code : undefined;
}

const routes = suite("api: routes");

routes("each GET answers with what its schema says", async () => {
  const { api } = setup();
  const paths: Partial<Record<keyof typeof surface, string>> = { device: "/api/v1/devices/room-1", ring: "/api/v1/ring?device=room-1" };
  for (const [name, endpoint] of Object.entries<Endpoint>(surface)) {
    if (endpoint.method !== "GET" || endpoint.answer.kind !== "json") continue;
    const schema: TSchema = endpoint.answer.schema;
    const response = await api.inject(Object.entries(paths).find(([key]) => key === name)?.[1] ?? endpoint.path);
    assert.is(response.statusCode, 200, `${name}: ${response.body}`);
    const body: unknown = response.json();
    assert.ok(Value.Check(schema, body), `${name}: ${JSON.stringify(Value.Errors(schema, body))}`);
  }
});

routes("readyz says 503 and why", async () => {
  const { api, service } = setup();
  service.isReady = false;
  const response = await api.inject("/readyz");
  assert.is(response.statusCode, 503);
  assert.equal(response.json(), { ready: false, reasons: ["no leader is known"] });
});

routes("metrics are Prometheus text, one family together, labels escaped", async () => {
  const { api } = setup();
  const { body, headers } = await api.inject("/metrics");
  assert.match(String(headers["content-type"]), "text/plain; version=0.0.4");
  assert.match(
    body,
    '# TYPE fogbank_closed_total counter\nfogbank_closed_total{reason="a \\"b\\"\\n"} 1\nfogbank_closed_total{reason="slow"} 2\n',
  );
  assert.match(body, "# TYPE fogbank_clients gauge\nfogbank_clients 3\n");
  assert.match(body, "process_resident_memory_bytes ");
});

routes("openapi.json lists every route and method", async () => {
  const { api } = setup();
  const document: unknown = (await api.inject("/openapi.json")).json();
  const Document = Type.Object({ openapi: Type.String(), paths: Type.Record(Type.String(), Type.Record(Type.String(), Type.Object({}))) });
  assert.ok(Value.Check(Document, document));
  const listed = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`));
  const expected = Object.values<Endpoint>(surface).map(({ method, path }) => `${method.toLowerCase()} ${path.replace("+}", "}")}`);
  assert.equal(listed.sort(), expected.sort());
});

routes("an unknown path is 404, a wrong method 405 with Allow", async () => {
  const { api } = setup();
  assert.is((await problemOf(api, "/api/v1/nothing")).code, "not-found");
  assert.is((await problemOf(api, "/api/v1/status", "POST")).code, "method-not-allowed");
  assert.is((await api.inject({ method: "PATCH", url: "/api/v1/kv/a/b" })).headers["allow"], "GET, PUT, DELETE");
  assert.is((await problemOf(api, "/api/v1/devices/none")).code, "not-found");
  assert.is((await problemOf(api, "/api/v1/devices/%zz")).code, "bad-request");
});

routes("a bug is answered as internal, logged, and shows no stack", async () => {
  const { api, service, logged } = setup();
  service.readings = () => Promise.reject(new TypeError("secret detail"));
  const problem = await problemOf(api, "/api/v1/readings");
  assert.is(problem.code, "internal");
  assert.not.match(JSON.stringify(problem), "secret detail");
  assert.match(logged[0] ?? "", "secret detail");
});

routes.run();

const parameters = suite("api: parameters");

parameters("readings: all of them reach the service", async () => {
  const { api, service } = setup();
  const response = await api.inject(
    "/api/v1/readings?metric=temperature&device=room-*&from=-1h&to=2026-01-31T12:00:00%2B01:00&every=1m&agg=quantile(0.95)&consistency=one&limit=5&cursor=abc",
  );
  assert.is(response.statusCode, 200, response.body);
  assert.equal(service.queries, [
    {
      metric: "temperature",
      device: "room-*",
      fromMs: now - 3_600_000,
      toMs: now - 3_600_000,
      consistency: "one",
      everyMs: 60_000,
      aggregate: { kind: "quantile", q: 0.95 },
      limit: 5,
      cursor: "abc",
    },
  ]);
});

parameters("readings: what is absent or empty has its default; every without agg is the mean", async () => {
  const { api, service } = setup();
  await api.inject("/api/v1/readings?metric=&device=&from=&agg=");
  await api.inject("/api/v1/readings?every=1h");
  const rest = { fromMs: undefined, toMs: undefined, consistency: undefined, cursor: undefined, limit: 10_000 };
  assert.equal(service.queries[0], { metric: undefined, device: "*", everyMs: undefined, aggregate: undefined, ...rest });
  await api.inject("/api/v1/readings?flags=clock");
  assert.is(service.queries[2]?.clockFlags, true);
  assert.equal(service.queries[1], { metric: undefined, device: "*", everyMs: 3_600_000, aggregate: { kind: "mean" }, ...rest });
});

parameters("a bad value is bad-request and names parameter, value and what is expected", async () => {
  const { api, service } = setup();
  const cases: readonly (readonly [string, RegExp])[] = [
    ["metrc=a", /unknown parameter "metrc", did you mean "metric"\?/],
    ["metric=a&metric=b", /"metric" is given twice/],
    ["from=yesterday", /"from": "yesterday" is not valid; expected RFC 3339/],
    ["from=2026-01-31T12:00:00+01:00", /%2B/],
    ["from=-1h&to=-2h", /"from" \(-1h\) is after "to"/],
    ["every=60", /"every": "60".*duration/],
    ["every=0s", /"every": "0s"/],
    ["agg=mean", /"agg" needs "every"/],
    ["every=1m&agg=median", /"agg": "median".*quantile/],
    ["limit=0", /"limit": "0".*1 to 10000/],
    ["limit=10001", /1 to 10000/],
    ["limit=1e3", /"limit"/],
    ["consistency=any", /a level for writing/],
    ["consistency=al", /one \| quorum \| all, did you mean "all"\?/],
    ["format=xml", /json \| csv/],
    ["flags=clocks", /"flags": "clocks".*expected clock, did you mean "clock"/],
    ["flags=clock&every=1m", /"flags" is about raw readings/],
    [`metric=${"x".repeat(2000)}`, /at most 1024/],
  ];
  for (const [query, expected] of cases) {
    const problem = await problemOf(api, `/api/v1/readings?${query}`);
    assert.is(problem.code, "bad-request", query);
    assert.match(problem.detail, expected);
  }
  assert.equal(service.queries, []);
  assert.match((await problemOf(api, "/api/v1/status?x=1")).detail, "takes none");
});

parameters("the longest cursor that a gateway gives out is taken back", async () => {
  const { api, service } = setup();
  const cursor = encodeCursor({ device: deviceId("驛".repeat(128)), metric: "温".repeat(64), us: Number.MAX_SAFE_INTEGER });
  assert.ok(cursor.length > 1_024);
  assert.is((await api.inject(`/api/v1/readings?cursor=${cursor}`)).statusCode, 200);
  assert.is(service.queries[0]?.cursor, cursor);
  assert.match((await problemOf(api, `/api/v1/readings?cursor=${"a".repeat(8_193)}`)).detail, /at most 8192/);
});

parameters("readings as CSV quote what needs it and pass the cursor in a header", async () => {
  const { api, service } = setup();
  service.readingsAnswer = success({
    series: [
      {
        device: 'a,"b"',
        metric: "m",
        points: [
          [1, 0.1],
          [2.5, "x\ny"],
          [3, null],
          [4, true],
        ],
      },
    ],
    complete: false,
    cursor: "next",
  });
  const { body, headers } = await api.inject("/api/v1/readings?format=csv");
  assert.is(body, 'device,metric,time,value\n"a,""b""",m,1,0.1\n"a,""b""",m,2.5,"x\ny"\n"a,""b""",m,3,\n"a,""b""",m,4,true\n');
  assert.is(headers["fogbank-cursor"], "next");
  assert.is(headers["fogbank-complete"], "false");
});

parameters("an unavailable quorum is 503 with its code", async () => {
  const { api, service } = setup();
  service.readingsAnswer = failure("quorum-unavailable", "1 of 3 gateways answer");
  const problem = await problemOf(api, "/api/v1/readings");
  assert.is(problem.status, 503);
  assert.is(problem.code, "quorum-unavailable");
});

parameters("a job's run takes a range in JSON, or none", async () => {
  const { api, service } = setup();
  const run = (payload?: string) =>
    api.inject({
      method: "POST",
      url: "/api/v1/jobs/hourly/run",
      ...(payload === undefined ? {} : { payload, headers: { "content-type": "application/json" } }),
    });
  assert.is((await run('{"from":"-1h","to":1769860800000}')).statusCode, 200);
  assert.equal((await run()).json(), { job: "hourly", windows: 1, committed: 1, rows: [fakeRow] });
  assert.equal(service.runs, [
    { name: "hourly", fromMs: now - 3_600_000, toMs: 1_769_860_800_000 },
    { name: "hourly", fromMs: undefined, toMs: undefined },
  ]);
  for (const bad of ["{", "[]", '{"form":1}', '{"from":true}', '{"from":2,"to":1}', "\xff"])
    assert.is((await run(bad)).statusCode, 400, bad);
});

parameters("results of one job, or of all", async () => {
  const { api } = setup();
  assert.equal((await api.inject("/api/v1/results?job=hourly&from=0")).json(), { results: [fakeRow] });
  assert.equal((await api.inject("/api/v1/results")).json(), { results: [fakeRow] });
  assert.is((await problemOf(api, "/api/v1/results?job=none")).code, "not-found");
});

parameters.run();

const kv = suite("api: kv");

kv("bytes come back as they went in, under a key with slashes; the ETag is the revision", async () => {
  const { api, service } = setup();
  const payload = Buffer.from([0, 255, 10, 13]);
  const put = await api.inject({ method: "PUT", url: "/api/v1/kv/a/b%20c", payload });
  assert.is(put.statusCode, 200, put.body);
  assert.is(put.headers["etag"], '"1"');
  assert.ok(service.kv.has("a/b c"));
  const got = await api.inject("/api/v1/kv/a/b%20c");
  assert.equal(got.rawPayload, payload);
  assert.is(got.headers["etag"], '"1"');
  assert.is(got.headers["content-type"], "application/octet-stream");
  assert.is((await api.inject({ method: "GET", url: "/api/v1/kv/a/b%20c", headers: { "if-none-match": '"1"' } })).statusCode, 304);
  assert.is((await api.inject({ method: "GET", url: "/api/v1/kv/a/b%20c", headers: { "if-match": '"2"' } })).statusCode, 412);
});

kv("any content type is opaque, an empty value is a value, and JSON is not parsed", async () => {
  const { api, service } = setup();
  for (const [type, payload] of [
    ["application/json", "{not json"],
    ["text/plain", ""],
    ["application/x-www-form-urlencoded", "a=b"],
  ] as const) {
    const put = await api.inject({ method: "PUT", url: "/api/v1/kv/k", headers: { "content-type": type }, payload });
    assert.is(put.statusCode, 200, put.body);
    assert.is(Buffer.from(service.kv.get("k")?.value ?? []).toString(), payload);
  }
});

kv("preconditions: 412 on mismatch, 400 on nonsense", async () => {
  const { api, service } = setup();
  const put = async (headers: Record<string, string>) =>
    (await api.inject({ method: "PUT", url: "/api/v1/kv/k", headers, payload: "v" })).statusCode;
  assert.is(await put({ "if-match": "*" }), 412);
  assert.is(await put({ "if-match": '"1"' }), 412);
  assert.is(await put({ "if-none-match": "*" }), 200);
  assert.is(await put({ "if-none-match": "*" }), 412);
  assert.is(await put({ "if-match": '"1"' }), 200);
  assert.is(await put({ "if-match": '"1"' }), 412);
  assert.is(await put({ "if-match": '"not-ours"' }), 412);
  for (const tag of ['"0"', '"01"', '"00"']) {
    const answer = await api.inject({ method: "PUT", url: "/api/v1/kv/absent", headers: { "if-match": tag }, payload: "v" });
    assert.is(answer.statusCode, 412, tag);
    // Answered here: for the gateway, revision 0 means that the key must be absent.
    assert.match(answer.json<{ detail: string }>().detail, /no revision has the ETag/);
  }
  assert.is(await put({ "if-match": "2" }), 400);
  assert.is(await put({ "if-match": '"2", "3"' }), 400);
  assert.is(await put({ "if-none-match": '"2"' }), 400);
  assert.is(await put({ "if-none-match": "*", "if-match": "*" }), 400);
  assert.is(service.kv.get("k")?.revision, 2);
});

kv("delete, also conditional; the second is 404", async () => {
  const { api, service } = setup();
  await service.kvPut("k", new Uint8Array([1]), { kind: "any" });
  const remove = async (headers: Record<string, string>) =>
    (await api.inject({ method: "DELETE", url: "/api/v1/kv/k", headers })).statusCode;
  assert.is(await remove({ "if-match": '"9"' }), 412);
  assert.is(await remove({ "if-none-match": "*" }), 400);
  assert.is(await remove({ "if-match": '"1"' }), 204);
  assert.is(await remove({}), 404);
  assert.is((await problemOf(api, "/api/v1/kv/k")).code, "not-found");
});

kv("not-applied and outcome-unknown are told apart", async () => {
  const { api, service } = setup();
  for (const code of ["not-applied", "outcome-unknown"] as const) {
    service.kvFailure = failure(code, "no leader");
    const problem = await problemOf(api, "/api/v1/kv/k", "PUT");
    assert.is(problem.status, 503);
    assert.is(problem.code, code);
  }
});

kv("a value of 1 MiB fits, one byte more is 413; a key has 1 to 512 bytes", async () => {
  const { api } = setup();
  const put = (key: string, bytes: number) => api.inject({ method: "PUT", url: `/api/v1/kv/${key}`, payload: Buffer.alloc(bytes) });
  assert.is((await put("k", 1024 * 1024)).statusCode, 200);
  const large = await put("k", 1024 * 1024 + 1);
  assert.is(large.statusCode, 413);
  assert.is(codeOf(large), "too-large");
  assert.is((await put("x".repeat(512), 1)).statusCode, 200);
  assert.is((await put("x".repeat(513), 1)).statusCode, 400);
  assert.is((await put("", 1)).statusCode, 400);
});

kv.run();

const members = suite("api: members");

const address = { host: "10.0.0.14", mqtt: 1883, mesh: 7883, http: 7880 };
const add = (api: Api, body: unknown) =>
  api.inject({ method: "POST", url: "/api/v1/gateways", payload: typeof body === "string" ? body : JSON.stringify(body) });

members("what is asked for reaches the service, with the defaults filled in", async () => {
  const { api, service } = setup();
  assert.equal((await add(api, { id: "gw-d", address })).json(), { gateway: "gw-d" });
  await add(api, { id: "gw-e", role: "full", zone: "hall", weight: 3, address: { ...address, host: "gw-e.local" } });
  await add(api, { id: "gw-f", role: "witness", zone: null, address });
  await api.inject({ method: "POST", url: "/api/v1/gateways/gw-b/replace" });
  await api.inject({ method: "POST", url: "/api/v1/gateways/gw-b/replace?force=true" });
  await api.inject({ method: "DELETE", url: "/api/v1/gateways/gw-b?force=false" });
  assert.equal((await api.inject({ method: "POST", url: "/api/v1/raft/transfer", payload: '{"to":"gw-c"}' })).json(), { leader: "gw-c" });
  assert.equal((await api.inject({ method: "POST", url: "/api/v1/raft/transfer" })).json(), { leader: "gw-a" });
  assert.equal(service.changes, [
    { add: { id: "gw-d", role: "full", zone: undefined, weight: 1, address } },
    { add: { id: "gw-e", role: "full", zone: "hall", weight: 3, address: { ...address, host: "gw-e.local" } } },
    { add: { id: "gw-f", role: "witness", zone: undefined, weight: 1, address } },
    { replace: "gw-b", force: false },
    { replace: "gw-b", force: true },
    { remove: "gw-b", force: false },
    { transfer: "gw-c" },
    { transfer: undefined },
  ]);
});

members("what no YAML could say is refused, and never reaches the service", async () => {
  const { api, service } = setup();
  const bad: readonly (readonly [unknown, string])[] = [
    ["", 'no \\"id\\"'],
    ["{", "is not JSON"],
    ["[]", "is no object"],
    [{ address }, 'no \\"id\\"'],
    [{ id: "GW D", address }, "lower-case"],
    [{ id: 7, address }, "expected a text"],
    [{ id: "__proto__", address }, "expected"],
    [{ id: "gw-d" }, "is no object"],
    [{ id: "gw-d", address: { ...address, host: "a b" } }, "host name"],
    [{ id: "gw-d", address: { ...address, mesh: 0 } }, "from 1 to 65535"],
    [{ id: "gw-d", address: { ...address, mesh: 70_000 } }, "from 1 to 65535"],
    [{ id: "gw-d", address: { ...address, mesh: "7883" } }, "from 1 to 65535"],
    [{ id: "gw-d", address: { host: "h", mqtt: 1, mesh: 2 } }, "is missing"],
    [{ id: "gw-d", address: { ...address, mesh: 1883 } }, "are not three"],
    [{ id: "gw-d", address: { ...address, ports: 1 } }, "unknown key"],
    [{ id: "gw-d", address, rol: "witness" }, 'did you mean \\"role\\"?'],
    [{ id: "gw-d", address, role: "voter" }, "full | witness"],
    [{ id: "gw-d", address, weight: 65 }, "from 1 to 64"],
    [{ id: "gw-d", address, role: "witness", weight: 1 }, "owns no readings"],
    [{ id: "gw-d", address, zone: "" }, "1 to 128"],
  ];
  for (const [body, expected] of bad) {
    const response = await add(api, body);
    assert.is(codeOf(response), "bad-request", JSON.stringify(body));
    assert.ok(response.body.includes(expected), `${JSON.stringify(body)}: ${response.body}`);
  }
  for (const [method, url, payload] of [
    ["POST", "/api/v1/gateways/gw-b/replace?force=yes", undefined],
    ["POST", "/api/v1/gateways/gw-b/replace?forced=true", undefined],
    ["DELETE", "/api/v1/gateways/gw-b?force=1", undefined],
    ["POST", "/api/v1/raft/transfer", '{"to":1}'],
    ["POST", "/api/v1/raft/transfer", '{"from":"gw-a"}'],
  ] as const) {
    const response = await api.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
    assert.is(codeOf(response), "bad-request", url);
  }
  assert.equal(service.changes, []);
});

members("each refusal has its status", async () => {
  const { api, service } = setup();
  for (const [code, status] of [
    ["member-exists", 409],
    ["member-unknown", 404],
    ["member-needed", 409],
    ["member-change-pending", 409],
    ["under-replicated", 409],
    ["outcome-unknown", 503],
  ] as const) {
    service.memberFailure = failure(code, "why");
    for (const response of [
      await add(api, { id: "gw-d", address }),
      await api.inject({ method: "POST", url: "/api/v1/gateways/gw-b/replace" }),
      await api.inject({ method: "DELETE", url: "/api/v1/gateways/gw-b" }),
      await api.inject({ method: "POST", url: "/api/v1/raft/transfer" }),
    ]) {
      assert.is(response.statusCode, status, code);
      assert.is(codeOf(response), code);
    }
  }
});

members("names that are too long for the mesh together are refused", async () => {
  const { api, service } = setup();
  const status = service.status();
  service.status = () => ({ ...status, site: "驛".repeat(30) });
  assert.is((await add(api, { id: "a".repeat(20), address })).statusCode, 200);
  assert.is(codeOf(await add(api, { id: "a".repeat(21), address })), "bad-request");
});

members("a repair is asked for, and its report given as it is", async () => {
  const { api, service } = setup();
  const answer = await api.inject({ method: "POST", url: "/api/v1/repair" });
  assert.is(answer.statusCode, 200);
  const report: { readonly equal: boolean; readonly gateways: readonly { readonly readingsFetched: number }[] } = answer.json();
  assert.is(report.equal, true);
  assert.equal(
    report.gateways.map(({ readingsFetched }) => readingsFetched),
    [40, 40],
  );
  service.repairAnswer = failure("not-ready", "not all gateways have the version that repairs");
  assert.is((await api.inject({ method: "POST", url: "/api/v1/repair" })).statusCode, 503);
  assert.equal(service.changes, ["repair", "repair"]);
});

members("they are changes: from this machine, or with the token", async () => {
  const { api, service } = setup();
  const remoteAddress = "10.0.0.9";
  for (const [method, url] of [
    ["POST", "/api/v1/gateways"],
    ["POST", "/api/v1/gateways/gw-b/replace"],
    ["DELETE", "/api/v1/gateways/gw-b"],
    ["POST", "/api/v1/raft/transfer"],
    ["POST", "/api/v1/repair"],
  ] as const)
    assert.is(codeOf(await api.inject({ method, url, remoteAddress })), "forbidden", url);
  assert.equal(service.changes, []);
});

members.run();

const guard = suite("api: who may");

const change = (api: Api, headers: Record<string, string> = {}, remoteAddress = "127.0.0.1") =>
  api.inject({ method: "PUT", url: "/api/v1/kv/k", payload: "v", headers: { host: "localhost:7880", ...headers }, remoteAddress });

guard("without a token anybody reads, and changes come from this machine only", async () => {
  const { api, service } = setup();
  assert.is((await api.inject({ url: "/api/v1/status", remoteAddress: "10.0.0.9" })).statusCode, 200);
  for (const address of ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
    assert.is((await change(api, {}, address)).statusCode, 200, address);
  for (const address of ["10.0.0.9", "::ffff:10.0.0.9", "fe80::1", "128.0.0.1"])
    assert.is(codeOf(await change(api, {}, address)), "forbidden", address);
  assert.is((await api.inject({ method: "PUT", url: "/api/v1/%6bv/other", payload: "v", remoteAddress: "10.0.0.9" })).statusCode, 403);
  assert.not(service.kv.has("other"));
});

guard("a web page, a borrowed host name or a proxy on this machine changes nothing", async () => {
  const { api } = setup();
  const refused: readonly Record<string, string>[] = [
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "http://localhost:3000" },
    { host: "evil.example:7880" },
    { host: "127.0.0.1.evil.example" },
    { "x-forwarded-for": "10.0.0.9" },
    { forwarded: "for=10.0.0.9" },
  ];
  for (const headers of refused) assert.is((await change(api, headers)).statusCode, 403, JSON.stringify(headers));
  for (const host of ["127.0.0.1:7880", "[::1]:7880", "10.0.0.11", "LOCALHOST"])
    assert.is((await change(api, { host })).statusCode, 200, host);
  assert.is((await change(api, { origin: "http://localhost:7880" })).statusCode, 200);
});

guard("with a token all of /api/v1 needs it, from anywhere; probes and metrics do not", async () => {
  const { api } = setup("s3cret");
  const status = (authorization?: string) =>
    api.inject({ url: "/api/v1/status", headers: authorization === undefined ? {} : { authorization } });
  for (const authorization of [undefined, "Bearer", "Bearer wrong", "Bearer s3cre", "Basic s3cret", "s3cret"]) {
    const response = await status(authorization);
    assert.is(response.statusCode, 401, authorization);
    assert.match(String(response.headers["www-authenticate"]), "Bearer");
  }
  assert.is((await status("Bearer s3cret")).statusCode, 200);
  assert.is((await status("bearer s3cret")).statusCode, 200);
  assert.is((await change(api, { authorization: "Bearer s3cret", host: "gw.example" }, "10.0.0.9")).statusCode, 200);
  assert.is((await change(api)).statusCode, 401);
  assert.is((await api.inject("/api/v1/events")).statusCode, 401);
  assert.is((await api.inject("/api/%761/status")).statusCode, 401);
  for (const url of ["/healthz", "/readyz", "/metrics", "/openapi.json"]) assert.is((await api.inject(url)).statusCode, 200, url);
});

guard.run();
