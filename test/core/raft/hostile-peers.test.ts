// Goal: whatever a peer says, a node neither throws nor takes anything committed back. Method: random messages that the codec
// lets pass, from members and strangers, at nodes in several states; most of them are lies.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RaftEffect } from "../../../src/core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../../src/core/raft/message-codec.ts";
import type { RaftMessage } from "../../../src/core/raft/messages.ts";
import { memberId } from "../../../src/lib/ids.ts";
import { ManualCluster, testEntry } from "./manual-cluster.ts";

const hostile = suite("Raft among liars");

const small = fc.nat(9);
const term = fc.integer({ min: 1, max: 5 });
const readSequence = fc.nat(2);

const append: fc.Arbitrary<RaftMessage> = fc
  .record({ term, prevIndex: small, prevTerm: term, commitIndex: small, readSequence, steps: fc.array(fc.nat(1), { maxLength: 4 }) })
  .map(({ steps, ...rest }) => {
    const prevTerm = rest.prevIndex === 0 ? 0 : Math.min(rest.prevTerm, rest.term);
    let entryTerm = Math.max(1, prevTerm);
    const entries = steps.map((step, i) => {
      entryTerm = Math.min(rest.term, entryTerm + step);
      return testEntry(rest.prevIndex + 1 + i, entryTerm);
    });
    return { ...rest, type: "append", prevTerm, entries };
  });

const position = { term, lastLogIndex: small, lastLogTerm: small };
const message: fc.Arbitrary<RaftMessage> = fc.oneof(
  { arbitrary: append, weight: 3 },
  fc.record({ type: fc.constant("append-accepted" as const), term, matchIndex: small, receivedIndex: small, readSequence }),
  fc.record({
    type: fc.constant("append-rejected" as const),
    term,
    rejectedIndex: small,
    conflictIndex: small,
    conflictTerm: small,
    readSequence,
  }),
  fc.record({ type: fc.constant("install-snapshot" as const), term, snapshotIndex: small, snapshotTerm: term, readSequence }),
  fc.record({ type: fc.constant("timeout-now" as const), term }),
  fc.record({ type: fc.constant("pre-vote-request" as const), ...position }),
  fc.record({ type: fc.constant("vote-request" as const), ...position, transfer: fc.boolean() }),
  fc.record({ type: fc.constantFrom("pre-vote-response" as const, "vote-response" as const), term, granted: fc.boolean() }),
);

const said = fc.record({ from: fc.constantFrom("a", "b", "c", "x").map(memberId), message, afterMs: fc.nat(600), tick: fc.boolean() });
const life = fc.record({
  id: fc.constantFrom("a", "b", "c"),
  hasLeader: fc.boolean(),
  isCompacted: fc.boolean(),
  talk: fc.array(said, { maxLength: 30 }),
});

hostile("no message, nor any row of them, stops a node or changes what is committed", () => {
  fc.assert(
    fc.property(life, ({ id, hasLeader, isCompacted, talk }) => {
      const log = [1, 1, 2];
      const cluster = new ManualCluster(
        [
          { id: "a", log, commitIndex: 2 },
          { id: "b", log, commitIndex: 2 },
          { id: "c", log: [1, 1], commitIndex: 1 },
        ],
        { limits: { trailingEntriesMax: 0 } },
      );
      if (hasLeader) cluster.elect("a");
      if (hasLeader && isCompacted) for (const each of ["a", "b"]) cluster.storeSnapshot(each);
      const node = cluster.node(id);
      let nowMs = cluster.nowMs;
      let { commitIndex: committed, term: spoken } = node.view();
      for (const { from, message: frame, afterMs, tick } of talk) {
        const decoded = decodeMessage(encodeMessage(frame));
        assert.ok(decoded.ok);
        if (!decoded.ok || from === id) continue;
        nowMs += afterMs;
        const before = node.entryAt(committed);
        const effects: RaftEffect[] = [];
        if (tick) node.step(nowMs, { type: "tick" }, effects);
        node.step(nowMs, { type: "message", from, message: decoded.value }, effects);
        for (const effect of effects) if (effect.type === "persist") node.step(nowMs, { type: "durable", token: effect.token }, []);
        const view = node.view();
        assert.ok(view.commitIndex >= committed && view.term >= spoken && view.lastIndex >= view.commitIndex);
        if (committed >= view.firstIndex) assert.is(node.entryAt(committed), before, `entry ${committed}`);
        ({ commitIndex: committed, term: spoken } = view);
      }
    }),
    { numRuns: 1_500 },
  );
});

hostile.run();
