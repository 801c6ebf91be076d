// Goal: whatever single call to the disk fails, the file is the old one or the new one, and a failure is a value. Method:
// each change of a replacement fails once, having happened or not, as an I/O error or for want of space.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WholeFiles } from "../../src/lib/whole-files.ts";
import { FaultyFiles } from "./faulty-files.ts";
import { MemoryFiles } from "./memory-files.ts";

const test = suite("lib/whole-files");
const old = Uint8Array.of(1);
const next = [Uint8Array.of(2), Uint8Array.of(3)];

test("a replacement in which one call fails: the old file or the new one, and then it works", async () => {
  const verdicts = new Set<string>();
  for (let at = 1; at <= 12; at++) {
    for (const code of ["EIO", "ENOSPC"]) {
      for (const happens of [false, true]) {
        const memory = new MemoryFiles();
        assert.ok((await new WholeFiles(memory).write("a.snap", [old])).ok);
        const faulty = new FaultyFiles(memory, (_operation, index) => (index === at ? { happens, code } : undefined));
        const files = new WholeFiles(faulty);
        const written = await files.write("a.snap", next);
        if (!written.ok) assert.is(written.code, code === "ENOSPC" ? "disk-full" : "store-failed");
        verdicts.add(written.ok ? "written" : "failed");
        const read = await new WholeFiles(memory).read("a.snap");
        const found = read.ok && read.value !== undefined ? Array.from(read.value) : [];
        assert.ok(written.ok ? found.join() === "2,3" : ["1", "2,3"].includes(found.join()), `call ${at}: ${found.join()}`);
        await new WholeFiles(memory).list();
        assert.equal([...memory.contents.keys()], ["a.snap"], "nothing is left behind");
        assert.ok((await new WholeFiles(memory).write("a.snap", next)).ok);
      }
    }
  }
  assert.equal([...verdicts].sort(), ["failed", "written"]);
});

test("a file that is removed while the folder is listed is not in the list, and nothing fails", async () => {
  const memory = new MemoryFiles();
  const files = new WholeFiles(memory);
  for (const name of ["a.snap", "b.snap"]) assert.ok((await files.write(name, [old])).ok);
  const open = memory.open.bind(memory);
  memory.open = async (name, how) => {
    if (name === "a.snap") memory.contents.delete(name);
    return open(name, how);
  };
  assert.equal(await files.list(), [{ name: "b.snap", bytes: 1 }]);
});

test.run();
