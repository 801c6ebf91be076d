/**
 * Fogbank's side of the scan benchmark: one gateway's series engine on a real LevelDB, without MQTT and without a log. Started
 * as a process it measures what standard input asks for: then nothing is decoded, and nothing compiled either.
 */

import { copiesRequired } from "../../src/core/replica/rules.ts";
import { foundRing } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../src/core/ring/owner-table.ts";
import { planOwners } from "../../src/core/ring/planner.ts";
import { defaultTuning } from "../../src/gateway/context.ts";
import { FanOut } from "../../src/gateway/query/fan-out.ts";
import { LocalReader } from "../../src/gateway/query/local-reader.ts";
import { type AggregateQuery, Queries } from "../../src/gateway/query/queries.ts";
import type { Requests } from "../../src/gateway/requests.ts";
import { Rollups } from "../../src/gateway/series/rollups.ts";
import { SeriesReader } from "../../src/gateway/series/series-reader.ts";
import { parseAggregateFunction } from "../../src/lib/aggregate-function.ts";
import { createCalendar } from "../../src/lib/calendar.ts";
import { deviceId } from "../../src/lib/ids.ts";
import { ValueType } from "../../src/lib/reading.ts";
import { type Engine, openEmptyEngine, openEngine, self } from "./engine.ts";
import { type DataSize, deviceOf, type Measured, type Question, startUs, stepUs, Walk } from "./scan-data.ts";

const functions = ["mean", "min", "max", "count"].map((name) => parseAggregateFunction(name)).filter((each) => each !== undefined);

/** Fills the store as a gateway does: into heads, a checkpoint after every so many readings. */
export async function fillFogbank(folder: string, size: DataSize): Promise<void> {
  const { store, series } = await openEmptyEngine(folder);
  const walks = Array.from({ length: size.series }, (_, at) => new Walk(at));
  const names = walks.map((_, at) => ({ device: deviceId(deviceOf(at)), metric: "value" }));
  const batch = Math.max(1, Math.floor(defaultTuning.checkpointReadings / size.series));
  for (let from = 0; from < size.perSeries; from += batch) {
    const count = Math.min(batch, size.perSeries - from);
    for (const [at, walk] of walks.entries()) {
      const columns = {
        count,
        seriesTable: names.slice(at, at + 1),
        series: new Uint32Array(count),
        times: Float64Array.from({ length: count }, (_, i) => startUs + (from + i) * stepUs),
        types: new Uint8Array(count).fill(ValueType.Number),
        numbers: Float64Array.from({ length: count }, () => walk.next()),
        texts: [],
      };
      series.apply(columns, from * size.series + at + 1);
    }
    await series.checkpoint();
    if (series.stats().headReadings > 0) throw new Error("a checkpoint failed");
  }
  await store.close();
}

function queriesOf({ store, series, context }: Engine, rollups: boolean): Queries {
  const ring = foundRing(
    encodeOwnerTable(
      planOwners({ gateways: [{ id: self, zone: undefined, weight: 1 }], factor: 1, epoch: 1, hash64: context.ports.hash64 }),
    ),
  );
  if (!ring.ok) throw new Error(ring.message);
  const calendar = createCalendar("UTC");
  const shared = { self, calendar, labelsOf: () => ({}), ring: () => ring.value, clock: context.clock, rawHorizonUs: () => 0 };
  const blocks = new Rollups({ store, damaged: console.error });
  const local = new LocalReader({
    ...shared,
    index: series.index,
    reader: new SeriesReader(series),
    rollups: rollups ? blocks : undefined,
    blocks,
    leftAtEpoch: () => 0,
    rollupHorizonUs: () => 0,
  });
  const fanOut = new FanOut({ ...shared, reachable: () => false, copiesRequired });
  return new Queries({
    ...shared,
    hash64: context.ports.hash64,
    requests: { serve: () => undefined } as unknown as Requests,
    readRepair: { repair: () => Promise.resolve("written" as const) },
    local,
    fanOut,
  });
}

/** The longest stretch in which the event loop did not turn, while `work` was under way. */
async function withLongestStall<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly stallMs: number }> {
  let stallMs = 0;
  let done = false;
  let before = performance.now();
  const turn = (): void => {
    stallMs = Math.max(stallMs, performance.now() - before);
    before = performance.now();
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const value = await work();
  stallMs = Math.max(stallMs, performance.now() - before);
  done = true;
  return { value, stallMs };
}

/** Asks each question so many times in a row; the first time nothing is in memory. */
export async function measureFogbank(
  folder: string,
  questions: readonly Question[],
  times: number,
  watchStalls = false,
): Promise<Measured[]> {
  const engine = await openEngine(folder);
  const measured: Measured[] = [];
  for (const { rollups, fromUs, toUs, windowMs } of questions) {
    const queries = queriesOf(engine, rollups);
    const query: AggregateQuery = {
      selector: { metric: "value", device: "*", labels: {} },
      fromUs,
      toUs,
      windowMs,
      functions,
      groupBy: [{ kind: "device" }],
      level: "one",
    };
    const ms: number[] = [];
    let rows = 0;
    let check = "";
    let stallMs = 0;
    for (let time = 0; time < times; time++) {
      const begin = performance.now();
      const ask = () => queries.aggregate(query);
      const { value: answer, stallMs: stalled } = watchStalls ? await withLongestStall(ask) : { value: await ask(), stallMs: 0 };
      // All rows are there and merged; making JSON of them is not part of it, as it is not for DuckDB.
      ms.push(performance.now() - begin);
      if (!answer.ok) throw new Error(answer.message);
      if (!answer.value.complete) throw new Error("the answer is not complete");
      const value = answer.value.rows.map((row) => row.state.finish());
      stallMs = Math.max(stallMs, stalled);
      rows = value.length;
      check = checkOf(value as [number, number, number, number][]);
    }
    measured.push({ ms, rows, check, stallMs });
  }
  await engine.store.close();
  return measured;
}

/** The same for the same answer, whoever gave it. */
export function checkOf(rows: readonly (readonly [mean: number, min: number, max: number, count: number])[]): string {
  let [means, mins, maxes, counts] = [0, 0, 0, 0];
  for (const [mean, min, max, count] of rows) {
    means += mean;
    mins += min;
    maxes += max;
    counts += count;
  }
  return [means.toPrecision(9), mins.toFixed(2), maxes.toFixed(2), counts].join(" ");
}
