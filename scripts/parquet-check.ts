// What `fogbank export --format parquet` writes, read by DuckDB, which has a reader of its own: `node --import tsx scripts/parquet-check.ts`.
// DuckDB comes from scripts/bench (`npm install --prefix scripts/bench`); without it the check is skipped, and says so. The last line
// is `N passed, N failed, N skipped`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parquetEncoder } from "../src/cli/export/parquet.ts";

interface DuckDb {
  readonly DuckDBInstance: {
    create(path: string): Promise<{ connect(): Promise<{ runAndReadAll(sql: string): Promise<{ getRowsJson(): unknown[][] }> }> }>;
  };
}

type Value = number | string | boolean | null;

const startMs = Date.UTC(2026, 0, 1);
/** Row groups of different sizes, with numbers, texts, booleans, and times that are not whole milliseconds. */
const series = [
  { device: "room-1", metric: "temperature", points: points(25_000, (at) => 20 + at / 8) },
  { device: "room-1", metric: "mode", points: points(3_000, (at) => (at % 3 === 0 ? `Modus "${at % 7}", ä` : at % 2 === 0)) },
  { device: "room-2", metric: "temperature", points: points(1, () => -0.5) },
  { device: "room-3", metric: "empty", points: [] },
  { device: "room-4", metric: "unknown", points: points(5, () => null) },
] as const;
const all = series.flatMap(({ device, metric, points: rows }) => rows.map(([ms, value]) => [device, metric, ms, value] as const));

function points(count: number, value: (at: number) => Value): [number, Value][] {
  return Array.from({ length: count }, (_, at) => [startMs + at * 1_000 + (at % 2) / 1_000, value(at)]);
}

async function duckDb(): Promise<DuckDb | undefined> {
  try {
    const path = createRequire(new URL("./bench/package.json", import.meta.url)).resolve("@duckdb/node-api");
    const loaded = (await import(pathToFileURL(path).href)) as DuckDb & { readonly default?: DuckDb };
    return loaded.default ?? loaded;
  } catch (error) {
    console.log(`DuckDB cannot be loaded: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
    return undefined;
  }
}

async function check({ DuckDBInstance }: DuckDb, folder: string): Promise<string[]> {
  const path = join(folder, "readings.parquet");
  const parts: Uint8Array[] = [];
  const encoder = parquetEncoder((part) => parts.push(typeof part === "string" ? Buffer.from(part) : part), { rowGroupRows: 10_000 });
  for (const one of series) await encoder.add(one);
  await encoder.finish();
  writeFileSync(path, Buffer.concat(parts));
  const connection = await (await DuckDBInstance.create(":memory:")).connect();
  const ask = async (sql: string) => (await connection.runAndReadAll(sql)).getRowsJson();
  const problems: string[] = [];
  const same = (what: string, found: unknown, expected: unknown) => {
    if (JSON.stringify(found) !== JSON.stringify(expected))
      problems.push(`${what}: ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  };
  const described = await ask(`DESCRIBE SELECT * FROM '${path}'`);
  const types = ["VARCHAR", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "DOUBLE", "VARCHAR", "BOOLEAN"];
  same(
    "columns",
    described.map(([name, type]) => [name, type]),
    ["device", "metric", "time", "value", "text", "boolean"].map((name, at) => [name, types[at]]),
  );
  const rows = await ask(`SELECT device, metric, epoch_us(time)::DOUBLE, value, text, boolean FROM '${path}'`);
  same("rows", rows.length, all.length);
  for (const [at, [device, metric, ms, value]] of all.entries()) {
    const expected = [
      device,
      metric,
      Math.round(ms * 1_000),
      typeof value === "number" ? value : null,
      typeof value === "string" ? value : null,
      typeof value === "boolean" ? value : null,
    ];
    same(`row ${at}`, rows[at], expected);
    if (problems.length > 5) break;
  }
  return problems;
}

const duck = await duckDb();
if (duck === undefined) {
  console.log("0 passed, 0 failed, 1 skipped");
} else {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-parquet-"));
  const problems = await check(duck, folder).finally(() => rmSync(folder, { recursive: true, force: true }));
  for (const problem of problems) console.log(problem);
  console.log(problems.length === 0 ? "1 passed, 0 failed, 0 skipped" : "0 passed, 1 failed, 0 skipped");
  process.exitCode = problems.length === 0 ? 0 : 1;
}
