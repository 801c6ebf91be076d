/**
 * Copies of bytes. `Uint8Array.prototype.slice` copies, but a Node `Buffer`, which is a Uint8Array too, overrides it to
 * give a view of the same memory: bytes that came from outside are therefore copied with this function.
 */
export function copyBytes(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(from, to));
}
