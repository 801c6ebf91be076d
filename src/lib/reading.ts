/**
 * What a reading is: (device, metric, timestamp in µs) is its identity, the value is what stands there. Writing it
 * twice is writing it once; of two different values at one identity the greater logical value wins.
 */

/** Type rank and on-disk tag in one. Never renumber. */
export const ValueType = { Boolean: 1, Number: 2, Text: 3 } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

export type ReadingValue = number | string | boolean;

export function valueTypeOf(value: ReadingValue): ValueType {
  if (typeof value === "number") return ValueType.Number;
  return typeof value === "string" ? ValueType.Text : ValueType.Boolean;
}

const scratch = new DataView(new ArrayBuffer(8));

/** IEEE 754 totalOrder (§5.10): −NaN < −∞ < … < −0 < +0 < … < +∞ < +NaN. Negative, zero or positive. */
export function compareNumbers(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b && a !== 0) return 0;
  const left = totalOrderKey(a);
  const right = totalOrderKey(b);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function totalOrderKey(value: number): bigint {
  scratch.setFloat64(0, value);
  const bits = scratch.getBigInt64(0);
  return bits < 0n ? bits ^ 0x7fffffffffffffffn : bits;
}

/** Order of UTF-8 bytes, which is the order of code points (not of UTF-16 units). */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) {
      // Surrogates stand for code points above the rest of the basic plane: lift them above 0xe000 … 0xffff.
      return fixSurrogate(left) - fixSurrogate(right);
    }
  }
  return a.length - b.length;
}

function fixSurrogate(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** The conflict rule: type rank first, then IEEE total order or UTF-8 bytes. Negative when `a` loses to `b`. */
export function compareValues(a: ReadingValue, b: ReadingValue): number {
  const left = valueTypeOf(a);
  const right = valueTypeOf(b);
  if (left !== right) return left - right;
  if (typeof a === "number") return compareNumbers(a, b as number);
  if (typeof a === "string") return compareTexts(a, b as string);
  return Number(a) - Number(b);
}
