/**
 * Whole numbers in blocks, each by its own rule: the numbers, their differences, or the differences of those, less a base, in the
 * width that most of them need, and the others as patches (PFOR, Zukowski and others 2006). Differences reach back into the block before.
 *
 * A column: signed varint, what the first number is taken to follow; then for each block of `2^blockLog` numbers, the last may be shorter:
 *
 *     u8            width (0 … 53) in the lower six bits, order (0 the numbers, 1 differences, 2 differences of differences) above
 *     signed varint base; of order 0 less the last number of the block before
 *     varint        patches; their places in the block, `blockLog` bits each; then for each what the base lacks, a signed varint
 *     bits          what the base lacks, 0 for the patched
 */

import { assert } from "../../lib/assert.ts";
import type { ByteWriter } from "../../lib/byte-writer.ts";
import {
  BitWriter,
  bitLength,
  bitsAt,
  type ColumnSource,
  type Packed,
  type Scale,
  unpack,
  unpackSums,
  unscaled,
  wideBitsAt,
  widthMax,
} from "./bit-packing.ts";
import { type Plan, signedVarintBytes, varintBytes } from "./plan.ts";

/** Numbers of a column lie between −2^52 and 2^52, so that their differences are exact. */
export const integerMax = 2 ** 52 - 1;

export const blockLogMax = 15;
const orderMax = 2;
/** A width is not considered when more than one in so many would need a patch. */
const patchedOneIn = 4;

interface Block {
  readonly from: number;
  readonly to: number;
  readonly order: number;
  readonly base: number;
  readonly width: number;
  readonly patches: number;
  readonly bytes: number;
}

/** A column and its differences, of each order as long as the column itself. */
export type Orders = readonly [Float64Array, Float64Array, Float64Array];

export function ordersOf(values: Float64Array): Orders {
  const count = values.length;
  const first = new Float64Array(count);
  const second = new Float64Array(count);
  let previous = values[0] as number;
  let difference = 0;
  for (let i = 0; i < count; i++) {
    const value = values[i] as number;
    const next = value - previous;
    first[i] = next;
    second[i] = next - difference;
    previous = value;
    difference = next;
  }
  return [values, first, second];
}

export interface BlocksPlan extends Plan {
  /** Of each order, how many blocks. */
  readonly used: readonly number[];
}

export function planBlocks(orders: Orders, blockLog: number): BlocksPlan {
  const values = orders[0];
  const start = values[0] as number;
  const size = 2 ** blockLog;
  const blocks: Block[] = [];
  const windows = new Windows();
  let bytes = signedVarintBytes(start);
  for (let from = 0; from < values.length; from += size) {
    const to = Math.min(from + size, values.length);
    const previous = from === 0 ? start : (values[from - 1] as number);
    let best: Block | undefined;
    for (let order = 0; order <= orderMax; order++) {
      const block = planBlock(orders, { from, to, order, previous, blockLog }, windows);
      const better = block !== undefined && (best === undefined || block.bytes < best.bytes);
      if (better) best = block;
      // Where differences are no gain, theirs are none.
      else if (order === 1) break;
    }
    assert(best !== undefined, "differences of order 0 always fit");
    blocks.push(best);
    bytes += best.bytes;
  }
  const used = orders.map((_, order) => blocks.filter((block) => block.order === order).length);
  return { bytes, used, write: (writer) => writeBlocks(writer, orders, blocks, blockLog) };
}

interface BlockPlace {
  readonly from: number;
  readonly to: number;
  readonly order: number;
  readonly previous: number;
  readonly blockLog: number;
}

/** With the base and width that make the block about the shortest; `undefined` when the numbers are too far apart. */
function planBlock(orders: Orders, place: BlockPlace, windows: Windows): Block | undefined {
  const { from, to, order, previous, blockLog } = place;
  const values = orders[order] as Float64Array;
  let least = values[from] as number;
  let most = least;
  for (let i = from + 1; i < to; i++) {
    const value = values[i] as number;
    if (value < least) least = value;
    else if (value > most) most = value;
  }
  if (!Number.isSafeInteger(most - least) || !Number.isSafeInteger(least) || !Number.isSafeInteger(most)) return undefined;
  const { base, width, patches } = windows.best(values, place, least, bitLength(most - least));
  const patched = patches === 0 ? { count: 0, bytes: 0 } : patchesOf(values, place, base, width);
  const baseBytes = signedVarintBytes(order === 0 ? base - previous : base);
  const bytes = 1 + baseBytes + varintBytes(patched.count) + Math.ceil((patched.count * blockLog) / 8) + patched.bytes;
  return { from, to, order, base, width, patches: patched.count, bytes: bytes + Math.ceil(((to - from) * width) / 8) };
}

interface Window {
  readonly base: number;
  readonly width: number;
  /** Numbers outside. */
  readonly patches: number;
}

const bucketsLog = 6;

/** Finds the window of numbers [base, base + 2^width) that, with patches for the others, costs the fewest bits. */
class Windows {
  /** How many numbers lie below the buckets, and below each bucket's end. */
  #below = new Int32Array(0);

  best(values: Float64Array, place: BlockPlace, least: number, widest: number): Window {
    const count = place.to - place.from;
    const patchBits = place.blockLog + 8 * Math.ceil((widest + 1) / 7);
    let best: Window = { base: least, width: widest, patches: 0 };
    if (widest * count <= patchBits) return best;
    if (this.#below.length === 0) this.#below = new Int32Array(2 ** bucketsLog + 1);
    let bits = count * widest;
    let range = best;
    // By factors of 2 down to one of 64 parts of the range; if a small part does best, on in that.
    for (;;) {
      const bucketWidth = Math.max(0, range.width - bucketsLog);
      this.#count(values, place, range.base, bucketWidth);
      let narrowest = range;
      for (let width = range.width - 1; width >= bucketWidth; width--) {
        const window = this.#densest(range, width, bucketWidth, count);
        if (window.patches * patchedOneIn > count) break;
        narrowest = window;
        const cost = count * width + window.patches * patchBits;
        if (cost >= bits) continue;
        bits = cost;
        best = window;
      }
      if (narrowest.width > bucketWidth + 2 || narrowest.width === 0 || narrowest === range) return best;
      range = narrowest;
    }
  }

  /** Sorts the numbers from `base` on into buckets. */
  #count(values: Float64Array, { from, to }: BlockPlace, base: number, bucketWidth: number): void {
    const below = this.#below;
    const buckets = below.length - 1;
    const scale = 2 ** -bucketWidth;
    below.fill(0);
    for (let i = from; i < to; i++) {
      const bucket = ((values[i] as number) - base) * scale;
      if (bucket >= 0 && bucket < buckets) {
        const at = (bucket | 0) + 1;
        below[at] = (below[at] as number) + 1;
      }
    }
    for (let i = 1; i <= buckets; i++) below[i] = (below[i] as number) + (below[i - 1] as number);
  }

  /** The window of this width, made of whole buckets, with the most numbers. */
  #densest(range: Window, width: number, bucketWidth: number, count: number): Window {
    const below = this.#below;
    const length = 2 ** (width - bucketWidth);
    let covered = -1;
    let at = 0;
    for (let from = 0; from + length < below.length; from++) {
      const inside = (below[from + length] as number) - (below[from] as number);
      if (inside > covered) {
        covered = inside;
        at = from;
      }
    }
    return { base: range.base + at * 2 ** bucketWidth, width, patches: count - covered };
  }
}

function patchesOf(
  values: Float64Array,
  place: BlockPlace,
  base: number,
  width: number,
): { readonly count: number; readonly bytes: number } {
  const span = 2 ** width - 1;
  let count = 0;
  let bytes = 0;
  for (let i = place.from; i < place.to; i++) {
    const rest = (values[i] as number) - base;
    if (rest >= 0 && rest <= span) continue;
    count++;
    bytes += signedVarintBytes(rest);
  }
  return { count, bytes };
}

function writeBlocks(writer: ByteWriter, orders: Orders, blocks: readonly Block[], blockLog: number): void {
  const values = orders[0];
  writer.signedVarint(values[0] as number);
  for (const { from, to, order, base, width, patches } of blocks) {
    const previous = values[from === 0 ? 0 : from - 1] as number;
    const column = orders[order] as Float64Array;
    const span = 2 ** width - 1;
    const bits = new BitWriter((to - from) * width);
    const places = new BitWriter(patches * blockLog);
    const patched: number[] = [];
    for (let i = from; i < to; i++) {
      const rest = (column[i] as number) - base;
      if (rest >= 0 && rest <= span) {
        bits.write(rest, width);
      } else {
        bits.write(0, width);
        places.write(i - from, blockLog);
        patched.push(rest);
      }
    }
    writer.u8(width | (order << 6));
    writer.signedVarint(order === 0 ? base - previous : base);
    writer.varint(patches);
    writer.raw(places.bytes());
    for (const rest of patched) writer.signedVarint(rest);
    writer.raw(bits.bytes());
  }
}

/** Fills `out`, scaled. What damaged bytes give may be no whole number: who uses it looks. */
export function readBlocks(source: ColumnSource, out: Float64Array, blockLog: number, scale: Scale): void {
  const size = 2 ** blockLog;
  let before: Before = { last: source.reader.signedVarint(), difference: 0 };
  for (let from = 0; from < out.length; from += size) {
    const next = readBlock(source, out, { from, to: Math.min(from + size, out.length), blockLog }, before, scale);
    if (next === undefined) return;
    before = next;
  }
}

/** How the block before ended. */
interface Before {
  readonly last: number;
  readonly difference: number;
}

interface BlockHead {
  readonly order: number;
  readonly packed: Packed;
  /** Their places and what they are of. */
  readonly patches: readonly (readonly [at: number, rest: number])[];
}

function readBlock(
  source: ColumnSource,
  out: Float64Array,
  place: { readonly from: number; readonly to: number; readonly blockLog: number },
  before: Before,
  scale: Scale,
): Before | undefined {
  const { from, to } = place;
  const head = readBlockHead(source, place, before);
  if (head === undefined) return undefined;
  const { view } = source;
  const { order, packed, patches } = head;
  if (order === 1 && patches.length === 0) {
    const last = unpackSums(view, packed, before.last, scale, out, from, to);
    return { last, difference: packed.base + wideBitsAt(view, packed.bit + (to - from - 1) * packed.width, packed.width) };
  }
  unpack(view, packed, unscaled, out, from, to);
  for (const [at, rest] of patches) out[from + at] = packed.base + rest;
  if (order === 2) sumUp(out, from, to, before.difference);
  if (order >= 1) sumUp(out, from, to, before.last);
  const last = out[to - 1] as number;
  const difference = last - (to - from > 1 ? (out[to - 2] as number) : before.last);
  rescale(out, from, to, scale);
  return { last, difference };
}

function readBlockHead(
  source: ColumnSource,
  { from, to, blockLog }: { readonly from: number; readonly to: number; readonly blockLog: number },
  before: Before,
): BlockHead | undefined {
  const { reader, view } = source;
  const count = to - from;
  const head = reader.u8();
  const order = head >> 6;
  const width = head & 63;
  const base = reader.signedVarint() + (order === 0 ? before.last : 0);
  if (width > widthMax || order > orderMax) reader.fail("damaged", `a block of order ${order} and width ${width}`);
  const patchCount = reader.varintUpTo(count, "the number of patches");
  const places = source.takeBits(patchCount, blockLog);
  const patches: (readonly [number, number])[] = [];
  for (let i = 0; i < patchCount && reader.problem === undefined; i++) {
    const at = bitsAt(view, places + i * blockLog, blockLog);
    if (at >= count) reader.fail("damaged", "a patch lies outside its block");
    patches.push([at, reader.signedVarint()]);
  }
  const bit = source.takeBits(count, width);
  return reader.problem === undefined ? { order, packed: { bit, width, base }, patches } : undefined;
}

function sumUp(out: Float64Array, from: number, to: number, start: number): void {
  let value = start;
  for (let i = from; i < to; i++) {
    value += out[i] as number;
    out[i] = value;
  }
}

export function rescale(out: Float64Array, from: number, to: number, { factor, divisor }: Scale): void {
  if (factor !== 1 || divisor !== 1) for (let i = from; i < to; i++) out[i] = ((out[i] as number) * factor) / divisor;
}
