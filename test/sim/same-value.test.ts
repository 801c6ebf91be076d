// Goal: states are the same exactly where their JSON is. Method: random JSON values against `JSON.stringify`, and bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { isSameValue } from "../../src/sim/same-value.ts";

const test = suite("sim: same values");

test("a value is the same as its copy, and as another one whose JSON is the same", () => {
  // Few letters and numbers, so that values are the same by chance too.
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<unknown>(1, 2, "a", true, null),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom("x", "y"), tie("value"), { noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(value, value, (a, b) => {
      assert.ok(isSameValue(a, structuredClone(a)));
      assert.is(isSameValue(a, b), JSON.stringify(a) === JSON.stringify(b));
    }),
  );
});

test("bytes differ by any one of them, and from a list of the same numbers", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  assert.ok(isSameValue({ bytes }, { bytes: bytes.slice() }));
  assert.not(isSameValue({ bytes }, { bytes: Uint8Array.of(1, 2, 4) }));
  assert.not(isSameValue({ bytes }, { bytes: Uint8Array.of(1, 2) }));
  assert.not(isSameValue({ bytes }, { bytes: [1, 2, 3] }));
});

test("a field that is undefined is as good as none; another order of fields is not the same", () => {
  assert.ok(isSameValue({ a: 1, b: undefined }, { a: 1 }));
  assert.not(isSameValue({ a: 1 }, { a: 1, b: null }));
  assert.not(isSameValue({ a: 1, b: 2 }, { b: 2, a: 1 }));
});

test.run();
