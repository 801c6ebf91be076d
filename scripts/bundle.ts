// A script as one plain file, made once for many processes: they start in a quarter of the time, and run code in which no function is
// wrapped to keep its name, as what `npm run build` makes is.
import { readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

/** The file's path; it goes when this process does. */
export function bundleScript(script: URL): string {
  const path = fileURLToPath(script);
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const outfile = join(dirname(path), `.bundle-${basename(path, ".ts")}-${process.pid}.mjs`);
  process.once("exit", () => {
    for (const file of [outfile, `${outfile}.map`]) rmSync(file, { force: true });
  });
  buildSync({
    entryPoints: [path],
    outfile,
    bundle: true,
    // Packages with native code, or with files that they load by path, are found from where the file is: beside the script.
    external: [...Object.keys(manifest.dependencies), "@duckdb/*", "esbuild"],
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: true,
    logLevel: "error",
    // CommonJS packages call require(), which a bundle of ES modules does not have.
    banner: {
      js: `import { createRequire as fogbankCreateRequire } from "node:module"; const require = fogbankCreateRequire(import.meta.url);`,
    },
  });
  return outfile;
}
