// Goal: a document is the old one or the new one, never a mixture, and damage is an error. Method: one suite against real
// files and against the simulated disk.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Documents } from "../../src/ports/documents.ts";
import { subjectOf, type World } from "./subject.ts";

export interface DocumentsSubject extends World {
  /** As a process that has just started sees them. */
  open(): Documents;
  damage(name: string): Promise<void>;
}

export function documentsContract(name: string, make: () => Promise<DocumentsSubject>): void {
  const test = suite(name);

  const withSubject = subjectOf(make);

  test(
    "a document that was never written is undefined",
    withSubject(async (subject) => {
      assert.equal(await subject.settle(subject.open().read("identity")), { ok: true, value: undefined });
    }),
  );

  test(
    "any JSON value comes back, also in another process; documents do not mix",
    withSubject(async (subject) => {
      const values = [{ a: [1, 2.5, null, { ü: "\u2028" }], b: "" }, [], 0, "text", false, null];
      for (const value of values) {
        assert.equal(await subject.settle(subject.open().write("cursor", value)), { ok: true, value: undefined });
        await subject.settle(subject.open().write("other", "other"));
        assert.equal(await subject.settle(subject.open().read("cursor")), { ok: true, value });
      }
    }),
  );

  test(
    "writes that are under way together end in the order in which they were asked for",
    withSubject(async (subject) => {
      const documents = subject.open();
      const writes = Array.from({ length: 10 }, (_, i) => documents.write("cursor", { i }));
      await subject.settle(Promise.all(writes));
      assert.equal(await subject.settle(documents.read("cursor")), { ok: true, value: { i: 9 } });
    }),
  );

  test(
    "the value is taken when write is called",
    withSubject(async (subject) => {
      const documents = subject.open();
      const value = { term: 1 };
      const writing = documents.write("cursor", value);
      value.term = 2;
      await subject.settle(writing);
      assert.equal(await subject.settle(documents.read("cursor")), { ok: true, value: { term: 1 } });
    }),
  );

  test(
    "a damaged document is an error, not an empty one; writing it anew heals it",
    withSubject(async (subject) => {
      const documents = subject.open();
      await subject.settle(documents.write("identity", { id: "a" }));
      await subject.damage("identity");
      const read = await subject.settle(documents.read("identity"));
      assert.is(read.ok, false);
      assert.is(!read.ok && read.code, "data-damaged");
      await subject.settle(documents.write("identity", { id: "b" }));
      assert.equal(await subject.settle(documents.read("identity")), { ok: true, value: { id: "b" } });
    }),
  );

  test.run();
}
