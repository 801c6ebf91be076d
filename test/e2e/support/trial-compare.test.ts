// Goal: a trial finds what is wrong with an answer. Method: series as a device would have sent them, answers that are right and answers with one
// fault each.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Finding, SeriesComparison } from "./trial-compare.ts";
import { SentSeries } from "./trial-journal.ts";

const test = suite("the comparison of a trial");

interface Sent {
  readonly ms?: number;
  readonly value: number;
  readonly isLost?: boolean;
  readonly sends?: number;
}

function comparisonOf(...sent: readonly Sent[]): SeriesComparison {
  const series = new SentSeries("d", "v");
  for (const { ms, value, isLost, sends } of sent) {
    const outgoing = series.add(ms, value, { topic: "t", payload: "p" });
    for (let time = 0; time < (sends ?? 1); time++) outgoing.sent("gw-a");
    if (isLost !== true) outgoing.acknowledged();
  }
  return new SeriesComparison(series);
}

const said = (findings: readonly Finding[]): string => findings.map(({ what, index }) => `${what} ${index ?? "–"}`).join();

test("with times of the device: what was acknowledged must be there, what was only sent may be", () => {
  const comparison = comparisonOf({ ms: 3, value: 30 }, { ms: 1, value: 10 }, { ms: 2, value: 20, isLost: true });
  const right: readonly [number, number][] = [
    [1, 10],
    [2, 20],
    [3, 30],
  ];
  assert.is(said(comparison.compare(right)), "");
  assert.is(said(comparison.compare(right.toSpliced(1, 1))), "");
  assert.is(said(comparison.compare(right.toSpliced(0, 1))), "missing 1");
  assert.is(said(comparison.compare(right.toSpliced(2, 1))), "missing 0");
  assert.is(said(comparison.compare([])), "missing 1,missing 0");
  assert.is(said(comparison.compare(right.toSpliced(1, 0, [1, 10]))), "twice –");
  assert.is(said(comparison.compare(right.toSpliced(2, 1, [3, 30.000000000000004]))), "altered 0");
  assert.is(said(comparison.compare(right.toSpliced(2, 1, [4, 30]))), "missing 0,invented –");
  assert.is(said(comparison.compare([...right, [2, 20]])), "disordered –");
});

test("of two values at one time the greater one stays, and counts when it was acknowledged", () => {
  const both = comparisonOf({ ms: 1, value: 5 }, { ms: 1, value: 7 });
  assert.is(said(both.compare([[1, 7]])), "");
  assert.is(said(both.compare([[1, 5]])), "altered 1");
  assert.is(said(both.compare([[1, 6]])), "altered 0");
  const lesser = comparisonOf({ ms: 1, value: 5 }, { ms: 1, value: 7, isLost: true });
  assert.is(said(lesser.compare([[1, 7]])), "");
  assert.is(said(lesser.compare([[1, 5]])), "");
  assert.is(said(lesser.compare([])), "missing 0");
});

test("with stamps: each value at least once, and not more often than it was sent", () => {
  const comparison = comparisonOf({ value: 1 }, { value: 2, sends: 2 }, { value: 3, isLost: true });
  assert.is(
    said(
      comparison.compare([
        [100, 1],
        [101, 2],
        [102, 2],
        [102, 3],
      ]),
    ),
    "",
  );
  assert.is(said(comparison.compare([[101, 2]])), "missing 0");
  assert.is(
    said(
      comparison.compare([
        [100, 1],
        [101, 2],
        [103, 1],
      ]),
    ),
    "twice 0",
  );
  assert.is(
    said(
      comparison.compare([
        [100, 1],
        [101, 2],
        [103, 4],
      ]),
    ),
    "invented –",
  );
  assert.is(
    said(
      comparison.compare([
        [100, 1],
        [99, 2],
      ]),
    ),
    "disordered –",
  );
});

test.run();
