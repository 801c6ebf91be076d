/**
 * Symbols by their frequency: rANS (Duda 2013) with two states in turns, 16 bits at a time, frequencies of `2^scaleBits` in all. States
 * stay below 2^31, so that they are small integers to the engine.
 *
 * Written: the two states of the decoder (u32 each), the number of 16-bit words (varint), the words. The decoder ends where the encoder
 * began, which it checks.
 */

import type { ByteWriter } from "../../lib/byte-writer.ts";
import type { ColumnSource } from "./bit-packing.ts";

const stateMin = 2 ** 15;
const stateLimit = 2 ** 31;

/** How often each symbol, of `2^scaleBits`. */
export interface Frequencies {
  readonly scaleBits: number;
  readonly counts: Uint16Array;
}

/** Counts of symbols in proportion, none that occurs below 1, `2^scaleBits` together. At most half as many symbols may occur. */
export function scaledFrequencies(occurrences: Float64Array, scaleBits: number): Frequencies {
  const scale = 2 ** scaleBits;
  let total = 0;
  for (const count of occurrences) total += count;
  const counts = new Uint16Array(occurrences.length);
  let sum = 0;
  let largest = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    const occurs = occurrences[symbol] as number;
    if (occurs === 0) continue;
    const scaled = Math.max(1, Math.round((occurs * scale) / total));
    counts[symbol] = scaled;
    sum += scaled;
    if (scaled > (counts[largest] as number)) largest = symbol;
  }
  // What rounding gave or took falls on the most frequent ones, which feel it least.
  while (sum !== scale) {
    const correction = Math.max(scale - sum, -((counts[largest] as number) >>> 1));
    counts[largest] = (counts[largest] as number) + correction;
    sum += correction;
    for (let symbol = 0; symbol < counts.length; symbol++) if ((counts[symbol] as number) > (counts[largest] as number)) largest = symbol;
  }
  return { scaleBits, counts };
}

export function writeSymbols(writer: ByteWriter, symbols: Uint16Array, { scaleBits, counts }: Frequencies): void {
  const starts = startsOf(counts);
  const words = new Uint16Array(symbols.length + 2);
  let used = 0;
  const states: [number, number] = [stateMin, stateMin];
  for (let i = symbols.length - 1; i >= 0; i--) {
    const symbol = symbols[i] as number;
    const frequency = counts[symbol] as number;
    let state = states[i & 1] as number;
    if (state >= (stateMin >>> scaleBits) * 0x10000 * frequency) {
      words[used++] = state & 0xffff;
      state >>>= 16;
    }
    const quotient = Math.floor(state / frequency);
    states[i & 1] = (quotient << scaleBits) + (state - quotient * frequency) + (starts[symbol] as number);
  }
  writer.u32(states[0]);
  writer.u32(states[1]);
  writer.varint(used);
  for (let i = used - 1; i >= 0; i--) writer.u16(words[i] as number);
}

/** Fills `symbols`. */
export function readSymbols(source: ColumnSource, symbols: Uint16Array, { scaleBits, counts }: Frequencies): void {
  const { reader, view } = source;
  let even = reader.u32();
  let odd = reader.u32();
  const words = reader.varintUpTo(symbols.length, "the number of words");
  let at = reader.offset;
  reader.raw(words * 2);
  if (even < stateMin || even >= stateLimit || odd < stateMin || odd >= stateLimit) reader.fail("damaged", "a state is out of its range");
  if (reader.problem !== undefined) return;
  const end = at + words * 2;
  const mask = (1 << scaleBits) - 1;
  const { symbolOf, stepOf } = decodingTables(scaleBits, counts);
  for (let i = 0; i < symbols.length; i++) {
    const slot = even & mask;
    const step = stepOf[slot] as number;
    symbols[i] = symbolOf[slot] as number;
    const state = Math.imul(step & 0xffff, even >>> scaleBits) + (step >>> 16);
    // All ones where another word is due, without a branch, which nothing could predict.
    const due = (state - stateMin) >> 31;
    even = odd;
    odd = (state << (due & 16)) | (view.getUint16(at, true) & due);
    at += due & 2;
    if (at > end) return reader.fail("damaged", "entropy-coded symbols end too early");
  }
  if (even !== stateMin || odd !== stateMin || at !== end) reader.fail("damaged", "entropy-coded symbols do not end where they should");
}

function startsOf(counts: Uint16Array): Uint16Array {
  const starts = new Uint16Array(counts.length);
  let start = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    starts[symbol] = start;
    start += counts[symbol] as number;
  }
  return starts;
}

/** For each slot its symbol, and how a state goes on from it: the frequency, and above it the slot's place in the symbol's range. */
function decodingTables(scaleBits: number, counts: Uint16Array): { readonly symbolOf: Uint16Array; readonly stepOf: Int32Array } {
  const symbolOf = new Uint16Array(2 ** scaleBits);
  const stepOf = new Int32Array(2 ** scaleBits);
  let slot = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    const count = counts[symbol] as number;
    for (let i = 0; i < count; i++, slot++) {
      symbolOf[slot] = symbol;
      stepOf[slot] = count | (i << 16);
    }
  }
  return { symbolOf, stepOf };
}
