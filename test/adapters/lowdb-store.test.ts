// Goal: lowdb behind the Store port, on one file that a person can read. Method: the contract suite on temporary folders;
// then what is this engine's own: its text, its bound, a disk that refuses, every flipped bit, the other engine's folder.

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LevelStoreDirectory } from "../../src/adapters/level-store.ts";
import { LowdbStoreDirectory, type LowdbStoreDirectoryOptions } from "../../src/adapters/lowdb-store.ts";
import { FailureError } from "../../src/lib/errors.ts";
import type { Store } from "../../src/ports/store.ts";
import { storeContract } from "../contracts/store.ts";

storeContract("adapters/lowdb-store", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-lowdb-"));
  let directory = new LowdbStoreDirectory({ folder });
  return {
    open: () => directory.open("series"),
    crash: async () => {
      // Nothing is under way: what a process that is killed leaves is the file.
      directory = new LowdbStoreDirectory({ folder });
    },
    damage: async () => {
      const file = path.join(folder, "series.json");
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"01"', '"02"'));
    },
    settle: (promise) => promise,
    dispose: async () => fs.rmSync(folder, { recursive: true, force: true }),
  };
});

const test = suite("adapters/lowdb-store");
let root = "";
let file = "";

test.before.each(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-lowdb-"));
  file = path.join(root, "store.json");
});
test.after.each(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

async function open(options: Partial<LowdbStoreDirectoryOptions> = {}): Promise<Store> {
  const opened = await new LowdbStoreDirectory({ folder: root, ...options }).open("store");
  if (!opened.ok) throw new Error(opened.message);
  return opened.value;
}

const put = (key: number, ...value: number[]) => ({ type: "put" as const, key: Uint8Array.of(key), value: Uint8Array.from(value) });

async function failureOf(promise: Promise<unknown>): Promise<FailureError["failure"]> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FailureError) return error.failure;
    throw error;
  }
  throw new Error("nothing failed");
}

test("the file is JSON with a line for each entry, and says what a key is", async () => {
  const store = await open({ describeKey: (key) => (key[0] === 1 ? 'the "first"' : undefined) });
  await store.write([put(1, 1, 2, 3), put(2)], { sync: true });
  await store.close();
  const text = fs.readFileSync(file, "utf8");
  const { entries, version } = JSON.parse(text) as { entries: unknown; version: unknown };
  assert.is(version, 1);
  assert.equal(entries, [
    { key: "01", is: 'the "first"', value: "AQID" },
    { key: "02", value: "" },
  ]);
  assert.is(text.split("\n").length, 10);
  assert.equal(fs.readdirSync(root), ["store.json"], "no temporary file is left");
});

test("each flipped bit and each shorter file is damage", async () => {
  const store = await open();
  await store.write([put(1, 1, 2, 3), put(2, 9)], { sync: true });
  await store.close();
  const whole = fs.readFileSync(file);
  for (let at = 0; at < whole.length; at++) {
    for (const damaged of [whole.subarray(0, at), flipped(whole, at)]) {
      fs.writeFileSync(file, damaged);
      const opened = await new LowdbStoreDirectory({ folder: root }).open("store");
      assert.is(!opened.ok && opened.code, "store-damaged", `byte ${at}`);
    }
  }
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ (1 << (at % 8));
  return copy;
}

test("more than the bound is refused whole, with what to do; deleting makes room again", async () => {
  const store = await open({ bytesMax: 100 });
  await store.write([{ type: "put", key: Uint8Array.of(1), value: new Uint8Array(60) }], { sync: true });
  const tooMuch = store.write([put(2, 1), { type: "put", key: Uint8Array.of(3), value: new Uint8Array(60) }], { sync: true });
  const refused = await failureOf(tooMuch);
  assert.is(refused.code, "disk-full");
  assert.match(refused.message, /more than 100 a lowdb store does not take.*engine: level/);
  assert.equal(await store.getMany([Uint8Array.of(2), Uint8Array.of(3)]), [undefined, undefined]);
  await store.write([{ type: "delete", key: Uint8Array.of(1) }, put(2, 1)], { sync: true });
  await store.write([{ type: "put", key: Uint8Array.of(3), value: new Uint8Array(60) }], { sync: true });
  await store.close();
});

test("batches that wait together are one writing; what the disk refuses is taken back, and the next one goes on", async () => {
  const store = await open();
  await store.write([put(1, 1)], { sync: true });
  // A folder where the temporary file should be.
  fs.mkdirSync(`${file}.tmp`);
  const first = failureOf(store.write([put(1, 2), put(2, 2)], { sync: true }));
  const second = failureOf(store.write([{ type: "delete", key: Uint8Array.of(1) }], { sync: true }));
  assert.is((await first).code, "store-failed");
  assert.is((await second).code, "store-failed");
  assert.equal(await store.getMany([Uint8Array.of(1), Uint8Array.of(2)]), [Uint8Array.of(1), undefined]);
  fs.rmdirSync(`${file}.tmp`);
  await store.write([put(3, 3)], { sync: true });
  await store.close();
  const again = await open();
  assert.equal(await again.getMany([1, 2, 3].map((key) => Uint8Array.of(key))), [Uint8Array.of(1), undefined, Uint8Array.of(3)]);
  await again.close();
});

test("what another engine wrote is refused, by both, and stays as it is", async () => {
  await (await open()).close();
  const level = await new LevelStoreDirectory({ folder: root }).open("store");
  assert.is(!level.ok && level.code, "data-foreign");
  assert.match(level.ok ? "" : level.message, /engine: lowdb.*settings say level.*gateway replace/s);
  assert.equal(fs.readdirSync(root), ["store.json"]);
  fs.rmSync(file);
  const own = await new LevelStoreDirectory({ folder: root }).open("store");
  assert.ok(own.ok);
  await own.value.close();
  const lowdb = await new LowdbStoreDirectory({ folder: root }).open("store");
  assert.is(!lowdb.ok && lowdb.code, "data-foreign");
  assert.equal(fs.readdirSync(root), ["store"]);
});

test.run();
