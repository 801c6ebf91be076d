// Goal: equal values have equal digests for ever, different ones differ. Method: pinned digests, and small changes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson, stableDigest } from "../../src/lib/stable-digest.ts";

const test = suite("lib: stable digest");
test("the order of keys and undefined members do not matter", () => {
  assert.is(canonicalJson({ b: [1, { d: undefined, c: null }], a: "x" }), '{"a":"x","b":[1,{"c":null}]}');
  assert.is(stableDigest({ a: 1, b: 2, c: undefined }), stableDigest({ b: 2, a: 1 }));
});
test("pinned: gateways of different versions must agree", () => {
  assert.is(stableDigest({ a: [1, "x"] }), "fc701e691d531216");
  assert.is(stableDigest(""), "9026a2b9db43afde");
});
test("one character more, less or other gives another digest", () => {
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), (text) => {
      const digest = stableDigest(text);
      assert.match(digest, /^[0-9a-f]{16}$/);
      assert.is(seen.get(digest) ?? text, text);
      seen.set(digest, text);
    }),
    { numRuns: 2_000, seed: 2 },
  );
});
test.run();
