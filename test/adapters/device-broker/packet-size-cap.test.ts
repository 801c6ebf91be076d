// Goal: the cap reads exactly the fixed headers of an MQTT stream, and refuses what is too large as soon as its length is
// known. Method: streams of packets, cut into chunks at every place; single packets at the edges of the limits.
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PacketHeaderScanner } from "../../../src/adapters/device-broker/packet-size-cap.ts";

const test = suite("packet-size cap");

const limits = { controlBytesMax: 200, publishBytesMax: 20_000 };

/** A packet with this first byte and a body of `length` bytes, 0xff so that a wrong step would meet a bad length. */
function packet(header: number, length: number): Buffer {
  const bytes = [header];
  let left = length;
  do {
    bytes.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from(bytes), Buffer.alloc(length, 0xff)]);
}

function scanAll(stream: Buffer, cuts: readonly number[]): string | undefined {
  const scanner = new PacketHeaderScanner(limits);
  let at = 0;
  for (const cut of [...cuts, stream.length]) {
    const refused = scanner.scan(stream.subarray(at, Math.max(at, cut)));
    if (refused !== undefined) return refused.refusal;
    at = Math.max(at, cut);
  }
  return undefined;
}

test("verdicts do not depend on how the stream is cut", () => {
  const body = fc.oneof(fc.constantFrom(0, 1, 127, 128, 200, 201), fc.integer({ min: 0, max: 400 }));
  const packets = fc.array(fc.record({ header: fc.constantFrom(0x30, 0x32, 0x82, 0xc0), length: body }), { maxLength: 8 });
  fc.assert(
    fc.property(packets, fc.array(fc.nat(3_000), { maxLength: 10 }), (following, places) => {
      const stream = Buffer.concat([packet(0x10, 20), ...following.map(({ header, length }) => packet(header, length))]);
      const tooLarge = following.some(({ header, length }) => header >> 4 !== 3 && length > limits.controlBytesMax);
      const expected = tooLarge ? "packet-too-large" : undefined;
      const cuts = places.map((place) => place % (stream.length + 1)).sort((a, b) => a - b);
      assert.is(scanAll(stream, []), expected);
      assert.is(scanAll(stream, cuts), expected);
      assert.is(scanAll(stream, Array.from(stream.keys())), expected);
    }),
    { numRuns: 100, seed: 7 },
  );
});

test("the limits are inclusive, and PUBLISH has its own", () => {
  const connect = packet(0x10, 20);
  assert.is(scanAll(Buffer.concat([connect, packet(0x32, 20_000)]), []), undefined);
  assert.is(scanAll(Buffer.concat([connect, packet(0x32, 20_001)]), []), "packet-too-large");
  assert.is(scanAll(packet(0x10, 200), []), undefined);
  assert.is(scanAll(packet(0x10, 201), []), "packet-too-large");
});

test("a refusal comes with the header, before the body", () => {
  const scanner = new PacketHeaderScanner(limits);
  // MQTT §2.2.3: 0x80 0x84 0xaf 0x5f is 200,000,000.
  const refused = scanner.scan(Uint8Array.of(0x10, 0x80, 0x84, 0xaf, 0x5f));
  assert.is(refused?.refusal, "packet-too-large");
  assert.ok(refused?.message.includes("200000000") && refused.message.includes("CONNECT"), refused?.message ?? "");
});

test("a Remaining Length of more than four bytes is malformed", () => {
  assert.is(scanAll(Buffer.of(0x10, 0xff, 0xff, 0xff, 0xff), []), "malformed-packet");
  assert.is(scanAll(Buffer.of(0x10, 0x80, 0x80, 0x80, 0x80, 0x01), []), "malformed-packet");
});

test("what does not begin with CONNECT is malformed, and TLS is named", () => {
  assert.is(scanAll(packet(0x30, 5), []), "malformed-packet");
  assert.is(scanAll(Buffer.from("GET / HTTP/1.1\r\n"), []), "malformed-packet");
  const tls = new PacketHeaderScanner(limits).scan(Uint8Array.of(0x16, 0x03, 0x01));
  assert.ok(tls?.message.includes("TLS"), tls?.message ?? "");
});

test("a new limit holds from the next packet on", () => {
  const scanner = new PacketHeaderScanner(limits);
  assert.is(scanner.scan(packet(0x10, 20)), undefined);
  scanner.limit({ controlBytesMax: 200, publishBytesMax: 30_000 });
  assert.is(scanner.scan(packet(0x30, 30_000)), undefined);
  assert.is(scanner.scan(packet(0x30, 30_001))?.refusal, "packet-too-large");
});

test.run();
