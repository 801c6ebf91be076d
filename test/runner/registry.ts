import { inspect } from "node:util";
import type { ChildMessage } from "./protocol.ts";

/** The tests of a suite between two calls of its `run()`; uvu empties a suite when `run()` is called. */
export interface Batch {
  readonly suite: string;
  tests: number;
  only: number;
  skips: number;
  running: boolean;
  readonly outcomes: Outcome[];
}

interface Outcome {
  readonly test: string;
  readonly startedAtMs: number;
  reason: string | undefined;
  reported: boolean;
}

type Send = (message: ChildMessage) => void;

/**
 * The record of all that a test file registers and of how it went, in that file's own process. uvu's totals are not used:
 * uvu hides errors of `before` hooks, cannot see a forgotten `run()` and waits for a hanging test for ever.
 */
export class Registry {
  readonly #send: Send;
  readonly #timeoutMs: number;
  readonly #batches: Batch[] = [];
  #interrupt: ((reason: unknown) => void) | undefined;

  constructor(send: Send, timeoutMs: number) {
    this.#send = send;
    this.#timeoutMs = timeoutMs;
  }

  newBatch(suite: string): Batch {
    const batch: Batch = { suite, tests: 0, only: 0, skips: 0, running: false, outcomes: [] };
    this.#batches.push(batch);
    return batch;
  }

  addSkip(batch: Batch, name: string): void {
    batch.skips += 1;
    this.#send({ kind: "skipped", test: title(batch, name) });
  }

  problem(reason: string): void {
    this.#send({ kind: "problem", reason });
  }

  /** Runs a test's body; never lets a nullish error reach uvu, which cannot format one. */
  async runTest(batch: Batch, name: string, body: () => unknown): Promise<void> {
    this.#flush(batch);
    const outcome: Outcome = { test: title(batch, name), startedAtMs: performance.now(), reason: undefined, reported: false };
    batch.outcomes.push(outcome);
    try {
      await this.#step(outcome.test, body);
    } catch (error) {
      outcome.reason = describeError(error);
      throw new Error("failed");
    }
  }

  async runSuiteHook(batch: Batch, kind: "before" | "after", body: () => unknown): Promise<void> {
    const label = `${kind} hook of ${suiteTitle(batch)}`;
    try {
      await this.#step(label, body);
    } catch (error) {
      this.problem(`the ${label} failed: ${describeError(error)}`);
      // Thrown on, a failed `before` makes uvu leave the suite's tests out; a failed `after` would make it drop the suites behind.
      if (kind === "before") throw new Error("failed");
    }
  }

  async runBeforeEach(batch: Batch, testName: string, body: () => unknown): Promise<void> {
    const label = `before.each hook of ${title(batch, testName)}`;
    try {
      await this.#step(label, body);
    } catch (error) {
      this.#flush(batch);
      batch.outcomes.push({
        test: title(batch, testName),
        startedAtMs: performance.now(),
        reason: `the before.each hook failed: ${describeError(error)}`,
        reported: false,
      });
      throw new Error("failed");
    }
  }

  /** Does not throw: uvu calls `after.each` a second time when it throws, and then abandons the whole suite. */
  async runAfterEach(batch: Batch, testName: string, body: () => unknown): Promise<void> {
    try {
      await this.#step(`after.each hook of ${title(batch, testName)}`, body);
    } catch (error) {
      const outcome = batch.outcomes.at(-1);
      const reason = `the after.each hook failed: ${describeError(error)}`;
      if (outcome === undefined) this.problem(reason);
      else outcome.reason = outcome.reason === undefined ? reason : `${outcome.reason}\n${reason}`;
    }
  }

  /** An error outside any promise that the runner awaits: it fails what is running now, or else the file. */
  unexpected(what: string, error: unknown): void {
    const reason = `${what}: ${describeError(error)}`;
    if (this.#interrupt === undefined) this.problem(reason);
    else this.#interrupt(new Interruption(reason));
  }

  /** The event loop has nothing left to do while a step is being awaited: that step cannot end any more. */
  loopIsEmpty(): void {
    this.#interrupt?.(new Interruption("it can never end: it awaits something, and nothing is left in the event loop that could bring it"));
  }

  /** Checks what can be known only when all suites have had their turn, and reports what is still to be reported. */
  finish(): void {
    let registered = 0;
    for (const batch of this.#batches) {
      this.#flush(batch);
      const total = batch.tests + batch.only;
      registered += total + batch.skips;
      if (batch.only > 0) this.problem(`a stray .only in ${suiteTitle(batch)}: ${batch.tests} other tests of it would never run`);
      if (!batch.running) {
        if (total > 0) this.problem(`${suiteTitle(batch)} never calls .run(): its ${total} tests did not run`);
        continue;
      }
      if (total + batch.skips === 0) this.problem(`${suiteTitle(batch)} has no test`);
      const missing = (batch.only > 0 ? batch.only : batch.tests) - batch.outcomes.length;
      if (missing > 0) this.#send({ kind: "not-run", suite: suiteTitle(batch), count: missing });
    }
    if (registered === 0) this.problem("the file has no test");
  }

  /** A test's outcome is final only when its `after.each` hooks are over, that is when the next test begins or the suite ends. */
  #flush(batch: Batch): void {
    const outcome = batch.outcomes.at(-1);
    if (outcome === undefined || outcome.reported) return;
    outcome.reported = true;
    const ms = performance.now() - outcome.startedAtMs;
    if (outcome.reason === undefined) this.#send({ kind: "passed", test: outcome.test, ms });
    else this.#send({ kind: "failed", test: outcome.test, reason: outcome.reason, ms });
  }

  async #step(label: string, body: () => unknown): Promise<void> {
    this.#send({ kind: "step", label, limitMs: this.#timeoutMs });
    let timer: NodeJS.Timeout | undefined;
    const interrupted = new Promise<never>((_resolve, reject) => {
      this.#interrupt = reject;
      // Not referenced, so that an event loop with nothing else to do is noticed at once (loopIsEmpty).
      timer = setTimeout(() => reject(new Interruption(`no end within ${this.#timeoutMs} ms`)), this.#timeoutMs).unref();
    });
    try {
      await Promise.race([(async () => await body())(), interrupted]);
    } finally {
      this.#interrupt = undefined;
      clearTimeout(timer);
    }
  }
}

class Interruption extends Error {}

function suiteTitle(batch: Batch): string {
  return batch.suite === "" ? "the unnamed suite" : `suite "${batch.suite}"`;
}

function title(batch: Batch, test: string): string {
  return batch.suite === "" ? test : `${batch.suite} > ${test}`;
}

/** A text for anything that can be thrown, `undefined` and `null` included, with the difference that an assertion found. */
export function describeError(error: unknown): string {
  if (error instanceof Interruption) return error.message;
  if (!(error instanceof Error)) return `threw ${inspect(error)}, which is not an Error`;
  const frames = (error.stack ?? "")
    .split("\n")
    .filter(
      (line) =>
        /^\s+at /.test(line) &&
        !line.includes("node:") &&
        !line.includes("/node_modules/uvu/") &&
        !/\/test\/runner\/(child|registry|uvu-shim)\.ts/.test(line),
    )
    .slice(0, 8);
  const cause = error.cause === undefined ? [] : [`caused by ${describeError(error.cause)}`];
  return [`${error.name}: ${error.message}`, ...difference(error), ...frames, ...cause].join("\n");
}

/** What uvu/assert found to differ, line by line; a plain `Error` has no such details. */
function difference(error: Error): string[] {
  if (!("details" in error) || typeof error.details !== "string" || error.details === "") return [];
  return [error.details];
}
