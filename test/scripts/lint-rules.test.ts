// Goal: the determinism law and the layer table are enforced, not only written down. Method: a temporary project with the real
// configurations and planted violations; oxlint and dependency-cruiser must report each planted line, and nothing else.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const project = mkdtempSync(join(tmpdir(), "fogbank-lint-"));

function write(path: string, ...lines: string[]): void {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), `${lines.join("\n")}\n`);
}

function run(binary: string, ...args: string[]): string {
  const ran = spawnSync(join(repository, "node_modules/.bin", binary), args, { cwd: project, encoding: "utf8" });
  return ran.stdout + ran.stderr;
}

/** For each file that oxlint reports: the lines, each with the rules that did, in order. */
function oxlintReports(): Map<string, [number, string][]> {
  const found = new Map<string, [number, string][]>();
  for (const [, path = "", line, rule = ""] of run("oxlint", "--format=unix", "src").matchAll(
    /^(\S+?):(\d+):\d+: .*\[\w+\/([^\]]+)\]$/gm,
  )) {
    found.set(path, [...(found.get(path) ?? []), [Number(line), rule]]);
  }
  for (const reports of found.values()) reports.sort(([a], [b]) => a - b);
  return found;
}

const rules = suite("lint rules");

rules.before(() => {
  for (const path of [".oxlintrc.json", ".dependency-cruiser.cjs", "tsconfig.json", "scripts/lint"]) {
    cpSync(join(repository, path), join(project, path), { recursive: true });
  }
  symlinkSync(join(repository, "node_modules"), join(project, "node_modules"));
  write("package.json", '{ "type": "module", "dependencies": { "aedes": "*", "yaml": "*" } }');
});
rules.after(() => rmSync(project, { recursive: true, force: true }));

const violations: readonly (readonly [string, string])[] = [
  ['import { readFileSync } from "node:fs";', "eslint(no-restricted-imports)"],
  ['import { connect } from "net";', "eslint(no-restricted-imports)"],
  ['export { randomBytes } from "node:crypto";', "eslint(no-restricted-imports)"],
  ["export const now = () => Date.now();", "eslint(no-restricted-properties)"],
  ["export const chance = () => Math.random();", "eslint(no-restricted-properties)"],
  ["export const today = () => new Date();", "determinism(no-clock-date)"],
  ["export const text = () => Date();", "determinism(no-clock-date)"],
  ["export const tick = () => performance.now();", "eslint(no-restricted-globals)"],
  ["export const later = (f: () => void) => setTimeout(f, 1);", "eslint(no-restricted-globals)"],
  ["export const soon = (f: () => void) => queueMicrotask(f);", "eslint(no-restricted-globals)"],
  ["export const home = () => process.env.HOME;", "eslint(no-restricted-globals)"],
  ["export const id = () => crypto.randomUUID();", "eslint(no-restricted-globals)"],
  ['export const page = () => fetch("http://127.0.0.1/");', "eslint(no-restricted-globals)"],
  ["export const around = () => globalThis.Date.now();", "eslint(no-restricted-globals)"],
  ["let count = 0;", "determinism(no-module-state)"],
  ["const seen = new Map<string, number>();", "determinism(no-module-state)"],
  ["export const queue: string[] = [];", "determinism(no-module-state)"],
];
const allowed = [
  "export const at = (ms: number) => new Date(ms);",
  "export const names: ReadonlySet<string> = new Set(['a']);",
  "export const table = { a: 1 };",
  "export const most = (a: number, b: number) => Math.max(a, b);",
];
const uses = "export const used = () => [readFileSync, connect, ++count, seen];";

rules("the determinism law holds in every layer below the adapters, and only there", () => {
  const lawful = ["lib", "core/raft", "ports", "config", "series", "gateway/ingest", "sim"];
  for (const layer of lawful) write(`src/${layer}/planted.ts`, ...violations.map(([line]) => line), ...allowed, uses);
  write(
    "src/adapters/clock.ts",
    'import { readFileSync } from "node:fs";',
    "export const read = () => [readFileSync, Date.now(), Math.random(), new Date()];",
  );
  const found = oxlintReports();
  const expected = violations.map(([, rule], index) => [index + 1, rule]);
  for (const layer of lawful) assert.equal(found.get(`src/${layer}/planted.ts`), expected, layer);
  assert.is(found.size, lawful.length);
});

rules("layers, cycles, built-ins and packages", () => {
  rmSync(join(project, "src"), { recursive: true, force: true });
  write("src/lib/a.ts", 'import { p } from "../ports/p.ts";', "export const a = p;");
  write("src/ports/p.ts", "export const p = 1;");
  write("src/core/c.ts", 'import { s } from "../series/s.ts";', 'import { a } from "../lib/a.ts";', "export const c = [s, a];");
  write(
    "src/series/s.ts",
    'import { Aedes } from "aedes";',
    'import { parse } from "yaml";',
    'import { p } from "../ports/p.ts";',
    "export const s = [Aedes, parse, p];",
  );
  write("src/gateway/g.ts", 'import { h } from "./h.ts";', "export const g = (): unknown => h;");
  write("src/gateway/h.ts", 'import { g } from "./g.ts";', "export const h = (): unknown => g;");
  write("src/config/v.ts", 'import type { W } from "./w.ts";', "export interface V { w: W }");
  write("src/config/w.ts", 'import type { V } from "./v.ts";', "export interface W { v: V }");
  write("src/gateway/i.ts", "export const load = () => import('node:fs');");
  write("src/cli/k.ts", 'import { g } from "../gateway/g.ts";', "export const k = g;");
  write("src/sim/m.ts", 'import { g } from "../gateway/g.ts";', 'import { b } from "../adapters/b.ts";', "export const m = [g, b];");
  write(
    "src/adapters/b.ts",
    'import { readFileSync } from "node:fs";',
    'import { p } from "../ports/p.ts";',
    "export const b = [readFileSync, p];",
  );
  write("src/cli/lazy.ts", 'export const load = () => import("aedes");');
  write("src/elsewhere/x.ts", 'import { p } from "../ports/p.ts";', "export const x = p;");
  const output = run("depcruise", "--no-progress", "--output-type", "err", "src");
  const told = [...output.matchAll(/error (\S+): (\S+) →\s+(\S+)/g)].map(
    ([, rule, from, to]) => `${rule}: ${from} -> ${to?.replace(/^.*node_modules\/([^/]+)\/.*$/, "$1")}`,
  );
  assert.equal(told.sort(), [
    "known-layers: src/elsewhere/x.ts -> src/ports/p.ts",
    "layer-cli: src/cli/k.ts -> src/gateway/g.ts",
    "layer-core: src/core/c.ts -> src/series/s.ts",
    "layer-lib: src/lib/a.ts -> src/ports/p.ts",
    "layer-sim: src/sim/m.ts -> src/adapters/b.ts",
    "lazy-by-module: src/cli/lazy.ts -> aedes",
    "no-cycles: src/gateway/g.ts -> src/gateway/h.ts",
    "pure-packages: src/series/s.ts -> aedes",
    "world-behind-ports: src/gateway/i.ts -> fs",
  ]);
});

rules.run();
