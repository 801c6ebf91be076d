// Goal: merging runs is set union by identity with the greater value winning, in any order and grouping. Method: fast-check
// against the rule spelled out naively, and pinned fast paths.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { mergeRuns } from "../../src/series/merge.ts";
import { compactTexts, emptyRun, lowerBound, type SeriesRun, sliceRange, sliceRows } from "../../src/series/run.ts";
import { anyReadings, anyTime, numberReadings, type Reading, readingsOf, runOf, sameReadings, uniqueOf } from "./readings.ts";

const sorted = (readings: readonly Reading[]): SeriesRun => runOf(uniqueOf(readings).readings);
const anyRuns = fc.array(fc.oneof(anyReadings, numberReadings), { maxLength: 6 }).map((lists) => lists.map(sorted));

const merge = suite("series merge");

merge("is the union, whatever the order of the runs", () => {
  fc.assert(
    fc.property(anyRuns, (runs) => {
      const expected = uniqueOf(runs.flatMap(readingsOf)).readings;
      assert.ok(sameReadings(readingsOf(mergeRuns(runs).run), expected));
      assert.ok(sameReadings(readingsOf(mergeRuns(runs.toReversed()).run), expected));
    }),
  );
});

merge("is associative and merging a run with itself changes nothing", () => {
  fc.assert(
    fc.property(anyRuns, (runs) => {
      const all = readingsOf(mergeRuns(runs).run);
      const stepwise = runs.reduce((merged, run) => mergeRuns([merged, run]).run, emptyRun);
      assert.ok(sameReadings(readingsOf(stepwise), all));
      const again = mergeRuns([stepwise, stepwise, ...runs]);
      assert.ok(sameReadings(readingsOf(again.run), all));
    }),
  );
});

merge("counts conflicts between two runs", () => {
  fc.assert(
    fc.property(anyReadings, anyReadings, (left, right) => {
      const [a, b] = [uniqueOf(left).readings, uniqueOf(right).readings];
      assert.is(mergeRuns([runOf(a), runOf(b)]).conflicts, uniqueOf([...a, ...b]).conflicts);
    }),
  );
});

merge("runs one after the other are put side by side, texts included", () => {
  const runs = [
    runOf([
      [5, "c"],
      [6, 1],
    ]),
    runOf([
      [1, "a"],
      [2, "b"],
    ]),
    runOf([[3, true]]),
    runOf([[8, 2]]),
  ];
  assert.equal(readingsOf(mergeRuns(runs).run), [
    [1, "a"],
    [2, "b"],
    [3, true],
    [5, "c"],
    [6, 1],
    [8, 2],
  ]);
  assert.is(mergeRuns([runs[0] as SeriesRun]).run, runs[0]);
  assert.is(mergeRuns([]).run.count, 0);
});

merge("slices of one run share their texts", () => {
  const run = runOf([
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ]);
  const parts = [sliceRows(run, 2, 3), sliceRows(run, 0, 1), sliceRows(run, 1, 3)];
  assert.equal(readingsOf(mergeRuns(parts).run), readingsOf(run));
});

merge("a range is from inclusive, to exclusive", () => {
  fc.assert(
    fc.property(anyReadings, anyTime, anyTime, (readings, from, to) => {
      const run = sorted(readings);
      const expected = readingsOf(run).filter(([time]) => time >= from && time < to);
      assert.ok(sameReadings(readingsOf(sliceRange(run, from, to)), expected));
      assert.is(lowerBound(run, from), readingsOf(run).filter(([time]) => time < from).length);
    }),
  );
});

merge("compact texts are the used ones, once each", () => {
  fc.assert(
    fc.property(anyReadings, (readings) => {
      const doubled = sorted([...readings, [0, "same"], [1, "same"]]);
      const compact = compactTexts(sliceRows(doubled, 1, doubled.count));
      assert.ok(sameReadings(readingsOf(compact), readingsOf(sliceRows(doubled, 1, doubled.count))));
      assert.is(new Set(compact.texts).size, compact.texts.length);
      assert.ok(compact.texts.every((text) => readingsOf(compact).some(([, value]) => value === text)));
    }),
  );
});

merge.run();
