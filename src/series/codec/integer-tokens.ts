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
import { BitWriter, bitLength, bitsAt, type ColumnSource, widthMax } from "./bit-packing.ts";
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

/** A shorter column is not worth its frequencies. */
const tokensCountMin = 48;

export function planTokens(orders: Orders): Plan | undefined {
  const values = orders[0];
  if (values.length < tokensCountMin) return undefined;
  let best: Choice | undefined;
  for (let order = 0; order < orders.length; order++) {
    const column = orders[order] as Float64Array;
    const base = order === 0 ? column.reduce((a, b) => Math.min(a, b)) : (values[0] as number);
    const occurrences = countTokens(column, order, base);
    if (occurrences === undefined) continue;
    for (const shape of shapes) {
      const choice = chosen(occurrences, shape, { order, base, count: values.length });
      if (choice !== undefined && (best === undefined || choice.bytes < best.bytes)) best = choice;
    }
  }
  if (best === undefined) return undefined;
  const choice = best;
  return { bytes: choice.bytes, write: (writer) => writeTokens(writer, orders[choice.order] as Float64Array, choice) };
}

interface Choice {
  readonly order: number;
  readonly base: number;
  readonly shape: TokenShape;
  readonly frequencies: Frequencies;
  readonly extraBits: number;
  readonly bytes: number;
}

/** The number that stands for `value`, not negative. */
function unsignedOf(value: number, order: number, base: number): number {
  if (order === 0) return value - base;
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function countTokens(column: Float64Array, order: number, base: number): ReadonlyMap<number, number> | undefined {
  const dense = new Float64Array(tokenCount(finest));
  for (let i = 0; i < column.length; i++) {
    const unsigned = unsignedOf(column[i] as number, order, base);
    if (unsigned > Number.MAX_SAFE_INTEGER) return undefined;
    const token = tokenOf(unsigned, finest);
    dense[token] = (dense[token] as number) + 1;
  }
  const occurrences = new Map<number, number>();
  dense.forEach((count, token) => {
    if (count > 0) occurrences.set(token, count);
  });
  return occurrences;
}

function chosen(
  occurrences: ReadonlyMap<number, number>,
  shape: TokenShape,
  column: { readonly order: number; readonly base: number; readonly count: number },
): Choice | undefined {
  const dense = new Float64Array(tokenCount(shape));
  let extraBits = 0;
  let tokens = 0;
  let distinct = 0;
  for (const [token, count] of occurrences) {
    const least = leastOf(token, finest);
    const coarse = tokenOf(least, shape);
    if (dense[coarse] === 0) distinct++;
    dense[coarse] = (dense[coarse] as number) + count;
    extraBits += count * extraBitsOf(coarse, shape);
    tokens = Math.max(tokens, coarse + 1);
  }
  const scaleBits = Math.max(Math.min(bitLength(column.count), scaleBitsMax), scaleBitsMin);
  if (distinct * 2 > 2 ** scaleBits) return undefined;
  const frequencies = scaledFrequencies(dense.subarray(0, tokens), scaleBits);
  let bits = extraBits + frequencyBits(frequencies.counts);
  for (let token = 0; token < tokens; token++) {
    const count = dense[token] as number;
    if (count > 0) bits += count * (scaleBits - Math.log2(frequencies.counts[token] as number));
  }
  const bytes = Math.ceil(bits / 8) + 17 + signedVarintBytes(column.base);
  return { order: column.order, base: column.base, shape, frequencies, extraBits, bytes };
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

/** Fills `out`. What damaged bytes give is finite but may be no whole number: who uses it looks. */
export function readTokens(source: ColumnSource, out: Float64Array): void {
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
  const least = Float64Array.from({ length: tokens }, (_, token) => leastOf(token, shape));
  const extra = Uint8Array.from({ length: tokens }, (_, token) => extraBitsOf(token, shape));
  let total = 0;
  for (let i = 0; i < symbols.length; i++) total += extra[symbols[i] as number] as number;
  const bit = source.takeBits(total, 1);
  if (bit < 0) return;
  spread(source.words, bit, symbols, { least, extra }, out);
  restore(out, order, base);
}

function spread(
  words: Int32Array,
  start: number,
  symbols: Uint16Array,
  { least, extra }: { readonly least: Float64Array; readonly extra: Uint8Array },
  out: Float64Array,
): void {
  let bit = start;
  for (let i = 0; i < out.length; i++) {
    const token = symbols[i] as number;
    const width = extra[token] as number;
    let value = least[token] as number;
    if (width > 0) {
      if (width <= 31) value += bitsAt(words, bit, width);
      else value += (bitsAt(words, bit, 32) >>> 0) + bitsAt(words, bit + 32, Math.max(0, width - 32)) * 2 ** 32;
      bit += width;
    }
    out[i] = value;
  }
}

/** From unsigned numbers back to the column. */
function restore(out: Float64Array, order: number, base: number): void {
  let value = base;
  let difference = 0;
  for (let i = 0; i < out.length; i++) {
    const unsigned = out[i] as number;
    if (order === 0) {
      out[i] = base + unsigned;
      continue;
    }
    const half = Math.floor(unsigned / 2);
    const signed = half * 2 === unsigned ? half : -half - 1;
    difference = order === 1 ? signed : difference + signed;
    value += difference;
    out[i] = value;
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
  const { reader, words } = source;
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
    const length = bitsAt(words, bit, lengthBits);
    bit += lengthBits;
    if (length === 0) {
      token += bitsAt(words, bit, lengthBits);
      bit += lengthBits;
      continue;
    }
    counts[token] = (1 << (length - 1)) + bitsAt(words, bit, length - 1);
    bit += length - 1;
    sum += counts[token] as number;
  }
  reader.raw((bit - start + 7) >>> 3);
  if (sum !== 2 ** scaleBits) reader.fail("damaged", "frequencies do not add up");
  return reader.problem === undefined ? { scaleBits, counts } : undefined;
}
