// `node --import tsx scripts/bench/chunk.ts [FOLDER] [--rounds 7]`
//
// The chunk codec alone, on one core. First how many bytes a reading of each file of the Numenta Anomaly Benchmark takes (FOLDER, by default
// ../shared/data/nab: folders of CSV files, "timestamp,value"), timestamps included, each file one series; then how many readings a second
// are encoded and decoded (into columns that are there), also for some typical series: of processor time, the median of the rounds.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SeededRandom } from "../../src/lib/random.ts";
import { chunkReadingsMax, decodeChunk, encodeChunk } from "../../src/series/chunk.ts";
import { seriesHashOf } from "../../src/series/digest.ts";
import { type SeriesRun, sliceRows } from "../../src/series/run.ts";

const { values, positionals } = parseArgs({ options: { rounds: { type: "string", default: "7" } }, allowPositionals: true });
const folder = positionals[0] ?? "../shared/data/nab";
const rounds = Number(values.rounds);
const roundMs = 60;
const columns = { times: new Float64Array(chunkReadingsMax), numbers: new Float64Array(chunkReadingsMax) };
const fewDecimals = /^(nyc_taxi|speed_|occupancy_|TravelTime_)/;
const series = seriesHashOf("bench", "value");

function runOf(times: readonly number[] | Float64Array, numbers: readonly number[] | Float64Array): SeriesRun {
  return { count: times.length, times: Float64Array.from(times), types: undefined, numbers: Float64Array.from(numbers), texts: [] };
}

/** One value for each time, the greatest. */
function readCsv(path: string): SeriesRun {
  const readings = new Map<number, number>();
  for (const line of readFileSync(path, "utf8").trim().split("\n").slice(1)) {
    const [time = "", value = ""] = line.split(",");
    const timeUs = Date.parse(`${time.replace(" ", "T")}Z`) * 1000;
    readings.set(timeUs, Math.max(Number(value), readings.get(timeUs) ?? Number.NEGATIVE_INFINITY));
  }
  const sorted = [...readings].sort((a, b) => a[0] - b[0]);
  return runOf(
    sorted.map(([time]) => time),
    sorted.map(([, value]) => value),
  );
}

function chunksOf(run: SeriesRun): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let from = 0; from < run.count; from += chunkReadingsMax)
    chunks.push(encodeChunk(series, sliceRows(run, from, Math.min(from + chunkReadingsMax, run.count))));
  return chunks;
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Millions of readings a second. */
function rate(readings: number, work: () => void): number {
  const rates: number[] = [];
  for (let round = 0; round < rounds + 2; round++) {
    const before = processorMs();
    let done = 0;
    while (processorMs() - before < roundMs) {
      work();
      done += readings;
    }
    rates.push(done / (processorMs() - before) / 1000);
  }
  return rates.slice(2).toSorted((a, b) => a - b)[Math.floor(rounds / 2)] as number;
}

function report(name: string, run: SeriesRun): number {
  const chunks = chunksOf(run);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const encoded = rounds === 0 ? 0 : rate(run.count, () => chunksOf(run));
  const decoded =
    rounds === 0
      ? 0
      : rate(run.count, () => {
          for (const chunk of chunks) if (!decodeChunk(series, chunk, columns).ok) throw new Error("a chunk is damaged");
        });
  const figures = [
    String(run.count).padStart(8),
    (bytes / run.count).toFixed(3).padStart(8),
    encoded.toFixed(1).padStart(8),
    decoded.toFixed(0).padStart(8),
  ];
  console.log(`${name.padEnd(40)}${figures.join("")}`);
  return bytes;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

console.log(`${"".padEnd(40)}readings  B/read.  enc M/s dec M/s`);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".csv"));
const measured = files.sort().map((path) => {
  const name = path.replace(/^.*[/\\]|\.csv$/g, "");
  const run = readCsv(join(folder, path));
  return { name, readings: run.count, bytes: report(name, run) };
});
for (const [name, group] of [
  ["all files", measured],
  ["few decimals", measured.filter((file) => fewDecimals.test(file.name))],
] as const)
  console.log(`${name}: ${(sum(group.map((file) => file.bytes)) / sum(group.map((file) => file.readings))).toFixed(3)} bytes a reading`);

const count = chunkReadingsMax * 4;
const random = new SeededRandom(1);
const regular = Float64Array.from({ length: count }, (_, i) => 1.7e15 + i * 1_000_000);
const jitter = regular.map((time) => time + random.below(2_000));
function walk(digits: number): Float64Array {
  let level = 20_000;
  return regular.map(() => {
    level += random.below(41) - 20;
    return level / 10 ** digits;
  });
}

console.log();
report("walk, 3 decimals, regular", runOf(regular, walk(3)));
report("walk, 1 decimal, regular", runOf(regular, walk(1)));
report(
  "uniform 0.0 … 100.0, regular",
  runOf(
    regular,
    regular.map(() => random.below(1_001) / 10),
  ),
);
report("walk, 3 decimals, jitter of 2 ms", runOf(jitter, walk(3)));
report(
  "counter, regular",
  runOf(
    regular,
    regular.map((_, i) => i * 17 + random.below(10)),
  ),
);
report(
  "constant, regular",
  runOf(
    regular,
    regular.map(() => 21.5),
  ),
);
report("single precision, regular", runOf(regular, walk(3).map(Math.fround)));
report(
  "single precision noise",
  runOf(
    regular,
    regular.map(() => Math.fround(random.below(2 ** 31) / 2 ** 26)),
  ),
);
report(
  "full precision, regular",
  runOf(
    regular,
    walk(3).map((value) => Math.sin(value)),
  ),
);
