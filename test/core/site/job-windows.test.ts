// Goal: keeping old windows as ranges is invisible: whatever is claimed and committed in whatever order, a look-up says what a
// plain map would, and regular windows cost no memory. Method: a naive map beside it, small bounds, irregular windows.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { JobWindows, type WindowState } from "../../../src/core/site/job-windows.ts";
import { gatewayId } from "../../../src/lib/ids.ts";

const committed = (toMs: number): WindowState => ({ toMs, attempt: 1, claimedBy: undefined, revision: 1, committedAttempt: 1 });

const test = suite("core/site: windows of a job");

const step = fc.record({
  fromMs: fc.oneof(
    fc.integer({ min: 0, max: 60 }).map((at) => at * 10),
    fc.integer({ min: 0, max: 600 }),
    fc.integer({ min: -60, max: 60 }).map((at) => at * 7),
  ),
  lengthMs: fc.constantFrom(10, 10, 10, 7, 1),
  attempt: fc.constantFrom(1, 1, 1, 2),
  revision: fc.constantFrom(1, 1, 1, 0, 2),
  claimedBy: fc.constantFrom(undefined, undefined, gatewayId("gw-a")),
});
const bounds = fc.record({ kept: fc.integer({ min: 0, max: 6 }), mergeEvery: fc.integer({ min: 1, max: 5 }) });

test("a look-up says what a plain map would, with any history", () => {
  fc.assert(
    fc.property(bounds, fc.array(step, { maxLength: 120 }), (bound, steps) => {
      const windows = new JobWindows(bound);
      const naive = new Map<number, WindowState>();
      for (const { fromMs, lengthMs, attempt, revision, claimedBy } of steps) {
        const toMs = naive.get(fromMs)?.toMs ?? fromMs + lengthMs;
        const window = { toMs, attempt, claimedBy, revision, committedAttempt: revision === 0 ? 0 : attempt };
        windows.set(fromMs, window);
        naive.set(fromMs, window);
        assert.equal(windows.get(fromMs), window);
      }
      for (let at = -500; at <= 700; at++) assert.equal(windows.get(at), naive.get(at));
      const kept = windows.records().length + windows.ranges().reduce((sum, range) => sum + range.count, 0);
      assert.is(kept, naive.size, "every window is kept once");
    }),
    { numRuns: 400 },
  );
});

test("a year of one-minute windows is one range and the newest thousand", () => {
  const windows = new JobWindows();
  const year = 525_600;
  for (let at = 0; at < year; at++) windows.set(at * 60_000, committed((at + 1) * 60_000));
  assert.is(windows.ranges().length, 1);
  assert.ok(windows.records().length < 1_300, `${windows.records().length} records`);
  assert.equal(windows.get(123_456 * 60_000), committed(123_457 * 60_000));
  assert.is(windows.get(123_456 * 60_000 + 1), undefined);
  assert.is(windows.get(year * 60_000), undefined);
});

test("windows run again, all of them, are one range again", () => {
  const windows = new JobWindows({ kept: 10, mergeEvery: 5 });
  for (let at = 0; at < 1_000; at++) windows.set(at * 10, committed(at * 10 + 10));
  for (let at = 0; at < 1_000; at++) windows.set(at * 10, { ...committed(at * 10 + 10), attempt: 2, revision: 2, committedAttempt: 2 });
  assert.ok(windows.ranges().length <= 2, `${windows.ranges().length} ranges`);
  assert.is(windows.get(0)?.revision, 2);
});

test("an open claim is never merged away, however old", () => {
  const windows = new JobWindows({ kept: 2, mergeEvery: 1 });
  const open = { toMs: 10, attempt: 1, claimedBy: gatewayId("gw-a"), revision: 0, committedAttempt: 0 };
  windows.set(0, open);
  for (let at = 1; at < 50; at++) windows.set(at * 10, committed(at * 10 + 10));
  assert.equal(
    windows.records().map(([fromMs]) => fromMs),
    [0, 480, 490],
  );
  assert.equal(windows.get(0), open);
});

test.run();
