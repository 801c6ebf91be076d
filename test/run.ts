// The project's test runner. `npm test` runs all of test/**/*.test.ts but test/long/; `npm test -- raft lib/ids` those whose path
// contains one of the words, wherever they are; `npm run test:long` those of test/long/. Every file runs in a process of its own, on
// uvu's queue; of the e2e folders a file at a time. The run fails when anything fails, and also for what uvu lets pass: see
// test/runner/. Its last line is always `N passed, N failed, N skipped`.
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type FileLimits, type FileResult, killAll, runFiles } from "./runner/supervisor.ts";

const usage = `usage: npm test -- [--root DIR] [--timeout MS] [--jobs N] [WORD ...]
  WORD          run only files whose path contains one of the words (without one: all but those of test/long)
  --root DIR    the folder that holds test/ (default: this project)
  --timeout MS  limit for each test and hook (default 30000; in an e2e folder 150000; four times that in test/long)
  --jobs N      how many files run at once (default: one more than there are cores)`;

interface Request {
  readonly root: string;
  readonly words: readonly string[];
  readonly timeoutMs: number | undefined;
  readonly concurrency: number;
}

function readRequest(args: readonly string[]): Request | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { root: { type: "string" }, timeout: { type: "string" }, jobs: { type: "string" } },
    });
    const timeoutMs = values.timeout === undefined ? undefined : Number(values.timeout);
    // One more than there are cores: what starts processes waits more than it computes.
    const concurrency = values.jobs === undefined ? availableParallelism() + 1 : Number(values.jobs);
    if (timeoutMs !== undefined && !(timeoutMs >= 1)) return "--timeout needs a positive number";
    if (!(Number.isInteger(concurrency) && concurrency >= 1)) return "--jobs needs a positive whole number";
    const root = resolve(values.root ?? dirname(dirname(fileURLToPath(import.meta.url))));
    return { root, words: positionals, timeoutMs, concurrency };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What takes too long for every change: for CI, and for whoever works on what it tries. */
function isLong(root: string, file: string): boolean {
  return relative(root, file).startsWith(join("test", "long", sep));
}

/** Its tests start processes and wait for them. */
function isEndToEnd(root: string, file: string): boolean {
  return relative(root, file).split(sep).includes("e2e");
}

function limitsOf({ root, timeoutMs }: Request, file: string): FileLimits {
  const testTimeoutMs = (isEndToEnd(root, file) ? 150_000 : 30_000) * (isLong(root, file) ? 4 : 1);
  return { testTimeoutMs: timeoutMs ?? testTimeoutMs, fileTimeoutMs: 4 * testTimeoutMs };
}

function findFiles(root: string, words: readonly string[]): string[] {
  return readdirSync(join(root, "test"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => (words.length === 0 ? !isLong(root, file) : words.some((word) => relative(root, file).includes(word))))
    .sort();
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "    ");
}

function show(result: FileResult): void {
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : "";
  const counts = result.failed > 0 ? `${result.failed} FAILED, ${result.passed} passed` : `${result.passed} passed`;
  console.log(`${result.failed > 0 ? "FAIL" : "ok  "}  ${result.file}  ${counts}${skipped}  ${Math.round(result.ms)} ms`);
  if (result.failed === 0) return;
  for (const failure of result.failures) console.log(indent(`- ${failure}`));
  if (result.output.trim() !== "") console.log(indent(`output of ${result.file}:\n${indent(result.output.trimEnd())}`));
}

function showSlowest(results: readonly FileResult[]): void {
  const slowest = [...results].sort((a, b) => b.ms - a.ms).slice(0, 5);
  console.log(`\nslowest files: ${slowest.map((result) => `${result.file} ${(result.ms / 1000).toFixed(1)} s`).join(", ")}`);
}

function showFailures(results: readonly FileResult[]): void {
  const failed = results.filter((result) => result.failed > 0);
  if (failed.length === 0) return;
  console.log("\nfailures:");
  for (const { file, failures } of failed) {
    for (const failure of failures) console.log(`  ${file}: ${failure.split("\n", 1)[0]}`);
  }
}

function sum(results: readonly FileResult[], key: "passed" | "failed" | "skipped"): number {
  return results.reduce((total, result) => total + result[key], 0);
}

async function main(): Promise<void> {
  const request = readRequest(process.argv.slice(2));
  if (typeof request === "string") {
    console.error(`${request}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const files = findFiles(request.root, request.words);
  if (files.length === 0) {
    console.log(`no test file matches ${request.words.join(" ") || "test/**/*.test.ts"}\n\n0 passed, 1 failed, 0 skipped`);
    process.exitCode = 1;
    return;
  }
  const startedAtMs = performance.now();
  const results = await runFiles(files, {
    root: request.root,
    concurrency: request.concurrency,
    alone: (file) => isEndToEnd(request.root, file),
    limitsOf: (file) => limitsOf(request, file),
    onResult: show,
  });
  showSlowest(results);
  showFailures(results);
  const failed = sum(results, "failed");
  console.log(`\n${results.length} files in ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
  console.log(`${sum(results, "passed")} passed, ${failed} failed, ${sum(results, "skipped")} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    killAll();
    console.log(`\nended by ${signal}\n0 passed, 1 failed, 0 skipped`);
    process.exit(1);
  });
}
process.on("exit", killAll);
await main();
