// Goal: a log's records fold into the state that wrote them, and a log that no correct node can have written is damage.
// Method: records by hand, one impossibility at a time.

import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RaftRecord } from "../../../src/core/raft/events-effects.ts";
import type { HardState } from "../../../src/core/raft/messages.ts";
import { encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { RecordReplay } from "../../../src/core/raft/replay.ts";
import { gatewayId } from "../../../src/lib/ids.ts";
import { testEntry } from "./manual-cluster.ts";

const replaying = suite("RecordReplay");

function hard(term: number, votedFor?: string, commitIndex = 0): HardState {
  return { term, votedFor: votedFor === undefined ? undefined : gatewayId(votedFor), commitIndex };
}

function written(hardState: HardState | undefined, firstIndex = 0, ...terms: number[]): RaftRecord {
  return { hardState, firstIndex, entries: terms.map((term, i) => testEntry(firstIndex + i, term)) };
}

function replay(...records: readonly (RaftRecord | Uint8Array)[]) {
  const folding = new RecordReplay();
  for (const record of records) folding.visit(record instanceof Uint8Array ? record : encodeRecord(record));
  return folding.result();
}

replaying("no record: a new node", () => {
  assert.equal(replay(), { ok: true, value: { hardState: hard(0), entries: [] } });
});

replaying("a later record overrides from its first index on; hard state is the newest", () => {
  const result = replay(written(hard(1, "a"), 1, 1, 1, 1), written(hard(2, "b")), written(hard(2, "b", 1), 2, 2), written(undefined, 3, 2));
  assert.equal(result, { ok: true, value: { hardState: hard(2, "b", 1), entries: [testEntry(1, 1), testEntry(2, 2), testEntry(3, 2)] } });
});

const impossible: readonly [string, readonly (RaftRecord | Uint8Array)[], string][] = [
  ["a term that falls", [written(hard(2)), written(hard(1))], "term 1 follows term 2"],
  ["a second vote in a term", [written(hard(2, "a")), written(hard(2, "b"))], "a second vote in term 2"],
  ["a vote taken back", [written(hard(2, "a")), written(hard(2))], "a second vote in term 2"],
  ["a gap", [written(hard(1), 1, 1), written(undefined, 3, 1)], "entry 3 follows entry 1"],
  [
    "a committed entry overwritten",
    [written(hard(1, "a", 0), 1, 1, 1), written(hard(1, "a", 2), 3, 1), written(undefined, 2, 1)],
    "committed entry 2 is overwritten",
  ],
  ["log terms that fall", [written(hard(3), 1, 3), written(undefined, 2, 2)], "term 2 of entry 2 follows term 3"],
  ["an entry above the term", [written(hard(1), 1, 2)], "an entry of a later term than 1"],
  ["a commit index without entries", [written(hard(1, "a", 5), 1, 1)], "commit index 5 with 1 entries"],
  ["a commit index that falls", [written(hard(1, "a", 1), 1, 1), written(hard(1, "a", 0))], "commit index 0 follows 1"],
  ["garbage", [Uint8Array.of(1, 0)], "the bytes end too early"],
];

for (const [name, records, message] of impossible) {
  replaying(`damage: ${name}`, () => {
    assert.equal(replay(...records), { ok: false, record: records.length, message });
    // What comes after does not heal it.
    assert.equal(replay(...records, written(hard(9))), { ok: false, record: records.length, message });
  });
}

replaying.run();
