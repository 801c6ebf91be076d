// Goal: a head is a set of readings: order of arrival and repetition do not matter, the greater value wins. Method:
// fast-check against the rule spelled out naively, and pinned cases.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Head } from "../../src/series/head.ts";
import { anyReadings, type Reading, readingsOf, sameReadings, uniqueOf } from "./readings.ts";

function headOf(readings: readonly Reading[]): Head {
  const head = new Head();
  for (const [time, value] of readings) head.appendValue(time, value);
  return head;
}

const head = suite("series head");

head("is sorted, unique and by the conflict rule", () => {
  fc.assert(
    fc.property(anyReadings, (readings) => {
      const expected = uniqueOf(readings);
      const { run, conflicts } = headOf(readings).sortedUnique();
      assert.ok(sameReadings(readingsOf(run), expected.readings));
      assert.is(conflicts, expected.conflicts);
    }),
  );
});

head("re-appending changes nothing", () => {
  fc.assert(
    fc.property(anyReadings, (readings) => {
      const once = headOf(readings).sortedUnique();
      const twice = headOf([...readings, ...readings.toReversed()]).sortedUnique();
      assert.ok(sameReadings(readingsOf(once.run), readingsOf(twice.run)));
      assert.is(once.conflicts, twice.conflicts);
    }),
  );
});

head("a snapshot keeps its rows while the head goes on", () => {
  const growing = headOf([
    [1, 1],
    [2, 2],
  ]);
  const before = growing.sortedUnique().run;
  for (let i = 0; i < 100; i++) growing.appendValue(i, i % 2 === 0 ? "text" : true);
  assert.equal(readingsOf(before), [
    [1, 1],
    [2, 2],
  ]);
  const between = growing.sortedUnique().run;
  const rows = readingsOf(between);
  for (let i = 100; i < 200; i++) growing.appendValue(i, `text ${i}`);
  assert.equal(readingsOf(between), rows);
});

head("the type rank decides before the value: text over number over boolean", () => {
  const { run, conflicts } = headOf([
    [5, 99],
    [5, "a"],
    [5, true],
    [6, true],
    [6, -1],
    [7, -0],
    [7, 0],
    [8, 0],
    [8, -0],
  ]).sortedUnique();
  assert.ok(
    sameReadings(readingsOf(run), [
      [5, "a"],
      [6, -1],
      [7, 0],
      [8, 0],
    ]),
  );
  assert.is(conflicts, 5);
});

head("knows its bounds and its latest reading", () => {
  const some = headOf([
    [30, 3],
    [10, 1],
    [20, "x"],
  ]);
  assert.equal([some.count, some.minTimeUs, some.maxTimeUs], [3, 10, 30]);
  assert.equal(some.latest(), { timeUs: 30, value: 3 });
  assert.is(new Head().latest(), undefined);
  assert.is(new Head().sortedUnique().run.count, 0);
});

head.run();
