// `node --import tsx scripts/bench/start.ts [--readings 20000000] [--series 100]`
//
// How long a gateway takes to know what its store holds: makes a LevelDB with that many readings in full chunks, then opens it
// and loads it in a process of its own, three times; the median counts. Values repeat, keys do not: values are not read.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LevelStoreDirectory } from "../../src/adapters/level-store.ts";
import { loadHash64 } from "../../src/adapters/xxhash.ts";
import { defaultTuning, type GatewayContext } from "../../src/gateway/context.ts";
import { ChunkLedger } from "../../src/gateway/series/chunk-ledger.ts";
import { packSealed } from "../../src/gateway/series/sealed-value.ts";
import { SeriesStore } from "../../src/gateway/series/series-store.ts";
import { type ChunkName, chunkIndexKey, chunkIndexValue, chunkKey, metaKey, seriesKey } from "../../src/gateway/series/store-keys.ts";
import { Packing } from "../../src/lib/packing.ts";
import type { Store, StoreOperation } from "../../src/ports/store.ts";
import { chunkReadingsMax, encodeChunk } from "../../src/series/chunk.ts";
import { seriesHashOf } from "../../src/series/digest.ts";
import { bundleScript } from "../bundle.ts";

const { values } = parseArgs({
  options: { readings: { type: "string" }, series: { type: "string" }, load: { type: "string" } },
});
const readings = Number(values.readings ?? "20000000");
const seriesCount = Number(values.series ?? "100");
const packing = new Packing();
const periodUs = 1_000_000;
const batchOperations = 200;
const rounds = 3;

interface Loaded {
  readonly openMs: number;
  readonly loadMs: number;
  readonly memoryMiB: number;
}

if (values.load === undefined) await measure();
else await load(values.load);

async function measure(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "fogbank-bench-"));
  try {
    const script = bundleScript(new URL(import.meta.url));
    const chunks = await make(folder);
    const all: Loaded[] = [];
    for (let round = 0; round < rounds; round++) {
      const child = spawnSync(process.execPath, [script, "--load", folder], { encoding: "utf8" });
      if (child.status !== 0) throw new Error(child.stderr);
      all.push(JSON.parse(child.stdout) as Loaded);
    }
    all.sort((a, b) => a.openMs + a.loadMs - b.openMs - b.loadMs);
    const median = all[rounds >> 1] as Loaded;
    console.log(`${chunks} chunks, ${chunks * chunkReadingsMax} readings in ${seriesCount} series`);
    console.log(`opened in ${median.openMs} ms, loaded in ${median.loadMs} ms; ${median.memoryMiB} MiB of memory for it`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function make(folder: string): Promise<number> {
  const store = await open(folder);
  const ledger = new ChunkLedger();
  const chunksOfSeries = Math.ceil(readings / chunkReadingsMax / seriesCount);
  let operations: StoreOperation[] = [];
  const flush = async (): Promise<void> => {
    await store.write(operations, { sync: false });
    operations = [];
  };
  const times = new Float64Array(chunkReadingsMax);
  const numbers = new Float64Array(chunkReadingsMax);
  for (let i = 0; i < chunkReadingsMax; i++) {
    times[i] = i * periodUs;
    numbers[i] = 20 + Math.round(50 * Math.sin(i / 200)) / 10;
  }
  for (let series = 1; series <= seriesCount; series++) {
    const device = `device-${series}`;
    const value = encodeChunk(seriesHashOf(device, "value"), { count: chunkReadingsMax, times, types: undefined, numbers, texts: [] });
    operations.push({ type: "put", key: seriesKey(series), value: packSealed(packing, { d: device, m: "value" }) });
    for (let chunk = 0; chunk < chunksOfSeries; chunk++) {
      const minUs = chunk * chunkReadingsMax * periodUs;
      const maxUs = minUs + (chunkReadingsMax - 1) * periodUs;
      const name: ChunkName = { kind: "chunk", series, minUs, maxUs, count: chunkReadingsMax, checkpoint: 1, part: 0 };
      const key = chunkKey(name);
      ledger.add(key, chunkReadingsMax);
      operations.push({ type: "put", key, value }, { type: "put", key: chunkIndexKey(name), value: chunkIndexValue(value.length) });
      if (operations.length >= batchOperations) await flush();
    }
  }
  const record = {
    position: 0,
    chunks: ledger.chunks(),
    readings: ledger.readings(),
    digest: ledger.digest(),
    reservedUs: 0,
    number: 1,
    version: 2,
  };
  operations.push({ type: "put", key: metaKey("checkpoint"), value: packSealed(packing, record) });
  await flush();
  await store.close();
  return ledger.chunks();
}

async function load(folder: string): Promise<void> {
  const hash64 = await loadHash64();
  const memoryBefore = process.memoryUsage.rss();
  const begunMs = performance.now();
  const store = await open(folder);
  const openedMs = performance.now();
  const context = {
    packing,
    tuning: defaultTuning,
    clock: { monotonicMs: () => performance.now() },
    ports: { hash64 },
  } as unknown as GatewayContext;
  const seriesStore = new SeriesStore({ context, store, reservedUs: () => 0, carryOver: () => true });
  const loaded = await seriesStore.load();
  if (!loaded.ok) throw new Error(loaded.message);
  const loadedMs = performance.now();
  const memoryMiB = Math.round((process.memoryUsage.rss() - memoryBefore) / (1 << 20));
  console.log(JSON.stringify({ openMs: Math.round(openedMs - begunMs), loadMs: Math.round(loadedMs - openedMs), memoryMiB }));
  await store.close();
}

async function open(folder: string): Promise<Store> {
  const opened = await new LevelStoreDirectory({ folder }).open("store");
  if (!opened.ok) throw new Error(opened.message);
  return opened.value;
}
