/**
 * The `Cron` port on node-cron's time matcher. A node-cron task is made for each expression but never started: no timer of
 * node-cron runs, and the only thing asked of a task is whether it matches an explicit instant. Expressions are validated
 * with the settings; an invalid one throws here.
 */

import { createTask, type ParsedFields, parse, type ScheduledTask } from "node-cron";
import { type Calendar, createCalendar, windowAt } from "../lib/calendar.ts";
import type { Cron } from "../ports/cron.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Far enough for every 29 February, 2100 included. */
const searchDaysMax = 366 * 9;
const rememberedMax = 256;

interface Schedule {
  /** The last answer of `next`, which stands until it has passed (or for a day, when it was "none"). */
  answer: { readonly afterMs: number; readonly nextMs: number | undefined } | undefined;
  readonly task: ScheduledTask;
  readonly fields: ParsedFields;
  readonly calendar: Calendar;
}

export class NodeCron implements Cron {
  /** By time zone and expression; the oldest goes when there are too many. */
  readonly #schedules = new Map<string, Schedule>();

  matches(expression: string, timeZone: string, instantMs: number): boolean {
    const { task, fields, calendar } = this.#schedule(expression, timeZone);
    // Asked every second, and mostly in vain: what needs no look at a calendar comes first.
    const local = new Date(instantMs + calendar.offsetAt(instantMs));
    if (!fields.second.includes(local.getUTCSeconds())) return false;
    if (!fields.minute.includes(local.getUTCMinutes()) || !fields.hour.includes(local.getUTCHours())) return false;
    return task.match(new Date(instantMs));
  }

  next(expression: string, timeZone: string, afterMs: number): number | undefined {
    const schedule = this.#schedule(expression, timeZone);
    const { answer } = schedule;
    if (answer !== undefined && afterMs >= answer.afterMs && afterMs < (answer.nextMs ?? answer.afterMs + dayMs)) return answer.nextMs;
    const nextMs = search(schedule, afterMs);
    schedule.answer = { afterMs, nextMs };
    return nextMs;
  }

  #schedule(expression: string, timeZone: string): Schedule {
    const key = `${timeZone} ${expression}`;
    const known = this.#schedules.get(key);
    if (known !== undefined) return known;
    for (const [oldest, { task }] of this.#schedules) {
      if (this.#schedules.size < rememberedMax) break;
      this.#schedules.delete(oldest);
      // Takes the task out of node-cron's registry; one that never ran is destroyed at once.
      void task.destroy();
    }
    const task = createTask(expression, () => undefined, { timezone: timeZone });
    const made: Schedule = { task, fields: parse(expression), calendar: createCalendar(timeZone), answer: undefined };
    this.#schedules.set(key, made);
    return made;
  }
}

/** Hour by hour, and day by day through the months in which nothing fires. */
function search(schedule: Schedule, afterMs: number): number | undefined {
  const limitMs = afterMs + searchDaysMax * dayMs;
  for (let at = afterMs; at < limitMs; ) {
    const local = new Date(at + schedule.calendar.offsetAt(at));
    if (!schedule.fields.month.includes(local.getUTCMonth() + 1)) {
      at = windowAt(schedule.calendar, at, dayMs).toMs;
      continue;
    }
    const hour = windowAt(schedule.calendar, at, hourMs);
    const found = schedule.fields.hour.includes(local.getUTCHours()) ? nextInHour(schedule, hour, afterMs) : undefined;
    if (found !== undefined) return found;
    at = hour.toMs;
  }
  return undefined;
}

/** The first firing after `afterMs` in an hour of the local clock that has the right month and hour. */
function nextInHour(schedule: Schedule, hour: { readonly fromMs: number; readonly toMs: number }, afterMs: number): number | undefined {
  const { minute, second } = schedule.fields;
  const offset = schedule.calendar.offsetAt(hour.fromMs);
  const localHour = Math.floor((hour.fromMs + offset) / hourMs) * hourMs;
  for (const eachMinute of minute.toSorted((a, b) => a - b)) {
    for (const eachSecond of second.toSorted((a, b) => a - b)) {
      const instantMs = localHour - offset + eachMinute * 60_000 + eachSecond * 1_000;
      if (instantMs <= afterMs || instantMs < hour.fromMs || instantMs >= hour.toMs) continue;
      // What is left is the day, the same for the whole hour: the first candidate decides.
      return schedule.task.match(new Date(instantMs)) ? instantMs : undefined;
    }
  }
  return undefined;
}
