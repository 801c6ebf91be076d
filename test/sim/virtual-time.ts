/** Lets a scheduler's time pass until a promise is settled. */
import type { Scheduler } from "../../src/sim/scheduler.ts";

export async function settle<T>(scheduler: Scheduler, promise: Promise<T>): Promise<T> {
  let settled = false;
  const note = () => {
    settled = true;
  };
  promise.then(note, note);
  for (let steps = 0; steps < 1_000_000; steps++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (settled) return await promise;
    if (!scheduler.step()) throw new Error("nothing is left to happen, and the promise is not settled");
  }
  throw new Error("the promise is not settled after a million events");
}
