import type { Clock } from "../ports/clock.ts";

/** Resolves after `ms`, rounded up to whole milliseconds; with 0, once what is due now has had its turn. */
export function pause(clock: Pick<Clock, "schedule">, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(Math.ceil(ms), resolve);
  });
}
