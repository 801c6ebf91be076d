// Goal: no message sends a person to a command that is not built. Method: every line of the source that names one, comments
// left out, says so; the commands that are built come from the help.
import * as fs from "node:fs";
import * as path from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FakeWorld } from "../cli/fake-world.ts";

const test = suite("messages: promises");
const commands = /fogbank (gateway (?:add|remove|replace|transfer|recover)|apply|doctor|backup|restore|drill|sync (?:verify|resync))\b/g;

function linesOf(folder: string): { readonly where: string; readonly text: string }[] {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) return linesOf(at);
    if (!entry.name.endsWith(".ts")) return [];
    return fs
      .readFileSync(at, "utf8")
      .split("\n")
      .map((text, index) => ({ where: `${at}:${index + 1}`, text }))
      .filter(({ text }) => !/^\s*(?:\/\/|\/?\*)/.test(text));
  });
}

async function isBuilt(command: string): Promise<boolean> {
  const world = new FakeWorld();
  await world.run(...command.split(" "), "--help");
  return world.out.text.startsWith(`Usage: fogbank ${command} `);
}

const source = linesOf(path.resolve(import.meta.dirname, "../../src"));

test("a command that a message names is built, or said to come with a later version", async () => {
  assert.ok(await isBuilt("gateway list"));
  assert.ok(await isBuilt("gateway replace"));
  assert.not(await isBuilt("doctor"));
  let found = 0;
  for (const { where, text } of source) {
    for (const [, command = ""] of text.matchAll(commands)) {
      found++;
      assert.ok((await isBuilt(command)) || text.includes("a later version"), `${where}: ${command}`);
    }
  }
  assert.ok(found >= 5, `${found} were found: the search looks at nothing`);
});

test("to be admitted again needs a command that is named", () => {
  for (const { where, text } of source)
    if (/\badmit(?:ted)? (?:\w+ )*(?:again|anew)\b/.test(text)) assert.match(text, /fogbank gateway replace|a later version/, where);
});

test.run();
