/**
 * A digest that is the same in every process and version for equal JSON values: two 32-bit lanes over canonical JSON.
 * It tells settings apart; it is no protection against somebody who wants a collision.
 */

/** 16 hex digits. Keys are sorted and `undefined` members left out, so the order of writing does not matter. */
export function stableDigest(value: unknown): string {
  const text = canonicalJson(value);
  let left = 0x811c9dc5;
  let right = 0x2545f491;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    left = Math.imul(left ^ unit, 0x01000193);
    right = Math.imul((right << 5) | (right >>> 27), 0x27d4eb2f) ^ unit;
  }
  return hex(avalanche(left ^ text.length)) + hex(avalanche(right ^ left));
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

/** Every bit of the input moves about half of the output's bits. */
function avalanche(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 15), 0x85ebca77);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae3d);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
