// `node --import tsx scripts/bench/size.ts [FOLDER]`
//
// Bytes a reading on disk, everything included (values, timestamps, keys, index): all CSV files of a folder (default: the Numenta Anomaly
// Benchmark beside the project), a series each, in a store of ours after compaction, in DuckDB's own file, and in Parquet with
// zstd as DuckDB writes it. DuckDB is left out where it is not installed: npm install --prefix scripts/bench.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { projectRoot } from "../../test/e2e/support/fogbank.ts";
import { type EngineRow, storeReadings } from "./size-fogbank.ts";

const source = process.argv[2] ?? join(projectRoot, "..", "shared", "data", "nab");
const fewDecimals = /^(nyc_taxi|speed_|occupancy_|TravelTime_)/;

/** One value for each timestamp, the greatest, in the order of time: as a gateway keeps them. */
function rowsOf(file: string): EngineRow[] {
  const values = new Map<number, number>();
  for (const line of readFileSync(file, "utf8").trim().split(/\r?\n/).slice(1)) {
    const [time = "", value = ""] = line.split(",");
    const ms = Date.parse(`${time.replace(" ", "T")}Z`);
    values.set(ms, Math.max(Number(value), values.get(ms) ?? Number.NEGATIVE_INFINITY));
  }
  return [...values].sort((a, b) => a[0] - b[0]).map(([ms, value]) => ({ ms, value }));
}

function folderBytes(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

interface DuckDb {
  readonly DuckDBInstance: {
    create(file: string): Promise<{ connect(): Promise<{ run(sql: string): Promise<unknown>; closeSync(): void }>; closeSync(): void }>;
  };
}

async function loadDuckDb(): Promise<DuckDb | undefined> {
  try {
    const found = createRequire(import.meta.url).resolve("@duckdb/node-api");
    return (await import(pathToFileURL(found).href)) as DuckDb;
  } catch {
    return undefined;
  }
}

async function duckDbBytes(duckDb: DuckDb, folder: string, series: ReadonlyMap<string, readonly EngineRow[]>) {
  const [file, csv, parquet] = ["db.duckdb", "rows.csv", "rows.parquet"].map((name) => join(folder, name)) as [string, string, string];
  const lines = [...series].flatMap(([device, rows]) => rows.map(({ ms, value }) => `${device},${ms},${value}`));
  writeFileSync(csv, lines.join("\n"));
  const instance = await duckDb.DuckDBInstance.create(file);
  const connection = await instance.connect();
  const columns = "columns = {'device': 'VARCHAR', 'ms': 'BIGINT', 'value': 'DOUBLE'}";
  await connection.run(
    `CREATE TABLE readings AS SELECT device, epoch_ms(ms) AS ts, value FROM read_csv('${csv}', header = false, ${columns}) ORDER BY device, ts`,
  );
  await connection.run("CHECKPOINT");
  await connection.run(`COPY readings TO '${parquet}' (FORMAT parquet, COMPRESSION zstd)`);
  connection.closeSync();
  instance.closeSync();
  return { file: statSync(file).size, parquet: statSync(parquet).size };
}

const duckDb = await loadDuckDb();
const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".csv"));
const all = new Map(files.sort().map((path) => [basename(path, ".csv"), rowsOf(join(source, path))]));
for (const [what, series] of [
  ["all files", all],
  ["few decimals", new Map([...all].filter(([name]) => fewDecimals.test(name)))],
] as const) {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-size-"));
  try {
    const readings = [...series.values()].reduce((sum, rows) => sum + rows.length, 0);
    await storeReadings(folder, series);
    const each = (bytes: number): string => (bytes / readings).toFixed(2);
    const own = folderBytes(folder);
    const other = duckDb === undefined ? undefined : await duckDbBytes(duckDb, mkdtempSync(join(folder, "duckdb-")), series);
    const others = other === undefined ? "DuckDB is not installed" : `DuckDB ${each(other.file)}, Parquet with zstd ${each(other.parquet)}`;
    console.log(`${what}: ${series.size} series, ${readings} readings; bytes a reading: Fogbank ${each(own)}, ${others}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
