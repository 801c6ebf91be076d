// Goal: records and messages survive the way to bytes and back, and no bytes, whatever they are, make a decoder throw or
// give something impossible. Method: property tests; truncation and bit flips of valid bytes; a pinned example of each format.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RaftRecord } from "../../../src/core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../../src/core/raft/message-codec.ts";
import type { Entry, RaftMessage } from "../../../src/core/raft/messages.ts";
import { decodeRecord, encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { gatewayId } from "../../../src/lib/ids.ts";

const codecs = suite("Raft codecs");
const plain = { noNullPrototype: true } as const;
const count = fc.nat({ max: 2 ** 40 });
const term = fc.integer({ min: 1, max: 2 ** 40 });

const entriesFrom = (firstIndex: number, termMin: number) =>
  fc
    .array(
      fc.record({
        step: fc.nat(3),
        kind: fc.constantFrom("command" as const, "no-op" as const),
        command: fc.uint8Array({ maxLength: 40 }),
      }),
      { maxLength: 8 },
    )
    .map((rows) => {
      let last = termMin;
      return rows.map(({ step, kind, command }, i): Entry => {
        last += step;
        return { index: firstIndex + i, term: last, kind, command };
      });
    });

const append = fc
  .record({ prev: fc.option(fc.record({ index: term, term })), commitIndex: count, readSequence: count })
  .chain(({ prev, commitIndex, readSequence }) =>
    entriesFrom((prev?.index ?? 0) + 1, Math.max(1, prev?.term ?? 0)).map((entries): RaftMessage => {
      const lastTerm = entries[entries.length - 1]?.term ?? Math.max(1, prev?.term ?? 0);
      return { type: "append", term: lastTerm, prevIndex: prev?.index ?? 0, prevTerm: prev?.term ?? 0, commitIndex, readSequence, entries };
    }),
  );

const message: fc.Arbitrary<RaftMessage> = fc.oneof(
  append,
  fc.record(
    { type: fc.constantFrom("pre-vote-request" as const, "vote-request" as const), term, lastLogIndex: count, lastLogTerm: count },
    plain,
  ),
  fc.record({ type: fc.constantFrom("pre-vote-response" as const, "vote-response" as const), term, granted: fc.boolean() }, plain),
  fc.record({ type: fc.constant("append-accepted" as const), term, matchIndex: count, receivedIndex: count, readSequence: count }, plain),
  fc.record(
    {
      type: fc.constant("append-rejected" as const),
      term,
      rejectedIndex: count,
      conflictIndex: count,
      conflictTerm: count,
      readSequence: count,
    },
    plain,
  ),
);

const record: fc.Arbitrary<RaftRecord> = fc
  .record({
    firstIndex: term,
    votedFor: fc.option(fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }), { nil: undefined }),
    term,
    commitIndex: count,
    hard: fc.boolean(),
  })
  .chain(({ firstIndex, votedFor, term: hardTerm, commitIndex, hard }) =>
    entriesFrom(firstIndex, 1).map((entries) => ({
      hardState: hard ? { term: hardTerm, commitIndex, votedFor: votedFor === undefined ? undefined : gatewayId(votedFor) } : undefined,
      firstIndex: entries.length === 0 ? 0 : firstIndex,
      entries,
    })),
  );

codecs("messages: what is encoded is decoded", () => {
  fc.assert(
    fc.property(message, (original) => assert.equal(decodeMessage(encodeMessage(original)), { ok: true, value: original })),
    { numRuns: 300 },
  );
});

codecs("records: what is encoded is decoded", () => {
  fc.assert(
    fc.property(record, (original) => assert.equal(decodeRecord(encodeRecord(original)), { ok: true, value: original })),
    { numRuns: 300 },
  );
});

codecs("every truncation is an error", () => {
  fc.assert(
    fc.property(message, record, (aMessage, aRecord) => {
      const frame = encodeMessage(aMessage);
      const payload = encodeRecord(aRecord);
      for (let length = 0; length < frame.length; length++) assert.not(decodeMessage(frame.subarray(0, length)).ok);
      for (let length = 0; length < payload.length; length++) assert.not(decodeRecord(payload.subarray(0, length)).ok);
    }),
    { numRuns: 50 },
  );
});

codecs("any bytes and any bit flip give an error or a message that encodes again", () => {
  const check = (bytes: Uint8Array) => {
    const decodedMessage = decodeMessage(bytes);
    if (decodedMessage.ok) assert.equal(Array.from(encodeMessage(decodedMessage.value)), Array.from(bytes));
    const decodedRecord = decodeRecord(bytes);
    if (decodedRecord.ok) assert.equal(Array.from(encodeRecord(decodedRecord.value)), Array.from(bytes));
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), check), { numRuns: 300 });
  fc.assert(
    fc.property(message, fc.nat(), (original, at) => {
      const frame = encodeMessage(original);
      frame[at % frame.length] = (frame[at % frame.length] as number) ^ (1 << (at % 8));
      check(frame);
    }),
    { numRuns: 300 },
  );
});

codecs("a huge count of entries is refused before anything is allocated", () => {
  // append: term 1, prev 0/0, commit 0, read 0, then 2^32 entries in no bytes at all.
  assert.equal(decodeMessage(Uint8Array.of(1, 5, 1, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10)), {
    ok: false,
    code: "damaged",
    message: "the number of entries is 4294967296, more than 1",
  });
});

codecs("what is decoded owns its memory", () => {
  const entries: readonly Entry[] = [{ index: 1, term: 1, kind: "command", command: Uint8Array.of(1, 2, 3) }];
  const payload = encodeRecord({ hardState: undefined, firstIndex: 1, entries });
  const decoded = decodeRecord(payload);
  payload.fill(0);
  assert.equal(decoded.ok && decoded.value.entries, entries);
});

codecs("the formats of version 1 stay as they are", () => {
  const entries: readonly Entry[] = [
    { index: 5, term: 2, kind: "no-op", command: new Uint8Array(0) },
    { index: 6, term: 300, kind: "command", command: Uint8Array.of(7, 8) },
  ];
  const bytes = encodeRecord({ hardState: { term: 300, votedFor: gatewayId("gw"), commitIndex: 4 }, firstIndex: 5, entries });
  assert.equal(Array.from(bytes), [1, 1, 0xac, 2, 4, 2, 0x67, 0x77, 5, 2, 2, 2, 0, 0xac, 2, 1, 2, 7, 8]);
  const frame = encodeMessage({ type: "append", term: 300, prevIndex: 4, prevTerm: 1, commitIndex: 3, readSequence: 9, entries });
  assert.equal(Array.from(frame), [1, 5, 0xac, 2, 4, 1, 3, 9, 2, 2, 2, 0, 0xac, 2, 1, 2, 7, 8]);
  assert.equal(Array.from(encodeMessage({ type: "vote-response", term: 1, granted: true })), [1, 4, 1, 1]);
});

codecs("another version is named, not guessed at", () => {
  const decoded = decodeRecord(Uint8Array.of(2, 0, 0, 0));
  assert.not(decoded.ok);
  assert.is(!decoded.ok && decoded.code, "unsupported-version");
});

codecs.run();
