// Goal: what an asker or an owner knows to be given up survives the way to the other, and nothing that is no horizon is taken for
// one. Method: round trips of arbitrary horizons, and lists of anything.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { horizonRanges, withRanges } from "../../../src/gateway/retention/horizons.ts";
import { partitionCount } from "../../../src/lib/ids.ts";
import { Packing } from "../../../src/lib/packing.ts";

const packing = new Packing();
const all = Array.from({ length: partitionCount }, (_, at) => at);
const test = suite("gateway/retention: horizons in questions");

test("nothing given up is nothing said; one horizon is one range", () => {
  assert.is(
    horizonRanges(all, () => 0),
    undefined,
  );
  assert.equal(
    horizonRanges(all, () => 7),
    [[0, 1_023, 7]],
  );
  assert.equal(
    horizonRanges([3, 4, 9], (at) => (at === 4 ? 8 : 7)),
    [
      [3, 3, 7],
      [4, 4, 8],
      [9, 9, 7],
    ],
  );
});

test("what travelled counts where it is higher", () => {
  const horizon = fc.array(fc.constantFrom(0, 0, 5, 9, 1_767_225_600_000_000), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(horizon, horizon, (own, others) => {
      const of = (list: readonly number[]) => (at: number) => list[at % list.length] as number;
      const unpacked = packing.unpack(packing.pack({ h: horizonRanges(all, of(others)) }));
      if (!unpacked.ok) return false;
      const both = withRanges(of(own), (unpacked.value as { h?: unknown }).h);
      return all.every((at) => both(at) === Math.max(of(own)(at), of(others)(at)));
    }),
  );
});

test("what is no list of ranges says nothing", () => {
  const own = () => 3;
  for (const said of [
    undefined,
    null,
    1,
    "x",
    {},
    [1],
    [[0, 1]],
    [[1, 0, 9]],
    [[0, 1_024, 9]],
    [[0, 1, "9"]],
    [[-1, 1, 9]],
    [[0, 1, Number.NaN]],
  ])
    assert.is(withRanges(own, said)(0), 3, JSON.stringify(said));
  assert.is(withRanges(own, undefined, [[0, 0, 9]])(0), 9);
});

test.run();
