// Goal: every column of whole numbers comes back, in whichever form it was written, and damaged bytes neither throw nor hang. Method:
// fast-check columns of many characters, forms asserted where one is sure to win, each reader fed damaged bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ColumnSource, unscaled } from "../../../src/series/codec/bit-packing.ts";
import { integerMax, ordersOf, planBlocks, readBlocks } from "../../../src/series/codec/integer-blocks.ts";
import { planTokens, readTokens } from "../../../src/series/codec/integer-tokens.ts";
import { planIntegers, readIntegers } from "../../../src/series/codec/integers.ts";
import { anyDamage, columnOf, damaged, same, written } from "./columns.ts";

const anyInteger = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -300, max: 300 }) },
  { weight: 1, arbitrary: fc.integer() },
  { weight: 1, arbitrary: fc.maxSafeInteger().map((value) => value % integerMax) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, integerMax, -integerMax, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 32 - 1) },
);

/** Numbers of one character over a stretch, several stretches one after the other. */
const anyColumn: fc.Arbitrary<Float64Array> = fc
  .array(
    fc.oneof(
      fc.array(anyInteger, { maxLength: 40 }),
      fc.tuple(anyInteger, fc.nat(600)).map(([value, count]) => Array<number>(count).fill(value)),
      fc
        .tuple(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -1e9, max: 1e9 }), fc.nat(300))
        .map(([step, start, count]) => Array.from({ length: count }, (_, i) => start + i * step)),
      fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 700 }),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((stretches) => Float64Array.from(stretches.flat()))
  .filter((column) => column.length > 0);

const asTokens = (source: ColumnSource, out: Float64Array) => readTokens(source, out, unscaled);
const integers = suite("series codec: whole numbers");

integers("come back from the form that was chosen, from blocks of any size, and from tokens", () => {
  fc.assert(
    fc.property(anyColumn, fc.integer({ min: 0, max: 15 }), (column, blockLog) => {
      const read = (source: ColumnSource, out: Float64Array) => readIntegers(source, out);
      const chosen = columnOf(written(planIntegers(column)), column.length, read);
      assert.ok(chosen.ok && same(chosen.numbers, column));
      const orders = ordersOf(column);
      const blocks = planBlocks(orders, blockLog);
      const blockBytes = written(blocks);
      assert.is(blockBytes.length, blocks.bytes);
      const back = columnOf(blockBytes, column.length, (source, out) => readBlocks(source, out, blockLog, unscaled));
      assert.ok(back.ok && same(back.numbers, column));
      for (const used of [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ]) {
        const tokens = planTokens(orders, used);
        if (tokens === undefined) continue;
        const tokenBytes = written(tokens);
        assert.ok(
          Math.abs(tokenBytes.length - tokens.bytes) < 16 + tokens.bytes / 50,
          `${tokenBytes.length} bytes, ${tokens.bytes} planned`,
        );
        const again = columnOf(tokenBytes, column.length, asTokens);
        assert.ok(again.ok && same(again.numbers, column));
      }
    }),
  );
});

integers("are scaled on their way out", () => {
  fc.assert(
    fc.property(anyColumn, fc.integer({ min: 1, max: 500 }), fc.constantFrom(1, 10, 1000), (column, factor, divisor) => {
      const { numbers, ok } = columnOf(written(planIntegers(column)), column.length, (source, out) =>
        readIntegers(source, out, { factor, divisor }),
      );
      assert.ok(
        ok &&
          same(
            numbers,
            column.map((value) => (value * factor) / divisor),
          ),
      );
    }),
  );
});

const lengthOf = (count: number, each: (i: number) => number) =>
  written(planIntegers(Float64Array.from({ length: count }, (_, i) => each(i)))).length;

integers("take no bits where they follow a rule", () => {
  assert.ok(lengthOf(4096, () => 7) < 20);
  assert.ok(lengthOf(4096, (i) => 1e12 + i * 60) < 20);
  assert.ok(lengthOf(4096, (i) => (i * (i + 1)) / 2) < 30, "differences of differences");
  assert.ok(lengthOf(4096, (i) => Math.floor(i / 512)) < 40, "runs");
});

integers("take the bits of most, and patches for the others", () => {
  assert.ok(lengthOf(4096, (i) => (i % 512 === 0 ? 1e9 : (i * 7919) % 16)) < 4096 / 2 + 150);
  assert.ok(lengthOf(4096, (i) => (i % 512 === 0 ? -1e9 : (i * 7919) % 16)) < 4096 / 2 + 150);
});

integers("take the bits of their entropy where a few are frequent", () => {
  // Half are 0, a quarter 1, and so on: 2 bits of entropy.
  const length = lengthOf(8192, (i) => Math.clz32(Math.imul(i + 1, 0x9e3779b1) ^ (i << 7)));
  assert.ok(length < (8192 * 2.1) / 8 + 40, `${length} bytes`);
});

integers("damaged bytes neither throw nor hang", () => {
  fc.assert(
    fc.property(anyColumn, anyDamage, fc.nat(2), (column, damage, order) => {
      columnOf(damaged(written(planIntegers(column)), damage), column.length, (source, out) => readIntegers(source, out));
      const tokens = planTokens(ordersOf(column), [Number(order === 0), Number(order === 1), Number(order === 2)]);
      if (tokens !== undefined) columnOf(damaged(written(tokens), damage), column.length, asTokens);
    }),
    { numRuns: 500 },
  );
});

integers.run();
