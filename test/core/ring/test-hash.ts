/** A 64-bit string hash good enough for tests: two rounds of 32-bit FNV-1a with a final mix (the real one is xxhash64, loaded asynchronously). */
import type { Hash64 } from "../../../src/lib/ids.ts";

export const testHash64: Hash64 = (text) => (BigInt(half(text, 0x811c9dc5)) << 32n) | BigInt(half(text, 0x01234567));

function half(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
