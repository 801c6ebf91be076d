/** Fogbank's side of the size benchmark: readings into a store as a gateway puts them there, a checkpoint, then compaction. */

import { chunkPrefix, prefixRange } from "../../src/gateway/series/store-keys.ts";
import { deviceId } from "../../src/lib/ids.ts";
import { ValueType } from "../../src/lib/reading.ts";
import { openEmptyEngine } from "./engine.ts";

export interface EngineRow {
  readonly ms: number;
  readonly value: number;
}

export async function storeReadings(folder: string, all: ReadonlyMap<string, readonly EngineRow[]>): Promise<void> {
  const { store, series } = await openEmptyEngine(folder);
  let sequence = 0;
  for (const [name, rows] of all) {
    const columns = {
      count: rows.length,
      seriesTable: [{ device: deviceId(name), metric: "value" }],
      series: new Uint32Array(rows.length),
      times: Float64Array.from(rows, ({ ms }) => ms * 1_000),
      types: new Uint8Array(rows.length).fill(ValueType.Number),
      numbers: Float64Array.from(rows, ({ value }) => value),
      texts: [],
    };
    series.apply(columns, ++sequence);
  }
  await series.checkpoint();
  if (series.stats().headReadings > 0) throw new Error("a checkpoint failed");
  await series.compactAll();
  // The engine's own files too: what was written is sorted into one level, and its journal goes.
  const { from } = prefixRange(chunkPrefix);
  await store.compact?.({ from: Uint8Array.of(0), to: Uint8Array.of(255, ...from) });
  await store.close();
}
