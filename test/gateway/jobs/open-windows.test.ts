// Goal: what retention must not drop is exactly what a firing would still run, and looking costs nothing for what is long done.
// Method: a real state in which windows are committed, and a calendar in UTC.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { JobSettings } from "../../../src/config/settings.ts";
import { JobOpenWindows } from "../../../src/gateway/jobs/open-windows.ts";
import { createCalendar } from "../../../src/lib/calendar.ts";
import { LoggedSite } from "../../core/site/site-fixture.ts";

const test = suite("gateway/jobs: windows that are not committed");
const windowMs = 10_000;

function jobNamed(name: string, sinks: readonly string[]): JobSettings {
  return {
    name,
    schedule: "* * * * *",
    windowMs,
    source: { metric: "value", devices: "*", labels: {} },
    groupBy: [],
    aggregate: [],
    sinks,
  };
}

const mean = jobNamed("mean", ["archive"]);
const silent = jobNamed("silent", []);

function started(jobs: readonly JobSettings[] = [mean, silent]) {
  const site = LoggedSite.founded();
  const windows = new JobOpenWindows({ jobs, state: site.state, calendar: createCalendar("UTC") });
  return { site, windows };
}

test("a job that was never seen begins with the last closed window; one without sinks holds nothing", () => {
  const { windows } = started();
  assert.equal(windows.oldest(105_000), [{ job: "mean", fromMs: 90_000, toMs: 100_000 }]);
  assert.equal(started([silent]).windows.oldest(105_000), []);
});

test("the oldest window that is not committed, gaps included, and the open one when all are", () => {
  const { site, windows } = started();
  site.apply({ t: "job-seen", job: "mean", sinceMs: 50_000 });
  const oldest = (nowMs = 105_000) => windows.oldest(nowMs)[0]?.fromMs;
  assert.is(oldest(), 50_000);
  site.commit("mean", 60_000);
  assert.is(oldest(), 50_000);
  site.commit("mean", 50_000);
  assert.is(oldest(), 70_000);
  for (const fromMs of [70_000, 80_000, 90_000]) site.commit("mean", fromMs);
  assert.is(oldest(), 100_000, "still open");
  assert.is(oldest(300_000), 100_000, "a clock that is ahead changes nothing");
});

test("due: closed ones, oldest first, at most so many", () => {
  const { site, windows } = started();
  site.commit("mean", 60_000);
  const due = (max: number) => windows.due(mean, { sinceMs: 50_000, nowMs: 95_000, max }).map(({ fromMs }) => fromMs);
  assert.equal(due(9), [50_000, 70_000, 80_000]);
  assert.equal(due(2), [50_000, 70_000]);
  site.commit("mean", 50_000);
  assert.equal(due(9), [70_000, 80_000]);
});

test("a horizon is told of the windows that it passes", () => {
  const { site, windows } = started();
  assert.is(windows.count({ fromUs: 0, toUs: 1e9 }), 0, "nobody waits for a job that never ran");
  site.apply({ t: "job-seen", job: "mean", sinceMs: 50_000 });
  site.apply({ t: "job-seen", job: "silent", sinceMs: 0 });
  site.commit("mean", 60_000);
  assert.is(windows.count({ fromUs: 0, toUs: 85e6 }), 3, "50, 70 and 80 s");
  assert.is(windows.count({ fromUs: 70e6, toUs: 85e6 }), 2);
  assert.is(windows.count({ fromUs: 70_000_001, toUs: 85e6 }), 1);
  assert.is(windows.count({ fromUs: 85e6, toUs: 85e6 }), 0);
});

test.run();
