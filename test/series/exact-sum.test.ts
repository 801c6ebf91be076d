// Goal: the sum of doubles is exact until it is read, so that order and merging leave no trace. Method: fast-check against
// rational arithmetic in BigInt.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ByteReader } from "../../src/lib/byte-reader.ts";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { ExactSum } from "../../src/series/exact-sum.ts";

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const anyValues = fc.array(
  fc.oneof(finite, fc.double({ min: -100, max: 100, noNaN: true }), fc.constantFrom(1e308, -1e308, 5e-324, 1e16, -1e16, 0.1)),
  { maxLength: 60 },
);

function sumOf(values: readonly number[]): ExactSum {
  const sum = new ExactSum();
  for (const value of values) sum.add(value);
  return sum;
}

/** A double as an integer multiple of 2^-1074. */
function scaled(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const magnitude = exponent === 0 ? fraction : (fraction | 0x10000000000000n) << BigInt(exponent - 1);
  return bits >> 63n === 1n ? -magnitude : magnitude;
}

const exactSum = suite("exact sum");

exactSum("is the double next to the true sum", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -(2 ** 890), max: 2 ** 890, noNaN: true }), { maxLength: 40 }), (values) => {
      const truth = values.reduce((sum, value) => sum + scaled(value), 0n);
      const result = sumOf(values).value();
      const error = truth - scaled(result);
      // Half the distance to the neighbour on either side at most.
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, Math.abs(result));
      view.setBigUint64(0, view.getBigUint64(0) + 1n);
      const gap = scaled(view.getFloat64(0)) - scaled(Math.abs(result));
      assert.ok((error < 0n ? -error : error) * 2n <= gap, `${result} is off by ${error} of ${gap}`);
    }),
  );
});

exactSum("order and grouping leave no trace", () => {
  fc.assert(
    fc.property(anyValues, fc.nat(60), (values, cut) => {
      const whole = sumOf(values).value();
      assert.is(sumOf(values.toReversed()).value(), whole);
      const left = sumOf(values.slice(0, cut));
      const right = sumOf(values.slice(cut));
      right.merge(left);
      assert.is(right.value(), whole);
    }),
  );
});

exactSum("survives sums on the way that are beyond all doubles", () => {
  assert.is(sumOf([1e308, 1e308, 1e308, -1e308, -1e308, -1e308, 7]).value(), 7);
  assert.is(sumOf([1.7e308, 1.7e308]).value(), Number.POSITIVE_INFINITY);
  assert.is(sumOf([1.7e308, 1.7e308]).value(2), 1.7e308);
  assert.is(sumOf([1e16, 1, -1e16]).value(), 1);
  assert.is(sumOf([]).value(), 0);
});

exactSum("round trip, and garbage is noted", () => {
  fc.assert(
    fc.property(anyValues, (values) => {
      const writer = new ByteWriter();
      const sum = sumOf(values);
      sum.encode(writer);
      const reader = new ByteReader(writer.finish());
      const back = ExactSum.decode(reader);
      assert.ok(reader.finish(0).ok);
      assert.is(back.value(), sum.value());
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => assert.type(ExactSum.decode(new ByteReader(bytes)).value(), "number")),
  );
  const reader = new ByteReader(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f, 0));
  ExactSum.decode(reader);
  assert.ok(reader.problem !== undefined, "an infinite partial");
});

exactSum.run();
