// Goal: a rollup says exactly what the readings say. Method: fast-check over readings of all types and regular columns; the
// states made of rows and those made of readings are compared by their bytes, the digests too; round trip; garbage.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type AggregateFunction, parseAggregateFunction } from "../../src/lib/aggregate-function.ts";
import { crc32c } from "../../src/lib/crc32c.ts";
import { AggregateState } from "../../src/series/aggregate.ts";
import { addDigests, digestRun, emptyDigest, seriesHashOf } from "../../src/series/digest.ts";
import {
  buildRollup,
  concatRollups,
  decodeRollup,
  encodeRollup,
  hasRollup,
  type Rollup,
  RollupLevel,
  sketchProblem,
  windowUsOf,
} from "../../src/series/rollup.ts";
import { lowerBound } from "../../src/series/run.ts";
import { anyValue, type Reading, runOf, uniqueOf } from "./readings.ts";

const hash = seriesHashOf("device", "metric");
const named = (...names: string[]) => names.map((name) => parseAggregateFunction(name) as AggregateFunction);
const all = named("count", "sum", "min", "max", "mean", "first", "last");
const withQuantiles = [...all, ...named("quantile(0.5)", "quantile(0.99)")];

const minuteUs = windowUsOf(RollupLevel.Minute);
const anyLevel = fc.constantFrom(RollupLevel.Minute, RollupLevel.Hour);
const special = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e308, 5e-324, "", "an", true, false);

/** Irregular, of all types, over some hours; or one every so often with two decimals. */
const anySeries: fc.Arbitrary<Reading[]> = fc.oneof(
  fc
    .array(fc.tuple(fc.integer({ min: -200 * minuteUs, max: 200 * minuteUs }), fc.oneof(anyValue, special)), {
      minLength: 1,
      maxLength: 150,
    })
    .map((readings) => uniqueOf(readings).readings),
  fc
    .tuple(fc.integer({ min: 1_000_000, max: 30_000_000 }), fc.nat(2 ** 41), fc.array(fc.integer(), { minLength: 1, maxLength: 400 }))
    .map(([stepUs, startMs, hundredths]) => hundredths.map((value, i): Reading => [startMs * 1_000 + i * stepUs, value / 100])),
  fc.array(fc.tuple(fc.maxSafeInteger(), anyValue), { minLength: 1, maxLength: 20 }).map((readings) => uniqueOf(readings).readings),
);

function passedThrough(readings: readonly Reading[], level: RollupLevel): Rollup {
  const decoded = decodeRollup(hash, encodeRollup(hash, buildRollup(hash, level, runOf(readings))));
  if (!decoded.ok) throw new Error(decoded.message);
  return decoded.value;
}

const rollup = suite("rollups");

rollup("rows are the readings of their windows: states and digests, to the byte", () => {
  fc.assert(
    fc.property(anySeries, anyLevel, (readings, level) => {
      const functions = level === RollupLevel.Hour ? withQuantiles : all;
      const { rows, digests } = passedThrough(readings, level);
      const run = runOf(readings);
      const windowUs = windowUsOf(level);
      let from = 0;
      for (let row = 0; row < rows.count; row++) {
        const window = Math.floor((run.times[from] as number) / windowUs);
        const to = lowerBound(run, (window + 1) * windowUs);
        const expected = new AggregateState(functions);
        expected.add(run, from, to);
        const state = new AggregateState(functions);
        state.addRow(rows, row);
        for (const part of all) {
          const [one, other] = [new AggregateState([part]), new AggregateState([part])];
          one.addRow(rows, row);
          other.add(run, from, to);
          assert.equal(one.encode(), other.encode());
        }
        assert.equal(state.encode(), expected.encode());
        assert.equal(state.finish(), expected.finish());
        const digest = { count: rows.counts[row], low: digests[row * 2], high: digests[row * 2 + 1] };
        assert.equal(digest, digestRun(hash, run, from, to));
        from = to;
      }
      assert.is(from, run.count);
    }),
    { numRuns: 300 },
  );
});

rollup("any stretch of windows: rows added to one state, in any order, are its readings", () => {
  fc.assert(
    fc.property(anySeries, anyLevel, fc.array(fc.boolean(), { maxLength: 400 }), (readings, level, taken) => {
      const functions = level === RollupLevel.Hour ? withQuantiles : all;
      const { rows, digests } = passedThrough(readings, level);
      const windowUs = windowUsOf(level);
      const state = new AggregateState(functions);
      let digest = emptyDigest;
      const windows = new Set<number>();
      for (let row = rows.count - 1; row >= 0; row--) {
        if (taken[row] === true) continue;
        state.addRow(rows, row);
        windows.add(Math.floor((rows.ends.times[row * 2] as number) / windowUs));
        digest = addDigests(digest, {
          count: rows.counts[row] as number,
          low: digests[row * 2] as number,
          high: digests[row * 2 + 1] as number,
        });
      }
      const run = runOf(readings.filter(([timeUs]) => windows.has(Math.floor(timeUs / windowUs))));
      const expected = new AggregateState(functions);
      expected.add(run);
      assert.equal(state.encode(), expected.encode());
      assert.equal(digest, digestRun(hash, run));
    }),
    { numRuns: 300 },
  );
});

rollup("rollups one behind the other have the rows of all", () => {
  fc.assert(
    fc.property(anySeries, anyLevel, fc.array(fc.nat(), { minLength: 1, maxLength: 5 }), (readings, level, cuts) => {
      const windowUs = windowUsOf(level);
      // Cut at windows: the whole has the same rows then.
      const ends = cuts.map((cut) => Math.floor((readings[cut % readings.length] as Reading)[0] / windowUs)).sort((a, b) => a - b);
      const pieces = [...ends, Number.POSITIVE_INFINITY].map((end, at) =>
        readings.filter(([us]) => Math.floor(us / windowUs) < end && (at === 0 || Math.floor(us / windowUs) >= (ends[at - 1] as number))),
      );
      const together = concatRollups(pieces.filter((piece) => piece.length > 0).map((piece) => passedThrough(piece, level)));
      const whole = passedThrough(readings, level);
      assert.equal(together.digests, whole.digests);
      for (let row = 0; row < whole.rows.count; row++) {
        const [one, other] = [new AggregateState(all), new AggregateState(all)];
        one.addRow(together.rows, row);
        other.addRow(whole.rows, row);
        assert.equal(one.encode(), other.encode());
      }
      assert.is(together.rows.areNumbers(), whole.rows.areNumbers());
      const times = whole.rows.ends.times;
      for (const us of [...times.slice(0, 20), 0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]) {
        const count = (holds: (row: number) => boolean) => Array.from({ length: whole.rows.count }, (_, row) => row).filter(holds).length;
        assert.is(
          whole.rows.firstEndingFrom(us),
          count((row) => (times[row * 2 + 1] as number) < us),
        );
        assert.is(
          whole.rows.firstBeginningFrom(us),
          count((row) => (times[row * 2] as number) < us),
        );
      }
    }),
    { numRuns: 200 },
  );
});

rollup("damage is an error value: any flipped bit, any cut, another series, and contents that contradict themselves", () => {
  const readings = Array.from({ length: 200 }, (_, i): Reading => [i * 7_000_000, i % 50 === 0 ? "text" : i / 10]);
  for (const level of [RollupLevel.Minute, RollupLevel.Hour]) {
    const bytes = encodeRollup(hash, buildRollup(hash, level, runOf(readings)));
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.not.ok(decodeRollup(hash, flipped).ok, `bit ${bit}`);
    }
    for (let length = 0; length < bytes.length; length++) assert.not.ok(decodeRollup(hash, bytes.subarray(0, length)).ok);
    assert.not.ok(decodeRollup(seriesHashOf("device", "other"), bytes).ok);
    // With a checksum that fits: nothing throws, and what is accepted can be used.
    for (let at = 0; at < bytes.length - 4; at++) {
      const forged = bytes.slice();
      forged[at] = (forged[at] as number) ^ 0x41;
      new DataView(forged.buffer).setUint32(forged.length - 4, crc32c(forged, 0, 0, forged.length - 4), true);
      const decoded = decodeRollup(hash, forged);
      const unseen = decodeRollup(hash, forged, { sketches: false });
      assert.is(unseen.ok && sketchProblem(unseen.value) === undefined, decoded.ok, "sketches that are verified later");
      if (!decoded.ok) continue;
      const state = new AggregateState(level === RollupLevel.Hour ? withQuantiles : all);
      for (let row = 0; row < decoded.value.rows.count; row++) state.addRow(decoded.value.rows, row);
      state.finish();
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => assert.not.ok(decodeRollup(hash, bytes).ok)));
});

rollup("sparse chunks have none, and regular ones take few bytes", () => {
  const extent = (count: number, stepUs: number) => ({ minUs: 0, maxUs: (count - 1) * stepUs, count });
  assert.ok(hasRollup(RollupLevel.Minute, extent(4096, 1_000_000)));
  assert.not.ok(hasRollup(RollupLevel.Minute, extent(4096, 10_000_000)));
  assert.ok(hasRollup(RollupLevel.Hour, extent(4096, 10_000_000)));
  assert.not.ok(hasRollup(RollupLevel.Hour, extent(4096, 600_000_000)));
  assert.not.ok(hasRollup(RollupLevel.Minute, extent(15, 1)));
  const readings = Array.from(
    { length: 4096 },
    (_, i): Reading => [1_700_000_000_000_000 + i * 1_000_000, Math.round(2_000 + 500 * Math.sin(i)) / 100],
  );
  const bytes = encodeRollup(hash, buildRollup(hash, RollupLevel.Minute, runOf(readings)));
  assert.ok(bytes.length < 70 * 48, `${bytes.length} bytes for 69 rows`);
});

rollup.run();
