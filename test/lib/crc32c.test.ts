// Goal: the checksum is CRC-32C, whatever the length and however the input is cut. Method: the known answers of
// RFC 3720 §B.4 and the usual check value, a bit-by-bit reference, and every cut of a random buffer.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import { crc32c } from "../../src/lib/crc32c.ts";
import { SeededRandom } from "../../src/lib/random.ts";

const test = suite("lib/crc32c");
const ascii = (text: string) => new TextEncoder().encode(text);

function reference(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
  }
  return ~crc >>> 0;
}

test("RFC 3720 §B.4 known answers", () => {
  assert.is(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  assert.is(crc32c(ascii("123456789")), 0xe3069283);
  assert.is(crc32c(new Uint8Array(0)), 0);
});

test("equals the bit-by-bit reference for every length, offset and cut", () => {
  const random = new SeededRandom(7);
  const bytes = Uint8Array.from({ length: 67 }, () => random.below(256));
  for (let end = 0; end <= bytes.length; end++) {
    const whole = reference(bytes.subarray(0, end));
    for (let cut = 0; cut <= end; cut++) {
      assert.is(crc32c(bytes, crc32c(bytes, 0, 0, cut), cut, end), whole);
    }
  }
});

test.run();
