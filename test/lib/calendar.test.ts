// Goal: windows follow the site's wall clock and tile time without gap or overlap, whatever the zone does. Method: pinned
// days on which clocks change, and fast-check for the tiling.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Calendar, createCalendar, isTimeZone, windowAt, windowsBetween } from "../../src/lib/calendar.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const utc = (text: string) => Date.parse(`${text}${text.length > 10 ? ":00" : "T00:00:00"}Z`);
const shown = (window: { fromMs: number; toMs: number }) =>
  [window.fromMs, window.toMs].map((ms) => new Date(ms).toISOString().replace(/:00\.000Z$/, ""));
const between = (zone: string, from: string, to: string, windowMs: number) =>
  windowsBetween(createCalendar(zone), { fromMs: utc(from), toMs: utc(to) }, windowMs, 1000).map(shown);

const calendar = suite("calendar");

calendar("UTC", () => {
  const at = utc("2024-02-29T13:37");
  const zone = createCalendar("UTC");
  assert.equal(shown(windowAt(zone, at, minute)), ["2024-02-29T13:37", "2024-02-29T13:38"]);
  assert.equal(shown(windowAt(zone, at, hour)), ["2024-02-29T13:00", "2024-02-29T14:00"]);
  assert.equal(shown(windowAt(zone, at, 6 * hour)), ["2024-02-29T12:00", "2024-02-29T18:00"]);
  assert.equal(shown(windowAt(zone, at, day)), ["2024-02-29T00:00", "2024-03-01T00:00"]);
  assert.equal(shown(windowAt(zone, -1, day)), ["1969-12-31T00:00", "1970-01-01T00:00"]);
});

calendar("Berlin, spring: the day has 23 hours, the hour from 2 to 3 is none", () => {
  assert.equal(between("Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00", day), [["2024-03-30T23:00", "2024-03-31T22:00"]]);
  assert.equal(between("Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00", 6 * hour), [
    ["2024-03-30T23:00", "2024-03-31T04:00"],
    ["2024-03-31T04:00", "2024-03-31T10:00"],
    ["2024-03-31T10:00", "2024-03-31T16:00"],
    ["2024-03-31T16:00", "2024-03-31T22:00"],
  ]);
  assert.is(between("Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00", hour).length, 23);
  assert.equal(between("Europe/Berlin", "2024-03-30T23:00", "2024-03-31T04:00", 2 * hour), [
    ["2024-03-30T23:00", "2024-03-31T01:00"],
    ["2024-03-31T01:00", "2024-03-31T02:00"],
    ["2024-03-31T02:00", "2024-03-31T04:00"],
  ]);
});

calendar("Berlin, autumn: the day has 25 hours, and the repeated hour is two windows", () => {
  assert.equal(between("Europe/Berlin", "2024-10-26T22:00", "2024-10-27T23:00", day), [["2024-10-26T22:00", "2024-10-27T23:00"]]);
  const hours = between("Europe/Berlin", "2024-10-26T22:00", "2024-10-27T23:00", hour);
  assert.is(hours.length, 25);
  assert.equal(hours.slice(2, 4), [
    ["2024-10-27T00:00", "2024-10-27T01:00"],
    ["2024-10-27T01:00", "2024-10-27T02:00"],
  ]);
  assert.equal(between("Europe/Berlin", "2024-10-26T22:00", "2024-10-27T03:00", 2 * hour), [
    ["2024-10-26T22:00", "2024-10-27T00:00"],
    ["2024-10-27T00:00", "2024-10-27T03:00"],
  ]);
});

calendar("Berlin, autumn: a boundary inside the repeated hour counts at its first passing", () => {
  // 150 minutes: boundaries at 02:30 and 05:00 local; 02:30 passes at 00:30 and at 01:30 UTC.
  assert.equal(between("Europe/Berlin", "2024-10-26T22:00", "2024-10-27T04:00", 150 * minute), [
    ["2024-10-26T22:00", "2024-10-27T00:30"],
    ["2024-10-27T00:30", "2024-10-27T04:00"],
  ]);
});

calendar("Lord Howe Island: clocks change by half an hour", () => {
  // 2024-04-06T15:00Z: 02:00 (+11) becomes 01:30 (+10:30).
  assert.equal(between("Australia/Lord_Howe", "2024-04-06T14:00", "2024-04-06T16:30", hour), [
    ["2024-04-06T14:00", "2024-04-06T15:00"],
    ["2024-04-06T15:00", "2024-04-06T15:30"],
    ["2024-04-06T15:30", "2024-04-06T16:30"],
  ]);
  assert.equal(between("Australia/Lord_Howe", "2024-04-06T13:00", "2024-04-07T13:30", day), [["2024-04-06T13:00", "2024-04-07T13:30"]]);
  // 2024-10-05T15:30Z: 02:00 (+10:30) becomes 02:30 (+11).
  assert.equal(between("Australia/Lord_Howe", "2024-10-05T14:30", "2024-10-05T17:00", hour), [
    ["2024-10-05T14:30", "2024-10-05T15:30"],
    ["2024-10-05T15:30", "2024-10-05T16:00"],
    ["2024-10-05T16:00", "2024-10-05T17:00"],
  ]);
});

calendar("Kathmandu and St John's: offsets that are no whole hours", () => {
  assert.equal(shown(windowAt(createCalendar("Asia/Kathmandu"), utc("2024-06-01T12:00"), hour)), ["2024-06-01T11:15", "2024-06-01T12:15"]);
  assert.equal(shown(windowAt(createCalendar("Asia/Kathmandu"), utc("2024-06-01T12:00"), day)), ["2024-05-31T18:15", "2024-06-01T18:15"]);
  assert.equal(shown(windowAt(createCalendar("America/St_Johns"), utc("2024-01-15T12:00"), hour)), [
    "2024-01-15T11:30",
    "2024-01-15T12:30",
  ]);
  assert.equal(shown(windowAt(createCalendar("America/St_Johns"), utc("2024-03-10T12:00"), day)), ["2024-03-10T03:30", "2024-03-11T02:30"]);
});

calendar("São Paulo 2017: a day that began at 01:00", () => {
  assert.equal(between("America/Sao_Paulo", "2017-10-14T03:00", "2017-10-17T02:00", day), [
    ["2017-10-14T03:00", "2017-10-15T03:00"],
    ["2017-10-15T03:00", "2017-10-16T02:00"],
    ["2017-10-16T02:00", "2017-10-17T02:00"],
  ]);
});

calendar("Samoa 2011: a day that was none", () => {
  assert.equal(between("Pacific/Apia", "2011-12-29T10:00", "2012-01-01T10:00", day), [
    ["2011-12-29T10:00", "2011-12-30T10:00"],
    ["2011-12-30T10:00", "2011-12-31T10:00"],
    ["2011-12-31T10:00", "2012-01-01T10:00"],
  ]);
});

calendar("several days are counted from 1970-01-01", () => {
  assert.equal(shown(windowAt(createCalendar("Europe/Berlin"), utc("1970-01-06T12:00"), 7 * day)), [
    "1969-12-31T23:00",
    "1970-01-07T23:00",
  ]);
  assert.equal(shown(windowAt(createCalendar("Europe/Berlin"), utc("1970-01-08T12:00"), 7 * day)), [
    "1970-01-07T23:00",
    "1970-01-14T23:00",
  ]);
});

calendar("a limit on the number of windows holds", () => {
  assert.is(windowsBetween(createCalendar("UTC"), { fromMs: 0, toMs: 1e15 }, minute, 10).length, 10);
  assert.equal(windowsBetween(createCalendar("UTC"), { fromMs: 5, toMs: 5 }, minute, 10), []);
});

calendar("unknown zones are refused", () => {
  assert.ok(isTimeZone("Europe/Berlin") && isTimeZone("UTC"));
  assert.not.ok(isTimeZone("Mars/Olympus"));
  assert.throws(
    () => createCalendar("Mars/Olympus"),
    (error: unknown) => error instanceof RangeError,
  );
});

const zones = [
  "UTC",
  "Europe/Berlin",
  "Australia/Lord_Howe",
  "Asia/Kathmandu",
  "America/St_Johns",
  "America/Sao_Paulo",
  "Pacific/Apia",
  "Africa/Casablanca",
];
const calendars = new Map(zones.map((zone): [string, Calendar] => [zone, createCalendar(zone)]));
// Days on which some of these zones change their clocks, and any time.
const changes = ["2011-12-30", "2017-10-15", "2024-03-10", "2024-03-31", "2024-04-06", "2024-10-05", "2024-10-27", "2024-11-03"].map(utc);
const anyInstant = fc.oneof(
  fc.tuple(fc.constantFrom(...changes), fc.integer({ min: -day, max: 2 * day })).map(([at, by]) => at + by),
  fc.integer({ min: utc("1950-01-01"), max: utc("2060-01-01") }),
);
const anyWindow = fc.constantFrom(
  ...[1, 5, 7, 15, 30, 60, 90, 120, 150, 300, 360, 720].map((n) => n * minute),
  day,
  2 * day,
  7 * day,
  36 * hour,
);

calendar("windows tile time", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      anyInstant,
      anyWindow,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (zone, at, windowMs, part) => {
        const site = calendars.get(zone) as Calendar;
        const window = windowAt(site, at, windowMs);
        assert.ok(window.fromMs <= at && at < window.toMs);
        // Every other instant of the window names the same one; its neighbours touch it.
        const other = Math.min(window.toMs - 1, window.fromMs + Math.floor(part * (window.toMs - window.fromMs)));
        for (const inside of [window.fromMs, other, window.toMs - 1]) assert.equal(windowAt(site, inside, windowMs), window);
        assert.is(windowAt(site, window.fromMs - 1, windowMs).toMs, window.fromMs);
        assert.is(windowAt(site, window.toMs, windowMs).fromMs, window.toMs);
      },
    ),
    { numRuns: 1500 },
  );
});

calendar.run();
