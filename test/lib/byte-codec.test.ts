// Goal: what ByteWriter writes ByteReader reads, and bytes that end early or are spoiled are noted, not thrown. Method:
// fast-check round trips over all field kinds, every truncation, and pinned malformed varints.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ByteReader } from "../../src/lib/byte-reader.ts";
import { ByteWriter } from "../../src/lib/byte-writer.ts";

type Kind = "u8" | "u16" | "u32" | "f64" | "varint" | "signedVarint" | "text";
type Field = { kind: Exclude<Kind, "text">; value: number } | { kind: "text"; value: string };

const whole = (kind: Exclude<Kind, "text">, min: number, max: number) =>
  fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max)).map((value): Field => ({ kind, value }));
const anyField: fc.Arbitrary<Field> = fc.oneof(
  whole("u8", 0, 0xff),
  whole("u16", 0, 0xffff),
  whole("u32", 0, 0xffffffff),
  fc.double().map((value): Field => ({ kind: "f64", value })),
  whole("varint", 0, Number.MAX_SAFE_INTEGER),
  fc.nat(300).map((value): Field => ({ kind: "varint", value })),
  whole("signedVarint", -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  fc.integer({ min: -200, max: 200 }).map((value): Field => ({ kind: "signedVarint", value })),
  fc.string({ unit: "grapheme" }).map((value): Field => ({ kind: "text", value })),
);

function write(fields: readonly Field[]): Uint8Array {
  const writer = new ByteWriter(1);
  for (const field of fields) {
    if (field.kind === "text") writer.text(field.value);
    else writer[field.kind](field.value);
  }
  return writer.finish();
}

const codec = suite("byte codec");

codec("round trip", () => {
  fc.assert(
    fc.property(fc.array(anyField, { maxLength: 30 }), (fields) => {
      const reader = new ByteReader(write(fields));
      for (const field of fields) assert.ok(Object.is(reader[field.kind](), field.value), field.kind);
      assert.equal(reader.finish("done"), { ok: true, value: "done" });
    }),
  );
});

codec("every truncation is noted, and reads behind it give nothing", () => {
  fc.assert(
    fc.property(fc.array(anyField, { minLength: 1, maxLength: 8 }), (fields) => {
      const bytes = write(fields);
      for (let length = 0; length < bytes.length; length++) {
        const reader = new ByteReader(bytes.subarray(0, length));
        for (const field of fields) reader[field.kind]();
        assert.is(reader.finish(0).ok, false);
        assert.is(reader.u32(), 0);
        assert.is(reader.text(), "");
      }
    }),
    { numRuns: 50 },
  );
});

codec("bytes left over are a problem", () => {
  assert.is(new ByteReader(new Uint8Array(1)).finish(0).ok, false);
});

const malformed: readonly [string, number[], (reader: ByteReader) => unknown][] = [
  ["a varint longer than it needs to be", [0x80, 0x00], (reader) => reader.varint()],
  ["a varint that never ends", Array(12).fill(0xff) as number[], (reader) => reader.varint()],
  ["a varint above 2^53", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], (reader) => reader.varint()],
  ["minus zero as a signed varint", [0x01], (reader) => reader.signedVarint()],
  ["a signed varint longer than it needs to be", [0x82, 0x00], (reader) => reader.signedVarint()],
  ["a text longer than the bytes", [0x05, 0x41], (reader) => reader.text()],
  ["a length of eight petabytes", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], (reader) => reader.blob()],
  ["a text that is not UTF-8", [0x01, 0xff], (reader) => reader.text()],
  ["a count above its bound", [0x05], (reader) => reader.varintUpTo(4, "count")],
];

for (const [what, bytes, read] of malformed) {
  codec(`notes ${what}`, () => {
    const reader = new ByteReader(Uint8Array.from(bytes));
    read(reader);
    assert.ok(reader.problem !== undefined);
  });
}

codec("reading stays inside its bounds", () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3, 4), 1, 3);
  assert.equal([reader.u8(), reader.u8(), reader.u8()], [2, 3, 0]);
  assert.is(reader.finish(0).ok, false);
});

codec("a number that is no varint is a bug", () => {
  for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => new ByteWriter().varint(value));
});

codec.run();
