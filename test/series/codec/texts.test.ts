// Goal: texts come back unit for unit, repeated ones and long ones short, and no bytes make the reader allocate on their word. Method:
// fast-check, sizes, crafted and damaged bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { ColumnSource } from "../../../src/series/codec/bit-packing.ts";
import { planIntegers } from "../../../src/series/codec/integers.ts";
import { readTexts, writeTexts } from "../../../src/series/codec/texts.ts";
import { anyDamage, damaged } from "./columns.ts";

function encoded(texts: readonly string[]): Uint8Array {
  const distinct = [...new Set(texts)];
  const writer = new ByteWriter();
  writeTexts(
    writer,
    distinct,
    Float64Array.from(texts, (text) => distinct.indexOf(text)),
  );
  return writer.finish();
}

function decoded(bytes: Uint8Array, count: number): string[] | undefined {
  const source = new ColumnSource(bytes, 0, bytes.length);
  const indexes = new Float64Array(count);
  const texts = readTexts(source, indexes);
  return source.reader.finish(true).ok ? Array.from(indexes, (index) => texts[index] as string) : undefined;
}

// Any UTF-16 units, lone surrogates among them.
const anyText = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.array(fc.nat(0xffff), { maxLength: 6 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom("on", "off", "", "\ud800", "\udc00x", "\ufeff", "a".repeat(5000)),
);

const texts = suite("series codec: texts");

texts("come back unit for unit", () => {
  fc.assert(
    fc.property(fc.array(anyText, { maxLength: 60 }), (column) => {
      assert.equal(decoded(encoded(column), column.length), column);
    }),
  );
});

texts("a few that repeat take the bits of which, and long ones are deflated", () => {
  const states = Array.from({ length: 4096 }, (_, i) => ["open", "closed", "moving"][(Math.imul(i, 0x9e3779b1) >>> 16) % 3] as string);
  assert.ok(encoded(states).length < 4096 / 4 + 60);
  const messages = Array.from({ length: 200 }, (_, i) => `{"state":"running","temperature":${20 + (i % 7) / 10},"sequence":${i}}`);
  assert.ok(encoded(messages).length < messages.join("").length / 5);
});

texts("a length that the bytes cannot inflate to is refused before anything is allocated", () => {
  for (const length of [1e9, 2 ** 40, 1e6]) {
    const writer = new ByteWriter();
    writer.varint(1);
    planIntegers(Float64Array.of(length)).write(writer);
    writer.u8(2);
    writer.blob(new Uint8Array(40));
    planIntegers(Float64Array.of(0)).write(writer);
    assert.is(decoded(writer.finish(), 1), undefined);
  }
});

texts("damaged bytes neither throw nor hang", () => {
  fc.assert(
    fc.property(fc.array(anyText, { minLength: 1, maxLength: 30 }), anyDamage, (column, damage) => {
      const back = decoded(damaged(encoded(column), damage), column.length);
      assert.ok(back === undefined || back.every((text) => typeof text === "string"));
    }),
    { numRuns: 500 },
  );
});

texts.run();
