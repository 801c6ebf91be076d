// Goal: a put in a session comes back from its own bytes as it went in, and bytes that are none are refused, never misread. Method:
// round trips of arbitrary puts, every prefix of one, versions that do not exist, and what a version of feature level 1 makes of it.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeCommand, encodeCommand } from "../../../src/core/site/command-codec.ts";
import type { OncePut } from "../../../src/core/site/kv-put-codec.ts";
import { sessionId } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";

const test = suite("puts as bytes");
const packing = new Packing();

const anyPut: fc.Arbitrary<OncePut> = fc
  .record({
    session: fc.stringMatching(/^[0-9a-f]{32}$/),
    sequence: fc.maxSafeNat(),
    floor: fc.maxSafeNat(),
    key: fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }),
    value: fc.uint8Array({ maxLength: 600 }),
    expect: fc.integer({ min: -2, max: 1_000_000 }),
  })
  .map(({ session, sequence, floor, key, value, expect }) => ({
    t: "once",
    session: sessionId(session),
    sequence,
    floor,
    command: { t: "kv-put", key, value, expect },
  }));

test("a put comes back as it went in", () => {
  fc.assert(
    fc.property(anyPut, (put) => {
      const decoded = decodeCommand(encodeCommand(put, packing), packing);
      assert.ok(decoded.ok);
      const back = decoded.value as OncePut;
      assert.equal([...back.command.value], [...put.command.value]);
      assert.equal({ ...back, command: { ...back.command, value: 0 } }, { ...put, command: { ...put.command, value: 0 } });
    }),
  );
});

const example: OncePut = {
  t: "once",
  session: sessionId("0123456789abcdef0123456789abcdef"),
  sequence: 300,
  floor: 299,
  command: { t: "kv-put", key: "k", value: new Uint8Array(0), expect: -1 },
};

test("what ends too early, or has another version, is no command", () => {
  const bytes = encodeCommand(example, packing);
  for (let length = 0; length < bytes.length; length++)
    assert.not.ok(decodeCommand(bytes.subarray(0, length), packing).ok, `${length} bytes`);
  const other = Uint8Array.from(bytes);
  other[1] = 2;
  assert.not.ok(decodeCommand(other, packing).ok);
});

test("its bytes stay as they are", () => {
  assert.is(
    Buffer.from(encodeCommand(example, packing)).toString("hex"),
    "c101203031323334353637383961626364656630313233343536373839616263646566ac02ab02016b03",
  );
});

test("a version of feature level 1 does not know it", () => {
  assert.not.ok(decodeCommand(encodeCommand(example, packing), packing, 1).ok);
});

test.run();
