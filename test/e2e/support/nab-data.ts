// The readings of the NAB files, or generated ones of the same shape: 31 devices, some 150,000 readings, five minutes apart for most,
// unevenly for some, 47 times that occur twice with different values.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { projectRoot } from "./fogbank.ts";

export interface Row {
  readonly ms: number;
  readonly value: number;
}

const nabFolder = join(projectRoot, "..", "shared", "data", "nab");
export const hasNabFiles = existsSync(nabFolder);

/** Device -> rows in the order of the file. */
export function loadRows(): Map<string, Row[]> {
  return hasNabFiles ? readFiles() : generate();
}

function readFiles(): Map<string, Row[]> {
  const files = readdirSync(nabFolder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".csv"));
  return new Map(files.sort().map((path) => [basename(path, ".csv"), readCsv(readFileSync(join(nabFolder, path), "utf8"))]));
}

function readCsv(text: string): Row[] {
  const [, ...lines] = text.trim().split(/\r?\n/);
  return lines.map((line) => {
    const [time = "", value = ""] = line.split(",");
    return { ms: Date.parse(`${time.replace(" ", "T")}Z`), value: Number(value) };
  });
}

function generate(): Map<string, Row[]> {
  let state = 20_260_101;
  // Lehmer's generator: the same readings in every run.
  const random = (): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const rowsByDevice = new Map<string, Row[]>();
  for (let device = 0; device < 31; device++) {
    const rows: Row[] = [];
    let ms = Date.UTC(2014, device % 6, 1 + device);
    const count = device % 5 === 0 ? 9_000 : 4_032;
    for (let index = 0; index < count; index++) {
      const doubled = index % 2_500 === 2_499 || (device < 16 && index === 1_000);
      if (index > 0 && !doubled) ms += device % 7 === 3 ? 60_000 * (1 + Math.floor(40 * random())) : 300_000;
      rows.push({ ms, value: Number((1_000 * random() ** 3).toPrecision(3 + (index % 12))) });
    }
    rowsByDevice.set(`generated_${String(device).padStart(2, "0")}`, rows);
  }
  return rowsByDevice;
}

/** The identity rule: one value for each timestamp, the greatest; in the order of time. */
export function afterIdentityRule(rows: readonly Row[]): [ms: number, value: number][] {
  const values = new Map<number, number>();
  for (const { ms, value } of rows) values.set(ms, Math.max(value, values.get(ms) ?? Number.NEGATIVE_INFINITY));
  return [...values].sort((a, b) => a[0] - b[0]);
}
