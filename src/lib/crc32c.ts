/**
 * CRC-32C (Castagnoli polynomial 0x1edc6f41, reflected 0x82f63b78; RFC 3720 §B.4), by slicing-by-8: eight table
 * look-ups take eight bytes at once (Kounavis and Berry 2005).
 */

const tables = makeTables();

function makeTables(): readonly Uint32Array[] {
  const first = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
    first[byte] = crc;
  }
  const all = [first];
  for (let slice = 1; slice < 8; slice++) {
    const before = all[slice - 1] as Uint32Array;
    all.push(before.map((crc) => (first[crc & 0xff] as number) ^ (crc >>> 8)));
  }
  return all;
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as readonly [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];

/**
 * Checksum of `bytes` from `start` to `end`. `previous` is the checksum of what came before (0 at the beginning), so
 * that `crc32c(b, crc32c(a))` is the checksum of a followed by b. The result is an unsigned 32-bit integer.
 */
export function crc32c(bytes: Uint8Array, previous = 0, start = 0, end = bytes.length): number {
  let crc = ~previous;
  let at = start;
  const last8 = end - 8;
  while (at <= last8) {
    const low =
      crc ^
      ((bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24));
    crc =
      (t7[low & 0xff] as number) ^
      (t6[(low >>> 8) & 0xff] as number) ^
      (t5[(low >>> 16) & 0xff] as number) ^
      (t4[low >>> 24] as number) ^
      (t3[bytes[at + 4] as number] as number) ^
      (t2[bytes[at + 5] as number] as number) ^
      (t1[bytes[at + 6] as number] as number) ^
      (t0[bytes[at + 7] as number] as number);
    at += 8;
  }
  while (at < end) crc = (t0[(crc ^ (bytes[at++] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}
