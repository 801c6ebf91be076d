/** Small values of the store: MessagePack behind a CRC-32C of it (uint32, little endian). */

import { crc32c } from "../../lib/crc32c.ts";
import { failure, type Result } from "../../lib/errors.ts";
import type { Packing } from "../../lib/packing.ts";

export function packSealed(packing: Packing, value: unknown): Uint8Array {
  const body = packing.pack(value);
  const sealed = new Uint8Array(4 + body.length);
  new DataView(sealed.buffer).setUint32(0, crc32c(body), true);
  sealed.set(body, 4);
  return sealed;
}

export function unpackSealed(packing: Packing, sealed: Uint8Array): Result<unknown> {
  if (sealed.length < 4) return failure("store-damaged", "a value is too short");
  const body = sealed.subarray(4);
  const expected = new DataView(sealed.buffer, sealed.byteOffset, 4).getUint32(0, true);
  if (crc32c(body) !== expected) return failure("store-damaged", "a value does not match its checksum");
  return packing.unpack(body);
}
