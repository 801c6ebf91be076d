// Goal: the sum of doubles is exact until it is read, so that order and merging leave no trace. Method: fast-check against
// rational arithmetic in BigInt; columns on grids against the same values one by one, by their bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ByteReader } from "../../src/lib/byte-reader.ts";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { ExactSum, sumGrid } from "../../src/series/exact-sum.ts";

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

/** Columns as they come: of one size with few decimals or many, around zero, and of sizes that no grid holds. */
const anyColumn = fc.oneof(
  fc.array(
    fc.integer({ min: -100_000, max: 100_000 }).map((value) => value / 100),
    { maxLength: 300 },
  ),
  fc.array(fc.double({ min: 900, max: 1100, noNaN: true }), { maxLength: 300 }),
  fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { maxLength: 300 }),
  fc.array(fc.oneof(finite, fc.constantFrom(0, -0, 5e-324, 1e-310, 2 ** 53, 1e300, -1e300)), { maxLength: 300 }),
);

function bytesOf(sum: ExactSum): Uint8Array {
  const writer = new ByteWriter();
  sum.encode(writer);
  return writer.finish();
}

exactSum("a column on a grid is the sum of its values one by one, to the byte", () => {
  fc.assert(
    fc.property(anyColumn, anyColumn, fc.nat(300), fc.integer({ min: 1, max: 400 }), (column, before, cut, count) => {
      const bound = column.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const grid = sumGrid(bound, count);
      if (grid === undefined) return;
      const values = Float64Array.from(column);
      const middle = Math.min(cut, column.length);
      const sum = sumOf(before);
      sum.addColumn(values, 0, middle, grid);
      const rest = new ExactSum();
      rest.addColumn(values, middle, column.length, grid);
      sum.merge(rest);
      assert.equal(bytesOf(sum), bytesOf(sumOf([...column.toReversed(), ...before])));
    }),
    { numRuns: 500 },
  );
});

exactSum("no column is too long for a grid, and the largest values of it all have one sign", () => {
  for (const count of [1, 2, 3, 16, 17, 40_000, 100_000]) {
    const values = new Float64Array(count).fill(1_023.999_999_999_999_9);
    values[0] = 1 / 3;
    const sum = new ExactSum();
    sum.addColumn(values, 0, count, sumGrid(1_024, count) as NonNullable<ReturnType<typeof sumGrid>>);
    const truth = scaled(values[1] ?? 0) * BigInt(count - 1) + scaled(1 / 3);
    const { high, low } = sum.pair() as NonNullable<ReturnType<typeof sum.pair>>;
    assert.is(scaled(high) + scaled(low), truth, `${count} values`);
  }
});

exactSum("bytes are those of the partials: the rounded sum, then what it leaves", () => {
  fc.assert(
    fc.property(anyValues, (values) => {
      const small = values.filter((value) => Math.abs(value) < 2 ** 900);
      let rest = small.reduce((sum, value) => sum + scaled(value), 0n);
      const reader = new ByteReader(bytesOf(sumOf(small)));
      for (let left = reader.varint(); left > 0; left--) {
        const part = reader.f64();
        assert.is.not(part, 0);
        rest -= scaled(part);
      }
      assert.is(rest, 0n);
      assert.is(reader.varint(), 0);
      assert.is(reader.remaining, 0);
    }),
  );
});

exactSum.run();
