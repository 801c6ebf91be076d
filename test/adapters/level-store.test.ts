// Goal: LevelDB behind the Store port. Method: the contract suite on temporary folders; then what is LevelDB's own: lost
// files that it would not miss, and going on after a write that failed.

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LevelStoreDirectory } from "../../src/adapters/level-store.ts";
import { findTableDamage } from "../../src/adapters/level-tables.ts";
import { FailureError } from "../../src/lib/errors.ts";
import { storeContract } from "../contracts/store.ts";

storeContract("adapters/level-store", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-store-"));
  const directory = new LevelStoreDirectory({ folder });
  return {
    open: () => directory.open("series"),
    damage: async () => {
      const manifest = manifestOf(path.join(folder, "series"));
      const bytes = fs.readFileSync(manifest);
      bytes[10] = (bytes[10] as number) ^ 1;
      fs.writeFileSync(manifest, bytes);
    },
    settle: (promise) => promise,
    dispose: async () => fs.rmSync(folder, { recursive: true, force: true }),
  };
});

const manifestOf = (folder: string): string =>
  path.join(folder, fs.readdirSync(folder).find((name) => name.startsWith("MANIFEST-")) as string);

const test = suite("adapters/level-store: lost files");
let root = "";

test.before.each(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-store-"));
});
test.after.each(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

async function fill(): Promise<void> {
  const opened = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(opened.ok);
  await opened.value.write([{ type: "put", key: Uint8Array.of(1), value: Uint8Array.of(1) }], { sync: true });
  await opened.value.close();
}

test("a lost CURRENT (LevelDB would begin anew) and a lost MANIFEST are damage", async () => {
  for (const lost of ["CURRENT", "MANIFEST"]) {
    await fill();
    const folder = path.join(root, "series");
    fs.rmSync(lost === "CURRENT" ? path.join(folder, lost) : manifestOf(folder));
    const opened = await new LevelStoreDirectory({ folder: root }).open("series");
    assert.is(!opened.ok && opened.code, "store-damaged", lost);
    assert.match(opened.ok ? "" : opened.message, folder);
    fs.rmSync(folder, { recursive: true });
  }
});

test("a bit that turned in the index or the footer of a table is damage, found before LevelDB believes it", async () => {
  const opened = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(opened.ok);
  const value = (at: number) => Uint8Array.from({ length: 5_000 }, (_, i) => (at * 31 + i * i * 7 + (i >> 3) * 13) & 255);
  for (let at = 0; at < 20; at++) await opened.value.write([{ type: "put", key: Uint8Array.of(1, at), value: value(at) }], { sync: false });
  await opened.value.close();
  // Opened again, LevelDB makes a table of its journal.
  const again = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(again.ok);
  await again.value.close();
  const folder = path.join(root, "series");
  const name = fs.readdirSync(folder).find((each) => each.endsWith(".ldb")) as string;
  const table = path.join(folder, name);
  const whole = fs.readFileSync(table);
  assert.is(await findTableDamage(folder), undefined);
  const flipped = async (at: number, bit: number): Promise<string | undefined> => {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] as number) ^ (1 << bit);
    fs.writeFileSync(table, bytes);
    return await findTableDamage(folder);
  };
  const indexFrom = indexOffset(whole);
  for (let at = indexFrom; at < whole.length; at++) {
    // Between the two places and the mark at its end a footer has room that nothing reads.
    if (at >= whole.length - 40 && at < whole.length - 8) continue;
    assert.match((await flipped(at, at % 8)) ?? "", name, `byte ${at}, bit ${at % 8}`);
  }
  const damaged = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.is(!damaged.ok && damaged.code, "store-damaged");
  assert.match(damaged.ok ? "" : damaged.message, /000\d+\.ldb.*gateway replace/);
  // Half a table that no version names is what a power cut leaves.
  fs.writeFileSync(table, whole);
  fs.writeFileSync(path.join(folder, "009999.ldb"), whole.subarray(0, 3_000));
  const third = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(third.ok, third.ok ? "" : third.message);
  assert.equal(await third.value.get(Uint8Array.of(1, 7)), value(7));
  await third.value.close();
});

/** The second of the two places that a footer names. */
function indexOffset(table: Uint8Array): number {
  let at = table.length - 48;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = table[at++] as number;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  next();
  next();
  return next();
}

test("a folder that cannot be made is store-failed, with the path", async () => {
  fs.writeFileSync(path.join(root, "file"), "");
  const opened = await new LevelStoreDirectory({ folder: path.join(root, "file") }).open("series");
  assert.is(!opened.ok && opened.code, "store-failed");
  assert.match(opened.ok ? "" : opened.message, root);
});

test("after a failed write the store is opened again before the next one, also for reads that are under way", async () => {
  const opened = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(opened.ok);
  const store = opened.value;
  const put = (key: number, bytes: number) => ({ type: "put" as const, key: Uint8Array.of(key), value: new Uint8Array(bytes).fill(key) });
  await store.write([put(1, 10)], { sync: true });
  // LevelDB begins another journal after 4 MiB; it cannot while the folder is elsewhere.
  fs.renameSync(path.join(root, "series"), path.join(root, "elsewhere"));
  const failures: unknown[] = [];
  for (let key = 2; key < 8; key++)
    await store.write([put(key, 1_500_000)], { sync: true }).catch((error: unknown) => failures.push(error));
  assert.ok(failures.length > 0);
  for (const error of failures) assert.ok(error instanceof FailureError && error.failure.code === "store-failed", String(error));
  assert.is(fs.existsSync(path.join(root, "series", "CURRENT")), false, "no empty store in its place");
  fs.rmSync(path.join(root, "series"), { recursive: true, force: true });
  fs.renameSync(path.join(root, "elsewhere"), path.join(root, "series"));
  const reads = [
    store.get(Uint8Array.of(1)),
    store.scan({ from: new Uint8Array(0), to: Uint8Array.of(2), limit: 9 }),
    store.getMany([Uint8Array.of(1)]),
  ];
  await store.write([put(9, 10)], { sync: true });
  await Promise.all(reads);
  assert.equal(await store.get(Uint8Array.of(1)), new Uint8Array(10).fill(1));
  assert.equal(await store.get(Uint8Array.of(9)), new Uint8Array(10).fill(9));
  await store.close();
});

test("what was deleted gives its room back when it is asked for, and nothing else changes", async () => {
  const opened = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(opened.ok);
  const store = opened.value;
  const keyOf = (at: number) => Uint8Array.of(at);
  const bytes = (at: number) => Uint8Array.from({ length: 50_000 }, (_, i) => (at * 31 + i * i * 7 + (i >> 3) * 13) & 255);
  for (let at = 0; at < 200; at++) await store.write([{ type: "put", key: keyOf(at), value: bytes(at) }], { sync: false });
  const before = await store.sizeBytes();
  await store.write(
    Array.from({ length: 150 }, (_, at) => ({ type: "delete" as const, key: keyOf(at) })),
    { sync: true },
  );
  await store.compact?.({ from: keyOf(0), to: keyOf(149) });
  assert.ok((await store.sizeBytes()) < before * 0.6, `${await store.sizeBytes()} of ${before} bytes`);
  assert.is(await store.get(keyOf(149)), undefined);
  for (let at = 150; at < 200; at++) assert.equal(await store.get(keyOf(at)), bytes(at));
  await store.close();
});

test("a caller's mistake is thrown as such, and does not count as a failure of the disk", async () => {
  const opened = await new LevelStoreDirectory({ folder: root }).open("series");
  assert.ok(opened.ok);
  let thrown: unknown;
  await opened.value
    .write([{ type: "put", key: JSON.parse("null") as Uint8Array, value: new Uint8Array(1) }], { sync: true })
    .catch((error: unknown) => {
      thrown = error;
    });
  assert.ok(thrown instanceof Error && !(thrown instanceof FailureError));
  await opened.value.close();
});

test.run();
