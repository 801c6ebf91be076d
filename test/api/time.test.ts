// Goal: every form of time that the HTTP surface documents is read exactly, and nothing else is read at all.
// Method: tables of texts against epoch milliseconds, at a fixed "now".
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parseTime } from "../../src/api/time.ts";

const now = Date.UTC(2026, 0, 31, 12);
const test = suite("api: times");

test("reads the three forms", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["1700000000000", 1_700_000_000_000],
    ["1700000000000.125", 1_700_000_000_000.125],
    ["-1h", now - 3_600_000],
    ["-90d", now - 90 * 86_400_000],
    ["2026-01-31T12:00:00Z", now],
    ["2026-01-31t12:00:00z", now],
    ["2026-01-31 12:00:00Z", now],
    ["2026-01-31T13:00:00+01:00", now],
    ["2026-01-31T12:00:00.5Z", now + 500],
    ["2026-01-31T12:00:00.000123Z", now + 0.123],
    ["2026-01-31T12:00:00.0001239Z", now + 0.123],
    ["1969-12-31T23:59:59.250Z", -750],
    ["2016-12-31T23:59:60Z", Date.UTC(2017, 0, 1)],
  ];
  for (const [text, ms] of cases) assert.is(parseTime(text, now), ms, text);
});

test("refuses everything else", () => {
  const texts = [
    "",
    "yesterday",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-02-30T00:00:00Z",
    "2026-01-31T25:00:00Z",
    "-1",
    "1h",
    "+1h",
    "1e3",
    "-1q",
    "9999999999999999",
    "NaN",
  ];
  for (const text of texts) assert.is(parseTime(text, now), undefined, text);
});

test.run();
