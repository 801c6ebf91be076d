// Goal: result files as files. Method: the contract suite; then each kind of call failing in turn.

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FileResults } from "../../src/adapters/file-results.ts";
import { resultFileContract } from "../contracts/result-file.ts";
import { type Fault, FaultyFiles } from "../lib/faulty-files.ts";

resultFileContract("adapters/file-results", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-results-"));
  return {
    files: () => new FileResults({ folder }),
    contents: (name) => fs.readFileSync(path.join(folder, name), "utf8"),
    settle: (promise) => promise,
    dispose: async () => fs.rmSync(folder, { recursive: true, force: true }),
  };
});

const test = suite("adapters/file-results: failing disk");

test("a file is where it is said to be, also below a relative folder", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-results-"));
  try {
    const files = new FileResults({ folder: path.relative(process.cwd(), folder) });
    const opened = await files.open("archive.ndjson");
    assert.ok(opened.ok);
    await opened.value.append("one\n");
    await opened.value.close();
    assert.ok(path.isAbsolute(files.locate("archive.ndjson")));
    assert.is(fs.readFileSync(files.locate("archive.ndjson"), "utf8"), "one\n");
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test("a failed append leaves nothing behind, and the next one goes on", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-results-"));
  try {
    let fault: { readonly operation: string; readonly fault: Fault } | undefined;
    const files = new FileResults({
      folder,
      wrap: (inner) => new FaultyFiles(inner, (operation) => (operation === fault?.operation ? fault.fault : undefined)),
    });
    const opened = await files.open("archive.ndjson");
    assert.ok(opened.ok);
    await opened.value.append("one\n");
    let length = 4;
    for (const operation of ["write", "sync"]) {
      for (const happens of [true, false]) {
        fault = { operation, fault: { happens, code: "ENOSPC" } };
        const failed = await opened.value.append("lost\n");
        assert.is(!failed.ok && failed.code, "disk-full");
        fault = undefined;
        length += 2;
        assert.equal(await opened.value.append("x\n"), { ok: true, value: length });
      }
    }
    assert.is(fs.readFileSync(path.join(folder, "archive.ndjson"), "utf8"), "one\nx\nx\nx\nx\n");
    await opened.value.close();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
