// Goal: a file is there whole or not at all, whatever ends the process or fails on the disk. Method: one suite against real
// files and against the simulated disk, with crashes in between.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Result } from "../../src/lib/errors.ts";
import type { SnapshotFiles } from "../../src/ports/snapshot-files.ts";
import { subjectOf, type World } from "./subject.ts";

export interface SnapshotFilesSubject extends World {
  /** As a process that has just started sees them. */
  open(): SnapshotFiles;
  /** The process dies; nothing that it has under way is done any more. */
  crash(): Promise<void>;
  /** Names of everything in the folder, temporary files too. */
  everything(): readonly string[];
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

function mustBe<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.message);
  return result.value;
}

export function snapshotFilesContract(name: string, make: () => Promise<SnapshotFilesSubject>): void {
  const test = suite(name);
  const withSubject = subjectOf(make);

  async function textOf(subject: SnapshotFilesSubject, files: SnapshotFiles, file: string): Promise<string | undefined> {
    const bytes = mustBe(await subject.settle(files.read(file)));
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  }

  test(
    "nothing is there at first, and what is not there can be read and removed without harm",
    withSubject(async (subject) => {
      const files = subject.open();
      assert.equal(await subject.settle(files.list()), []);
      assert.is(await textOf(subject, files, "a.snap"), undefined);
      const range = await subject.settle(files.readRange("a.snap", 0, 10));
      assert.is(!range.ok && range.code, "not-found");
      assert.ok((await subject.settle(files.remove("a.snap"))).ok);
    }),
  );

  test(
    "what was written survives a crash, with all its parts; ranges end with the file",
    withSubject(async (subject) => {
      const files = subject.open();
      const large = new Uint8Array(200_000).map((_, i) => i * 7);
      mustBe(await subject.settle(files.write("b.snap", [bytesOf("one "), bytesOf("two"), new Uint8Array(0)])));
      mustBe(await subject.settle(files.write("a.snap", [large])));
      await subject.crash();
      const again = subject.open();
      const listed = [...(await subject.settle(again.list()))].sort((a, b) => (a.name < b.name ? -1 : 1));
      assert.equal(listed, [
        { name: "a.snap", bytes: 200_000 },
        { name: "b.snap", bytes: 7 },
      ]);
      assert.is(await textOf(subject, again, "b.snap"), "one two");
      const read = mustBe(await subject.settle(again.read("a.snap"))) as Uint8Array;
      assert.ok(read.length === large.length && read.every((byte, i) => byte === large[i]));
      const range = async (offset: number, length: number) =>
        new TextDecoder().decode(mustBe(await subject.settle(again.readRange("b.snap", offset, length))));
      assert.equal([await range(0, 3), await range(4, 100), await range(7, 1), await range(99, 1)], ["one", "two", "", ""]);
    }),
  );

  test(
    "a file that is written in pieces takes its place at commit, and replaces the old one there",
    withSubject(async (subject) => {
      const files = subject.open();
      mustBe(await subject.settle(files.write("a.snap", [bytesOf("old")])));
      const file = mustBe(await subject.settle(files.create("a.snap")));
      mustBe(await subject.settle(file.append(bytesOf("new "))));
      assert.is(await textOf(subject, files, "a.snap"), "old");
      assert.equal(await subject.settle(files.list()), [{ name: "a.snap", bytes: 3 }]);
      mustBe(await subject.settle(file.append(bytesOf("one"))));
      mustBe(await subject.settle(file.commit()));
      await subject.crash();
      assert.is(await textOf(subject, subject.open(), "a.snap"), "new one");
    }),
  );

  test(
    "what was aborted, or left behind by a crash, leaves nothing",
    withSubject(async (subject) => {
      const files = subject.open();
      const aborted = mustBe(await subject.settle(files.create("a.snap")));
      mustBe(await subject.settle(aborted.append(bytesOf("half"))));
      await subject.settle(aborted.abort());
      assert.equal(subject.everything(), []);
      const left = mustBe(await subject.settle(files.create("a.snap")));
      mustBe(await subject.settle(left.append(bytesOf("half"))));
      await subject.crash();
      const again = subject.open();
      assert.equal(await subject.settle(again.list()), []);
      assert.equal(subject.everything(), []);
      assert.is(await textOf(subject, again, "a.snap"), undefined);
    }),
  );

  test(
    "two files under one name are written side by side: the later commit stands",
    withSubject(async (subject) => {
      const files = subject.open();
      const first = mustBe(await subject.settle(files.create("a.snap")));
      const second = mustBe(await subject.settle(files.create("a.snap")));
      mustBe(await subject.settle(first.append(bytesOf("first"))));
      mustBe(await subject.settle(second.append(bytesOf("second"))));
      mustBe(await subject.settle(second.commit()));
      mustBe(await subject.settle(first.commit()));
      assert.is(await textOf(subject, files, "a.snap"), "first");
      mustBe(await subject.settle(files.remove("a.snap")));
      await subject.crash();
      assert.equal(await subject.settle(subject.open().list()), []);
    }),
  );

  test.run();
}
