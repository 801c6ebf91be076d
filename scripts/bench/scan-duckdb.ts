/** DuckDB's side of the scan benchmark: a table of its own in a file of its own, two threads. */

import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { type DataSize, deviceOf, type Measured, type Question, startUs, stepUs, Walk } from "./scan-data.ts";

// The package is not one of the project's: `scripts/bench/package.json` has it.
interface DuckDb {
  readonly DuckDBInstance: { create(file: string, options: Record<string, string>): Promise<{ connect(): Promise<Connection> }> };
}

interface Connection {
  run(sql: string): Promise<unknown>;
  runAndReadAll(sql: string): Promise<{ readonly currentRowCount: number; getRows(): unknown[][] }>;
  closeSync(): void;
}

async function connect(folder: string): Promise<Connection> {
  let found: string;
  try {
    found = createRequire(import.meta.url).resolve("@duckdb/node-api");
  } catch {
    throw new Error("DuckDB is not there: npm install --prefix scripts/bench");
  }
  const { DuckDBInstance } = (await import(pathToFileURL(found).href)) as DuckDb;
  const instance = await DuckDBInstance.create(path.join(folder, "scan.duckdb"), { threads: "2" });
  return instance.connect();
}

export async function fillDuckDb(folder: string, size: DataSize): Promise<void> {
  const connection = await connect(folder);
  await connection.run("CREATE TABLE readings (device VARCHAR, ts TIMESTAMP, value DOUBLE)");
  const file = path.join(folder, "series.csv");
  for (let series = 0; series < size.series; series++) {
    const walk = new Walk(series);
    const lines = Array.from({ length: size.perSeries }, (_, i) => `${startUs + i * stepUs},${walk.next()}`);
    fs.writeFileSync(file, lines.join("\n"));
    await connection.run(
      `INSERT INTO readings SELECT '${deviceOf(series)}', make_timestamp(us), value FROM read_csv('${file}', header = false, columns = {'us': 'BIGINT', 'value': 'DOUBLE'})`,
    );
  }
  fs.rmSync(file);
  await connection.run("CHECKPOINT");
  connection.closeSync();
}

export async function measureDuckDb(folder: string, questions: readonly Question[], times: number): Promise<Measured[]> {
  const connection = await connect(folder);
  const measured: Measured[] = [];
  for (const { fromUs, toUs, windowMs } of questions) {
    const rows = `SELECT device, time_bucket(INTERVAL '${windowMs} milliseconds', ts) AS start, avg(value) AS mean, min(value) AS least,
      max(value) AS most, count(*) AS readings FROM readings WHERE ts >= make_timestamp(${fromUs}) AND ts < make_timestamp(${toUs}) GROUP BY ALL`;
    const ms: number[] = [];
    let count = 0;
    for (let time = 0; time < times; time++) {
      const begin = performance.now();
      // All of the answer is in this process then, as columns; rows of it are not made.
      count = (await connection.runAndReadAll(rows)).currentRowCount;
      ms.push(performance.now() - begin);
    }
    const sums = await connection.runAndReadAll(`SELECT sum(mean), sum(least), sum(most), sum(readings)::DOUBLE FROM (${rows})`);
    const [means, mins, maxes, counts] = (sums.getRows()[0] ?? []) as [number, number, number, number];
    measured.push({ ms, rows: count, check: [means.toPrecision(9), mins.toFixed(2), maxes.toFixed(2), counts].join(" "), stallMs: 0 });
  }
  connection.closeSync();
  return measured;
}
