/**
 * Keys of the store, version 1, ordered so that a scan is a question. All integers big-endian, so that byte order is
 * numeric order.
 *
 *     "m" name                                                     node-local meta records
 *     "s" series u32                                               name of the series (MessagePack and CRC-32C)
 *     "c" series u32, min time u64 µs, max time u64 µs, readings u32, checkpoint u32, part u16      one chunk
 *     "i" series u32, … as of the chunk                            there is this chunk; value: its length u32. Read at each start,
 *                                                                  where going through "c" would read all values as well
 *     "q" the key of a chunk                                       why that chunk is in quarantine (MessagePack and CRC-32C)
 *     "h" series u32, … as in the key of its chunk                 rollup of a chunk by the hour (`rollups.ts`)
 *     "n" series u32, … as in the key of its chunk                 rollup of a chunk by the minute
 *     "k" series u32, … as of a chunk                              one block: readings that were given up, by the hour (`rolled.ts`)
 *     "j" series u32, … as in the key of its block                 there is this block; value: its length u32
 *     "r" job, 0, window start u64 ms, revision u32                rows of one committed revision of a run
 */

const chunkKinds: readonly ChunkKind[] = ["chunk", "block"];
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const twoTo32 = 0x100000000;

/** A *block* is what is left of chunks whose readings were given up: their rollup by the hour. */
export type ChunkKind = "chunk" | "block";

/** What the key of a chunk says of it; of a block, what it says of the readings that went into it. */
export interface ChunkName {
  readonly kind: ChunkKind;
  readonly series: number;
  readonly minUs: number;
  readonly maxUs: number;
  readonly count: number;
  /** Number of the ledger step that it was written for. */
  readonly checkpoint: number;
  readonly part: number;
}

/**
 * One chunk of the store, in memory. *Retired*: replaced or dropped; only scans that began before still read it. *Damaged*:
 * in quarantine, and never read again.
 */
export interface ChunkRef extends ChunkName {
  /** Length of its value; 0 where that is not known. */
  readonly bytes: number;
  state: "live" | "retired" | "damaged";
}

const letters: Readonly<Record<ChunkKind, { readonly value: number; readonly index: number }>> = {
  chunk: { value: 0x63, index: 0x69 },
  block: { value: 0x6b, index: 0x6a },
};

/** Of what is kept of a chunk under keys that but for the first letter are the same: itself, its place in the index, its rollups. */
export const chunkLetters: readonly number[] = [0x63, 0x69, 0x68, 0x6e];

export const chunkKeyBytes = 1 + 4 + 8 + 8 + 4 + 4 + 2;

export function metaKey(name: string): Uint8Array {
  return encoder.encode(`m${name}`);
}

export function seriesKey(series: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = 0x73;
  new DataView(key.buffer).setUint32(1, series);
  return key;
}

export function parseSeriesKey(key: Uint8Array): number | undefined {
  if (key.length !== 5 || key[0] !== 0x73) return undefined;
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(1);
}

export function chunkKey(chunk: ChunkName): Uint8Array {
  return keyOf(letters[chunk.kind].value, chunk);
}

export function chunkIndexKey(chunk: ChunkName): Uint8Array {
  return keyOf(letters[chunk.kind].index, chunk);
}

export function chunkIndexValue(bytes: number): Uint8Array {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, bytes);
  return value;
}

function keyOf(kind: number, chunk: ChunkName): Uint8Array {
  const key = new Uint8Array(chunkKeyBytes);
  const view = new DataView(key.buffer);
  key[0] = kind;
  view.setUint32(1, chunk.series);
  setTime(view, 5, chunk.minUs);
  setTime(view, 13, chunk.maxUs);
  view.setUint32(21, chunk.count);
  view.setUint32(25, chunk.checkpoint);
  view.setUint16(29, chunk.part);
  return key;
}

export function parseChunkKey(key: Uint8Array): ChunkRef | undefined {
  return key[0] === letters.chunk.value ? parseChunk(key, "chunk", 0) : undefined;
}

/** The length is no more than a help for estimates: the key is what counts. */
export function parseChunkIndex(key: Uint8Array, value: Uint8Array): ChunkRef | undefined {
  const kind = chunkKinds.find((each) => letters[each].index === key[0]);
  if (kind === undefined) return undefined;
  return parseChunk(key, kind, value.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : 0);
}

function parseChunk(key: Uint8Array, kind: ChunkKind, bytes: number): ChunkRef | undefined {
  if (key.length !== chunkKeyBytes) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return {
    kind,
    series: view.getUint32(1),
    minUs: getTime(view, 5),
    maxUs: getTime(view, 13),
    count: view.getUint32(21),
    checkpoint: view.getUint32(25),
    part: view.getUint16(29),
    bytes,
    state: "live",
  };
}

export function quarantineKey(chunk: ChunkName): Uint8Array {
  const key = new Uint8Array(1 + chunkKeyBytes);
  key[0] = 0x71;
  key.set(chunkKey(chunk), 1);
  return key;
}

/** The chunk that a record of the quarantine is about. */
export function parseQuarantineKey(key: Uint8Array): ChunkRef | undefined {
  return key[0] === 0x71 ? parseChunkKey(key.subarray(1)) : undefined;
}

/** Keys from `prefix` on, up to the first that does not begin with it. */
export function prefixRange(prefix: Uint8Array): { readonly from: Uint8Array; readonly to: Uint8Array } {
  const to = prefix.slice();
  to[to.length - 1] = (to[to.length - 1] as number) + 1;
  return { from: prefix, to };
}

export const seriesPrefix = encoder.encode("s");
export const chunkPrefix = encoder.encode("c");
export const chunkIndexPrefix = encoder.encode("i");
export const blockIndexPrefix = encoder.encode("j");
export const quarantinePrefix = encoder.encode("q");
/** Of the results of all jobs. */
export const resultsPrefix = encoder.encode("r");

export function resultKey(job: string, fromMs: number, revision: number): Uint8Array {
  const prefix = resultPrefix(job);
  const key = new Uint8Array(prefix.length + 12);
  key.set(prefix);
  const view = new DataView(key.buffer);
  setTime(view, prefix.length, fromMs);
  view.setUint32(prefix.length + 8, revision);
  return key;
}

export function resultPrefix(job: string): Uint8Array {
  const name = encoder.encode(`r${job}`);
  const prefix = new Uint8Array(name.length + 1);
  prefix.set(name);
  return prefix;
}

/** `undefined` for what is no key of a result. */
export function jobOfResultKey(key: Uint8Array): string | undefined {
  const end = key.length - 13;
  return end > 1 && key[0] === 0x72 && key[end] === 0 ? decoder.decode(key.subarray(1, end)) : undefined;
}

/** Which rows are behind a key of a result. */
export function parseResultKey(key: Uint8Array): { readonly job: string; readonly fromMs: number; readonly revision: number } | undefined {
  const job = jobOfResultKey(key);
  if (job === undefined) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return { job, fromMs: getSignedTime(view, key.length - 12), revision: view.getUint32(key.length - 4) };
}

function setTime(view: DataView, offset: number, time: number): void {
  view.setUint32(offset, Math.floor(time / twoTo32));
  view.setUint32(offset + 4, time % twoTo32);
}

function getTime(view: DataView, offset: number): number {
  return view.getUint32(offset) * twoTo32 + view.getUint32(offset + 4);
}

/** Windows may begin before 1970: `setTime` writes the two words of the two's complement. */
function getSignedTime(view: DataView, offset: number): number {
  return view.getInt32(offset) * twoTo32 + view.getUint32(offset + 4);
}
