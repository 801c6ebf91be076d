// Goal: a result file holds exactly what was appended, and is cut where it is told to. Method: one suite against real files
// and against the simulated disk.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ResultFile, ResultFiles } from "../../src/ports/result-file.ts";
import { subjectOf, type World } from "./subject.ts";

export interface ResultFileSubject extends World {
  /** As a process that has just started sees them. */
  files(): ResultFiles;
  contents(name: string): string;
}

export function resultFileContract(name: string, make: () => Promise<ResultFileSubject>): void {
  const test = suite(name);

  const withSubject = subjectOf(make);

  async function open(subject: ResultFileSubject): Promise<ResultFile> {
    const opened = await subject.settle(subject.files().open("archive.ndjson"));
    if (!opened.ok) throw new Error(opened.message);
    return opened.value;
  }

  test(
    "append resolves to the length in bytes; the file goes on after it was closed",
    withSubject(async (subject) => {
      const file = await open(subject);
      assert.match(subject.files().locate("archive.ndjson"), /^\/.*\/archive\.ndjson$/);
      assert.equal(await subject.settle(file.append("grün\n")), { ok: true, value: 6 });
      assert.equal(await subject.settle(file.append("")), { ok: true, value: 6 });
      await subject.settle(file.close());
      const again = await open(subject);
      assert.equal(await subject.settle(again.append("blau\n")), { ok: true, value: 11 });
      assert.is(subject.contents("archive.ndjson"), "grün\nblau\n");
      await subject.settle(again.close());
    }),
  );

  test(
    "appends that are under way together keep their order",
    withSubject(async (subject) => {
      const file = await open(subject);
      const appends = Array.from({ length: 20 }, (_, i) => file.append(`${i}\n`));
      const lengths = await subject.settle(Promise.all(appends));
      assert.is(subject.contents("archive.ndjson"), Array.from({ length: 20 }, (_, i) => `${i}\n`).join(""));
      assert.equal(lengths.at(-1), { ok: true, value: 50 });
      await subject.settle(file.close());
    }),
  );

  test(
    "truncate cuts what was not committed, and refuses a file that is too short",
    withSubject(async (subject) => {
      const file = await open(subject);
      await subject.settle(file.append("committed\nnot committed\n"));
      assert.equal(await subject.settle(file.truncate(10)), { ok: true, value: undefined });
      assert.equal(await subject.settle(file.truncate(10)), { ok: true, value: undefined });
      assert.equal(await subject.settle(file.append("next\n")), { ok: true, value: 15 });
      assert.is(subject.contents("archive.ndjson"), "committed\nnext\n");
      const refused = await subject.settle(file.truncate(16));
      assert.is(!refused.ok && refused.code, "data-damaged");
      assert.is(subject.contents("archive.ndjson"), "committed\nnext\n");
      await subject.settle(file.close());
    }),
  );

  test.run();
}
