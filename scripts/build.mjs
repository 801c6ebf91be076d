// `npm run build`: bundles src/main.ts and what it uses into dist/.
//
//   dist/fogbank.js                the command: checks Node's version, sizes libuv's thread pool, then loads main.mjs
//   dist/package.json              makes fogbank.js CommonJS, see below
//   dist/main.mjs, dist/chunks/    the bundle, split at dynamic imports, so that a command loads only what it needs
//   dist/THIRD-PARTY-LICENSES.txt  the licences of all that is bundled
//
// fogbank.js is CommonJS because Node reads an ES module through the thread pool, which thereby gets its size before the module's first
// line runs: UV_THREADPOOL_SIZE set in an ES module has no effect.
//
// dist/ is replaced as a whole and only when everything has succeeded.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Packages with native code or with files that they load by path; they are the published package's dependencies. */
const external = Object.keys(manifest.dependencies);

const bootstrap = `#!/usr/bin/env node
"use strict";
var nodeVersion = process.versions.node.split(".").map(Number);
if (nodeVersion[0] < 20 || (nodeVersion[0] === 20 && nodeVersion[1] < 19)) {
  process.stderr.write("fogbank needs Node.js 20.19 or newer, but this is " + process.version + " (" + process.execPath + ").\\n" +
    "Install a newer Node.js, for example from https://nodejs.org/, and run fogbank again.\\n");
  process.exit(1);
}
// fsync, LevelDB and DNS share libuv's threads; four, the default, let one slow disk block all three.
if (!process.env.UV_THREADPOOL_SIZE) process.env.UV_THREADPOOL_SIZE = "16";
import("./main.mjs");
`;

// CommonJS packages call require() and read __filename; a bundle of ES modules has neither.
const banner = [
  'import { createRequire as fogbankCreateRequire } from "node:module";',
  'import { fileURLToPath as fogbankFileUrlToPath } from "node:url";',
  "const require = fogbankCreateRequire(import.meta.url);",
  "const __filename = fogbankFileUrlToPath(import.meta.url);",
  'const __dirname = fogbankFileUrlToPath(new URL(".", import.meta.url));',
].join("\n");

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

/** Whether anything that goes into dist/ is newer than dist/. */
function isStale(dist) {
  const built = statSync(join(dist, "fogbank.js"), { throwIfNoEntry: false });
  if (built === undefined) return true;
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((name) => join(root, "src", name));
  const inputs = [...sources, join(root, "package.json"), join(root, "package-lock.json"), fileURLToPath(import.meta.url)];
  return inputs.some((path) => (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > built.mtimeMs);
}

/** The packages in `metafile` of which something ended up in the bundle, as folders relative to the root, sorted. */
function bundledPackages(metafile) {
  const folders = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
      if (folder !== undefined && bytesInOutput > 0) folders.add(folder);
    }
  }
  return [...folders].sort();
}

/** The licence texts of the bundled packages. A package that neither has a text nor names its licence stops the build. */
function licences(metafile, workingFolder) {
  const sections = bundledPackages(metafile).map((folder) => {
    const path = resolve(workingFolder, folder);
    const { name, version, license, author, homepage } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
    const files = readdirSync(path).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file) && statSync(join(path, file)).isFile());
    const texts = files.sort().map((file) => readFileSync(join(path, file), "utf8").trim());
    if (license === undefined && texts.length === 0) fail(`${name}@${version} says nothing about its licence`);
    const by = typeof author === "string" ? author : author?.name;
    const facts = [`${name} ${version}`, license && `Licence: ${license}`, by && `Author: ${by}`, homepage && `Home page: ${homepage}`];
    return [...facts.filter(Boolean), "", ...texts].join("\n").trimEnd();
  });
  const line = "=".repeat(80);
  return [`Fogbank contains the following third-party packages.`, ...sections].join(`\n\n${line}\n\n`).concat("\n");
}

/** Bundles `entry` into the folder `dist`. */
async function build({ entry, dist }) {
  if (!existsSync(entry)) fail(`there is no ${entry}, the program's entry; nothing was built`);
  const esbuild = await import("esbuild").catch(() => fail("esbuild is not installed; run `npm ci` first"));
  const staging = `${dist}.${process.pid}.new`;
  try {
    const { metafile } = await esbuild.build({
      absWorkingDir: root,
      entryPoints: { main: entry },
      outdir: staging,
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20.19",
      outExtension: { ".js": ".mjs" },
      chunkNames: "chunks/[name]-[hash]",
      external,
      banner: { js: banner },
      define: { __FOGBANK_VERSION__: JSON.stringify(manifest.version) },
      minifySyntax: true,
      minifyWhitespace: true,
      legalComments: "none",
      metafile: true,
      logLevel: "warning",
    });
    mkdirSync(staging, { recursive: true });
    writeFileSync(join(staging, "THIRD-PARTY-LICENSES.txt"), licences(metafile, root));
    writeFileSync(join(staging, "package.json"), '{ "type": "commonjs" }\n');
    writeFileSync(join(staging, "fogbank.js"), bootstrap, { mode: 0o755 });
    rmSync(dist, { recursive: true, force: true });
    renameSync(staging, dist);
    const bytes = Object.values(metafile.outputs).reduce((total, output) => total + output.bytes, 0);
    return { bytes, packages: bundledPackages(metafile).length };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function readOptions() {
  try {
    const options = { entry: { type: "string" }, dist: { type: "string" }, "if-stale": { type: "boolean" } };
    return parseArgs({ options }).values;
  } catch (error) {
    return fail(`${error.message}\nusage: node scripts/build.mjs [--if-stale] [--entry FILE] [--dist FOLDER]`);
  }
}

const options = readOptions();
const dist = resolve(root, options.dist ?? "dist");
if (!options["if-stale"] || isStale(dist)) {
  const startedAtMs = performance.now();
  const { bytes, packages } = await build({ entry: resolve(root, options.entry ?? "src/main.ts"), dist }).catch((error) =>
    // esbuild has printed its own errors with their places in the code.
    fail(Array.isArray(error.errors) ? `${error.errors.length} errors, see above; dist/ is as it was` : error.stack),
  );
  console.log(
    `build: ${relative(process.cwd(), dist)}, ${(bytes / 1e6).toFixed(1)} MB with ${packages} packages, ${Math.round(performance.now() - startedAtMs)} ms`,
  );
}
