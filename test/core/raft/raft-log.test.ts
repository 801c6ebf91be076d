// Goal: lookups in the log, from the start or behind a compacted prefix, answer as a plain search would, and the rules
// say what the paper says. Method: property tests against naive versions; tables.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { entryBytes, RaftLog } from "../../../src/core/raft/raft-log.ts";
import { isUpToDate, mayCommit, mayGrantVote, quorumSize } from "../../../src/core/raft/rules.ts";
import { InvariantError } from "../../../src/lib/assert.ts";
import { memberId } from "../../../src/lib/ids.ts";
import { testEntry } from "./manual-cluster.ts";

const logs = suite("RaftLog");

const anyLog = fc
  .record({ index: fc.nat(20), steps: fc.array(fc.nat(2), { maxLength: 30 }), term: fc.integer({ min: 1, max: 5 }) })
  .map(({ index, steps, term }) => {
    let last = term;
    const entries = steps.map((step, i) => {
      last += step;
      return testEntry(index + 1 + i, last);
    });
    return { before: { index, term: index === 0 ? 0 : term }, entries };
  });

logs("the greatest position at or below an index with a term at most t", () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), fc.nat(70), ({ before, entries }, index, term) => {
      const log = new RaftLog(before, entries);
      let expected = before;
      for (const entry of entries) if (entry.index <= index && entry.term <= term) expected = { index: entry.index, term: entry.term };
      assert.equal(log.lastWithTermAtMost(term, index), expected);
    }),
    { numRuns: 300 },
  );
});

logs("a batch is the longest that fits, and never empty where there is an entry", () => {
  fc.assert(
    fc.property(anyLog, fc.nat(300), fc.nat(31), ({ before, entries }, bytesMax, offset) => {
      const log = new RaftLog(before, entries);
      const from = Math.min(before.index + 1 + offset, log.lastIndex + 1);
      const batch = log.batchFrom(from, bytesMax);
      const rest = entries.slice(from - before.index - 1);
      assert.equal(batch, rest.slice(0, batch.length));
      const bytes = (count: number) => rest.slice(0, count).reduce((sum, entry) => sum + entryBytes(entry), 0);
      assert.ok(batch.length <= 1 || bytes(batch.length) <= bytesMax);
      if (batch.length < rest.length) assert.ok(batch.length >= 1 && bytes(batch.length + 1) > bytesMax);
    }),
    { numRuns: 300 },
  );
});

logs("terms are known from just before the first entry to the last, and nowhere else", () => {
  const log = new RaftLog({ index: 4, term: 2 }, [testEntry(5, 2), testEntry(6, 3)]);
  assert.equal(
    [3, 4, 5, 6, 7].map((index) => log.termAt(index)),
    [undefined, 2, 2, 3, undefined],
  );
  assert.is(log.firstIndex, 5);
  log.truncateFrom(5);
  assert.equal(log.last, { index: 4, term: 2 });
});

logs("gaps, terms that fall and cuts below the first entry are bugs", () => {
  const log = new RaftLog({ index: 4, term: 2 }, [testEntry(5, 3)]);
  const isBug = (error: unknown) => error instanceof InvariantError;
  assert.throws(() => log.append(testEntry(7, 3)), isBug);
  assert.throws(() => log.append(testEntry(6, 2)), isBug);
  assert.throws(() => log.truncateFrom(4), isBug);
});

logs.run();

const rules = suite("Raft's rules");
const [a, b] = [memberId("a"), memberId("b")];

rules("§5.4.1: the later last term is more up to date; with equal terms, the longer log", () => {
  const own = { index: 5, term: 3 };
  assert.ok(isUpToDate({ index: 1, term: 4 }, own));
  assert.ok(isUpToDate({ index: 5, term: 3 }, own));
  assert.ok(isUpToDate({ index: 6, term: 3 }, own));
  assert.not(isUpToDate({ index: 4, term: 3 }, own));
  assert.not(isUpToDate({ index: 99, term: 2 }, own));
});

rules("§5.2: one vote a term, repeated to the same candidate only", () => {
  const log = { index: 1, term: 1 };
  assert.ok(mayGrantVote({ candidate: a, votedFor: undefined, candidateLog: log, ownLog: log }));
  assert.ok(mayGrantVote({ candidate: a, votedFor: a, candidateLog: log, ownLog: log }));
  assert.not(mayGrantVote({ candidate: a, votedFor: b, candidateLog: log, ownLog: log }));
  assert.not(mayGrantVote({ candidate: a, votedFor: undefined, candidateLog: { index: 0, term: 0 }, ownLog: log }));
});

rules("§5.4.2: only entries of the current term commit by counting", () => {
  assert.ok(mayCommit({ entryTerm: 4, currentTerm: 4 }));
  assert.not(mayCommit({ entryTerm: 2, currentTerm: 4 }));
});

rules("two quorums always share a voter", () => {
  for (let voters = 1; voters <= 9; voters++) {
    assert.ok(2 * quorumSize(voters) > voters);
    assert.ok(quorumSize(voters) <= voters);
  }
});

rules.run();
