// Goal: quantiles within 0.5 % at rank ⌊q(n−1)⌋, a state that depends on the multiset of values only, and decoding that
// believes nothing. Method: fast-check against sorting; states compared by their bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ByteReader } from "../../src/lib/byte-reader.ts";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { QuantileSketch } from "../../src/series/sketch.ts";

function sketchOf(values: readonly number[]): QuantileSketch {
  const sketch = new QuantileSketch();
  for (const value of values) sketch.add(value);
  return sketch;
}

function bytesOf(sketch: QuantileSketch): Uint8Array {
  const writer = new ByteWriter();
  sketch.encode(writer);
  return writer.finish();
}

const rankOf = (values: readonly number[], q: number) => Float64Array.from(values).sort()[Math.floor(q * (values.length - 1))] as number;
const close = (value: number | undefined, truth: number) =>
  value === truth || Math.abs((value as number) - truth) <= 0.00501 * Math.abs(truth);

const anyQ = fc.oneof(fc.constantFrom(0, 0.5, 0.95, 0.99, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const moderate = fc.oneof(
  fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => (Math.abs(value) < 1e-6 ? 0 : value)),
  fc.integer({ min: -50, max: 50 }),
);
const anyValues = fc.array(moderate, { minLength: 1, maxLength: 400, size: "max" });
/** Also values so far apart that bins are collapsed. */
const wildValues = fc.array(fc.oneof(moderate, fc.double({ noNaN: true })), { maxLength: 300, size: "max" });

const sketch = suite("quantile sketch");

sketch("is within 0.5 % at the rank, and exact up to 64 values and at both ends", () => {
  fc.assert(
    fc.property(anyValues, anyQ, (values, q) => {
      const result = sketchOf(values).quantile(q);
      const truth = rankOf(values, q);
      assert.ok(close(result, truth), `${result} for ${truth}`);
      if (values.length <= 64 || q === 0 || q === 1) assert.is(result, truth + 0);
    }),
  );
});

sketch("depends on the values only, not on their order or on how they were merged", () => {
  fc.assert(
    fc.property(wildValues, fc.nat(300), (values, cut) => {
      const whole = bytesOf(sketchOf(values));
      assert.equal(bytesOf(sketchOf(values.toReversed())), whole);
      const left = sketchOf(values.slice(0, cut));
      const right = sketchOf(values.slice(cut));
      const untouched = bytesOf(right);
      left.merge(right);
      assert.equal(bytesOf(left), whole);
      assert.equal(bytesOf(right), untouched);
      const reverse = sketchOf(values.slice(cut));
      reverse.merge(sketchOf(values.slice(0, cut)));
      assert.equal(bytesOf(reverse), whole);
    }),
  );
});

sketch("values over 300 orders of magnitude: the great ones keep their accuracy, and memory stays bounded", () => {
  const random = new SeededRandom(7);
  const values = Array.from({ length: 20_000 }, () => 10 ** (random.real() * 600 - 300));
  const state = sketchOf(values);
  for (const q of [0.99, 0.999, 1]) assert.ok(close(state.quantile(q), rankOf(values, q)));
  assert.is(state.quantile(0), Math.min(...values));
  assert.ok(bytesOf(state).length < 4096 * 4);
});

sketch("a large skewed set", () => {
  const random = new SeededRandom(3);
  const values = Array.from({ length: 50_000 }, () => -Math.log(1 - random.real()) * 40 - 20);
  const state = sketchOf(values);
  for (const q of [0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.999, 1]) assert.ok(close(state.quantile(q), rankOf(values, q)), `q ${q}`);
});

sketch("infinities are at the ends; nothing has no quantile", () => {
  const state = sketchOf([Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY, 2, 3]);
  assert.equal(
    [0, 0.25, 0.5, 0.75, 1].map((q) => state.quantile(q)),
    [Number.NEGATIVE_INFINITY, 1, 2, 3, Number.POSITIVE_INFINITY],
  );
  assert.is(new QuantileSketch().quantile(0.5), undefined);
});

sketch("a sketch merged with itself counts twice", () => {
  for (const size of [10, 50, 100]) {
    const values = Array.from({ length: size }, (_, i) => i - 20);
    const state = sketchOf(values);
    state.merge(state);
    assert.equal(bytesOf(state), bytesOf(sketchOf([...values, ...values])));
  }
});

sketch("round trip, truncations and garbage", () => {
  fc.assert(
    fc.property(wildValues, (values) => {
      const bytes = bytesOf(sketchOf(values));
      const reader = new ByteReader(bytes);
      const back = QuantileSketch.decode(reader);
      assert.ok(reader.finish(0).ok);
      assert.equal(bytesOf(back), bytes);
      const short = new ByteReader(bytes.subarray(0, bytes.length - 1));
      QuantileSketch.decode(short);
      assert.not.ok(short.finish(0).ok);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const reader = new ByteReader(Uint8Array.of(0, 0, 1, ...bytes));
      QuantileSketch.decode(reader).quantile(0.5);
    }),
  );
});

sketch.run();
