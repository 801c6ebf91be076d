// Test files, each as one plain module: their processes start in a third of the time that it takes to load hundreds of TypeScript files
// one by one. `import.meta.url` and its like stay those of the file they stand in, and "uvu" becomes `uvu-shim.ts`.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const shim = fileURLToPath(new URL("uvu-shim.ts", import.meta.url));

const uvuByShim: Plugin = {
  name: "uvu by its shim",
  setup(builder) {
    builder.onResolve({ filter: /^uvu$/ }, ({ importer }) => (importer === shim ? { path: "uvu", external: true } : { path: shim }));
  },
};

const ownPlaces: Plugin = {
  name: "import.meta of the source",
  setup(builder) {
    builder.onLoad({ filter: /\.[mc]?ts$/ }, ({ path }) => {
      const known = { url: pathToFileURL(path).href, dirname: dirname(path), filename: path };
      const source = readFileSync(path, "utf8");
      if (!source.includes("import.meta.")) return undefined;
      return {
        contents: source.replace(/\bimport\.meta\.(url|dirname|filename)\b/g, (_, key: keyof typeof known) => JSON.stringify(known[key])),
        loader: "ts",
      };
    });
  },
};

/** A folder for the bundles of one run; packages are found from there as from the project. The caller removes it. */
export function bundleFolder(root: string): string {
  const cache = join(realpathSync(join(root, "node_modules")), ".cache");
  mkdirSync(cache, { recursive: true });
  return mkdtempSync(join(cache, "tests-"));
}

/** The bundle's path. Fails with the problems of esbuild: a file that is not there, a syntax error. */
export async function bundle(file: string, { root, folder }: { readonly root: string; readonly folder: string }): Promise<string> {
  const outfile = join(folder, `${relative(root, file).replaceAll(/[^\w.-]+/g, "-")}.mjs`);
  await build({
    entryPoints: [file],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "linked",
    logLevel: "silent",
    plugins: [uvuByShim, ownPlaces],
  });
  return outfile;
}
