// Goal: a device's time becomes whole microseconds without losing a digit that the text had, or is refused.
// Method: tables; every ISO time is compared with `Date`'s own reading of it.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { timestampUs } from "../../src/config/payload-timestamp.ts";

const test = suite("config: timestamps");

test("numbers and decimal texts, by unit", () => {
  for (const [value, unit, us] of [
    [0, "s", 0],
    [1_700_000_000, "s", 1_700_000_000_000_000],
    [1_700_000_000.123456, "s", 1_700_000_000_123_456],
    ["1700000000.1234569", "s", 1_700_000_000_123_456],
    [1_700_000_000_123, "ms", 1_700_000_000_123_000],
    ["1700000000123.4", "ms", 1_700_000_000_123_400],
    [1_700_000_000_123_456, "us", 1_700_000_000_123_456],
    ["1700000000123456", "us", 1_700_000_000_123_456],
    ["1700000000123456789", "ns", 1_700_000_000_123_456],
    ["999", "ns", 0],
    [1_700_000_000_123_456_000, "ns", 1_700_000_000_123_456],
  ] as const) {
    assert.is(timestampUs(value, unit), us, `${value} ${unit}`);
  }
});

test("what is no time", () => {
  for (const value of [
    -1,
    Number.MAX_SAFE_INTEGER + 1,
    "9223372036854775808999",
    "-5",
    "1e3",
    "",
    " 1",
    null,
    true,
    {},
    Number.POSITIVE_INFINITY,
  ]) {
    assert.type(timestampUs(value, "us"), "string", JSON.stringify(value));
  }
  assert.type(timestampUs("9223372036854775807", "ns"), "string", "2^63 ns lies beyond 2^53 µs");
});

test("ISO 8601 is strict, and UTC without a zone", () => {
  for (const [text, us] of [
    ["1970-01-01T00:00:00Z", 0],
    ["2026-03-01T12:00:00.123456789Z", 1_772_366_400_123_456],
    ["2026-03-01t12:00:00,5z", 1_772_366_400_500_000],
    ["2026-03-01 12:00", 1_772_366_400_000_000],
    ["2026-03-01T12:00:00", 1_772_366_400_000_000],
    ["2026-03-01T13:30:00+01:30", 1_772_366_400_000_000],
    ["2026-03-01T04:00:00-0800", 1_772_366_400_000_000],
    ["2024-02-29T00:00:00Z", 1_709_164_800_000_000],
    ["2000-02-29T00:00:00Z", 951_782_400_000_000],
  ] as const) {
    assert.is(timestampUs(text, "iso8601"), us, text);
  }
  for (const bad of [
    "2026-03-01",
    "2026-3-1T12:00:00Z",
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-13-01T00:00Z",
    "2026-00-10T00:00Z",
    "2026-04-31T00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:60Z",
    "2026-01-01T23:59:60Z",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00 Z",
    "1969-12-31T23:59:59Z",
    "now",
    5,
  ]) {
    assert.type(timestampUs(bad, "iso8601"), "string", String(bad));
  }
});

test("every ISO time agrees with Date", () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date("2250-01-01T00:00:00Z"), noInvalidDate: true }), (date) => {
      assert.is(timestampUs(date.toISOString(), "iso8601"), date.getTime() * 1_000);
    }),
    { seed: 11, numRuns: 500 },
  );
});
test.run();
