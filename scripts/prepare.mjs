// npm's `prepare` step: builds dist/ in a development install. Where only the published files are there, dist/ among them, it does
// nothing and says nothing.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const missing = Object.keys(devDependencies).filter((name) => !existsSync(join(root, "node_modules", name, "package.json")));

if (missing.length === 0) {
  process.exitCode = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" }).status ?? 1;
} else if (!existsSync(join(root, "dist/fogbank.js"))) {
  console.error(`prepare: dist/ is missing and cannot be built without ${missing.join(", ")}; run \`npm ci\` without --omit=dev`);
  process.exitCode = 1;
}
