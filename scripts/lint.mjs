// `npm run lint`: five checks. All of them run, whatever the others find; the exit status is 1 when any failed.
// `npm run lint -- biome oxlint` runs those two only.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const checks = [
  { name: "tsc", what: "types", command: ["tsc", "--noEmit", "--pretty", "false"] },
  { name: "biome", what: "format and lint", command: ["biome", "check", "--error-on-warnings", "--max-diagnostics=50", "--colors=off"] },
  { name: "oxlint", what: "promises, any, determinism law", command: ["oxlint", "--type-aware", "--deny-warnings", "--format=unix"] },
  { name: "layers", what: "dependency-cruiser: layers and cycles", command: ["depcruise", "--no-progress", "src", "test", "scripts"] },
  { name: "knip", what: "dead code and dependencies", command: ["knip", "--no-progress", "--treat-config-hints-as-errors"] },
];

const atOnce = 2;

function run(check) {
  const [binary, ...args] = check.command;
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(join(root, "node_modules/.bin", binary), args, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    const finish = (passed, note = "") => resolve({ ...check, passed, output: output + note, ms: performance.now() - startedAtMs });
    child.on("error", (error) => finish(false, `could not be started: ${error.message} (is \`npm ci\` done?)\n`));
    child.on("close", (code) => finish(code === 0));
  });
}

async function main(names) {
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(`unknown check ${unknown.join(", ")}; there are ${checks.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const queue = checks.filter(({ name }) => names.length === 0 || names.includes(name));
  const results = [];
  const drain = async () => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      const result = await run(check);
      if (!result.passed) console.log(`--- ${result.name} ---\n${result.output.trimEnd()}\n`);
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, drain));
  for (const { name, what, passed, ms } of results) {
    console.log(`${passed ? "ok  " : "FAIL"}  ${name.padEnd(7)} ${what}  ${(ms / 1000).toFixed(1)} s`);
  }
  const failed = results.filter(({ passed }) => !passed).length;
  console.log(failed === 0 ? `lint: all ${results.length} checks passed` : `lint: ${failed} of ${results.length} checks failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
