/**
 * Windows of time aligned to a site's calendar. For every window length the windows tile time: each instant is in exactly
 * one, none is empty, daylight saving or not.
 *
 * Up to one hour, windows follow the local clock's minutes (which matters in zones like +5:45) and are otherwise instants:
 * the hour that is repeated in autumn gives two windows. Longer ones begin at local wall-clock times: multiples of their
 * length since local midnight, or since 1970-01-01 when they are whole days; a day of a change is shorter or longer.
 */

export interface TimeWindow {
  /** Epoch milliseconds, inclusive. */
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const rememberedOffsetsMax = 4096;

/** The calendar of one time zone. It remembers the offsets that were asked for, nothing else. */
export class Calendar {
  readonly timeZone: string;
  readonly #format: Intl.DateTimeFormat | undefined;
  /** Hour since the epoch -> offset at its beginning. */
  readonly #offsets = new Map<number, number>();

  /** `timeZone`: an IANA name. Throws `RangeError` for an unknown one. */
  constructor(timeZone: string) {
    this.timeZone = timeZone;
    // Making a format takes longer than most things that a start does.
    if (timeZone === "UTC") return;
    const format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    this.#format = format.resolvedOptions().timeZone === "UTC" ? undefined : format;
  }

  /** Whether local time is UTC at all times. */
  isUtc(): boolean {
    return this.#format === undefined;
  }

  /** Local time minus UTC, in milliseconds, at an instant. */
  offsetAt(instantMs: number): number {
    if (this.#format === undefined) return 0;
    const hour = Math.floor(instantMs / hourMs);
    const atBegin = this.#offsetAtHour(hour);
    // An hour in which the offset changes is looked at more closely; there are two a year.
    return atBegin === this.#offsetAtHour(hour + 1) ? atBegin : this.#lookUp(instantMs);
  }

  #offsetAtHour(hour: number): number {
    const known = this.#offsets.get(hour);
    if (known !== undefined) return known;
    if (this.#offsets.size === rememberedOffsetsMax) this.#offsets.clear();
    const offset = this.#lookUp(hour * hourMs);
    this.#offsets.set(hour, offset);
    return offset;
  }

  #lookUp(instantMs: number): number {
    const fields = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
    for (const { type, value } of this.#format?.formatToParts(instantMs) ?? []) {
      if (type in fields) fields[type as keyof typeof fields] = Number(value);
    }
    const local = Date.UTC(fields.year, fields.month - 1, fields.day, fields.hour, fields.minute, fields.second);
    return local - Math.floor(instantMs / 1_000) * 1_000;
  }
}

export function createCalendar(timeZone: string): Calendar {
  return new Calendar(timeZone);
}

/** Whether this Node knows the time zone. */
export function isTimeZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** The window of `windowMs` (a whole number > 0) that an instant (epoch ms) is in. */
export function windowAt(calendar: Calendar, instantMs: number, windowMs: number): TimeWindow {
  return windowMs <= hourMs ? shortWindow(calendar, instantMs, windowMs) : wallClockWindow(calendar, instantMs, windowMs);
}

/** Whether all windows of this length are multiples of it since the epoch: then they need not be looked up. */
export function areWindowsRegular(calendar: Calendar, windowMs: number): boolean {
  return calendar.isUtc() && (windowMs <= hourMs || windowMs >= dayMs || dayMs % windowMs === 0);
}

/** The windows that overlap [fromMs, toMs), in order; no more than the first `max`. */
export function windowsBetween(calendar: Calendar, range: TimeWindow, windowMs: number, max: number): TimeWindow[] {
  const windows: TimeWindow[] = [];
  for (let at = range.fromMs; at < range.toMs && windows.length < max; ) {
    const window = windowAt(calendar, at, windowMs);
    windows.push(window);
    at = window.toMs;
  }
  return windows;
}

function shortWindow(calendar: Calendar, instantMs: number, windowMs: number): TimeWindow {
  const offset = calendar.offsetAt(instantMs);
  let fromMs = Math.floor((instantMs + offset) / windowMs) * windowMs - offset;
  let toMs = fromMs + windowMs;
  // Where the offset changes by less than the window (half an hour on Lord Howe Island), the change cuts the window.
  if ((calendar.offsetAt(fromMs) - offset) % windowMs !== 0) fromMs = changeBetween(calendar, fromMs, instantMs);
  if ((calendar.offsetAt(toMs - 1) - offset) % windowMs !== 0) toMs = changeBetween(calendar, instantMs, toMs - 1);
  return { fromMs, toMs };
}

/** The first instant that has the offset of `toMs`; at `fromMs` it is another. */
function changeBetween(calendar: Calendar, fromMs: number, toMs: number): number {
  const offset = calendar.offsetAt(toMs);
  return firstInstant(fromMs, toMs, (instantMs) => calendar.offsetAt(instantMs) === offset);
}

function wallClockWindow(calendar: Calendar, instantMs: number, windowMs: number): TimeWindow {
  let localMs = alignedLocal(instantMs + calendar.offsetAt(instantMs), windowMs);
  let fromMs = instantOf(calendar, localMs);
  for (;;) {
    localMs = nextAligned(localMs, windowMs);
    const toMs = instantOf(calendar, localMs);
    // In a repeated hour the clock may show a time before a boundary that has already passed.
    if (toMs > instantMs) return { fromMs, toMs };
    fromMs = toMs;
  }
}

/** The boundary at or before a local time (as ms since 1970-01-01 00:00 local). */
function alignedLocal(localMs: number, windowMs: number): number {
  const dayBegin = Math.floor(localMs / dayMs) * dayMs;
  if (windowMs >= dayMs) return Math.floor(localMs / windowMs) * windowMs;
  return dayBegin + Math.floor((localMs - dayBegin) / windowMs) * windowMs;
}

function nextAligned(localMs: number, windowMs: number): number {
  if (windowMs >= dayMs) return localMs + windowMs;
  return Math.min(localMs + windowMs, Math.floor(localMs / dayMs) * dayMs + dayMs);
}

/**
 * The first instant at which the local clock shows `localMs` or later: the first of two when the hour is repeated, the
 * change itself when the time is skipped. Monotonic in `localMs`.
 */
function instantOf(calendar: Calendar, localMs: number): number {
  // No offset is beyond 14 hours, so these are before and after every instant in question.
  const before = calendar.offsetAt(localMs - dayMs);
  const after = calendar.offsetAt(localMs + dayMs);
  const earliest = localMs - Math.max(before, after);
  if (before === after || earliest + calendar.offsetAt(earliest) >= localMs) return earliest;
  const latest = localMs - Math.min(before, after);
  return firstInstant(earliest, latest, (instantMs) => instantMs + calendar.offsetAt(instantMs) >= localMs);
}

/** Bisection: the first whole millisecond in (from, to] that holds; `from` does not, `to` does. */
function firstInstant(from: number, to: number, holds: (instantMs: number) => boolean): number {
  let low = from;
  let high = to;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}
