// Goal: frames that are not ours are dropped, the inbox takes one task at a time and stops at the first that throws, keys of the
// store sort like what they name, and a ledger notices any lost chunk. Method: scenarios and random values.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeFrame, encodeFrame, FrameKind, sessionTagOf } from "../../src/gateway/frames.ts";
import { Inbox } from "../../src/gateway/inbox.ts";
import { ChunkLedger } from "../../src/gateway/series/chunk-ledger.ts";
import { packSealed, unpackSealed } from "../../src/gateway/series/sealed-value.ts";
import {
  chunkIndexKey,
  chunkIndexValue,
  chunkKey,
  parseChunkIndex,
  parseChunkKey,
  parseQuarantineKey,
  parseSeriesKey,
  prefixRange,
  quarantineKey,
  resultKey,
  resultPrefix,
  seriesKey,
} from "../../src/gateway/series/store-keys.ts";
import { sessionId } from "../../src/lib/ids.ts";
import { Packing } from "../../src/lib/packing.ts";

const test = suite("gateway: frames, inbox, keys");
const compare = (a: Uint8Array, b: Uint8Array) => Math.sign(Buffer.compare(a, b));

test("a frame comes back with its kind, session and body, wherever it lies in memory", () => {
  const tag = sessionTagOf(sessionId("fedcba98".padEnd(32, "0")));
  assert.is(tag, 0xfedcba98);
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom(...Object.values(FrameKind)), fc.nat(7), (body, kind, offset) => {
      const frame = encodeFrame(kind, tag, body);
      const shifted = new Uint8Array(frame.length + offset);
      shifted.set(frame, offset);
      const decoded = decodeFrame(shifted.subarray(offset));
      assert.equal([decoded?.kind, decoded?.sessionTag], [kind, tag]);
      assert.is(compare(decoded?.body ?? Uint8Array.of(1), body), 0);
    }),
  );
});

test("what is too short or of another version is no frame", () => {
  const frame = encodeFrame(FrameKind.Raft, 1, new Uint8Array(0));
  for (let length = 0; length < frame.length; length++) assert.is(decodeFrame(frame.subarray(0, length)), undefined);
  frame[0] = 2;
  assert.is(decodeFrame(frame), undefined);
});

test("tasks that arise meanwhile wait: none begins inside another", () => {
  const inbox = new Inbox((cause) => {
    throw cause;
  });
  const log: string[] = [];
  inbox.post(() => {
    log.push("first begins");
    inbox.post(() => log.push("second"));
    log.push("first ends");
  });
  assert.equal(log, ["first begins", "first ends", "second"]);
});

test("a task that throws ends the inbox: what waits is not run, and the gateway is told once", () => {
  const causes: unknown[] = [];
  const inbox = new Inbox((cause) => causes.push(cause));
  const ran: string[] = [];
  inbox.post(() => {
    inbox.post(() => ran.push("behind"));
    throw new Error("impossible");
  });
  inbox.post(() => ran.push("later"));
  assert.is(causes.length, 1);
  assert.equal(ran, []);
  assert.ok(inbox.closed());
});

const chunk = fc.record({
  kind: fc.constant("chunk" as const),
  series: fc.nat(0xffffffff),
  minUs: fc.nat(Number.MAX_SAFE_INTEGER),
  maxUs: fc.nat(Number.MAX_SAFE_INTEGER),
  count: fc.nat(0xffffffff),
  checkpoint: fc.nat(0xffffffff),
  part: fc.nat(0xffff),
});

test("a chunk's key says what it was made from, and sorts by series, then time", () => {
  fc.assert(
    fc.property(chunk, chunk, (a, b) => {
      assert.equal({ ...parseChunkKey(chunkKey(a)) }, { ...a, bytes: 0, state: "live" });
      assert.equal({ ...parseQuarantineKey(quarantineKey(a)) }, { ...a, bytes: 0, state: "live" });
      assert.equal({ ...parseChunkIndex(chunkIndexKey(a), chunkIndexValue(a.count)) }, { ...a, bytes: a.count, state: "live" });
      if (a.series !== b.series) assert.is(compare(chunkKey(a), chunkKey(b)), Math.sign(a.series - b.series));
      else if (a.minUs !== b.minUs) assert.is(compare(chunkKey(a), chunkKey(b)), Math.sign(a.minUs - b.minUs));
    }),
  );
  for (const strange of [
    new Uint8Array(0),
    seriesKey(1),
    chunkKey({ kind: "chunk", series: 1, minUs: 0, maxUs: 0, count: 0, checkpoint: 0, part: 0 }).subarray(1),
  ])
    assert.is(parseChunkKey(strange), undefined);
  assert.is(parseQuarantineKey(chunkKey({ kind: "chunk", series: 1, minUs: 0, maxUs: 0, count: 0, checkpoint: 0, part: 0 })), undefined);
  assert.is(parseSeriesKey(seriesKey(0xfffffffe)), 0xfffffffe);
  assert.is(parseSeriesKey(new Uint8Array(5)), undefined);
});

test("results sort by window, then revision, and one job's keys never fall among another's", () => {
  const sorted = [resultKey("a", 5, 1), resultKey("a", 5, 2), resultKey("a", 40_000_000_000_000, 1), resultKey("ab", 0, 1)];
  for (let i = 1; i < sorted.length; i++) assert.is(compare(sorted[i - 1] as Uint8Array, sorted[i] as Uint8Array), -1);
  const { from, to } = prefixRange(resultPrefix("a"));
  assert.equal(
    sorted.map((key) => compare(from, key) <= 0 && compare(key, to) < 0),
    [true, true, true, false],
  );
});

test("a ledger is the same in any order, and another when any chunk is missing or other", () => {
  const keys = fc.uniqueArray(fc.uint8Array({ minLength: 31, maxLength: 31 }), { minLength: 1, selector: (key) => key.join() });
  const digestOf = (all: readonly Uint8Array[]) => {
    const ledger = new ChunkLedger();
    for (const key of all) ledger.add(key, 1);
    assert.is(ledger.copy().digest(), ledger.digest());
    return `${ledger.chunks()} ${ledger.readings()} ${ledger.digest()}`;
  };
  fc.assert(
    fc.property(keys, fc.nat(), (all, at) => {
      assert.is(digestOf([...all].reverse()), digestOf(all));
      const without = all.toSpliced(at % all.length, 1);
      assert.is.not(digestOf(without), digestOf(all));
      const altered = (all[at % all.length] as Uint8Array).map((byte, i) => (i === at % 31 ? byte ^ 1 : byte));
      assert.is.not(digestOf([...without, altered]), digestOf(all));
    }),
  );
});

test("a sealed value comes back, or is an error: any one bit flipped is noticed", () => {
  const packing = new Packing();
  const sealed = packSealed(packing, { d: "device", m: "metric" });
  assert.equal(unpackSealed(packing, sealed), { ok: true, value: { d: "device", m: "metric" } });
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = sealed.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.not(unpackSealed(packing, flipped).ok);
  }
  for (let length = 0; length < sealed.length; length++) assert.not(unpackSealed(packing, sealed.subarray(0, length)).ok);
});

test.run();
