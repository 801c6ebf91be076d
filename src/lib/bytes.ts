/**
 * Copies of bytes. `Uint8Array.prototype.slice` copies, but a Node `Buffer`, which is a Uint8Array too, overrides it to
 * give a view of the same memory: bytes that came from outside are therefore copied with this function.
 */
export function copyBytes(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(from, to));
}

/** Byte by byte, a shorter one before those that begin with it: the order of keys in a store. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
