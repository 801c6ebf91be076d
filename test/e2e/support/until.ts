// Waiting for what other processes do: by condition, with a limit after which the test fails and says what it waited for.

const pollMs = 25;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves with the first answer that is not `undefined`; throws after `withinMs`, with what `explain` says. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  options: { readonly withinMs: number; readonly explain?: () => string; readonly everyMs?: number },
): Promise<T> {
  const deadlineMs = performance.now() + options.withinMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > deadlineMs) {
      throw new Error(`not within ${options.withinMs} ms: ${what}${options.explain === undefined ? "" : `\n${options.explain()}`}`);
    }
    await pause(options.everyMs ?? pollMs);
  }
}
