// `node --import tsx scripts/bench/scan.ts [--readings 10000000] [--series 100] [--rounds 3] [--times 3] [--folder DIR] [--without-duckdb]`
//
// Aggregates over readings sealed on disk: mean, min, max and count by minute and device, from the readings themselves, cold (a new
// process, the files in the page cache) and warm (asked again), beside DuckDB on the same readings in the same run; and one day by the
// hour from rollups beside the same from readings. What counts is the ratio of the medians. DuckDB: npm install --prefix scripts/bench
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { bundleScript } from "../bundle.ts";
import { type Measured, type Question, startUs, stepUs } from "./scan-data.ts";
import { fillDuckDb, measureDuckDb } from "./scan-duckdb.ts";
import { fillFogbank, measureFogbank } from "./scan-fogbank.ts";

const { values } = parseArgs({
  options: {
    readings: { type: "string", default: "10000000" },
    series: { type: "string", default: "100" },
    rounds: { type: "string", default: "3" },
    times: { type: "string", default: "3" },
    folder: { type: "string" },
    "without-duckdb": { type: "boolean", default: false },
    // One measurement in a process of its own.
    measure: { type: "string" },
    questions: { type: "string" },
  },
});

function whole(name: "readings" | "series" | "rounds" | "times"): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name} ${values[name]}: expected a whole number from 1 on`);
  process.exit(2);
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
const shown = (ms: number): string => `${ms < 20 ? ms.toFixed(2) : ms.toFixed(0)} ms`;

type Contender = "fogbank" | "stalls" | "duckdb";

/** Each contender in a process of its own, which runs this script again, in one piece. */
type MeasureApart = (contender: Contender, questions: readonly Question[], times?: number) => Promise<Measured[]>;

function measureApart(script: string, folder: string): MeasureApart {
  return (contender, questions, times = whole("times")) => runApart({ script, folder, contender, questions, times });
}

function runApart({
  script,
  folder,
  contender,
  questions,
  times,
}: {
  readonly script: string;
  readonly folder: string;
  readonly contender: Contender;
  readonly questions: readonly Question[];
  readonly times: number;
}): Promise<Measured[]> {
  const args = [script, "--measure", contender, "--folder", folder, "--times", String(times + 1)];
  const child = spawn(process.execPath, [...args, "--questions", JSON.stringify(questions)], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(JSON.parse(output) as Measured[]) : reject(new Error(`measuring ${contender} ended with ${code}`)),
    );
  });
}

async function measureHere(contender: Contender): Promise<void> {
  const folder = values.folder ?? "";
  const questions = JSON.parse(values.questions ?? "[]") as Question[];
  const times = whole("times");
  const measured =
    contender === "duckdb"
      ? await measureDuckDb(folder, questions, times)
      : await measureFogbank(path.join(folder, "fogbank"), questions, times, contender === "stalls");
  process.stdout.write(JSON.stringify(measured));
}

interface Round {
  readonly cold: number;
  readonly warm: number;
}

function roundOf({ ms }: Measured): Round {
  return { cold: ms[0] ?? Number.NaN, warm: median(ms.slice(1)) };
}

/** From this question on V8 has compiled what is asked often. */
const settledFrom = 40;
const firstWarm = 4;

function firstOf({ ms }: Measured): Round {
  return { cold: ms[0] ?? Number.NaN, warm: median(ms.slice(1, firstWarm)) };
}

function settledOf({ ms }: Measured): Round {
  return { cold: ms[0] ?? Number.NaN, warm: median(ms.slice(settledFrom)) };
}

function report(name: string, rounds: readonly Round[]): Round {
  const of = { cold: median(rounds.map(({ cold }) => cold)), warm: median(rounds.map(({ warm }) => warm)) };
  const all = (pick: (round: Round) => number) => rounds.map((round) => shown(pick(round))).join(", ");
  console.log(
    `${name.padEnd(34)} cold ${shown(of.cold)} (${all(({ cold }) => cold)}), warm ${shown(of.warm)} (${all(({ warm }) => warm)})`,
  );
  return of;
}

function sameAnswers(measured: readonly Measured[]): void {
  const answers = new Set(measured.map(({ rows, check }) => `${rows} rows: ${check}`));
  if (answers.size > 1) throw new Error(`the answers differ:\n${[...answers].join("\n")}`);
}

async function compareScan(apart: MeasureApart, all: Question): Promise<void> {
  const fogbank: Measured[] = [];
  const duckdb: Measured[] = [];
  for (let round = 0; round < whole("rounds"); round++) {
    fogbank.push(...(await apart("fogbank", [all])));
    if (!values["without-duckdb"]) duckdb.push(...(await apart("duckdb", [all])));
  }
  sameAnswers([...fogbank, ...duckdb]);
  console.log(`\nmean, min, max, count by minute and device, ${fogbank[0]?.rows} rows:`);
  const ours = report("Fogbank, from readings", fogbank.map(roundOf));
  if (duckdb.length > 0) {
    const theirs = report("DuckDB, two threads", duckdb.map(roundOf));
    console.log(`Fogbank is ${(theirs.cold / ours.cold).toFixed(2)} × as fast cold, ${(theirs.warm / ours.warm).toFixed(2)} × warm`);
  }
  const stalls = await apart("stalls", [all]);
  console.log(`longest stretch without a turn of the event loop: ${shown(stalls[0]?.stallMs ?? Number.NaN)}`);
}

async function compareRollups(apart: MeasureApart, name: string, day: Omit<Question, "rollups">): Promise<void> {
  const raw: Measured[] = [];
  const rolled: Measured[] = [];
  for (let round = 0; round < whole("rounds"); round++) {
    // Processes of their own: both begin cold.
    raw.push(...(await apart("fogbank", [{ ...day, rollups: false }], settledFrom)));
    rolled.push(...(await apart("fogbank", [{ ...day, rollups: true }], 2 * settledFrom)));
  }
  sameAnswers([...raw, ...rolled]);
  console.log(`\n${name}, ${raw[0]?.rows} rows:`);
  const slow = report("from readings", raw.map(roundOf));
  const fast = report("from rollups", rolled.map(firstOf));
  console.log(
    `rollups are ${(slow.cold / fast.cold).toFixed(1)} × as fast cold, ${(slow.warm / fast.warm).toFixed(1)} × in the next questions`,
  );
  const settled = report(`from rollups, question ${settledFrom} on`, rolled.map(settledOf));
  console.log(`rollups are ${(slow.warm / settled.warm).toFixed(1)} × as fast in a process that was asked ${settledFrom} times`);
}

async function main(script: string): Promise<void> {
  const series = whole("series");
  const perSeries = Math.ceil(whole("readings") / series);
  const size = { series, perSeries };
  const given = values.folder;
  const folder = given ?? fs.mkdtempSync(path.join(os.tmpdir(), "fogbank-scan-"));
  try {
    console.log(`${series} series × ${perSeries} readings, one a second, in ${folder}`);
    if (!fs.existsSync(path.join(folder, "fogbank"))) await fillFogbank(path.join(folder, "fogbank"), size);
    if (!values["without-duckdb"] && !fs.existsSync(path.join(folder, "scan.duckdb"))) await fillDuckDb(folder, size);
    const endUs = startUs + perSeries * stepUs;
    const apart = measureApart(script, folder);
    await compareScan(apart, { fromUs: startUs, toUs: endUs, windowMs: 60_000, rollups: false });
    const dayUs = Math.min(86_400_000_000, perSeries * stepUs);
    await compareRollups(apart, "one day by the hour", { fromUs: startUs, toUs: startUs + dayUs, windowMs: 3_600_000 });
    const raggedUs = startUs + Math.min(1_234_567_000, dayUs / 10);
    await compareRollups(apart, "one day by the hour, ragged ends", {
      fromUs: raggedUs,
      toUs: Math.min(endUs, raggedUs + dayUs),
      windowMs: 3_600_000,
    });
  } finally {
    if (given === undefined) fs.rmSync(folder, { recursive: true });
  }
}

const { measure } = values;
if (measure === undefined) await main(bundleScript(new URL(import.meta.url)));
else if (measure === "fogbank" || measure === "duckdb" || measure === "stalls") await measureHere(measure);
else throw new Error(`--measure ${measure}: expected fogbank, stalls or duckdb`);
