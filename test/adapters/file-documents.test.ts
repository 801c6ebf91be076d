// Goal: documents as files: atomic, checked. Method: the contract suite; every byte of a file flipped and every length cut;
// a temporary file left behind by a crash.

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FileDocuments } from "../../src/adapters/file-documents.ts";
import { documentsContract } from "../contracts/documents.ts";

documentsContract("adapters/file-documents", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-documents-"));
  return {
    open: () => new FileDocuments({ folder: path.join(folder, "made", "here") }),
    damage: async (name) => {
      const file = path.join(folder, "made", "here", `${name}.json`);
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"a"', '"x"'));
    },
    settle: (promise) => promise,
    dispose: async () => fs.rmSync(folder, { recursive: true, force: true }),
  };
});

const test = suite("adapters/file-documents: damage");
const value = { clusterId: "c0ffee", term: 7, floors: [1, 2] };
let folder = "";

test.before.each(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-documents-"));
});
test.after.each(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

test("every flipped bit is an error, or between the tokens and without effect; every cut is an error", async () => {
  const documents = new FileDocuments({ folder });
  await documents.write("identity", value);
  const file = path.join(folder, "identity.json");
  const bytes = fs.readFileSync(file);
  let harmless = 0;
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
    fs.writeFileSync(file, flipped);
    const read = await documents.read("identity");
    if (read.ok) {
      harmless++;
      assert.equal(read.value, value, `byte ${at}`);
      assert.match(bytes.subarray(at, at + 1).toString(), /\s/);
    } else {
      assert.is(read.code, "data-damaged");
      assert.ok(read.message.includes(file));
    }
  }
  assert.ok(harmless < bytes.length / 4);
  for (let length = 0; length < bytes.length - 2; length++) {
    fs.writeFileSync(file, bytes.subarray(0, length));
    const read = await documents.read("identity");
    assert.is(!read.ok && read.code, "data-damaged", `cut at ${length}`);
  }
});

test("half a temporary file is overwritten; a folder in the way is store-failed and the old document stands", async () => {
  const documents = new FileDocuments({ folder });
  await documents.write("identity", value);
  const temporary = path.join(folder, "identity.json.tmp");
  fs.writeFileSync(temporary, '{"version":1,"che');
  assert.equal(await documents.read("identity"), { ok: true, value });
  assert.ok((await documents.write("identity", { other: 1 })).ok);
  assert.is(fs.existsSync(temporary), false);
  fs.mkdirSync(temporary);
  const failed = await documents.write("identity", { other: 2 });
  assert.is(!failed.ok && failed.code, "store-failed");
  assert.equal(await documents.read("identity"), { ok: true, value: { other: 1 } });
});

test("a document of a newer version is refused as such", async () => {
  const documents = new FileDocuments({ folder });
  await documents.write("identity", value);
  const file = path.join(folder, "identity.json");
  fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"version": 1', '"version": 2'));
  const read = await documents.read("identity");
  assert.match(read.ok ? "" : read.message, "version 2");
});

test.run();
