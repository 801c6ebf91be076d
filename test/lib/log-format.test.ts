// Goal: the log's format stays what it is: files of today must open for ever. Method: round trips of arbitrary fields, and
// the bytes of one header, one record and one head file written out.
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { crc32c } from "../../src/lib/crc32c.ts";
import {
  decodeHead,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeHead,
  encodeRecordHeader,
  encodeSegmentHeader,
  isLogName,
  parseSegmentFileName,
  RecordKind,
  recordHeaderBytes,
  recordIsIntact,
  segmentFileName,
} from "../../src/lib/log-format.ts";

const test = suite("lib/log-format");
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const sequence = fc.integer({ min: 1, max: 2 ** 48 - 1 });
const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,23}$/);

test("version 1, byte by byte", () => {
  const header = encodeSegmentHeader({
    name: "raft",
    ordinal: 2,
    base: 0x1_0000_0003,
    chain: 0xa1b2c3d4,
    salt: 0x01020304,
    supersedes: true,
  });
  assert.is(
    hexOf(header),
    "464f47424b4c4f47" +
      "0100" +
      "4000" +
      "02000000" +
      "0300000001000000" +
      "d4c3b2a1" +
      "04030201" +
      "01000000" +
      "72616674" +
      "00".repeat(20) +
      "17d4d747",
  );
  const head = encodeHead({ name: "raft", firstOrdinal: 3, lastOrdinal: 4, durable: 77 });
  assert.is(
    hexOf(head),
    "464f47424b484544" +
      "0100" +
      "4000" +
      "03000000" +
      "04000000" +
      "4d00000000000000" +
      "00".repeat(8) +
      "72616674" +
      "00".repeat(20) +
      "3099bfcf",
  );
  const record = new Uint8Array(recordHeaderBytes);
  const fields = { chain: 0x11223344, sequence: 0x1_0000_0005, kind: RecordKind.Data, watermark: 4 };
  encodeRecordHeader(record, 0, 0x01020304, fields, [Buffer.from("hello"), Buffer.from(" world")]);
  assert.is(hexOf(record), "04030201" + "3c36e2a3" + "0b000000" + "44332211" + "050000000100" + "01" + "00" + "040000000000" + "0000");
});

test("segment header and head file: what goes in comes out", () => {
  fc.assert(
    fc.property(name, uint32, sequence, uint32, uint32, fc.boolean(), (logName, ordinal, base, chain, salt, supersedes) => {
      const header = { name: logName, ordinal, base, chain, salt, supersedes };
      assert.equal(decodeSegmentHeader(encodeSegmentHeader(header)), header);
      const head = { name: logName, firstOrdinal: ordinal, lastOrdinal: salt, durable: base };
      assert.equal(decodeHead(encodeHead(head)), head);
      assert.equal(parseSegmentFileName(segmentFileName(base, ordinal)), { base, ordinal });
    }),
  );
});

test("record: what goes in comes out, at any place, and any changed bit is noticed", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }),
      sequence,
      uint32,
      uint32,
      fc.nat(20),
      fc.nat(),
      (parts, last, chain, salt, at, bit) => {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        const bytes = new Uint8Array(at + recordHeaderBytes + length);
        const fields = { chain, sequence: last, kind: RecordKind.Data, watermark: last - 1 };
        const crc = encodeRecordHeader(bytes, at, salt, fields, parts);
        bytes.set(Buffer.concat(parts), at + recordHeaderBytes);
        const header = decodeRecordHeader(bytes, at, salt);
        assert.equal(header, { ...fields, crc, length });
        assert.ok(header !== undefined && recordIsIntact(bytes, at, salt, header));
        const flip = bit % (8 * (bytes.length - at));
        const place = at + (flip >> 3);
        bytes[place] = (bytes[place] as number) ^ (1 << (flip & 7));
        const flipped = decodeRecordHeader(bytes, at, salt);
        assert.ok(flipped === undefined || !recordIsIntact(bytes, at, salt, flipped));
      },
    ),
  );
});

test("another version is told apart from damage", () => {
  const bytes = encodeHead({ name: "raft", firstOrdinal: 1, lastOrdinal: 1, durable: 0 });
  bytes[20] = 1;
  assert.match(JSON.stringify(decodeHead(bytes)), "checksum");
  const newer = encodeHead({ name: "raft", firstOrdinal: 1, lastOrdinal: 1, durable: 0 });
  newer[8] = 2;
  new DataView(newer.buffer).setUint32(60, crc32c(newer, 0, 0, 60), true);
  assert.match(JSON.stringify(decodeHead(newer)), "format version 2, this Fogbank reads version 1");
  assert.match(JSON.stringify(decodeHead(bytes.subarray(0, 10))), "cut off");
  assert.match(JSON.stringify(decodeSegmentHeader(bytes)), "does not begin with FOGBKLOG");
});

test("names of logs and of segment files", () => {
  for (const good of ["raft", "readings", "a", "x-1"]) assert.ok(isLogName(good));
  for (const bad of ["", "-a", "Raft", "a/b", "..", "a".repeat(25)]) assert.not(isLogName(bad));
  for (const bad of ["head", "1-2.log", "0000000000000001-00000001.log.tmp", "000000000000000g-00000001.log"]) {
    assert.is(parseSegmentFileName(bad), undefined);
  }
});

test.run();
