// Goal: the latest reading of a device is the same whichever owner answers first, by the conflict rule. Method: answers in
// both orders; answers of a lying peer.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { mergeLatest } from "../../../src/gateway/query/latest.ts";

const test = suite("gateway/query: latest");
const us = 1_767_225_600_000_000;

function both(a: unknown, b: unknown): unknown {
  const merged = mergeLatest([a, b]);
  assert.equal(mergeLatest([b, a]), merged, "in either order");
  return merged;
}

test("the later reading wins, to the microsecond", () => {
  assert.equal(both([["t", us + 1, 1]], [["t", us, 9]]), { t: { ms: (us + 1) / 1_000, value: 1 } });
});

test("at one timestamp the greater value wins: by type, then by value", () => {
  assert.equal(both([["t", us, 20]], [["t", us, 21]]), { t: { ms: us / 1_000, value: 21 } });
  assert.equal(both([["t", us, 1e9]], [["t", us, "a"]]), { t: { ms: us / 1_000, value: "a" } });
  assert.equal(both([["t", us, true]], [["t", us, -5]]), { t: { ms: us / 1_000, value: -5 } });
});

test("each metric for itself", () => {
  assert.equal(
    both(
      [
        ["t", us, 1],
        ["h", us + 5, 2],
      ],
      [["t", us + 5, 3]],
    ),
    { t: { ms: (us + 5) / 1_000, value: 3 }, h: { ms: (us + 5) / 1_000, value: 2 } },
  );
});

test("what is no answer does no harm", () => {
  const nonsense = [undefined, null, 7, "rows", [1], [[1, 2, 3]], [["t", "now", 1]], [["t", us, {}]], [["t", us]]];
  assert.equal(mergeLatest([...nonsense, [["t", us, 1]]]), { t: { ms: us / 1_000, value: 1 } });
});

test.run();
