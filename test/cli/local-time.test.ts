// Goal: times of data files are read as documented, daylight saving included.
// Method: tables of texts against epoch milliseconds; Europe/Berlin went ahead on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createTimeReader } from "../../src/cli/local-time.ts";

const test = suite("cli: times of data files");

function check(zone: string, cases: readonly (readonly [string, number | undefined])[]): void {
  const read = createTimeReader(zone);
  assert.ok(read);
  for (const [text, ms] of cases) assert.is(read(text), ms, text);
}

test("all forms in UTC", () =>
  check("UTC", [
    ["2014-02-14 14:30:00", Date.UTC(2014, 1, 14, 14, 30)],
    ["2014-02-14T14:30:00.250", Date.UTC(2014, 1, 14, 14, 30) + 250],
    ["2014-02-14 14:30:00.000123", Date.UTC(2014, 1, 14, 14, 30) + 0.123],
    ["2014-02-14 14:30", Date.UTC(2014, 1, 14, 14, 30)],
    ["2014-02-14", Date.UTC(2014, 1, 14)],
    ["2014-02-14T14:30:00Z", Date.UTC(2014, 1, 14, 14, 30)],
    ["2014-02-14T14:30:00+0130", Date.UTC(2014, 1, 14, 13)],
    ["2014-02-14 14:30:00 -02:00", Date.UTC(2014, 1, 14, 16, 30)],
    ["1392388200", 1_392_388_200_000],
    ["1392388200.123456", 1_392_388_200_123.456],
    ["1392388200000", 1_392_388_200_000],
    ["2014-02-30 00:00:00", undefined],
    ["2014-02-14 24:00:00", undefined],
    ["14.02.2014", undefined],
    ["", undefined],
  ]));

test("local times, across both changes of the clock", () =>
  check("Europe/Berlin", [
    ["2026-01-01 01:00:00", Date.UTC(2026, 0, 1)],
    ["2026-07-01 02:00:00", Date.UTC(2026, 6, 1)],
    ["2026-03-29 01:59:59", Date.UTC(2026, 2, 29, 0, 59, 59)],
    ["2026-03-29 02:30:00", Date.UTC(2026, 2, 29, 1, 30)],
    ["2026-03-29 03:00:00", Date.UTC(2026, 2, 29, 1)],
    ["2026-10-25 01:59:59", Date.UTC(2026, 9, 24, 23, 59, 59)],
    ["2026-10-25 02:30:00", Date.UTC(2026, 9, 25, 0, 30)],
    ["2026-10-25 03:00:00", Date.UTC(2026, 9, 25, 2)],
    ["2026-10-25T02:30:00+01:00", Date.UTC(2026, 9, 25, 1, 30)],
  ]));

test("an unknown zone is none", () => assert.is(createTimeReader("Mars/Olympus"), undefined));

test.run();
