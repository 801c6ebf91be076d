// Goal: a copied part keeps its text, and nothing of the text that it was cut from. Method: parts of large texts, counted by
// the growth of the heap.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ownText } from "../../src/lib/own-text.ts";

const test = suite("lib: own text");

test("the same text, whatever it holds", () => {
  for (const text of ["", "a/b", "\ufeffwith a mark", "驛/🌡", "x".repeat(1_000)]) assert.is(ownText(text), text);
  assert.is(ownText("a\ud800"), "a\ufffd");
});

test("parts do not keep what they were cut from", () => {
  const kept: string[] = [];
  const before = process.memoryUsage().heapUsed;
  // 64 MB in all, if each part held its whole.
  for (let i = 0; i < 1_000; i++) kept.push(ownText(`${i}`.padEnd(64 * 1024, "x").slice(0, 256)));
  assert.ok(process.memoryUsage().heapUsed - before < 32 << 20 || collected(before), "the wholes are gone");
  assert.is(kept.length, 1_000);
});

/** Without a way to force a collection: allocate until one has happened. */
function collected(before: number): boolean {
  for (let round = 0; round < 200; round++) {
    let garbage: unknown[] = [];
    for (let i = 0; i < 20_000; i++) garbage.push({ i });
    garbage = [];
    if (process.memoryUsage().heapUsed - before < 32 << 20) return true;
  }
  return false;
}

test.run();
