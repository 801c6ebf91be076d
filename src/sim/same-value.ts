/**
 * Whether two plain values would have the same JSON, without making it: the same fields in the same order, where one that is
 * undefined is as good as none. Bytes are compared as bytes.
 */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, at) => isSameValue(item, b[at]));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return isSameBytes(a, b);
  const one = a as Readonly<Record<string, unknown>>;
  const other = b as Readonly<Record<string, unknown>>;
  const keys = definedKeys(one);
  const others = definedKeys(other);
  return keys.length === others.length && keys.every((key, at) => key === others[at] && isSameValue(one[key], other[key]));
}

const definedKeys = (value: Readonly<Record<string, unknown>>): readonly string[] =>
  Object.keys(value).filter((key) => value[key] !== undefined);

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
