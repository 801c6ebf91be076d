/** Shared by the tests of the codec: a column written, and read again from bytes that may have been damaged. */
import fc from "fast-check";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { ColumnSource } from "../../../src/series/codec/bit-packing.ts";
import type { Plan } from "../../../src/series/codec/plan.ts";

export function written(plan: Plan): Uint8Array {
  const writer = new ByteWriter();
  plan.write(writer);
  return writer.finish();
}

/** What `read` makes of the bytes, which it must use up. */
export function columnOf(
  bytes: Uint8Array,
  count: number,
  read: (source: ColumnSource, out: Float64Array) => void,
): { readonly numbers: Float64Array; readonly ok: boolean } {
  const source = new ColumnSource(bytes, 0, bytes.length);
  const numbers = new Float64Array(count);
  read(source, numbers);
  return { numbers, ok: source.reader.finish(true).ok };
}

export function same(a: Float64Array, b: Float64Array): boolean {
  return a.length === b.length && a.every((number, i) => Object.is(number, b[i]));
}

/** Some bytes of a column replaced, and perhaps its end cut off. */
export const anyDamage = fc.record({
  bytes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
  cut: fc.oneof(fc.constant(0), fc.nat(12)),
});

export function damaged(
  bytes: Uint8Array,
  damage: { readonly bytes: readonly (readonly [number, number])[]; readonly cut: number },
): Uint8Array {
  const copy = bytes.slice(0, Math.max(0, bytes.length - damage.cut));
  for (const [at, value] of damage.bytes) if (copy.length > 0) copy[at % copy.length] = value;
  return copy;
}
