import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, bundleFolder } from "./bundle.ts";
import { type ChildMessage, isChildMessage } from "./protocol.ts";

/** How a test file went. `problems` and tests without a turn are part of `failed`. */
export interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly ms: number;
  /** One text for each failure, the test's name first. */
  readonly failures: readonly string[];
  /** What the file printed (its last part, when it is much). */
  readonly output: string;
}

export interface FileLimits {
  /** For each test and each hook. */
  readonly testTimeoutMs: number;
  readonly fileTimeoutMs: number;
}

export interface RunOptions {
  readonly root: string;
  readonly limitsOf: (file: string) => FileLimits;
  /** How many files may run at once; of those for which `alone` holds one at a time. */
  readonly concurrency: number;
  readonly alone: (file: string) => boolean;
  readonly onResult: (result: FileResult) => void;
}

const outputBytesMax = 256 * 1024;
/** How much longer than its own limit a step may take before its process counts as stuck. */
const stuckGraceMs = 3_000;

const childScript = fileURLToPath(new URL("./child.ts", import.meta.url));
const runningGroups = new Set<number>();
const bundleFolders = new Set<string>();

/** Runs each file in a process of its own. The results stand in the order of `files`. */
export async function runFiles(files: readonly string[], options: RunOptions): Promise<FileResult[]> {
  const results = new Map<string, FileResult>();
  const folder = bundleFolder(options.root);
  bundleFolders.add(folder);
  const child = await bundle(childScript, { root: dirname(childScript), folder });
  const drain = async (queue: string[]): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runBundled(file, { child, folder, root: options.root, limits: options.limitsOf(file) });
      results.set(file, result);
      options.onResult(result);
    }
  };
  const shared = files.filter((file) => !options.alone(file));
  const oneByOne = files.filter(options.alone);
  // They wait more than they compute: one of the lanes begins with them while the others take what computes.
  await Promise.all(
    Array.from({ length: options.concurrency }, (_, lane) => (lane === 0 ? drain(oneByOne) : Promise.resolve()).then(() => drain(shared))),
  );
  dropBundles(folder);
  return files.flatMap((file) => results.get(file) ?? []);
}

/** Ends every test process that still runs, with all that it started. */
export function killAll(): void {
  for (const group of runningGroups) killGroup(group);
  for (const folder of bundleFolders) dropBundles(folder);
}

function dropBundles(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  bundleFolders.delete(folder);
}

interface Run {
  readonly root: string;
  /** The bundle of child.ts. */
  readonly child: string;
  /** Where bundles are put. */
  readonly folder: string;
  readonly limits: FileLimits;
}

async function runBundled(file: string, run: Run): Promise<FileResult> {
  const startedAtMs = performance.now();
  try {
    return await runFile(file, await bundle(file, run), run);
  } catch (problem) {
    const tally = new Tally();
    tally.fail(`the file cannot be compiled: ${problem instanceof Error ? problem.message : String(problem)}`);
    return tally.result({ file: relative(run.root, file), ms: performance.now() - startedAtMs, output: "" });
  }
}

function runFile(file: string, bundled: string, { root, child: childBundle, limits }: Run): Promise<FileResult> {
  const startedAtMs = performance.now();
  const tally = new Tally();
  const { FORCE_COLOR: _forceColor, NODE_ENV: _nodeEnv, ...env } = process.env;
  // A process group of its own, so that whatever the tests started ends with it.
  const child = spawn(process.execPath, ["--enable-source-maps", childBundle, bundled, String(limits.testTimeoutMs)], {
    cwd: root,
    detached: true,
    env: { ...env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  if (child.pid !== undefined) runningGroups.add(child.pid);

  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-outputBytesMax);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);

  return new Promise((resolve) => {
    let step = "its start";
    let killedBecause: string | undefined;
    const kill = (reason: string): void => {
      killedBecause ??= reason;
      if (child.pid !== undefined) killGroup(child.pid);
    };
    const fileTimer = setTimeout(() => kill(`the file took more than ${limits.fileTimeoutMs} ms`), limits.fileTimeoutMs);
    let stepTimer = setTimeout(() => kill("the process did not start"), 60_000);

    child.on("message", (message) => {
      if (!isChildMessage(message)) return;
      tally.add(message);
      if (message.kind !== "step") return;
      step = message.label;
      clearTimeout(stepTimer);
      stepTimer = setTimeout(() => kill("the event loop was blocked"), message.limitMs + stuckGraceMs);
    });
    const finish = (ending: string): void => {
      clearTimeout(fileTimer);
      clearTimeout(stepTimer);
      if (child.pid !== undefined) {
        killGroup(child.pid);
        runningGroups.delete(child.pid);
      }
      if (killedBecause !== undefined) tally.fail(`killed during ${step}: ${killedBecause}`);
      else if (!tally.done) tally.fail(`the process ended (${ending}) during ${step}, before its tests were over`);
      else if (ending !== "exit code 0") tally.fail(`the process ended with ${ending} after its tests`);
      // What the killed group wrote last is still in the pipes.
      setImmediate(() => resolve(tally.result({ file: relative(root, file), ms: performance.now() - startedAtMs, output })));
    };
    child.on("error", (error) => finish(`could not be started: ${error.message}`));
    child.on("exit", (code, signal) => finish(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}

/** Adds up what one child reports. */
class Tally {
  done = false;
  #passed = 0;
  #failed = 0;
  #skipped = 0;
  readonly #failures: string[] = [];

  add(message: ChildMessage): void {
    switch (message.kind) {
      case "step":
        return;
      case "passed":
        this.#passed += 1;
        return;
      case "failed":
        return this.fail(`${message.test} (${Math.round(message.ms)} ms)\n${message.reason}`);
      case "not-run":
        this.fail(`${message.count} tests of ${message.suite} did not run`, message.count);
        return;
      case "skipped":
        this.#skipped += 1;
        return;
      case "problem":
        return this.fail(message.reason);
      case "done":
        this.done = true;
    }
  }

  fail(text: string, count = 1): void {
    this.#failed += count;
    this.#failures.push(text);
  }

  result(rest: { readonly file: string; readonly ms: number; readonly output: string }): FileResult {
    return { ...rest, passed: this.#passed, failed: this.#failed, skipped: this.#skipped, failures: this.#failures };
  }
}

function killGroup(leaderPid: number): void {
  try {
    process.kill(-leaderPid, "SIGKILL");
  } catch {
    // ESRCH: the whole group has ended already.
  }
}
