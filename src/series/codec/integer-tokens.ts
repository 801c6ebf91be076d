/**
 * Whole numbers as tokens, entropy-coded by how frequent they are, and bits that follow as they are. A number below 2^s is a token of its
 * own; a greater one gives its magnitude and the m bits below its highest one to the token and the rest of its bits to the bits. Decodes
 * several times more slowly than blocks.
 *
 *     u8            order (lower two bits): 0 the numbers less the least, 1 differences, 2 differences of differences, zig-zag
 *     u8            s in the lower four bits, m in the two above
 *     signed varint the least number, or what the first one is taken to follow
 *     varint        tokens (the highest that occurs, and one)
 *     u8            scaleBits; then, as bits, the frequency of each token: 4 bits for its length, 0 when it does not occur, and the bits
 *                   below its highest one; a 0 is followed by 4 bits, how many more do not occur
 *     symbols       see `range-coder.ts`
 *     bits          of each number in order
 */

import type { ByteWriter } from "../../lib/byte-writer.ts";
import { BitWriter, bitLength, bitsAt, type ColumnSource, type Scale, wideBitsAt, widthMax } from "./bit-packing.ts";
import type { Orders } from "./integer-blocks.ts";
import { type Plan, signedVarintBytes } from "./plan.ts";
import { type Frequencies, readSymbols, scaledFrequencies, writeSymbols } from "./range-coder.ts";

/** How numbers become tokens. */
interface TokenShape {
  readonly direct: number;
  readonly mantissa: number;
}

const directMax = 10;
const mantissaMax = 3;
const scaleBitsMin = 5;
const scaleBitsMax = 12;
/** Above the bits of the number of tokens. */
const scaleBitsPerToken = 5;
/** Each with m ≤ s, and coarser than the first, from whose tokens the others' frequencies are counted. */
const shapes: readonly TokenShape[] = [
  { direct: 10, mantissa: 3 },
  { direct: 9, mantissa: 2 },
  { direct: 7, mantissa: 2 },
  { direct: 5, mantissa: 2 },
  { direct: 4, mantissa: 1 },
  { direct: 2, mantissa: 1 },
  { direct: 1, mantissa: 0 },
];
const finest = shapes[0] as TokenShape;
const finestDirect = 2 ** finest.direct;
/** For each shape, the token that each of the finest becomes. */
const coarser: readonly Uint16Array[] = shapes.map((shape) =>
  Uint16Array.from({ length: tokenCount(finest) }, (_, token) => tokenOf(leastOf(token, finest), shape)),
);

/** An order that suits fewer blocks is not tried. */
const usedOneIn = 4;

/** A shorter column is not worth its frequencies. */
const tokensCountMin = 48;

/** `used`: of each order, how many blocks it would suit. */
export function planTokens(orders: Orders, used: readonly number[]): Plan | undefined {
  const values = orders[0];
  const count = values.length;
  if (count < tokensCountMin) return undefined;
  const blocks = used.reduce((a, b) => a + b);
  let best: Candidate | undefined;
  for (let order = 0; order < orders.length; order++) {
    if ((used[order] as number) * usedOneIn < blocks) continue;
    const column = orders[order] as Float64Array;
    const base = order === 0 ? leastNumber(column) : (values[0] as number);
    const occurrences = countTokens(column, order, base);
    if (occurrences === undefined) continue;
    for (let shape = 0; shape < shapes.length; shape++) {
      // A coarser shape makes the same of small numbers.
      if (occurrences.length <= 2 ** (shapes[shape + 1]?.direct ?? 0)) continue;
      const candidate = estimate(occurrences, shape, { order, base, count });
      if (candidate !== undefined && (best === undefined || candidate.bits < best.bits)) best = candidate;
    }
  }
  if (best === undefined) return undefined;
  const choice = chosen(best);
  return { bytes: choice.bytes, write: (writer) => writeTokens(writer, orders[choice.order] as Float64Array, choice) };
}

interface Candidate {
  readonly order: number;
  readonly base: number;
  readonly shape: TokenShape;
  readonly occurrences: Float64Array;
  readonly scaleBits: number;
  readonly extraBits: number;
  /** All, about. */
  readonly bits: number;
}

interface Choice extends Candidate {
  readonly frequencies: Frequencies;
  readonly bytes: number;
}

function leastNumber(column: Float64Array): number {
  let least = column[0] as number;
  for (let i = 1; i < column.length; i++) if ((column[i] as number) < least) least = column[i] as number;
  return least;
}

/** The number that stands for `value`, not negative. */
function unsignedOf(value: number, order: number, base: number): number {
  if (order === 0) return value - base;
  return value < 0 ? -2 * value - 1 : 2 * value;
}

/** How often each of the finest tokens occurs, up to the highest that does. */
function countTokens(column: Float64Array, order: number, base: number): Float64Array | undefined {
  const occurrences = new Float64Array(tokenCount(finest));
  let highest = 0;
  for (let i = 0; i < column.length; i++) {
    const unsigned = unsignedOf(column[i] as number, order, base);
    if (unsigned > Number.MAX_SAFE_INTEGER) return undefined;
    const token = unsigned < finestDirect ? unsigned : tokenOf(unsigned, finest);
    occurrences[token] = (occurrences[token] as number) + 1;
    if (token > highest) highest = token;
  }
  return occurrences.subarray(0, highest + 1);
}

/** How long a column would be with the tokens of a shape. */
function estimate(
  occurrences: Float64Array,
  shapeIndex: number,
  { order, base, count }: { readonly order: number; readonly base: number; readonly count: number },
): Candidate | undefined {
  const shape = shapes[shapeIndex] as TokenShape;
  const coarse = coarser[shapeIndex] as Uint16Array;
  const dense = new Float64Array((coarse[occurrences.length - 1] as number) + 1);
  for (let token = 0; token < occurrences.length; token++) {
    const occurs = occurrences[token] as number;
    if (occurs > 0) dense[coarse[token] as number] = (dense[coarse[token] as number] as number) + occurs;
  }
  let extraBits = 0;
  let distinct = 0;
  let tokens = 0;
  // Shannon's entropy, and the bits of each frequency.
  const logCount = Math.log2(count);
  let bits = count * logCount;
  for (let token = 0; token < dense.length; token++) {
    const occurs = dense[token] as number;
    if (occurs === 0) continue;
    const log = Math.log2(occurs);
    bits +=
      lengthBits +
      Math.max(0, log - logCount + scaleBitsMax) -
      occurs * log +
      Math.ceil((token - tokens) / (absentMax + 1)) * 2 * lengthBits;
    extraBits += occurs * extraBitsOf(token, shape);
    distinct++;
    tokens = token + 1;
  }
  if (distinct * 2 > 2 ** scaleBitsMax) return undefined;
  // Small tables are read faster, and take less.
  const scaleBits = Math.max(scaleBitsMin, Math.min(bitLength(count), bitLength(distinct) + scaleBitsPerToken, scaleBitsMax));
  return { order, base, shape, occurrences: dense, scaleBits, extraBits, bits: bits + extraBits };
}

function chosen(candidate: Candidate): Choice {
  const { occurrences, scaleBits, extraBits, base } = candidate;
  const frequencies = scaledFrequencies(occurrences, scaleBits);
  let bits = extraBits + frequencyBits(frequencies.counts);
  for (let token = 0; token < occurrences.length; token++) {
    const occurs = occurrences[token] as number;
    if (occurs > 0) bits += occurs * (scaleBits - Math.log2(frequencies.counts[token] as number));
  }
  return { ...candidate, frequencies, bytes: Math.ceil(bits / 8) + 17 + signedVarintBytes(base) };
}

function tokenCount({ direct, mantissa }: TokenShape): number {
  return 2 ** direct + ((widthMax - direct) << mantissa);
}

/** `unsigned` < 2^53. */
function tokenOf(unsigned: number, { direct, mantissa }: TokenShape): number {
  if (unsigned < 1 << direct) return unsigned;
  const below = bitLength(unsigned) - 1;
  const top = Math.floor(unsigned / 2 ** (below - mantissa)) - (1 << mantissa);
  return (1 << direct) + ((below - direct) << mantissa) + top;
}

function extraBitsOf(token: number, { direct, mantissa }: TokenShape): number {
  return token < 1 << direct ? 0 : ((token - (1 << direct)) >> mantissa) + direct - mantissa;
}

function leastOf(token: number, { direct, mantissa }: TokenShape): number {
  if (token < 1 << direct) return token;
  const rest = token - (1 << direct);
  return ((1 << mantissa) + (rest & ((1 << mantissa) - 1))) * 2 ** ((rest >> mantissa) + direct - mantissa);
}

function writeTokens(writer: ByteWriter, column: Float64Array, choice: Choice): void {
  const { order, base, shape, frequencies } = choice;
  const symbols = new Uint16Array(column.length);
  const bits = new BitWriter(choice.extraBits);
  for (let i = 0; i < column.length; i++) {
    const unsigned = unsignedOf(column[i] as number, order, base);
    const token = tokenOf(unsigned, shape);
    symbols[i] = token;
    if (token >= 1 << shape.direct) bits.write(unsigned - leastOf(token, shape), extraBitsOf(token, shape));
  }
  writer.u8(order);
  writer.u8(shape.direct | (shape.mantissa << 4));
  writer.signedVarint(base);
  writeFrequencies(writer, frequencies);
  writeSymbols(writer, symbols, frequencies);
  writer.raw(bits.bytes());
}

/** Fills `out`, scaled. What damaged bytes give may be no whole number: who uses it looks. */
export function readTokens(source: ColumnSource, out: Float64Array, scale: Scale): void {
  const { reader } = source;
  const order = reader.u8();
  const head = reader.u8();
  const shape = { direct: head & 15, mantissa: head >> 4 };
  const base = reader.signedVarint();
  if (order > 2 || shape.direct > directMax || shape.mantissa > Math.min(mantissaMax, shape.direct))
    reader.fail("damaged", `tokens of order ${order} and shape ${head}`);
  const frequencies = readFrequencies(source, shape);
  if (frequencies === undefined) return;
  const symbols = new Uint16Array(out.length);
  readSymbols(source, symbols, frequencies);
  if (reader.problem !== undefined) return;
  const tokens = frequencies.counts.length;
  const least = new Float64Array(tokens);
  const extra = new Uint8Array(tokens);
  for (let token = 0; token < tokens; token++) {
    const bits = extraBitsOf(token, shape);
    extra[token] = bits;
    // Tokens that are whole need no more than a look.
    least[token] = bits > 0 ? leastOf(token, shape) : signedOf(leastOf(token, shape), order, base);
  }
  let total = 0;
  for (let i = 0; i < symbols.length; i++) total += extra[symbols[i] as number] as number;
  const bit = source.takeBits(total, 1);
  if (bit < 0) return;
  restore(source.view, bit, symbols, { least, extra, order, base }, scale, out);
}

/** What `unsignedOf` gave `unsigned` for. */
function signedOf(unsigned: number, order: number, base: number): number {
  if (order === 0) return base + unsigned;
  const half = Math.floor(unsigned / 2);
  return half * 2 === unsigned ? half : -half - 1;
}

interface Tokens {
  /** Of each token the least number; the only one, with its sign, where no bits follow. */
  readonly least: Float64Array;
  readonly extra: Uint8Array;
  readonly order: number;
  readonly base: number;
}

function restore(
  view: DataView,
  start: number,
  symbols: Uint16Array,
  { least, extra, order, base }: Tokens,
  { factor, divisor }: Scale,
  out: Float64Array,
): void {
  let bit = start;
  let sum = order === 0 ? 0 : base;
  let difference = 0;
  for (let i = 0; i < out.length; i++) {
    const token = symbols[i] as number;
    const width = extra[token] as number;
    let value = least[token] as number;
    if (width > 0) {
      value = signedOf(value + wideBitsAt(view, bit, width), order, base);
      bit += width;
    }
    if (order === 0) sum = value;
    else if (order === 1) sum += value;
    else {
      difference += value;
      sum += difference;
    }
    out[i] = (sum * factor) / divisor;
  }
}

const lengthBits = 4;
const absentMax = 2 ** lengthBits - 1;

function writeFrequencies(writer: ByteWriter, { scaleBits, counts }: Frequencies): void {
  const bits = new BitWriter(frequencyBits(counts));
  for (let token = 0; token < counts.length; token++) {
    const length = bitLength(counts[token] as number);
    bits.write(length, lengthBits);
    if (length > 1) bits.write((counts[token] as number) - 2 ** (length - 1), length - 1);
    if (length > 0) continue;
    const more = absentAfter(counts, token);
    bits.write(more, lengthBits);
    token += more;
  }
  writer.varint(counts.length);
  writer.u8(scaleBits);
  writer.raw(bits.bytes());
}

function frequencyBits(counts: Uint16Array): number {
  let bits = 0;
  for (let token = 0; token < counts.length; token++) {
    const count = counts[token] as number;
    bits += lengthBits + (count === 0 ? lengthBits : bitLength(count) - 1);
    if (count === 0) token += absentAfter(counts, token);
  }
  return bits;
}

function absentAfter(counts: Uint16Array, token: number): number {
  let more = 0;
  while (more < absentMax && counts[token + 1 + more] === 0) more++;
  return more;
}

function readFrequencies(source: ColumnSource, shape: TokenShape): Frequencies | undefined {
  const { reader, view } = source;
  const tokens = reader.varintUpTo(tokenCount(shape), "the number of tokens");
  const scaleBits = reader.u8();
  if (tokens === 0 || scaleBits < scaleBitsMin || scaleBits > scaleBitsMax) reader.fail("damaged", `frequencies of scale ${scaleBits}`);
  if (reader.problem !== undefined) return undefined;
  const counts = new Uint16Array(tokens);
  const start = reader.offset * 8;
  const limit = start + reader.remaining * 8;
  let bit = start;
  let sum = 0;
  for (let token = 0; token < tokens && bit < limit; token++) {
    const length = bitsAt(view, bit, lengthBits);
    bit += lengthBits;
    if (length === 0) {
      token += bitsAt(view, bit, lengthBits);
      bit += lengthBits;
      continue;
    }
    counts[token] = (1 << (length - 1)) + bitsAt(view, bit, length - 1);
    bit += length - 1;
    sum += counts[token] as number;
  }
  reader.raw((bit - start + 7) >>> 3);
  if (sum !== 2 ** scaleBits) reader.fail("damaged", "frequencies do not add up");
  return reader.problem === undefined ? { scaleBits, counts } : undefined;
}
