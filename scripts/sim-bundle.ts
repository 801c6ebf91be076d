// The program of a worker as one plain file, made once for a sweep: a worker then starts in a quarter of the time, and runs
// code in which no function is wrapped to keep its name.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

/** The file's path; it goes when this process does. */
export function bundleWorker(): string {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-sim-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, "sim-worker.mjs");
  buildSync({
    entryPoints: [fileURLToPath(new URL("sim-worker.ts", import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: true,
    logLevel: "error",
    // CommonJS packages call require(), which a bundle of ES modules does not have.
    banner: {
      js: `import { createRequire as fogbankCreateRequire } from "node:module"; const require = fogbankCreateRequire(${JSON.stringify(import.meta.url)});`,
    },
  });
  return outfile;
}
