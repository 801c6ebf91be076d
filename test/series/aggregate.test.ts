// Goal: aggregates equal the direct calculation, and merging is commutative and associative to the last bit. Method:
// fast-check over readings of all types cut into several series; states compared by their bytes; garbage decoded.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type AggregateFunction, parseAggregateFunction } from "../../src/lib/aggregate-function.ts";
import { compareValues, type ReadingValue } from "../../src/lib/reading.ts";
import { AggregateState, decodeAggregateState } from "../../src/series/aggregate.ts";
import { anyTime, anyValue, type Reading, runOf, uniqueOf } from "./readings.ts";

const named = (...names: string[]) => names.map((name) => parseAggregateFunction(name) as AggregateFunction);
const all = named("count", "sum", "min", "max", "mean", "first", "last", "quantile(0.5)", "quantile(0.95)");

const anySeries = fc
  .array(fc.tuple(anyTime, fc.oneof(anyValue, fc.constant(Number.NaN))), { maxLength: 60 })
  .map((readings) => uniqueOf(readings).readings);
const anySeriesList = fc.array(anySeries, { maxLength: 5 });

function stateOf(series: readonly Reading[][], functions = all): AggregateState {
  const state = new AggregateState(functions);
  for (const readings of series) state.add(runOf(readings));
  return state;
}

function decoded(functions: readonly AggregateFunction[], bytes: Uint8Array): AggregateState {
  const state = decodeAggregateState(functions, bytes);
  if (!state.ok) throw new Error(state.message);
  return state.value;
}

const numericOf = (readings: readonly Reading[]) =>
  readings
    .filter(([, value]) => typeof value !== "string")
    .map(([, value]) => Number(value) + 0)
    .filter((value) => !Number.isNaN(value));

const aggregate = suite("aggregate states");

aggregate("equal the direct calculation", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.integer({ min: -1000, max: 1000 }),
          fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.boolean(), fc.string()),
        ),
        { minLength: 1, maxLength: 60 },
      ),
      (some) => {
        const readings = uniqueOf(some).readings;
        const numbers = numericOf(readings);
        const [count, sum, min, max, mean, first, last, p50, p95] = stateOf([readings]).finish();
        assert.is(count, readings.length);
        assert.is(first, readings[0]?.[1]);
        assert.is(last, readings.at(-1)?.[1]);
        if (numbers.length === 0) return assert.equal([sum, min, max, mean, p50, p95], [null, null, null, null, null, null]);
        const plain = numbers.reduce((a, b) => a + b, 0);
        const scale = numbers.reduce((a, b) => a + Math.abs(b), 0);
        assert.ok(Math.abs((sum as number) - plain) <= 1e-12 * scale);
        assert.ok(Math.abs((mean as number) - plain / numbers.length) <= 1e-12 * scale);
        assert.equal([min, max], [Math.min(...numbers), Math.max(...numbers)]);
        const sorted = numbers.toSorted((a, b) => a - b);
        assert.equal(
          [p50, p95],
          [0.5, 0.95].map((q) => sorted[Math.floor(q * (sorted.length - 1))]),
        );
        return undefined;
      },
    ),
  );
});

aggregate("adding, merging and sending give the same bytes in any order", () => {
  fc.assert(
    fc.property(anySeriesList, fc.nat(5), (series, cut) => {
      const whole = stateOf(series);
      const parts = [stateOf(series.slice(0, cut)), stateOf(series.slice(cut))] as const;
      const [left, right] = [decoded(all, parts[0].encode()), decoded(all, parts[1].encode())];
      assert.equal(left.encode(), parts[0].encode(), "round trip");
      left.merge(right);
      right.merge(parts[0]);
      for (const merged of [left, right, stateOf(series.toReversed())]) {
        assert.equal(merged.encode(), whole.encode());
        assert.is(merged.count, whole.count);
      }
    }),
    { numRuns: 60 },
  );
});

aggregate("merging is associative", () => {
  fc.assert(
    fc.property(anySeries, anySeries, anySeries, (a, b, c) => {
      const left = stateOf([a]);
      left.merge(stateOf([b]));
      left.merge(stateOf([c]));
      const tail = stateOf([b]);
      tail.merge(stateOf([c]));
      const right = stateOf([a]);
      right.merge(tail);
      assert.equal(left.encode(), right.encode());
      assert.equal(left.finish(), right.finish());
    }),
  );
});

aggregate("slices of a run add up to the run", () => {
  fc.assert(
    fc.property(anySeries, fc.nat(60), (readings, cut) => {
      const run = runOf(readings);
      const at = Math.min(cut, run.count);
      const sliced = new AggregateState(all);
      sliced.add(run, 0, at);
      sliced.add(run, at, run.count);
      assert.equal(sliced.encode(), stateOf([readings]).encode());
    }),
  );
});

const finishOf = (values: ReadingValue[], ...names: string[]) =>
  stateOf([values.map((value, i): Reading => [i, value])], named(...names)).finish();

aggregate("what counts and what does not", () => {
  const names = ["count", "sum", "mean", "min", "max", "quantile(0.5)", "first", "last"];
  assert.equal(finishOf([], ...names), [0, null, null, null, null, null, null, null]);
  assert.equal(finishOf(["a", "b"], ...names), [2, null, null, null, null, null, "a", "b"]);
  assert.equal(finishOf([true, false, true, true], ...names), [4, 3, 0.75, 0, 1, 1, true, true]);
  assert.equal(finishOf([Number.NaN, 1, "x", 3], ...names).slice(0, 6), [4, 4, 2, 1, 3, 1]);
});

aggregate("infinities are results, both of them have no sum", () => {
  const { POSITIVE_INFINITY: up, NEGATIVE_INFINITY: down } = Number;
  assert.equal(finishOf([1, up, 2], "sum", "mean", "min", "max"), [up, up, 1, up]);
  assert.equal(finishOf([1, down], "sum", "mean", "min", "max"), [down, down, down, 1]);
  assert.equal(finishOf([up, down, 1], "sum", "mean", "min", "max"), [null, null, down, up]);
});

aggregate("great values that cancel leave the small ones, which a plain sum loses", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => [1e16, 1, -1e16, 1][i % 4] as number);
  assert.equal(finishOf(values, "sum", "mean"), [5000, 0.5]);
  assert.is.not(
    values.reduce((sum, value) => sum + value, 0),
    5000,
  );
});

aggregate("between series, readings of one time are decided by the greater value", () => {
  const series: Reading[][] = [[[5, 1]], [[5, "a"]], [[5, true]], [[5, 9]]];
  const greatest = series.map(([reading]) => (reading as Reading)[1]).reduce((a, b) => (compareValues(a, b) > 0 ? a : b));
  assert.equal(stateOf(series, named("first", "last")).finish(), [greatest, greatest]);
  assert.equal(stateOf(series.toReversed(), named("first", "last")).finish(), [greatest, greatest]);
});

aggregate("a state of other functions, and a later version, are refused", () => {
  const bytes = stateOf([[[1, 1]]], named("sum")).encode();
  assert.ok(decodeAggregateState(named("mean"), bytes).ok, "mean needs what sum needs");
  assert.not.ok(decodeAggregateState(named("max"), bytes).ok);
  assert.not.ok(decodeAggregateState(all, bytes).ok);
  const later = decodeAggregateState(named("sum"), bytes.with(0, 2));
  assert.is(later.ok ? "" : later.code, "unsupported-version");
  assert.throws(() => new AggregateState(named("sum")).merge(new AggregateState(named("max"))));
});

aggregate("truncated and spoiled bytes never throw, and truncated ones are errors", () => {
  fc.assert(
    fc.property(anySeriesList, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }), (series, damage) => {
      const bytes = stateOf(series).encode();
      for (let length = 0; length < bytes.length; length += 1 + (length >> 3))
        assert.not.ok(decodeAggregateState(all, bytes.subarray(0, length)).ok);
      for (const [at, value] of damage) bytes[at % bytes.length] = value;
      const state = decodeAggregateState(all, bytes);
      if (state.ok) assert.is(state.value.finish().length, all.length);
      else assert.type(state.message, "string");
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => assert.type(decodeAggregateState(all, bytes).ok, "boolean")));
});

aggregate.run();
