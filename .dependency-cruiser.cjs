// The layers of src/ARCHITECTURE.md: which folder of src may import which. Everything that a layer does not list is forbidden to it.

const layers = {
  lib: [],
  ports: ["lib"],
  core: ["lib"],
  config: ["lib"],
  client: ["lib"],
  series: ["lib", "ports"],
  gateway: ["lib", "ports", "core", "config", "series"],
  api: ["lib", "config", "client", "gateway"],
  adapters: ["lib", "ports"],
  sim: ["lib", "ports", "core", "config", "client", "series", "gateway"],
  cli: ["lib", "config", "client"],
};

/** Packages without clocks, timers, randomness and sockets of their own that show: the only ones allowed below `adapters`. */
const purePackages = ["fflate", "msgpackr", "node-cron", "typebox", "yaml"];
const pureLayers = ["lib", "core", "ports", "config", "series", "gateway", "sim"];

const layerRules = Object.entries(layers).map(([layer, allowed]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${allowed.length === 0 ? "no other layer" : `only ${allowed.join(", ")}`} (src/ARCHITECTURE.md, layers).`,
  severity: "error",
  from: { path: `^src/${layer}/` },
  to: { path: "^src/", pathNot: `^src/(${[layer, ...allowed].join("|")})/` },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: "known-layers",
      comment: "A new folder under src/ needs a line in the layer table.",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: `^src/(${Object.keys(layers).join("|")})/` },
      to: {},
    },
    {
      name: "no-cycles",
      comment: "No import cycles; type-only imports vanish at run time and are not counted.",
      severity: "error",
      from: { path: "^(src|test|scripts)/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "world-behind-ports",
      comment: "The determinism law: below adapters, the world comes in through ports.",
      severity: "error",
      from: { path: `^src/(${pureLayers.join("|")})/` },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "pure-packages",
      comment: `The determinism law: below adapters only ${purePackages.join(", ")}; other packages belong behind a port.`,
      severity: "error",
      from: { path: `^src/(${pureLayers.join("|")})/` },
      to: { path: "node_modules/", pathNot: `node_modules/(${purePackages.join("|")})/` },
    },
    {
      name: "src-stands-alone",
      comment: "src/ is what is shipped: it imports neither tests nor scripts.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|scripts)/" },
    },
    {
      name: "lazy-by-module",
      comment:
        "Bundled, import() of a CommonJS package has no named exports. Import the package statically in a module of ours, and load that one lazily.",
      severity: "error",
      from: { path: "^src/" },
      to: { dynamic: true, path: "node_modules/", pathNot: "node_modules/(classic-level|tsx)/" },
    },
    {
      name: "resolvable",
      comment: "An import that leads nowhere.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|coverage)/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    moduleSystems: ["es6", "cjs"],
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      mainFields: ["module", "main", "types"],
    },
  },
};
