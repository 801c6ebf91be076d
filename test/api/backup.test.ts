// Goal: a backup goes out as it is made and is given back when its reader goes; blocks of one come in under their own bound, and only from
// whoever may change the site. Method: requests injected into the real application on a fake service, and one over a socket.
import { connect } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createApi } from "../../src/api/create-api.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { FakeService } from "./fake-service.ts";

function setup(token?: string) {
  const service = new FakeService();
  const logged: string[] = [];
  const api = createApi({
    service,
    token,
    version: "0.1.0",
    now: () => 0,
    log: { error: (event, details) => logged.push(`${event} ${details?.["error"]}`) },
  });
  return { service, api, logged };
}

const test = suite("api: backup and restore");

test("the pieces come one behind the other, and the option is passed on", async () => {
  const { service, api } = setup();
  service.backupPieces = [new Uint8Array([1, 2]), new Uint8Array(100_000).fill(3), new Uint8Array([4])];
  const response = await api.inject("/api/v1/backup?incomplete=true");
  assert.is(response.statusCode, 200);
  assert.is(response.headers["content-type"], "application/octet-stream");
  assert.equal(new Uint8Array(response.rawPayload), new Uint8Array([1, 2, ...new Uint8Array(100_000).fill(3), 4]));
  assert.equal(service.backupOptions, { allowIncomplete: true });
  await api.inject("/api/v1/backup");
  assert.equal(service.backupOptions, { allowIncomplete: false });
  service.backupFailure = failure("busy", "one is being made");
  const busy = await api.inject("/api/v1/backup");
  assert.is(busy.statusCode, 503);
  assert.is((await api.inject("/api/v1/backup?incomplete=perhaps")).statusCode, 400);
  assert.is((await api.inject({ method: "HEAD", url: "/api/v1/backup" })).statusCode, 405, "a look must not make one");
});

test("a token that is set is asked for; without one, blocks come from this machine only", async () => {
  const { api } = setup("secret");
  assert.is((await api.inject("/api/v1/backup")).statusCode, 401);
  assert.is((await api.inject({ url: "/api/v1/backup", headers: { authorization: "Bearer secret" } })).statusCode, 200);
  const open = setup();
  const post = { method: "POST", url: "/api/v1/restore", payload: Buffer.from([1]) } as const;
  assert.is((await open.api.inject({ ...post, remoteAddress: "10.0.0.9" })).statusCode, 403);
  assert.is((await open.api.inject(post)).statusCode, 200);
});

test("a block may be larger than a kv value, and has a bound of its own", async () => {
  const { service, api } = setup();
  const post = (bytes: number, query = "") =>
    api.inject({ method: "POST", url: `/api/v1/restore${query}`, payload: Buffer.alloc(bytes, 7) });
  assert.is((await post(8 << 20)).statusCode, 200);
  assert.is(service.blocks[0]?.bytes.length, 8 << 20);
  assert.is((await post(5, "?check=true")).statusCode, 200);
  assert.equal(service.blocks[1], { bytes: new Uint8Array(5).fill(7), check: true });
  const tooLarge = await post((32 << 20) + 17);
  assert.is(tooLarge.statusCode, 413);
  assert.match(tooLarge.body, String((32 << 20) + 16));
  const kv = await api.inject({ method: "PUT", url: "/api/v1/kv/a", payload: Buffer.alloc((1 << 20) + 1) });
  assert.is(kv.statusCode, 413);
  assert.match(kv.body, String(1 << 20));
  assert.is((await post(0)).statusCode, 400);
  service.restoreAnswer = () => failure("data-damaged", "a chunk");
  assert.is((await post(3)).statusCode, 500);
});

test("a reader that goes away gives the backup back", async () => {
  const { service, api } = setup();
  service.backupPieces = Array.from({ length: 10_000 }, () => new Uint8Array(100_000));
  const listening = await api.listen({ host: "127.0.0.1", port: 0 });
  assert.ok(listening.ok);
  const socket = connect(listening.ok ? listening.value.port : 0, "127.0.0.1");
  socket.write("GET /api/v1/backup HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  assert.is(service.backupReleased, false);
  socket.destroy();
  for (let turn = 0; turn < 10_000 && !service.backupReleased; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(service.backupReleased);
  await api.close();
});

test("a bug on the way cuts the connection, so that nobody takes the file for whole", async () => {
  const { service, api, logged } = setup();
  service.backup = async () =>
    success(
      (async function* () {
        yield new Uint8Array([1]);
        throw new Error("boom");
      })(),
    );
  const listening = await api.listen({ host: "127.0.0.1", port: 0 });
  const broken = await fetch(`http://127.0.0.1:${listening.ok ? listening.value.port : 0}/api/v1/backup`).then(
    (response) =>
      response.arrayBuffer().then(
        () => "whole",
        () => "broken",
      ),
    () => "broken",
  );
  assert.is(broken, "broken");
  assert.match(logged[0] ?? "", /backup-failed Error: boom/);
  await api.close();
});

test.run();
