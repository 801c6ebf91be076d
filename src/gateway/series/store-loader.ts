/**
 * Reads at a start which series and chunks there are: names, the index of chunks in large pages, the quarantine. What it finds
 * must match the last ledger step. Values of chunks are not looked at: whether one is there and whole shows when it is read.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import { deviceId } from "../../lib/ids.ts";
import type { Packing } from "../../lib/packing.ts";
import type { Store } from "../../ports/store.ts";
import { type Quarantine, quarantineReason } from "./quarantine.ts";
import { restoreBlocks } from "./rolled.ts";
import { unpackSealed } from "./sealed-value.ts";
import { addChunk, type Series, type SeriesIndex } from "./series-index.ts";
import {
  blockIndexPrefix,
  type ChunkRef,
  chunkIndexPrefix,
  chunkPrefix,
  parseChunkIndex,
  parseChunkKey,
  parseQuarantineKey,
  parseSeriesKey,
  prefixRange,
  quarantinePrefix,
  seriesPrefix,
} from "./store-keys.ts";
import { type StoredCheckpoint, type StoreLedger, wayOut } from "./store-ledger.ts";

const pageEntries = 10_000;

export interface StoreLoaderOptions {
  readonly store: Store;
  readonly packing: Packing;
  readonly index: SeriesIndex;
  readonly ledger: StoreLedger;
  readonly quarantine: Quarantine;
}

/** Fails with `store-damaged` when chunks are missing that a step had made durable. */
export async function loadStore(options: StoreLoaderOptions): Promise<Result<StoredCheckpoint | undefined>> {
  const { ledger } = options;
  const stored = await ledger.load();
  if (!stored.ok) return stored;
  const names = await loadSeries(options);
  if (!names.ok) return names;
  const chunks = await loadChunks(options, names.value, stored.value);
  if (!chunks.ok) return chunks;
  const blocks = await loadBlocks(options, names.value, stored.value);
  if (!blocks.ok) return blocks;
  const damaged = await loadQuarantine(options, names.value);
  if (!damaged.ok) return damaged;
  const checked = ledger.check();
  if (!checked.ok) return checked;
  for (const series of names.value.values()) ledger.retire(restoreBlocks(series));
  return stored;
}

async function loadSeries({ store, packing, index }: StoreLoaderOptions): Promise<Result<Map<number, Series>>> {
  const byId = new Map<number, Series>();
  const problem = await scanAll(store, { prefix: seriesPrefix, keysOnly: false }, (key, value) => {
    const id = parseSeriesKey(key);
    const name = unpackSealed(packing, value);
    if (id === undefined || !name.ok) return `the name of series ${id ?? "?"} cannot be read`;
    const { d, m } = name.value as { d: string; m: string };
    byId.set(id, index.restore(id, deviceId(d), m));
    return undefined;
  });
  return problem === undefined ? success(byId) : failure("store-damaged", `${problem}. ${wayOut}`);
}

/** From the index; a store of before there was one names its chunks by their own keys. */
async function loadChunks(
  options: StoreLoaderOptions,
  byId: ReadonlyMap<number, Series>,
  stored: StoredCheckpoint | undefined,
): Promise<Result<void>> {
  const { store, ledger } = options;
  const restore = (ref: ChunkRef | undefined): string | undefined => {
    if (ref === undefined) return "a chunk's key is malformed";
    // Left by a step that a crash cut short. Of a checkpoint the log still has the readings, of compaction the old chunks do.
    if (ref.checkpoint > (stored?.number ?? 0)) {
      ledger.restoreLeftover(ref);
      return undefined;
    }
    const series = byId.get(ref.series);
    if (series === undefined) return `the name of series ${ref.series} is missing`;
    addChunk(series, ref);
    ledger.restore(ref);
    return undefined;
  };
  const problem =
    stored?.version === 2
      ? await scanAll(store, { prefix: chunkIndexPrefix, keysOnly: false }, (key, value) => restore(parseChunkIndex(key, value)))
      : await scanAll(store, { prefix: chunkPrefix, keysOnly: true }, (key) => restore(parseChunkKey(key)));
  return problem === undefined ? success(undefined) : failure("store-damaged", `${problem}. ${wayOut}`);
}

/** A version that knows no blocks leaves them where they are and says nothing of them in its record: they do not count any more. */
async function loadBlocks(
  { store, ledger }: StoreLoaderOptions,
  byId: ReadonlyMap<number, Series>,
  stored: StoredCheckpoint | undefined,
): Promise<Result<void>> {
  const problem = await scanAll(store, { prefix: blockIndexPrefix, keysOnly: false }, (key, value) => {
    const ref = parseChunkIndex(key, value);
    if (ref === undefined) return "a block's key is malformed";
    const series = byId.get(ref.series);
    if (stored?.blocks === undefined || ref.checkpoint > stored.number) {
      ledger.restoreLeftover(ref);
    } else if (series === undefined) {
      return `the name of series ${ref.series} is missing`;
    } else {
      series.blocks.push(ref);
      ledger.restore(ref);
    }
    return undefined;
  });
  return problem === undefined ? success(undefined) : failure("store-damaged", `${problem}. ${wayOut}`);
}

async function loadQuarantine(
  { store, packing, quarantine }: StoreLoaderOptions,
  byId: ReadonlyMap<number, Series>,
): Promise<Result<void>> {
  const problem = await scanAll(store, { prefix: quarantinePrefix, keysOnly: false }, (key, value) => {
    const named = parseQuarantineKey(key);
    if (named === undefined) return "a record of the quarantine is malformed";
    const series = byId.get(named.series);
    const ref = series?.chunks.find((listed) => sameChunk(listed, named));
    // One that names no chunk lost it: the count of chunks says so.
    if (series !== undefined && ref !== undefined) quarantine.restore(series, ref, quarantineReason(packing, value));
    return undefined;
  });
  return problem === undefined ? success(undefined) : failure("store-damaged", `${problem}. ${wayOut}`);
}

function sameChunk(a: ChunkRef, b: ChunkRef): boolean {
  return a.minUs === b.minUs && a.maxUs === b.maxUs && a.count === b.count && a.checkpoint === b.checkpoint && a.part === b.part;
}

async function scanAll(
  store: Store,
  what: { readonly prefix: Uint8Array; readonly keysOnly: boolean },
  visit: (key: Uint8Array, value: Uint8Array) => string | undefined,
): Promise<string | undefined> {
  const range = prefixRange(what.prefix);
  let { from } = range;
  for (;;) {
    const page = await store.scan({ from, to: range.to, limit: pageEntries, keysOnly: what.keysOnly });
    for (const { key, value } of page) {
      const problem = visit(key, value);
      if (problem !== undefined) return problem;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < pageEntries) return undefined;
    from = new Uint8Array(last.key.length + 1);
    from.set(last.key);
  }
}
