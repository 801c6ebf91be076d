// Goal: two processes never share a data folder, and no dead one keeps it. Method: a second process that takes the folder
// and is killed with SIGKILL.

import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { openDataFolder } from "../../src/adapters/data-folder.ts";

const test = suite("adapters/data-folder");
let root = "";

test.before.each(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-data-"));
});
test.after.each(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

/** A process that holds the folder until it is killed. */
async function holder(folder: string): Promise<ChildProcess> {
  const module = new URL("../../src/adapters/data-folder.ts", import.meta.url).href;
  const script = `import { openDataFolder } from ${JSON.stringify(module)};
    const opened = await openDataFolder(${JSON.stringify(folder)});
    console.log(opened.ok ? "held" : opened.message);
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Promise<string>((resolve) => child.stdout?.once("data", (data) => resolve(String(data).trim())));
  assert.is(said, "held");
  return child;
}

test("a folder is made with its parents, held, released and taken again", async () => {
  const folder = path.join(root, "a", "b");
  for (let round = 0; round < 2; round++) {
    const opened = await openDataFolder(folder);
    assert.ok(opened.ok);
    const second = await openDataFolder(folder);
    assert.is(!second.ok && second.code, "data-in-use");
    await opened.value.release();
    await opened.value.release();
  }
});

test("another process is refused, and told which one has it; one that was killed leaves no lock", async () => {
  const child = await holder(root);
  try {
    const refused = await openDataFolder(root);
    assert.is(!refused.ok && refused.code, "data-in-use");
    assert.match(refused.ok ? "" : refused.message, `process ${child.pid}`);
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
  const opened = await openDataFolder(root);
  assert.ok(opened.ok, "the kernel freed it");
  await opened.value.release();
});

test("the pid of a dead process that another one has by now does not matter", async () => {
  fs.writeFileSync(path.join(root, "holder.json"), JSON.stringify({ pid: process.ppid }));
  const opened = await openDataFolder(root);
  assert.ok(opened.ok);
  await opened.value.release();
});

test("a damaged lock is made anew; a file in the way is store-failed", async () => {
  const opened = await openDataFolder(root);
  assert.ok(opened.ok);
  await opened.value.release();
  fs.writeFileSync(path.join(root, "lock", "CURRENT"), "garbage");
  const again = await openDataFolder(root);
  assert.ok(again.ok, again.ok ? "" : again.message);
  await again.value.release();
  fs.writeFileSync(path.join(root, "file"), "");
  const failed = await openDataFolder(path.join(root, "file"));
  assert.is(!failed.ok && failed.code, "store-failed");
});

test.run();
