// `npm run demo -- [options]`: `fogbank demo` from a clone. Builds dist/ first where it is missing or older than the sources, which is
// also what makes it work after `npm ci --ignore-scripts`.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const program = join(root, "dist/fogbank.js");
const built = spawnSync(process.execPath, [join(root, "scripts/build.mjs"), "--if-stale"], { stdio: ["ignore", "inherit", "inherit"] });

if (built.status === 0) {
  // In this process, so that signals and the terminal reach the demo as if it had been started directly.
  process.argv = [process.execPath, program, "demo", ...process.argv.slice(2)];
  await import(pathToFileURL(program).href);
} else {
  process.exitCode = built.status ?? 1;
}
