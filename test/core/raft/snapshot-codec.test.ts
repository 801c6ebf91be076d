// Goal: a snapshot that was read is the one that was written; any change of its bytes is found before any of them is used.
// Method: round trips with blocks of all sizes; every bit flipped, every truncation, blocks moved; a pinned example.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SnapshotMeta } from "../../../src/core/raft/messages.ts";
import { decodeSnapshot, SnapshotEncoder, snapshotName, snapshotPosition } from "../../../src/core/raft/snapshot-codec.ts";
import { memberId } from "../../../src/lib/ids.ts";

const test = suite("core/raft/snapshot-codec");
const meta: SnapshotMeta = {
  index: 300,
  term: 7,
  configuration: { voters: ["gw-a", "gw-b"].map(memberId), learners: [memberId("gw-c")], witnesses: [] },
};

function encode(blocks: readonly Uint8Array[], of = meta): Uint8Array {
  const encoder = new SnapshotEncoder(of);
  const parts = [...encoder.header(), ...blocks.flatMap((block) => encoder.block(block)), ...encoder.end()];
  return Uint8Array.from(Buffer.concat(parts));
}

test("what is encoded is decoded, in blocks of any size", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 }), (blocks) => {
      const decoded = decodeSnapshot(encode(blocks));
      assert.equal(decoded, { ok: true, value: { meta, state: Uint8Array.from(Buffer.concat(blocks)) } });
    }),
  );
});

test("every flipped bit and every truncation is found", () => {
  const bytes = encode([Uint8Array.of(1, 2, 3), Uint8Array.of(4), new Uint8Array(100)]);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = bytes.slice();
    flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
    assert.not(decodeSnapshot(flipped).ok, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) assert.not(decodeSnapshot(bytes.subarray(0, length)).ok);
  assert.not(decodeSnapshot(Uint8Array.from([...bytes, 0])).ok);
});

test("blocks that are swapped, doubled, left out or another snapshot's are found, though each is intact", () => {
  const blocks = [Uint8Array.of(1, 1, 1), Uint8Array.of(2, 2, 2), Uint8Array.of(3, 3, 3)];
  const bytes = encode(blocks);
  const blockBytes = 4 + 3 + 4;
  const end = bytes.length - 12;
  const start = end - 3 * blockBytes;
  const block = (at: number, of = bytes) => of.subarray(start + at * blockBytes, start + (at + 1) * blockBytes);
  const other = encode([Uint8Array.of(9, 9, 9), ...blocks.slice(1)]);
  const arrangements = [[1, 0, 2], [0, 0, 1, 2], [0, 2], [0, 1], []].map((order) => order.map((at) => block(at)));
  for (const arranged of [...arrangements, [block(0), block(1, other), block(2)]]) {
    assert.not(decodeSnapshot(Buffer.concat([bytes.subarray(0, start), ...arranged, bytes.subarray(end)])).ok);
  }
  assert.ok(decodeSnapshot(Buffer.concat([bytes.subarray(0, start), block(0), block(1), block(2), bytes.subarray(end)])).ok);
});

test("names sort by index, then by term, and come back", () => {
  const positions = [
    { index: 1, term: 1 },
    { index: 255, term: 2 },
    { index: 256, term: 2 },
    { index: 256, term: 17 },
  ];
  const names = positions.map(snapshotName);
  assert.equal([...names].sort(), names);
  assert.equal(names.map(snapshotPosition), positions);
  for (const name of ["head", "1-2.snap", `${names[0]}.1.tmp`, ""]) assert.is(snapshotPosition(name), undefined);
});

test("the format of version 1 stays as it is", () => {
  const one = { index: 5, term: 2, configuration: { voters: [memberId("a")], learners: [], witnesses: [] } };
  const bytes = encode([Uint8Array.of(7, 8)], one);
  assert.is(Buffer.from(bytes).toString("hex"), "464f47424b534e500100050201016100002ae64982020000000708b73b9e010000000001000000807101ac");
  const newer = bytes.slice();
  newer[8] = 2;
  const decoded = decodeSnapshot(newer);
  assert.is(!decoded.ok && decoded.code, "unsupported-version");
});

test.run();
