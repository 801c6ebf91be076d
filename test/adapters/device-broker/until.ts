// Waiting for what another side does over a real socket: by condition, never by a fixed time.
import { performance } from "node:perf_hooks";

const pollMs = 2;

/** Resolves when the condition holds; throws after `withinMs`. */
export async function until(what: string, condition: () => boolean, withinMs = 5_000): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
