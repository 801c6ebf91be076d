/** Times as data files write them, with or without a time zone. */

import { type Calendar, createCalendar, isTimeZone } from "../lib/calendar.ts";

const localPattern = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?)?$/;
const zonedPattern = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?\s?([Zz]|[+-]\d{2}:?\d{2})$/;
/** As seconds: the year 5138. As milliseconds: March 1973. */
const secondsBelow = 100_000_000_000;

export type TimeReader = (text: string) => number | undefined;

/** Reads epoch seconds or milliseconds, RFC 3339, and local times of the zone. `undefined`: there is no such zone. */
export function createTimeReader(timeZone: string): TimeReader | undefined {
  if (!isTimeZone(timeZone)) return undefined;
  const calendar = createCalendar(timeZone);
  return (text) => {
    if (/^-?\d+(\.\d+)?$/.test(text)) return epochMs(Number(text));
    const zoned = zonedPattern.exec(text);
    if (zoned !== null) return zonedMs(zoned);
    const local = localPattern.exec(text);
    return local === null ? undefined : localMs(local, calendar);
  };
}

function epochMs(value: number): number | undefined {
  const ms = Math.abs(value) < secondsBelow ? Math.round(value * 1e6) / 1e3 : value;
  return Math.abs(ms) <= 8.64e15 ? ms : undefined;
}

function zonedMs([, date = "", time = "", fraction = "", offset = ""]: RegExpExecArray): number | undefined {
  const colons = offset.length === 5 ? `${offset.slice(0, 3)}:${offset.slice(3)}` : offset.toUpperCase();
  const whole = Date.parse(`${date}T${time.length === 5 ? `${time}:00` : time}${colons}`);
  return Number.isNaN(whole) || !isCalendarDate(date) ? undefined : whole + fractionMs(fraction);
}

function localMs(
  [, year, month, day, hour = "0", minute = "0", second = "0", fraction = ""]: RegExpExecArray,
  calendar: Calendar,
): number | undefined {
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59 || !isCalendarDate(`${year}-${month}-${day}`)) return undefined;
  const asUtc = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return asUtc - localOffset(asUtc, calendar) + fractionMs(fraction);
}

/** The zone's offset at a local time: the earlier of two instants where clocks went back, the offset before where they went ahead. */
function localOffset(asUtc: number, calendar: Calendar): number {
  const before = calendar.offsetAt(asUtc - 86_400_000);
  if (calendar.offsetAt(asUtc - before) === before) return before;
  const after = calendar.offsetAt(asUtc + 86_400_000);
  return calendar.offsetAt(asUtc - after) === after ? after : before;
}

/** `Date.parse` takes February 30th for March 1st. */
function isCalendarDate(date: string): boolean {
  const ms = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date);
}

/** To the microsecond, the resolution of readings. */
const fractionMs = (fraction: string): number => Number(fraction.slice(1, 7).padEnd(6, "0")) / 1000;
