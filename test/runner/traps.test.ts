// Goal: nothing that keeps a test from running, or hides its failure, leaves the run green. Method: each trap is a small test file
// in a temporary project; the supervisor runs it as `npm test` would, and must count exactly these failures for this reason. One run
// of the command itself pins exit status and last line.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type FileResult, runFiles } from "./supervisor.ts";

interface Trap {
  readonly what: string;
  readonly source: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped?: number;
  readonly says?: RegExp;
}

const head = 'import { suite, test } from "uvu"; import * as assert from "uvu/assert"; const s = suite("s");';
const never = "new Promise(() => {})";

const traps: readonly Trap[] = [
  { what: "a file of passing tests is green", source: 's("a", () => {}); s("b", async () => {}); s.run();', passed: 2, failed: 0 },
  { what: "a skip is counted", source: 's("a", () => {}); s.skip("b", () => {}); s.run();', passed: 1, failed: 0, skipped: 1 },
  { what: "uvu's unnamed suite works", source: 'test("a", () => {}); test.run();', passed: 1, failed: 0 },
  {
    what: "several suites in a file",
    source: 's("a", () => {}); s.run(); const t = suite("t"); t("b", () => {}); t.run();',
    passed: 2,
    failed: 0,
  },
  {
    what: "a failing assertion shows its difference and spares the other tests",
    source: 's("a", () => { assert.equal({ x: 1 }, { x: 2 }); }); s("b", () => {}); s.run();',
    passed: 1,
    failed: 1,
    says: /^s > a [\s\S]*Expected values to be deeply equal[\s\S]*Expected[\s\S]*"x":.2/,
  },
  { what: "throw null", source: 's("a", () => { throw null; }); s.run();', passed: 0, failed: 1, says: /threw null/ },
  { what: "throw undefined", source: 's("a", async () => { throw undefined; }); s.run();', passed: 0, failed: 1, says: /threw undefined/ },
  {
    what: "a throwing before hook fails its tests too",
    source: 's.before(() => { throw new Error("no disk"); }); s("a", () => {}); s("b", () => {}); s.run();',
    passed: 0,
    failed: 3,
    says: /before hook of suite "s" failed: Error: no disk/,
  },
  {
    what: "a throwing after hook, and the suites behind it still run",
    source: 's.after(() => { throw null; }); s("a", () => {}); s.run(); const t = suite("t"); t("b", () => {}); t.run();',
    passed: 2,
    failed: 1,
    says: /after hook of suite "s" failed: threw null/,
  },
  {
    what: "a throwing before.each hook",
    source: 's.before.each(() => { throw null; }); s("a", () => {}); s("b", () => {}); s.run();',
    passed: 0,
    failed: 2,
    says: /before\.each hook failed/,
  },
  {
    what: "a throwing after.each hook fails each of its tests",
    source: 's.after.each(() => { throw new Error("x"); }); s("a", () => {}); s("b", () => {}); s.run();',
    passed: 0,
    failed: 2,
    says: /after\.each hook failed/,
  },
  {
    what: "a forgotten run()",
    source: 's("a", () => {}); s("b", () => {});',
    passed: 0,
    failed: 1,
    says: /suite "s" never calls \.run\(\): its 2 tests/,
  },
  {
    what: "tests added behind run()",
    source: 's("a", () => {}); s.run(); s("b", () => {});',
    passed: 1,
    failed: 1,
    says: /never calls \.run\(\): its 1 tests/,
  },
  {
    what: "a stray .only",
    source: 's("a", () => {}); s.only("b", () => {}); s.run();',
    passed: 1,
    failed: 1,
    says: /stray \.only in suite "s": 1 other/,
  },
  { what: "a file without a test", source: "", passed: 0, failed: 1, says: /the file has no test/ },
  {
    what: "a suite without a test",
    source: 's.run(); test("a", () => {}); test.run();',
    passed: 1,
    failed: 1,
    says: /suite "s" has no test/,
  },
  {
    what: "an import that throws",
    source: 's("a", () => {}); s.run(); throw new Error("bad import");',
    passed: 0,
    failed: 2,
    says: /bad import/,
  },
  { what: "an import of a file that is not there", source: 'import "./missing.ts";', passed: 0, failed: 1, says: /missing\.ts/ },
  { what: "what is no TypeScript", source: "const = ;", passed: 0, failed: 1, says: /cannot be compiled[\s\S]*trap-\d+\.test\.ts/ },
  { what: "an import that never ends", source: `await ${never};`, passed: 0, failed: 1, says: /during the import of the file/ },
  {
    what: "a test that can never end fails at once, without its time-out, and the next one runs",
    source: `s("a", () => ${never}); s("b", () => {}); s.run();`,
    passed: 1,
    failed: 1,
    says: /nothing is left in the event loop/,
  },
  {
    what: "a test that hangs while the event loop is busy",
    source: `s("a", async () => { setInterval(() => {}, 10); await ${never}; }); s("b", () => {}); s.run();`,
    passed: 1,
    failed: 1,
    says: /no end within 400 ms/,
  },
  {
    what: "a hook that hangs",
    source: `s.before(async () => { setInterval(() => {}, 10); await ${never}; }); s("a", () => {}); s.run();`,
    passed: 0,
    failed: 2,
    says: /before hook of suite "s" failed: no end within/,
  },
  {
    what: "an endless loop",
    source: 's("a", () => { for (;;); }); s.run();',
    passed: 0,
    failed: 1,
    says: /killed during s > a: the event loop was blocked/,
  },
  {
    what: "process.exit(0) in a test",
    source: 's("a", () => {}); s("b", () => { process.exit(0); }); s.run();',
    passed: 1,
    failed: 1,
    says: /ended \(exit code 0\) during s > b/,
  },
  {
    what: "a killed process",
    source: 's("a", () => { process.kill(process.pid, "SIGKILL"); }); s.run();',
    passed: 0,
    failed: 1,
    says: /signal SIGKILL/,
  },
  {
    what: "an unhandled rejection during a test",
    source: 's("a", async () => { void Promise.reject(new Error("lost")); await new Promise((r) => setTimeout(r, 20)); }); s.run();',
    passed: 0,
    failed: 1,
    says: /unhandled rejection: Error: lost/,
  },
  {
    what: "an unhandled rejection that the last test leaves behind",
    source: 's("a", () => { void Promise.reject(undefined); }); s.run();',
    passed: 1,
    failed: 1,
    says: /unhandled rejection: threw undefined/,
  },
  {
    what: "an uncaught exception in a callback",
    source: 's("a", async () => { setTimeout(() => { throw null; }, 1); await new Promise((r) => setTimeout(r, 50)); }); s.run();',
    passed: 0,
    failed: 1,
    says: /uncaught exception: threw null/,
  },
];

const repository = fileURLToPath(new URL("../..", import.meta.url));
const project = mkdtempSync(join(tmpdir(), "fogbank-runner-"));
const finished: Promise<FileResult>[] = [];

/** A file of the temporary project; a bare "uvu" must resolve there, and .ts files must count as ES modules. */
function writeTrap(name: string, source: string): string {
  const file = join(project, "test", `${name}.test.ts`);
  writeFileSync(file, `${head}\n${source}\n`);
  return file;
}

const runner = suite("runner");

runner.before(() => {
  mkdirSync(join(project, "test", "long"), { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(project, "node_modules"));
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  const files = traps.map(({ source }, index) => writeTrap(`trap-${index}`, source));
  const settle = new Map<string, (result: FileResult) => void>();
  for (const file of files) finished.push(new Promise((resolve) => settle.set(relative(project, file), resolve)));
  // Not awaited here: the tests below wait, each for its own file.
  void runFiles(files, {
    root: project,
    concurrency: 3,
    alone: () => false,
    limitsOf: () => ({ testTimeoutMs: 400, fileTimeoutMs: 60_000 }),
    onResult: (result) => settle.get(result.file)?.(result),
  });
});

runner.after(() => rmSync(project, { recursive: true, force: true }));

for (const [index, trap] of traps.entries()) {
  runner(trap.what, async () => {
    const result = await finished[index];
    if (result === undefined) throw new Error("the trap was not run");
    const { passed, failed, skipped } = result;
    assert.equal(
      { passed, failed, skipped },
      { passed: trap.passed, failed: trap.failed, skipped: trap.skipped ?? 0 },
      result.failures.join("\n"),
    );
    const text = result.failures.join("\n");
    assert.ok(trap.says === undefined || trap.says.test(text), `not as expected: ${text}`);
  });
}

runner("what a test starts ends with its file", async () => {
  const note = join(project, "pid");
  const file = writeTrap(
    "leaver",
    `import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";
     s("a", () => { writeFileSync(${JSON.stringify(note)}, String(spawn("sleep", ["600"]).pid)); }); s.run();`,
  );
  const [result] = await runFiles([file], {
    root: project,
    concurrency: 1,
    alone: () => false,
    limitsOf: () => ({ testTimeoutMs: 5_000, fileTimeoutMs: 5_000 }),
    onResult: () => {},
  });
  assert.is(result?.passed, 1);
  const stateOf = () => spawnSync("ps", ["-o", "stat=", "-p", readFileSync(note, "utf8")], { encoding: "utf8" }).stdout.trim();
  const isGone = (found: string) => found === "" || found.startsWith("Z");
  let state = stateOf();
  // A process that was killed is there until the kernel has come to it.
  for (let tries = 0; tries < 100 && !isGone(state); tries++) state = stateOf();
  assert.ok(isGone(state), `the leftover process is still there: ${state}`);
});

function command(...args: string[]): { status: number | null; lastLine: string | undefined } {
  const { NO_COLOR: _noColor, ...env } = process.env;
  const ran = spawnSync(process.execPath, ["--import", "tsx", join(repository, "test/run.ts"), "--root", project, ...args], {
    cwd: repository,
    encoding: "utf8",
    env,
  });
  return { status: ran.status, lastLine: ran.stdout.trimEnd().split("\n").at(-1) };
}

runner("the command's exit status and its last line", () => {
  assert.equal(command("trap-0.", "trap-1.test"), { status: 0, lastLine: "3 passed, 0 failed, 1 skipped" });
  assert.equal(command("trap-0.", "trap-4."), { status: 1, lastLine: "3 passed, 1 failed, 0 skipped" });
  assert.equal(command("no-such-file"), { status: 1, lastLine: "0 passed, 1 failed, 0 skipped" });
  assert.is(command("--colour").status, 2);
});

runner("what is long runs when it is named only", () => {
  writeTrap("long/one", 's("a", () => {}); s.run();');
  assert.equal(command("test/long/"), { status: 0, lastLine: "1 passed, 0 failed, 0 skipped" });
  // A project of its own, so that the traps are not run again.
  const root = join(project, "with-long");
  mkdirSync(root);
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));
  cpSync(join(project, "test", "long"), join(root, "test", "long"), { recursive: true });
  cpSync(join(project, "test", "trap-1.test.ts"), join(root, "test", "short.test.ts"));
  writeFileSync(join(root, "package.json"), '{ "type": "module" }');
  assert.equal(command("--root", root), { status: 0, lastLine: "1 passed, 0 failed, 1 skipped" });
});

runner.run();
