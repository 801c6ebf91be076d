// Goal: equal sets of readings have equal digests however they are cut; different ones differ. Digests are on disk, so
// they must never change. Method: fast-check, pinned values, and a count of collisions among similar readings.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { addDigests, digestRun, emptyDigest, sameDigest, seriesHashOf, subtractDigests } from "../../src/series/digest.ts";
import { sliceRows } from "../../src/series/run.ts";
import { anyReadings, anyValue, type Reading, runOf, uniqueOf } from "./readings.ts";

const series = seriesHashOf("dev-1", "temperature");

const digest = suite("series digest");

digest("does not depend on order or on how readings are cut", () => {
  fc.assert(
    fc.property(anyReadings, fc.nat(), (readings, seed) => {
      const unique = uniqueOf(readings).readings;
      const run = runOf(unique);
      const whole = digestRun(series, run);
      const cut = unique.length === 0 ? 0 : seed % unique.length;
      const parts = [digestRun(series, run, 0, cut), digestRun(series, sliceRows(run, cut, run.count))];
      assert.ok(sameDigest(parts.reduce(addDigests, emptyDigest), whole));
      assert.ok(sameDigest(digestRun(series, runOf(unique.toReversed())), whole));
      assert.ok(sameDigest(subtractDigests(whole, parts[0] ?? emptyDigest), parts[1] ?? emptyDigest));
    }),
  );
});

digest("differs when any part of a reading differs", () => {
  fc.assert(
    fc.property(fc.integer(), anyValue, anyValue, (time, value, other) => {
      const of = (readings: Reading[], hash = series) => digestRun(hash, runOf(readings));
      assert.not.ok(sameDigest(of([[time, value]]), of([[time + 1, value]])));
      assert.not.ok(sameDigest(of([[time, value]]), of([[time, value]], seriesHashOf("dev-2", "temperature"))));
      assert.is(sameDigest(of([[time, value]]), of([[time, other]])), Object.is(value, other));
    }),
  );
});

digest('a type is part of the value: 1, true and "1" differ, 0 and −0 too', () => {
  const values = [1, true, "1", 0, -0, false, "", "0"];
  const seen = new Set(values.map((value) => JSON.stringify(digestRun(series, runOf([[5, value]])))));
  assert.is(seen.size, values.length);
});

digest("where device and metric meet is part of the name", () => {
  const names = [
    ["ab", "c"],
    ["a", "bc"],
    ["abc", ""],
    ["", "abc"],
    ["ba", "c"],
  ] as const;
  assert.is(new Set(names.map(([device, metric]) => JSON.stringify(seriesHashOf(device, metric)))).size, names.length);
});

digest("neither lane has more collisions among similar readings than chance gives", () => {
  const low = new Set<number>();
  const high = new Set<number>();
  const count = 40_000;
  for (let i = 0; i < count; i++) {
    const one = digestRun(series, runOf([[1.7e15 + (i % 200) * 1_000_000, 20 + Math.floor(i / 200) / 10]]));
    low.add(one.low);
    high.add(one.high);
  }
  // Expected: n² / 2^33 ≈ 0.2; six or more happen by chance less than once in a million times.
  assert.ok(count - low.size < 6 && count - high.size < 6, `${count - low.size} and ${count - high.size} collisions`);
});

digest("is pinned: a change here is a change of the format on disk", () => {
  assert.equal(seriesHashOf("dev-1", "temperature"), { low: 3453677077, high: 2279663582 });
  assert.equal(
    digestRun(
      series,
      runOf([
        [1_700_000_000_000_000, 21.5],
        [1_700_000_001_000_000, true],
        [1_700_000_002_000_000, "öffen"],
      ]),
    ),
    { count: 3, low: 261978451, high: 543854972 },
  );
});

digest.run();
