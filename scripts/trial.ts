// `node --import tsx scripts/trial.ts [--gateways 3|4|5] [--seconds 120] [--seed N]`
//
// The full trial of what the site promises: recordings published at full speed through real processes while gateways are killed, stopped,
// wiped, added, replaced, removed and re-weighted and links are cut; afterwards every acknowledged reading must be at every gateway, once and
// exact, and all copies equal. Exit 1 when not; the data folders and the gateways' output are kept then.
import { parseArgs } from "node:util";
import { hasNabFiles } from "../test/e2e/support/nab-data.ts";
import { runTrial } from "../test/e2e/support/trial.ts";

const { values } = parseArgs({
  options: {
    gateways: { type: "string", default: "3" },
    seconds: { type: "string", default: "120" },
    seed: { type: "string" },
    devices: { type: "string", default: "8" },
    window: { type: "string", default: "20" },
  },
});

function whole(name: keyof typeof values, fallback: string, { least, most }: { readonly least: number; readonly most: number }): number {
  const text = values[name] ?? fallback;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  console.error(`--${name} ${text}: expected a whole number from ${least} to ${most}`);
  process.exit(2);
}

const gateways = whole("gateways", "3", { least: 3, most: 9 });
const seconds = whole("seconds", "120", { least: 1, most: 86_400 });
const seed = whole("seed", String(Date.now() % 1_000_000), { least: 1, most: Number.MAX_SAFE_INTEGER });
const devices = whole("devices", "8", { least: 1, most: 31 });
const windowMax = whole("window", "20", { least: 1, most: 1_000 });

console.log(`seed ${seed}: ${gateways} gateways, ${hasNabFiles ? "NAB files" : "generated data, since the NAB files are missing"}`);
const report = await runTrial({ gateways, seconds, seed, devices, windowMax, print: (line) => console.log(line) });
for (const problem of report.problems) console.log(problem);
console.log(
  `seed ${seed}: ${report.acknowledged} readings acknowledged in ${report.seconds.toFixed(1)} s, ${report.faults} faults: ` +
    (report.folder === undefined
      ? "all there, once and exact"
      : `${report.problems.length} PROBLEMS; data folders and logs: ${report.folder}`),
);
if (report.problems.length > 0) process.exitCode = 1;
