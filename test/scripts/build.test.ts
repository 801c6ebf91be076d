// Goal: what scripts/build.mjs makes can be started by any Node and needs nothing but itself. Method: it bundles a small program that
// uses a CommonJS package, into a temporary folder from which no node_modules can be seen; the result is run, and looked into.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "fogbank-build-"));
const dist = join(folder, "out", "dist");
const sources = join(folder, "sources");
const program = join(dist, "fogbank.js");

function build(entry: string) {
  return spawnSync(process.execPath, [join(repository, "scripts/build.mjs"), "--entry", join(sources, entry), "--dist", dist], {
    encoding: "utf8",
  });
}

function run(environment: NodeJS.ProcessEnv, ...nodeArgs: string[]) {
  const { UV_THREADPOOL_SIZE: _inherited, ...env } = process.env;
  return spawnSync(process.execPath, [...nodeArgs, program], { encoding: "utf8", env: { ...env, ...environment } });
}

const building = suite("build");

building.before(() => {
  mkdirSync(sources);
  mkdirSync(join(folder, "out"));
  symlinkSync(join(repository, "node_modules"), join(sources, "node_modules"));
  writeFileSync(join(sources, "main.ts"), 'const { report } = await import("./lazy.ts");\nreport();\n');
  // Forty tasks, each for a thread of libuv's pool: all of its threads exist when the first have ended.
  writeFileSync(
    join(sources, "lazy.ts"),
    `import { pbkdf2 } from "node:crypto";
     import { readdirSync } from "node:fs";
     import Table from "cli-table3";
     import { version } from ${JSON.stringify(join(repository, "src/lib/version.ts"))};
     export function report(): void {
       const tasks = Array.from({ length: 40 }, () => new Promise((resolve) => pbkdf2("a", "b", 10_000, 32, "sha256", resolve)));
       void Promise.race(tasks).then(() => {
         const threads = process.platform === "linux" ? readdirSync("/proc/self/task").length : 0;
         console.log(JSON.stringify({ version, threads, table: typeof new Table().toString(), argument: process.argv[1] }));
       });
     }`,
  );
  writeFileSync(join(sources, "broken.ts"), 'import "./missing.ts";\n');
  const built = build("main.ts");
  assert.is(built.status, 0, built.stdout + built.stderr);
});
building.after(() => rmSync(folder, { recursive: true, force: true }));

building("the bundle runs by itself and knows its version", () => {
  const manifest: unknown = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
  const ran = run({});
  assert.is(ran.status, 0, ran.stderr);
  const told: unknown = JSON.parse(ran.stdout);
  assert.ok(typeof told === "object" && told !== null && "version" in told && "table" in told);
  assert.is(told.version, typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : undefined);
  assert.is(told.table, "string");
});

building("the thread pool has 16 threads, or what the environment says", () => {
  if (process.platform !== "linux") return;
  const threads = (environment: NodeJS.ProcessEnv): number => {
    const told: unknown = JSON.parse(run(environment).stdout);
    return typeof told === "object" && told !== null && "threads" in told ? Number(told.threads) : Number.NaN;
  };
  assert.is(threads({}) - threads({ UV_THREADPOOL_SIZE: "2" }), 14);
});

building("an old Node gets a plain message", () => {
  const preload = join(folder, "old-node.cjs");
  for (const [version, refused] of [
    ["18.20.4", true],
    ["20.18.3", true],
    ["20.19.0", false],
    ["22.0.0", false],
  ] as const) {
    writeFileSync(
      preload,
      `Object.defineProperty(process, "version", { value: "v${version}" });
       Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });`,
    );
    const ran = run({}, "--require", preload);
    assert.is(ran.status, refused ? 1 : 0, `${version}: ${ran.stderr}`);
    if (refused) assert.match(ran.stderr, new RegExp(`^fogbank needs Node.js 20.19 or newer, but this is v${version} `));
  }
});

building("the licences of what is bundled are there, and of nothing else", () => {
  const text = readFileSync(join(dist, "THIRD-PARTY-LICENSES.txt"), "utf8");
  assert.match(text, /^cli-table3 \d/m);
  assert.match(text, /Permission is hereby granted/);
  assert.not.match(text, /^esbuild \d/m);
});

building("a build that fails says why and leaves dist/ as it was", () => {
  for (const [entry, says] of [
    ["broken.ts", /Could not resolve ".\/missing.ts"/],
    ["none.ts", /there is no .*none\.ts/],
  ] as const) {
    const failed = build(entry);
    assert.is(failed.status, 1);
    assert.match(failed.stderr, says);
    assert.is(run({}).status, 0);
  }
  assert.equal(readdirSync(join(folder, "out")), ["dist"]);
  assert.not(existsSync(join(dist, "main.js")));
});

building.run();
