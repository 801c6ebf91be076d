/**
 * The additive content digest: each reading hashes to 64 bits (two lanes of 32), and a set of readings to the sum of them,
 * lane by lane modulo 2^32. So it does not depend on order or on how readings are cut into chunks, and a range can be added
 * or taken away. It finds replicas that differ by accident; it is no defence against readings made up to collide.
 */

import { ValueType } from "../lib/reading.ts";
import { runTypeAt, type SeriesRun } from "./run.ts";

/** Sum over `count` readings; both lanes are unsigned 32-bit integers. */
export interface Digest {
  readonly count: number;
  readonly low: number;
  readonly high: number;
}

/** Hash of a series' name: two unsigned 32-bit integers. */
export interface SeriesHash {
  readonly low: number;
  readonly high: number;
}

export const emptyDigest: Digest = { count: 0, low: 0, high: 0 };

export function addDigests(a: Digest, b: Digest): Digest {
  return { count: a.count + b.count, low: (a.low + b.low) >>> 0, high: (a.high + b.high) >>> 0 };
}

export function subtractDigests(a: Digest, b: Digest): Digest {
  return { count: a.count - b.count, low: (a.low - b.low) >>> 0, high: (a.high - b.high) >>> 0 };
}

export function sameDigest(a: Digest, b: Digest): boolean {
  return a.count === b.count && a.low === b.low && a.high === b.high;
}

/** A pure function of the names, the same on every gateway and in every version: it is on disk. */
export function seriesHashOf(device: string, metric: string): SeriesHash {
  return {
    low: finish(mixText(mix(mixText(lowSeed, device, lowFactor), device.length, lowFactor), metric, lowFactor)),
    high: finish(mixText(mix(mixText(highSeed, device, highFactor), device.length, highFactor), metric, highFactor)),
  };
}

/** Digest of rows [from, to) of a sorted unique run of the series. */
export function digestRun(series: SeriesHash, run: SeriesRun, from = 0, to = run.count): Digest {
  // The bits of times and numbers as words, without a copy.
  const timeWords = new Uint32Array(run.times.buffer, run.times.byteOffset, run.count * 2);
  const numberWords = new Uint32Array(run.numbers.buffer, run.numbers.byteOffset, run.count * 2);
  if (run.types === undefined) return digestNumbers(series, run.numbers, { timeWords, numberWords, from, to });
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i++) {
    const type = runTypeAt(run, i);
    let valueLow = numberWords[i * 2] as number;
    let valueHigh = numberWords[i * 2 + 1] as number;
    if (type === ValueType.Text) {
      const text = run.texts[run.numbers[i] as number] as string;
      valueLow = mixText(lowSeed, text, lowFactor);
      valueHigh = mixText(highSeed, text, highFactor);
    } else if (type === ValueType.Boolean) {
      valueLow = run.numbers[i] === 0 ? 0 : 1;
      valueHigh = 0;
    } else if (Number.isNaN(run.numbers[i])) {
      // Engines may change the payload of a NaN when they copy it.
      valueLow = 0;
      valueHigh = 0x7ff80000;
    }
    const timeLow = timeWords[i * 2] as number;
    const timeHigh = timeWords[i * 2 + 1] as number;
    low = (low + reading(series.low, lowFactor, timeLow, timeHigh, type, valueLow, valueHigh)) | 0;
    high = (high + reading(series.high, highFactor, timeLow, timeHigh, type, valueLow, valueHigh)) | 0;
  }
  return { count: to - from, low: low >>> 0, high: high >>> 0 };
}

interface NumberRows {
  readonly timeWords: Uint32Array;
  readonly numberWords: Uint32Array;
  readonly from: number;
  readonly to: number;
}

/** `digestRun` of numbers only, in a loop that the compiler keeps in registers. */
function digestNumbers(series: SeriesHash, numbers: Float64Array, { timeWords, numberWords, from, to }: NumberRows): Digest {
  const lowStart = series.low ^ ValueType.Number;
  const highStart = series.high ^ ValueType.Number;
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i++) {
    const value = numbers[i] as number;
    const isNumber = !Number.isNaN(value);
    const timeLow = (timeWords[i * 2] as number) | 0;
    const timeHigh = (timeWords[i * 2 + 1] as number) | 0;
    const valueLow = isNumber ? (numberWords[i * 2] as number) | 0 : 0;
    const valueHigh = isNumber ? (numberWords[i * 2 + 1] as number) | 0 : 0x7ff80000;
    let hash = mix(mix(lowStart, timeLow, lowFactor), timeHigh, lowFactor);
    low = (low + finish(mix(mix(hash, valueLow, lowFactor), valueHigh, lowFactor))) | 0;
    hash = mix(mix(highStart, timeLow, highFactor), timeHigh, highFactor);
    high = (high + finish(mix(mix(hash, valueLow, highFactor), valueHigh, highFactor))) | 0;
  }
  return { count: to - from, low: low >>> 0, high: high >>> 0 };
}

// Never change: digests are on disk and compared between versions.
const lowSeed = 0x3c6ef372;
const highSeed = 0x510e527f;
const lowFactor = 0xcc9e2d51 | 0;
const highFactor = 0x9e3779b1 | 0;

function reading(
  seed: number,
  factor: number,
  timeLow: number,
  timeHigh: number,
  type: number,
  valueLow: number,
  valueHigh: number,
): number {
  let hash = mix(seed ^ type, timeLow, factor);
  hash = mix(hash, timeHigh, factor);
  hash = mix(hash, valueLow, factor);
  return finish(mix(hash, valueHigh, factor));
}

/** One step in the manner of MurmurHash3 (Appleby 2011): a word is multiplied, rotated and folded in. */
function mix(hash: number, word: number, factor: number): number {
  let folded = Math.imul(word, factor);
  folded = (folded << 15) | (folded >>> 17);
  const next = hash ^ Math.imul(folded, 0x1b873593);
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0;
}

function mixText(seed: number, text: string, factor: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = mix(hash, text.charCodeAt(i), factor);
  return mix(hash, text.length, factor);
}

/** Every bit of the input reaches every bit of the result. Unsigned. */
function finish(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
