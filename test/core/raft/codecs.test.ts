// Goal: records and messages survive the way to bytes and back, and no bytes, whatever they are, make a decoder throw or
// give something impossible. Method: property tests; truncation and bit flips of valid bytes; a pinned example of each format.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import { decodeConfiguration, encodeConfiguration } from "../../../src/core/raft/configuration-codec.ts";
import type { RaftRecord } from "../../../src/core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../../src/core/raft/message-codec.ts";
import type { Entry, RaftMessage } from "../../../src/core/raft/messages.ts";
import { decodeRecord, encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { memberId } from "../../../src/lib/ids.ts";

const codecs = suite("Raft codecs");
const plain = { noNullPrototype: true } as const;
const count = fc.nat({ max: 2 ** 40 });
const term = fc.integer({ min: 1, max: 2 ** 40 });

const entriesFrom = (firstIndex: number, termMin: number) =>
  fc
    .array(
      fc.record({
        step: fc.nat(3),
        kind: fc.constantFrom("command" as const, "no-op" as const, "configuration" as const),
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
  fc.record({ type: fc.constant("pre-vote-request" as const), term, lastLogIndex: count, lastLogTerm: count }, plain),
  fc.record({ type: fc.constant("vote-request" as const), term, lastLogIndex: count, lastLogTerm: count, transfer: fc.boolean() }, plain),
  fc.record({ type: fc.constant("install-snapshot" as const), term, snapshotIndex: term, snapshotTerm: term, readSequence: count }, plain),
  fc.record({ type: fc.constant("timeout-now" as const), term }, plain),
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

const configuration: fc.Arbitrary<ConfigurationRecord> = fc
  .uniqueArray(fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" }), { minLength: 1, maxLength: 9 })
  .chain((names) =>
    fc.record(
      { voters: fc.integer({ min: 1, max: names.length }), witnesses: fc.subarray(names), members: fc.constant(names.map(memberId)) },
      plain,
    ),
  )
  .map(({ voters, witnesses, members }) => ({
    voters: members.slice(0, voters).sort(),
    learners: members.slice(voters).sort(),
    witnesses: witnesses.map(memberId).sort(),
  }));

const record: fc.Arbitrary<RaftRecord> = fc
  .record({
    firstIndex: term,
    votedFor: fc.option(fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }), { nil: undefined }),
    term,
    commitIndex: count,
    base: fc.option(fc.record({ index: term, term, configuration }, plain), { nil: undefined }),
    more: fc.nat(100),
  })
  .chain(({ firstIndex, votedFor, term: hardTerm, commitIndex, base, more }) =>
    entriesFrom(firstIndex, 1).map((entries) => ({
      hardState: { term: hardTerm, commitIndex, votedFor: votedFor === undefined ? undefined : memberId(votedFor) },
      base,
      firstIndex: entries.length === 0 ? 0 : firstIndex,
      entries,
      lastIndex: (entries.at(-1)?.index ?? base?.index ?? 0) + more,
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
    fc.property(record, (original) => assert.equal(decodeRecord(encodeRecord(original)), { ok: true, value: { version: 2, ...original } })),
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
    if (decodedRecord.ok && decodedRecord.value.version === 2) {
      const { hardState, lastIndex, ...rest } = decodedRecord.value;
      if (hardState === undefined || lastIndex === undefined) throw new Error("a record of version 2 says both");
      assert.equal(Array.from(encodeRecord({ hardState, lastIndex, ...rest })), Array.from(bytes));
    }
    const decodedMembers = decodeConfiguration(bytes);
    if (decodedMembers.ok) assert.equal(Array.from(encodeConfiguration(decodedMembers.value)), Array.from(bytes));
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), check), { numRuns: 300 });
  fc.assert(
    fc.property(message, record, configuration, fc.nat(), (aMessage, aRecord, someMembers, at) => {
      for (const encoded of [encodeMessage(aMessage), encodeRecord(aRecord), encodeConfiguration(someMembers)]) {
        const flipped = encoded.slice();
        flipped[at % flipped.length] = (flipped[at % flipped.length] as number) ^ (1 << (at % 8));
        check(flipped);
      }
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
  const hardState = { term: 1, votedFor: undefined, commitIndex: 0 };
  const payload = encodeRecord({ hardState, base: undefined, firstIndex: 1, entries, lastIndex: 1 });
  const decoded = decodeRecord(payload);
  payload.fill(0);
  assert.equal(decoded.ok && decoded.value.entries, entries);
});

codecs("a configuration that cannot be is refused, and an unsorted one, which would have two forms", () => {
  const members = { voters: ["a", "b"].map(memberId), learners: [memberId("c")], witnesses: [memberId("b")] };
  assert.equal(Array.from(encodeConfiguration(members)), [2, 1, 97, 1, 98, 1, 1, 99, 1, 1, 98]);
  const problems: readonly [number[], string][] = [
    [[0, 0, 0], "a configuration cannot be: there is no voter"],
    [[1, 1, 97, 1, 1, 97, 0], "a configuration cannot be: a member is named twice"],
    [[1, 1, 97, 0, 1, 1, 98], "a configuration cannot be: the witness b is no member"],
    [[2, 1, 98, 1, 97, 0, 0], 'member "a" stands behind "b"'],
    [[2, 1, 97, 1, 97, 0, 0], 'member "a" stands behind "a"'],
    [[1, 0, 0, 0], 'member "" stands behind ""'],
  ];
  for (const [bytes, message] of problems)
    assert.equal(decodeConfiguration(Uint8Array.from(bytes)), { ok: false, code: "damaged", message });
});

codecs("records of version 1 are still read", () => {
  const command = Uint8Array.of(7, 8);
  const decoded = decodeRecord(Uint8Array.of(1, 1, 0xac, 2, 4, 2, 0x67, 0x77, 5, 2, 2, 2, 0, 0xac, 2, 1, 2, ...command));
  const entries = [
    { index: 5, term: 2, kind: "no-op", command: new Uint8Array(0) },
    { index: 6, term: 300, kind: "command", command },
  ];
  const hardState = { term: 300, votedFor: memberId("gw"), commitIndex: 4 };
  assert.equal(decoded, { ok: true, value: { version: 1, hardState, base: undefined, firstIndex: 5, entries, lastIndex: undefined } });
  assert.equal(decodeRecord(Uint8Array.of(1, 0, 0, 0)), {
    ok: true,
    value: { version: 1, hardState: undefined, base: undefined, firstIndex: 0, entries: [], lastIndex: undefined },
  });
});

codecs("a record that contradicts itself about the end of the log is damage", () => {
  assert.equal(decodeRecord(Uint8Array.of(2, 0, 1, 0, 0, 4, 5, 1, 1, 2, 0)), {
    ok: false,
    code: "damaged",
    message: "a record with the entry 5 says that the log ends at 4",
  });
});

codecs("the formats stay as they are", () => {
  const entries: readonly Entry[] = [
    { index: 5, term: 2, kind: "no-op", command: new Uint8Array(0) },
    { index: 6, term: 300, kind: "command", command: Uint8Array.of(7, 8) },
  ];
  const base = { index: 4, term: 2, configuration: { voters: [memberId("gw")], learners: [], witnesses: [] } };
  const hardState = { term: 300, votedFor: memberId("gw"), commitIndex: 4 };
  const bytes = encodeRecord({ hardState, base, firstIndex: 5, entries, lastIndex: 6 });
  const expected = [2, 2, 0xac, 2, 4, 2, 0x67, 0x77, 6, 4, 2, 1, 2, 0x67, 0x77, 0, 0, 5, 2, 2, 2, 0, 0xac, 2, 1, 2, 7, 8];
  assert.equal(Array.from(bytes), expected);
  const frame = encodeMessage({ type: "append", term: 300, prevIndex: 4, prevTerm: 1, commitIndex: 3, readSequence: 9, entries });
  assert.equal(Array.from(frame), [1, 5, 0xac, 2, 4, 1, 3, 9, 2, 2, 2, 0, 0xac, 2, 1, 2, 7, 8]);
  assert.equal(Array.from(encodeMessage({ type: "vote-response", term: 1, granted: true })), [1, 4, 1, 1]);
});

codecs("another version is named, not guessed at", () => {
  const decoded = decodeRecord(Uint8Array.of(3, 0, 0, 0));
  assert.not(decoded.ok);
  assert.is(!decoded.ok && decoded.code, "unsupported-version");
});

codecs.run();
