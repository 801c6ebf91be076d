// Goal: of a backup's file only what is whole, undamaged and in its place counts. Method: a file of every kind of block, cut off at every
// byte, with every bit flipped, with blocks left out, doubled and exchanged, and read in pieces of random lengths.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type BackupBlock,
  BackupKind,
  BackupReader,
  type BackupTrailer,
  BackupWriter,
  readBlock,
  readFailed,
  readManifest,
} from "../../src/lib/backup-file.ts";
import { kvItems, packKv, packResult, resultItems } from "../../src/lib/backup-items.ts";
import type { Result } from "../../src/lib/errors.ts";
import { Packing } from "../../src/lib/packing.ts";

const packing = new Packing();
const manifest = {
  site: "plant-7",
  clusterId: "c1",
  gateway: "gw-a",
  version: "0.1.0",
  startedMs: 5,
  featureLevel: 2,
  appliedIndex: 9,
  timeZone: "UTC",
};
const said = {
  counts: { kv: 1, devices: 1, readings: 0, series: 0, results: 1, jobs: 1 },
  missing: { partitions: [3, 7], results: 0 },
};

function pieces(): Uint8Array[] {
  const writer = new BackupWriter(packing);
  return [
    writer.header(),
    writer.block(BackupKind.Manifest, manifest),
    writer.block(BackupKind.Kv, [packKv({ key: "a/b", value: new Uint8Array([1, 2, 3]), revision: 7 })]),
    writer.block(BackupKind.Devices, [["room-1", "climate", ["t"], 5]]),
    writer.block(BackupKind.Results, [
      packResult({ job: "hourly", fromMs: -3_600_000, toMs: 0, revision: 2, rows: packing.pack([]), sinks: undefined }),
    ]),
    writer.block(BackupKind.Jobs, [["hourly", null]]),
    writer.trailer(said),
  ];
}

const file = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function read(bytes: Uint8Array, cuts: readonly number[] = []): Result<{ blocks: BackupBlock[]; trailer: BackupTrailer }> {
  const reader = new BackupReader(packing);
  const blocks: BackupBlock[] = [];
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  let from = 0;
  for (const to of ends) {
    const some = reader.push(bytes.subarray(from, to));
    if (!some.ok) return some;
    blocks.push(...some.value);
    from = to;
  }
  const trailer = reader.ended();
  return trailer.ok ? { ok: true, value: { blocks, trailer: trailer.value } } : trailer;
}

function codeOf(result: Result<unknown>): string {
  return result.ok ? "whole" : result.code;
}

const test = suite("the file of a backup");

test("what was written is read, in whatever pieces it comes", () => {
  const bytes = file(pieces());
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
      const whole = read(bytes, cuts);
      assert.ok(whole.ok);
      if (!whole.ok) return;
      assert.equal(
        whole.value.blocks.map((block) => block.kind),
        [1, 2, 3, 6, 7, 255],
      );
      assert.equal(whole.value.trailer.counts, said.counts);
      assert.equal(whole.value.trailer.missing, said.missing);
      const [first, kv, , results] = whole.value.blocks as [BackupBlock, BackupBlock, BackupBlock, BackupBlock];
      assert.equal(readManifest(packing, first.content), { ok: true, value: manifest });
      const items = kvItems(packing, kv);
      assert.ok(items.ok && items.value[0]?.key === "a/b" && [...items.value[0].value].join() === "1,2,3");
      const rows = resultItems(packing, results);
      assert.ok(rows.ok && rows.value[0]?.revision === 2 && rows.value[0].fromMs === -3_600_000 && rows.value[0].sinks === undefined);
      assert.ok(readBlock(kv.bytes).ok, "a block stands by itself");
    }),
  );
});

test("a file that is cut off anywhere is refused", () => {
  const bytes = file(pieces());
  for (let length = 0; length < bytes.length; length++)
    assert.is(codeOf(read(bytes.subarray(0, length))), "data-damaged", `${length} bytes`);
  assert.is(codeOf(read(bytes)), "whole");
});

test("a file with any bit flipped is refused", () => {
  const bytes = file(pieces());
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.is(codeOf(read(flipped)), "data-damaged", `bit ${bit}`);
  }
});

test("blocks that are missing, doubled, exchanged or too many are refused", () => {
  const all = pieces();
  for (let at = 0; at < all.length; at++) {
    assert.is(codeOf(read(file(all.filter((_, index) => index !== at)))), "data-damaged", `without ${at}`);
    assert.is(codeOf(read(file(all.flatMap((piece, index) => (index === at ? [piece, piece] : [piece]))))), "data-damaged", `${at} twice`);
  }
  for (let at = 1; at < all.length - 1; at++) {
    const exchanged = [...all];
    [exchanged[at], exchanged[at + 1]] = [all[at + 1] as Uint8Array, all[at] as Uint8Array];
    assert.is(codeOf(read(file(exchanged))), "data-damaged", `${at} behind the next`);
  }
  assert.is(codeOf(read(file([...all, new Uint8Array(1)]))), "data-damaged", "a byte too many");
  const other = new BackupWriter(packing);
  const parts = [other.header(), other.block(BackupKind.Manifest, manifest), other.block(BackupKind.Kv, [])];
  assert.is(codeOf(read(file([...parts, other.trailer(said)]))), "whole");
  assert.is(codeOf(read(file([...all.slice(0, 3), (all as Uint8Array[])[6] as Uint8Array]))), "data-damaged", "the end of another");
});

test("whatever bytes come, they are refused and nothing is thrown", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, headed) => {
      const bytes = headed ? file([pieces()[0] as Uint8Array, noise]) : noise;
      assert.is(codeOf(read(bytes)), "data-damaged");
      assert.is(readBlock(noise).ok, false);
    }),
  );
});

test("what a gateway could not finish says why", () => {
  const writer = new BackupWriter(packing);
  const parts = [writer.header(), writer.block(BackupKind.Manifest, manifest)];
  const block = readBlock(writer.block(BackupKind.Failed, { code: "quorum-unavailable", message: "too few" }));
  assert.ok(block.ok);
  if (block.ok) assert.equal(readFailed(packing, block.value.content), { ok: false, code: "quorum-unavailable", message: "too few" });
  assert.is(codeOf(read(file(parts))), "data-damaged");
});

test("a newer format is refused with what to do", () => {
  const [header] = pieces() as [Uint8Array];
  const newer = header.slice();
  newer[8] = 2;
  const reader = new BackupReader(packing);
  const refused = reader.push(newer);
  assert.ok(!refused.ok && /checksum/.test(refused.message), "a flipped version is damage");
});

test.run();
