import type { TimestampSettings } from "./settings.ts";

/**
 * A device's own time -> whole µs since the epoch. Numbers are in the profile's unit, as JSON numbers or as decimal text
 * (nanoseconds as a JSON number have lost their last digits; as text they are exact). `iso8601` is strict (RFC 3339 with an
 * optional zone; without one it is UTC). Fractions beyond a microsecond are cut off for text, rounded for numbers.
 */

/** The time, or a sentence that says why there is none. Times run from 1970 to 2255 (2^53 µs). */
export function timestampUs(value: unknown, unit: TimestampSettings["unit"]): number | string {
  if (unit === "iso8601") return typeof value === "string" ? isoUs(value) : "is no ISO 8601 text";
  if (typeof value === "number") return within(numberUs(value, unit));
  if (typeof value !== "string") return "is neither a number nor a text";
  const match = /^(\d{1,19})(?:\.(\d{1,12}))?$/.exec(value);
  if (match === null) return "is no decimal number";
  return within(decimalUs(match[1] ?? "", match[2] ?? "", unit));
}

function numberUs(value: number, unit: Exclude<TimestampSettings["unit"], "iso8601">): number {
  switch (unit) {
    case "s":
      return Math.round(value * 1_000_000);
    case "ms":
      return Math.round(value * 1_000);
    case "us":
      return Math.round(value);
    case "ns":
      return Math.round(value / 1_000);
  }
}

const decimals = { s: 6, ms: 3, us: 0, ns: -3 } as const;

/** Moves the decimal point within the text: no digit passes through a double that could not hold it. */
function decimalUs(whole: string, fraction: string, unit: keyof typeof decimals): number {
  const shift = decimals[unit];
  if (shift <= 0) return Number(whole.slice(0, whole.length + shift));
  return Number(whole + fraction.slice(0, shift).padEnd(shift, "0"));
}

function within(us: number): number | string {
  return us >= 0 && us <= Number.MAX_SAFE_INTEGER ? us : "is outside 1970 to 2255";
}

const iso = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))?$/;

function isoUs(text: string): number | string {
  const match = iso.exec(text);
  if (match === null) return "is no ISO 8601 time such as 2026-03-01T12:00:00Z";
  const part = (index: number) => Number(match[index] ?? 0);
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)];
  const isReal = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && hour <= 23 && minute <= 59 && second <= 59;
  if (!isReal || part(9) > 23 || part(10) > 59) return "is a date or time that does not exist";
  const offsetMinutes = (part(9) * 60 + part(10)) * (match[8] === "-" ? -1 : 1);
  const seconds = daysFromEpoch(year, month, day) * 86_400 + hour * 3_600 + (minute - offsetMinutes) * 60 + second;
  const fractionUs = Number((match[7] ?? "").slice(0, 6).padEnd(6, "0"));
  return within(seconds * 1_000_000 + fractionUs);
}

function isLeap(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days of the proleptic Gregorian calendar since 1970-01-01, without `Date`. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const before = year - 1;
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) - 477;
  let days = (year - 1970) * 365 + leapDays + day - 1;
  for (let earlier = 1; earlier < month; earlier++) days += daysIn(year, earlier);
  return days;
}
