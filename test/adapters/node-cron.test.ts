// Goal: an expression fires in exactly the right seconds of the site's clock, summer time or not, and `next` agrees with
// `matches`; no timer is started. Method: pinned instants, and a walk over seconds against `next`.
import { getTasks } from "node-cron";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { NodeCron } from "../../src/adapters/node-cron.ts";

const cron = new NodeCron();
const ms = (text: string) => Date.parse(text);
const iso = (instantMs: number | undefined) => (instantMs === undefined ? undefined : new Date(instantMs).toISOString());

const nodeCron = suite("node-cron adapter");

nodeCron("five fields fire at second 0 only, six at their seconds", () => {
  assert.ok(cron.matches("*/5 * * * *", "UTC", ms("2024-05-01T10:05:00Z")));
  assert.not.ok(cron.matches("*/5 * * * *", "UTC", ms("2024-05-01T10:05:01Z")));
  assert.not.ok(cron.matches("*/5 * * * *", "UTC", ms("2024-05-01T10:06:00Z")));
  assert.ok(cron.matches("*/20 * * * * *", "UTC", ms("2024-05-01T10:06:40Z")));
});

nodeCron("midnight is hour 0 of the site's clock", () => {
  assert.ok(cron.matches("0 0 * * *", "UTC", ms("2024-05-01T00:00:00Z")));
  assert.ok(cron.matches("0 0 * * *", "Europe/Berlin", ms("2024-04-30T22:00:00Z")));
  assert.not.ok(cron.matches("0 0 * * *", "Europe/Berlin", ms("2024-05-01T00:00:00Z")));
  assert.ok(cron.matches("0 0 1 5 3", "Europe/Berlin", ms("2024-04-30T22:00:00Z")));
});

nodeCron("a time that spring skips does not fire, one that autumn repeats fires twice", () => {
  assert.is(iso(cron.next("30 2 * * *", "Europe/Berlin", ms("2024-03-30T12:00:00Z"))), "2024-04-01T00:30:00.000Z");
  const first = cron.next("30 2 * * *", "Europe/Berlin", ms("2024-10-26T12:00:00Z")) as number;
  assert.is(iso(first), "2024-10-27T00:30:00.000Z");
  assert.is(iso(cron.next("30 2 * * *", "Europe/Berlin", first)), "2024-10-27T01:30:00.000Z");
});

nodeCron("next is after, never at", () => {
  assert.is(iso(cron.next("0 * * * *", "UTC", ms("2024-05-01T10:00:00Z"))), "2024-05-01T11:00:00.000Z");
  assert.is(iso(cron.next("0 * * * *", "UTC", ms("2024-05-01T09:59:59.999Z"))), "2024-05-01T10:00:00.000Z");
  assert.is(iso(cron.next("0 * * * *", "Asia/Kathmandu", ms("2024-05-01T10:00:00Z"))), "2024-05-01T10:15:00.000Z");
});

nodeCron("next looks years ahead, and gives up", () => {
  assert.is(iso(cron.next("0 12 29 2 *", "Europe/Berlin", ms("2025-01-01T00:00:00Z"))), "2028-02-29T11:00:00.000Z");
  assert.is(iso(cron.next("0 0 * 1 *", "America/Sao_Paulo", ms("2024-02-01T12:00:00Z"))), "2025-01-01T03:00:00.000Z");
  assert.is(iso(cron.next("0 9 L * *", "UTC", ms("2024-02-01T00:00:00Z"))), "2024-02-29T09:00:00.000Z");
});

nodeCron("a remembered answer is given only while it is right", () => {
  const expression = "15 6 * * *";
  const day = 24 * 3_600_000;
  const first = ms("2024-05-02T06:15:00Z");
  assert.is(cron.next(expression, "UTC", first - day), first);
  assert.is(cron.next(expression, "UTC", first - 1), first);
  assert.is(cron.next(expression, "UTC", first), first + day);
  assert.is(cron.next(expression, "UTC", first - 2 * day), first - day, "a question about an earlier time");
  // 29 February is a Monday in 2044 at the earliest: not in the coming years.
  assert.is(cron.next("0 0 29 2 1", "UTC", ms("2030-01-01T00:00:00Z")), undefined);
  assert.is(cron.next("0 0 29 2 1", "UTC", ms("2030-01-01T05:00:00Z")), undefined);
});

nodeCron("next and matches agree", () => {
  const expressions = ["*/7 * * * *", "0 3-5 * * 1,3", "15,45 */2 * * *", "30 1 * * *", "0 0 1 * *", "10 */30 * * * *"];
  for (const zone of ["UTC", "Australia/Lord_Howe", "America/St_Johns"]) {
    for (const expression of expressions) {
      const start = ms("2024-10-05T14:00:00Z");
      const end = start + 3 * 3_600_000;
      const stepMs = expression.split(" ").length === 6 ? 10_000 : 60_000;
      const fired: number[] = [];
      for (let at = start + stepMs; at < end; at += stepMs) if (cron.matches(expression, zone, at)) fired.push(at);
      const told: number[] = [];
      for (let at = cron.next(expression, zone, start); at !== undefined && at < end; at = cron.next(expression, zone, at)) told.push(at);
      assert.equal(told, fired, `${expression} in ${zone}`);
    }
  }
});

nodeCron("keeps a bounded number of tasks, none of them started", () => {
  const own = new NodeCron();
  for (let minute = 0; minute < 60; minute++) {
    for (let hour = 0; hour < 6; hour++) own.matches(`${minute} ${hour} * * *`, "UTC", 0);
  }
  assert.ok(getTasks().size <= 256 + 64, `${getTasks().size} tasks`);
  assert.ok([...getTasks().values()].every((task) => task.getStatus() === "stopped"));
});

nodeCron("an expression that is none throws", () => {
  assert.throws(() => cron.matches("nonsense", "UTC", 0));
});

nodeCron.run();
