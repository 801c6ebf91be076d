// Goal: every column of numbers comes back bit for bit, NaN as the NaN, in the form that suits it. Method: fast-check columns of decimals,
// rounding errors, single precision, noise and odd numbers; sizes of typical columns; readers fed damaged bytes.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { chooseDecimals, planDecimals, readDecimals } from "../../../src/series/codec/decimals.ts";
import { planNumbers, readNumbers } from "../../../src/series/codec/numbers.ts";
import { planSplit, readSplit } from "../../../src/series/codec/splits.ts";
import { anyDamage, columnOf, damaged, same, written } from "./columns.ts";

const odd = [
  0,
  -0,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  5e-324,
  -5e-324,
  2.2250738585072014e-308,
  1.7976931348623157e308,
];
const large = [2 ** 53, -(2 ** 53), 2 ** 53 - 1, 2 ** 52, -(2 ** 52), 1e22, 123456789012345680000];
const anyDouble = fc.oneof(fc.double(), fc.constantFrom(...odd, ...large));
const decimal = (digits: number) => fc.integer({ min: -100_000, max: 100_000 }).map((value) => value / 10 ** digits);

const anyColumn: fc.Arbitrary<Float64Array> = fc
  .oneof(
    fc.array(anyDouble, { maxLength: 80 }),
    fc.array(fc.constantFrom(...odd), { maxLength: 80 }),
    fc
      .nat(9)
      .chain((digits) =>
        fc.array(fc.oneof({ weight: 9, arbitrary: decimal(digits) }, { weight: 1, arbitrary: anyDouble }), { maxLength: 300 }),
      ),
    fc.array(
      decimal(3).map((value) => value * 1.1),
      { maxLength: 300 },
    ),
    fc.array(decimal(2).map(Math.fround), { maxLength: 300 }),
    fc.array(fc.float({ noNaN: true }), { maxLength: 80 }),
    fc.array(fc.maxSafeInteger(), { maxLength: 80 }),
    fc.array(fc.double(), { minLength: 1, maxLength: 5 }).chain((few) => fc.array(fc.constantFrom(...few), { maxLength: 300 })),
  )
  .map((values) => Float64Array.from(values))
  .filter((column) => column.length > 0);

const read = (source: Parameters<typeof readNumbers>[0], out: Float64Array) => readNumbers(source, out);
const numbers = suite("series codec: numbers");

numbers("come back bit for bit, in the form that was chosen and in the others", () => {
  fc.assert(
    fc.property(anyColumn, fc.nat(17), fc.nat(3), fc.boolean(), (column, first, second, single) => {
      const chosen = columnOf(written(planNumbers(column)), column.length, read);
      assert.ok(chosen.ok && same(chosen.numbers, column));
      const shape = { first, second, single };
      const decimals = columnOf(written(planDecimals(column, shape, planNumbers)), column.length, (source, out) =>
        readDecimals(source, out, (rest) => readNumbers(source, rest)),
      );
      assert.ok(decimals.ok && same(decimals.numbers, column));
      const split = columnOf(written(planSplit(column)), column.length, readSplit);
      assert.ok(split.ok && same(split.numbers, column));
    }),
    { numRuns: 400 },
  );
});

numbers("a NaN with a payload comes back as the NaN", () => {
  const column = new Float64Array(3);
  new DataView(column.buffer).setBigUint64(8, 0x010000000000f87fn);
  const back = columnOf(written(planNumbers(column)), 3, read);
  assert.equal([...back.numbers], [0, Number.NaN, 0]);
});

const bytesEach = (count: number, each: (i: number) => number) =>
  written(planNumbers(Float64Array.from({ length: count }, (_, i) => each(i)))).length / count;
/** Whole numbers below `bound` in no order. */
const mixed = (i: number, bound: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) % bound;

numbers("decimals take the bits of their digits", () => {
  assert.ok(bytesEach(4096, (i) => 20 + mixed(i, 128) / 10) < 0.95);
  assert.ok(bytesEach(4096, (i) => mixed(i, 1024) / 1000) < 1.35);
  assert.ok(bytesEach(4096, (i) => mixed(i, 1024) * 0.0625) < 1.35, "steps of a sixteenth");
  assert.ok(bytesEach(4096, (i) => mixed(i, 1024) * 1e6) < 1.35, "steps of a million");
});

numbers("decimals with errors of rounding take two bits more", () => {
  const each = (i: number) => mixed(i, 1024) * 0.1 + 0.2;
  assert.ok(bytesEach(4096, each) < 1.35 + 0.35, String(bytesEach(4096, each)));
});

numbers("percentages that were ratios are decimals", () => {
  const column = Float64Array.from({ length: 500 }, (_, i) => mixed(i, 100_000) / 10 / 100);
  const shape = chooseDecimals(column);
  assert.equal(shape, { first: 1, second: 2, single: false });
});

numbers("single precision takes the bits of the decimals that it was, or four bytes", () => {
  assert.ok(bytesEach(4096, (i) => Math.fround(mixed(i, 1024) / 100)) < 1.35);
  assert.ok(bytesEach(4096, (i) => Math.fround(Math.sin(i * i))) < 4.1);
});

numbers("full precision is no longer than it is, and noise of one magnitude shorter", () => {
  assert.ok(bytesEach(4096, (i) => Math.sin(i * i) * 10 ** (i % 300)) < 8.01);
  assert.ok(bytesEach(4096, (i) => 20 + Math.sin(i * i)) < 6.9);
});

numbers("few distinct numbers take the bits of which", () => {
  const eighteen = Array.from({ length: 16 }, (_, i) => Math.PI * (i + 1));
  assert.ok(bytesEach(4096, (i) => eighteen[mixed(i, 16)] as number) < 0.55);
});

numbers("damaged bytes neither throw nor hang", () => {
  fc.assert(
    fc.property(anyColumn, anyDamage, (column, damage) => {
      columnOf(damaged(written(planNumbers(column)), damage), column.length, read);
      columnOf(damaged(written(planSplit(column)), damage), column.length, readSplit);
    }),
    { numRuns: 500 },
  );
});

numbers.run();
