// Goal: timers and clocks keep the promises that time-outs and the grouping of rounds rest on. Method: one suite against
// Node's timers and against the simulator's virtual time.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Clock } from "../../src/ports/clock.ts";
import { signal, subjectOf, type World } from "./subject.ts";

export interface ClockSubject extends World {
  readonly clock: Clock;
}

export function clockContract(name: string, make: () => Promise<ClockSubject>): void {
  const test = suite(name);

  const withSubject = subjectOf(make);

  test(
    "a timer fires once, never before its delay has passed, and never within `schedule`",
    withSubject(async ({ clock, settle }) => {
      for (const delayMs of [0, 1, 7.5, 30]) {
        const startedMs = clock.monotonicMs();
        const done = signal();
        let fired = 0;
        clock.schedule(delayMs, () => {
          fired++;
          done.fire();
        });
        assert.is(fired, 0, "not within the call");
        await settle(done.promise);
        assert.ok(clock.monotonicMs() - startedMs >= delayMs, `${clock.monotonicMs() - startedMs} ms for ${delayMs}`);
        const later = signal();
        clock.schedule(5, later.fire);
        await settle(later.promise);
        assert.is(fired, 1);
      }
    }),
  );

  test(
    "timers fire in the order of their delays, whatever the order in which they were set",
    withSubject(async ({ clock, settle }) => {
      const order: number[] = [];
      const done = signal();
      clock.schedule(60, () => {
        order.push(60);
        done.fire();
      });
      clock.schedule(20, () => order.push(20));
      clock.schedule(0, () => order.push(0));
      await settle(done.promise);
      assert.equal(order, [0, 20, 60]);
    }),
  );

  test(
    "a cancelled timer never fires; cancelling again, or one that has fired, is ignored",
    withSubject(async ({ clock, settle }) => {
      let fired = 0;
      const cancelled = [clock.schedule(0, () => fired++), clock.schedule(10, () => fired++)];
      const done = signal();
      const last = clock.schedule(30, done.fire);
      for (const timer of [...cancelled, ...cancelled]) clock.cancel(timer);
      await settle(done.promise);
      clock.cancel(last);
      assert.is(fired, 0);
    }),
  );

  test(
    "the monotonic clock never goes back, the wall clock shows whole milliseconds of this century",
    withSubject(async ({ clock, settle }) => {
      let before = clock.monotonicMs();
      for (let i = 0; i < 5; i++) {
        const done = signal();
        clock.schedule(1, done.fire);
        await settle(done.promise);
        const now = clock.monotonicMs();
        assert.ok(now >= before);
        before = now;
        assert.ok(Number.isInteger(clock.wallMs()) && clock.wallMs() > Date.UTC(2020, 0, 1), `${clock.wallMs()}`);
      }
      assert.ok(["synchronised", "unsynchronised", "unknown"].includes(clock.ntpState()));
      assert.is(clock.synchronised(), clock.ntpState() !== "unsynchronised");
    }),
  );

  test.run();
}
