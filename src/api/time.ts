import { parseDuration } from "../lib/duration.ts";

/** Times as the HTTP surface takes them. */

export const timeExpected = "RFC 3339 (2026-01-31T12:00:00Z), epoch milliseconds, or a time before now such as -1h";

const rfc3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;
/** The range of ECMAScript dates. */
const timeMsMax = 8.64e15;

/** Epoch milliseconds, with a fraction where the text has one; `undefined` when the text is no time. */
export function parseTime(text: string, nowMs: number): number | undefined {
  if (/^\d{1,16}(\.\d{1,6})?$/.test(text)) return withinDates(Number(text));
  if (text.startsWith("-")) {
    const back = parseDuration(text.slice(1));
    return back === undefined ? undefined : withinDates(nowMs - back);
  }
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const [, date = "", time = "", fraction = "", offset = ""] = match;
  // RFC 3339 §5.6 allows 60 for a leap second; POSIX time has none, so that it is the second after.
  const leap = time.endsWith(":60");
  const wholeMs = Date.parse(`${date}T${leap ? `${time.slice(0, -2)}59` : time}${offset.toUpperCase()}`);
  if (Number.isNaN(wholeMs) || !isCalendarDate(date)) return undefined;
  // Digits beyond the microsecond, which is the resolution of readings, are cut.
  const micros = Number(fraction.slice(1, 7).padEnd(6, "0"));
  return wholeMs + (leap ? 1000 : 0) + micros / 1000;
}

/** `Date.parse` takes February 30th for March 1st. */
function isCalendarDate(date: string): boolean {
  const ms = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date);
}

function withinDates(ms: number): number | undefined {
  return Math.abs(ms) <= timeMsMax ? ms : undefined;
}
