// Goal: a log's records fold into the state that wrote them, a log that no correct node can have written is refused, and
// one that lost records gives nothing but what stood there. Method: records by hand, one impossibility at a time; then
// random lives of a node (appends, conflicts, compactions, snapshots installed, restarts) with random records lost.

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { votersOnly } from "../../../src/core/raft/configuration.ts";
import type { RaftRecord } from "../../../src/core/raft/events-effects.ts";
import type { Entry, HardState, SnapshotMeta } from "../../../src/core/raft/messages.ts";
import type { RestoredState } from "../../../src/core/raft/raft-state.ts";
import { encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { RecordReplay, type ReplayedLog, trimPosition } from "../../../src/core/raft/replay.ts";
import { memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { testEntry } from "./manual-cluster.ts";

const replaying = suite("RecordReplay");

const configuration = votersOnly(["a", "b", "c"].map(memberId));
const at = (index: number, term: number): SnapshotMeta => ({ index, term, configuration });
const empty = at(0, 0);

function hard(term: number, votedFor?: string, commitIndex = 0): HardState {
  return { term, votedFor: votedFor === undefined ? undefined : memberId(votedFor), commitIndex };
}

function written(hardState: HardState, firstIndex = 0, ...terms: number[]): RaftRecord {
  const entries = terms.map((term, i) => testEntry(firstIndex + i, term));
  return { hardState, base: undefined, firstIndex, entries, lastIndex: Math.max(0, firstIndex + terms.length - 1) };
}

/** Version 1: no last index, and a hard state only where it had changed. */
function version1(hardState: [term: number, commitIndex: number] | undefined, firstIndex = 0, ...terms: number[]): Uint8Array {
  const entries = terms.flatMap((term, i) => {
    const { command } = testEntry(firstIndex + i, term);
    return [term, 1, command.length, ...command];
  });
  return Uint8Array.of(
    1,
    hardState === undefined ? 0 : 1,
    ...(hardState === undefined ? [] : [...hardState, 0]),
    firstIndex,
    terms.length,
    ...entries,
  );
}

interface Numbered {
  readonly sequence: number;
  readonly payload: Uint8Array;
}

const numbered = (records: readonly (RaftRecord | Uint8Array)[]): Numbered[] =>
  records.map((record, i) => ({ sequence: i + 1, payload: record instanceof Uint8Array ? record : encodeRecord(record).slice() }));

function replayNumbered(records: readonly Numbered[], snapshot = empty) {
  const folding = new RecordReplay({ snapshot });
  for (const { sequence, payload } of records) folding.visit(sequence, payload);
  return folding.result();
}

const replay = (...records: readonly (RaftRecord | Uint8Array)[]) => replayNumbered(numbered(records));

/** Without some records (numbers from 1). */
const lossy = (lost: readonly number[], records: readonly (RaftRecord | Uint8Array)[], snapshot = empty) =>
  replayNumbered(
    numbered(records).filter(({ sequence }) => !lost.includes(sequence)),
    snapshot,
  );

function restored(result: ReturnType<typeof replay>): ReplayedLog {
  if (!result.ok) throw new Error(`record ${result.record}: ${result.message}`);
  return result.value;
}

const terms = (state: RestoredState) => state.entries.map(({ index, term }) => `${index}/${term}`).join(" ");

replaying("no record: a new node", () => {
  assert.equal(replay(), {
    ok: true,
    value: { hardState: hard(0), snapshot: empty, entries: [], impairedUntil: undefined, recordsAt: [] },
  });
});

replaying("a later record overrides from its first index on; hard state is the newest", () => {
  const result = replay(written(hard(1, "a"), 1, 1, 1, 1), { ...written(hard(2, "b")), lastIndex: 3 }, written(hard(2, "b", 1), 2, 2));
  assert.equal(result, {
    ok: true,
    value: {
      hardState: hard(2, "b", 1),
      snapshot: empty,
      entries: [testEntry(1, 1), testEntry(2, 2)],
      impairedUntil: undefined,
      recordsAt: [
        { sequence: 1, firstIndex: 1 },
        { sequence: 3, firstIndex: 2 },
      ],
    },
  });
});

replaying("records of version 1 go on to be read, and may be followed by those of version 2", () => {
  const state = restored(replay(version1([1, 0], 1, 1), version1(undefined, 2, 1, 1), written(hard(2, "b", 3), 4, 2)));
  assert.is(terms(state), "1/1 2/1 3/1 4/2");
  assert.equal(state.hardState, hard(2, "b", 3));
});

const impossible: readonly [string, readonly (RaftRecord | Uint8Array)[], string][] = [
  ["a term that falls", [written(hard(2)), written(hard(1))], "term 1 follows term 2"],
  ["a second vote in a term", [written(hard(2, "a")), written(hard(2, "b"))], "a second vote in term 2"],
  ["a vote taken back", [written(hard(2, "a")), written(hard(2))], "a second vote in term 2"],
  ["a gap", [written(hard(1), 1, 1), written(hard(1), 3, 1)], "entry 3 follows entry 1"],
  [
    "a committed entry overwritten",
    [written(hard(1, "a", 0), 1, 1, 1), written(hard(1, "a", 2), 3, 1), written(hard(1, "a", 2), 2, 1)],
    "committed entry 2 is overwritten",
  ],
  ["log terms that fall", [written(hard(3), 1, 3), written(hard(3), 2, 2)], "term 2 of entry 2 follows term 3"],
  ["an entry above the term", [written(hard(1), 1, 2)], "an entry of a later term than 1"],
  ["a commit index without entries", [written(hard(1, "a", 5), 1, 1)], "commit index 5 with 1 entries"],
  ["a commit index that falls", [written(hard(1, "a", 1), 1, 1), written(hard(1, "a", 0), 2, 1)], "commit index 0 follows 1"],
  [
    "a log that shrinks by itself",
    [written(hard(1), 1, 1, 1), { ...written(hard(2)), lastIndex: 1 }],
    "a log that ends at entry 1 has entry 2",
  ],
  [
    "a snapshot that is not there",
    [{ ...written(hard(2, undefined, 7), 8, 2), base: at(7, 2) }],
    "there was a snapshot at entry 7, and the newest that can be read is at entry 0",
  ],
  ["garbage", [Uint8Array.of(1, 0)], "the bytes end too early"],
];

for (const [name, records, message] of impossible) {
  replaying(`contradiction: ${name}`, () => {
    assert.equal(replay(...records), { ok: false, record: records.length, message });
    // What comes after does not heal it.
    assert.equal(replay(...records, written(hard(9))), { ok: false, record: records.length, message });
  });
}

replaying("a snapshot takes the place of the entries up to it, and says its term where the log is older", () => {
  const records = [written(hard(2, "a", 2), 1, 1, 1, 2, 2)];
  assert.is(terms(restored(lossy([], records, at(2, 1)))), "3/2 4/2");
  // Installed, and the process ended before a record said so: the log does not reach it, or is another one there.
  const short = restored(lossy([], records, at(9, 3)));
  assert.equal([short.hardState, terms(short), short.impairedUntil], [hard(3, undefined, 9), "", undefined]);
  const other = restored(lossy([], records, at(3, 3)));
  assert.equal([other.hardState, terms(other), other.impairedUntil], [hard(3, undefined, 3), "", undefined]);
  // … and it goes on behind the snapshot, whatever its old entries were.
  const onward = restored(lossy([], [...records, written(hard(3, undefined, 3), 4, 3)], at(3, 3)));
  assert.equal([terms(onward), onward.impairedUntil], ["4/3", undefined]);
});

replaying("a trimmed log begins with the record that holds the snapshot's last entry", () => {
  const records = [
    written(hard(1, "a"), 1, 1, 1),
    written(hard(1, "a", 2), 3, 1, 1),
    { ...written(hard(1, "a", 4)), base: at(3, 1), lastIndex: 4 },
    written(hard(1, "a", 4), 5, 1),
  ];
  const whole = restored(lossy([], records, at(3, 1)));
  assert.is(trimPosition(whole.recordsAt, 3), 2);
  assert.equal(restored(lossy([1], records, at(3, 1))), { ...whole, recordsAt: whole.recordsAt.slice(1) });
  // A snapshot is there, but nothing that says which votes were given.
  assert.equal(lossy([1, 2, 3, 4], records, at(3, 1)), { ok: false, record: 0, message: "there is no record, but a snapshot at entry 3" });
});

replaying("an older snapshot will do while the log still holds what the newer one stood for", () => {
  const records = [written(hard(1, "a", 0), 1, 1, 1, 1), { ...written(hard(1, "a", 3)), base: at(3, 1), lastIndex: 3 }];
  assert.is(terms(restored(lossy([], records, at(1, 1)))), "2/1 3/1");
});

replaying("lost records: what may have been overwritten goes, what does not fit is set aside, the rest is missing", () => {
  const records = [
    written(hard(1, "a", 0), 1, 1, 1, 1),
    { ...written(hard(1, "a", 2)), lastIndex: 3 },
    // Lost: entry 3 is overwritten.
    written(hard(2, "b", 2), 3, 2, 2),
    written(hard(2, "b", 4), 5, 2),
  ];
  const state = restored(lossy([3], records));
  assert.equal([state.hardState, terms(state), state.impairedUntil], [hard(2, "b", 2), "1/1 2/1", 5]);
  // It gets them again, beginning behind what it has; the log on disk keeps its gap.
  const half = [...records, { ...written(hard(3, undefined, 2), 3, 2, 2), lastIndex: 5 }];
  const halfHealed = restored(lossy([3], half));
  assert.equal([terms(halfHealed), halfHealed.impairedUntil], ["1/1 2/1 3/2 4/2", 5]);
  const healed = restored(lossy([3], [...half, written(hard(3, undefined, 4), 5, 2, 3)]));
  assert.equal([healed.hardState, terms(healed), healed.impairedUntil], [hard(3, undefined, 4), "1/1 2/1 3/2 4/2 5/2 6/3", undefined]);
});

replaying("lost records and none of version 2 behind them: nothing says what the vote was", () => {
  const message = "records are missing, and the newest one is too old to say which term, vote and entries had been there";
  const old = [version1([1, 0], 1, 1), version1([2, 0], 2, 2), version1(undefined, 3, 2)];
  assert.equal(lossy([2], old), { ok: false, record: 3, message });
  const state = restored(lossy([2], [...old, { ...written(hard(2, "a", 1)), lastIndex: 3 }]));
  assert.equal([state.hardState, terms(state), state.impairedUntil], [hard(2, "a", 0), "", 3]);
});

/**
 * A node's life, seen from its log. What the group commits is one list; the node follows it, strays from it with entries
 * of terms that nobody else has, compacts, has snapshots installed, restarts from what a replay gives.
 */
class Life {
  readonly records: Numbered[] = [];
  /** Records of the current disk that are unreadable. */
  readonly lost = new Set<number>();
  readonly random: SeededRandom;
  /** Terms of what is (or will be) committed, index 1 first. */
  readonly group: number[] = [];
  groupTerm = 1;
  snapshot: SnapshotMeta = empty;
  hardState = hard(0);
  /** Behind the snapshot. */
  log: Entry[] = [];
  impairedUntil: number | undefined;
  snapshotStated = true;
  /** Of every entry that ever was, as index/term, the one before it. */
  readonly createdBehind = new Map<string, string>();
  #trimmed = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  get lastIndex(): number {
    return this.snapshot.index + this.log.length;
  }

  get recordsLeft(): Numbered[] {
    return this.records.filter(({ sequence }) => sequence >= this.#trimmed && !this.lost.has(sequence));
  }

  #agrees(index: number): boolean {
    return index <= this.snapshot.index || this.log[index - this.snapshot.index - 1]?.term === this.group[index - 1];
  }

  write(record: { base?: SnapshotMeta; entries?: readonly Entry[] }): void {
    const entries = record.entries ?? [];
    const lastIndex = Math.max(this.lastIndex, this.impairedUntil ?? 0);
    if (this.impairedUntil !== undefined && this.lastIndex >= this.impairedUntil) this.impairedUntil = undefined;
    const full = { hardState: this.hardState, base: record.base, firstIndex: entries[0]?.index ?? 0, entries, lastIndex };
    this.records.push({ sequence: this.records.length + 1, payload: encodeRecord(full).slice() });
  }

  step(): void {
    const { random } = this;
    while (this.group.length < this.lastIndex + 4) this.group.push(this.groupTerm);
    switch (random.below(8)) {
      case 0:
        this.groupTerm += 2;
        this.hardState = { ...this.hardState, term: this.groupTerm, votedFor: random.chance(0.5) ? memberId("b") : undefined };
        this.write({});
        break;
      case 1:
        this.#stray();
        break;
      case 2:
        this.#compact();
        break;
      case 3:
        this.#install();
        break;
      case 4:
        this.#commit();
        this.write({});
        break;
      default:
        this.#follow();
    }
  }

  /** Entries of a leader that nobody else follows; a node that heals gets none, since such a leader has no majority. */
  #stray(): void {
    if (this.impairedUntil !== undefined) return;
    this.groupTerm += 2;
    const term = this.groupTerm - 1;
    // What the group commits from here on is of later terms.
    const from = this.hardState.commitIndex + 1 + this.random.below(this.lastIndex - this.hardState.commitIndex + 1);
    this.group.length = Math.min(this.group.length, from - 1);
    this.hardState = { ...this.hardState, term, votedFor: undefined };
    this.#replace(Array.from({ length: 1 + this.random.below(3) }, (_, i) => testEntry(from + i, term)));
    while (this.group.length < this.lastIndex + 4) this.group.push(this.groupTerm);
  }

  /** What the group has, from where the logs agree. */
  #follow(): void {
    let from = this.lastIndex + 1;
    while (!this.#agrees(from - 1)) from--;
    const to = Math.min(this.group.length, from + this.random.below(3));
    const term = Math.max(this.hardState.term, ...this.group.slice(0, to));
    this.hardState = { ...this.hardState, term, votedFor: term > this.hardState.term ? undefined : this.hardState.votedFor };
    if (this.random.chance(0.5)) this.#commit();
    this.#replace(Array.from({ length: to - from + 1 }, (_, i) => testEntry(from + i, this.group[from + i - 1] as number)));
  }

  #replace(entries: readonly Entry[]): void {
    this.log.length = (entries[0] as Entry).index - this.snapshot.index - 1;
    for (const entry of entries) {
      const before = this.log.at(-1) ?? this.snapshot;
      this.createdBehind.set(`${entry.index}/${entry.term}`, `${before.index}/${before.term}`);
      this.log.push(entry);
    }
    this.write({ entries });
  }

  #commit(): void {
    let index = this.lastIndex;
    while (index > this.hardState.commitIndex && !this.#agrees(index)) index--;
    this.hardState = { ...this.hardState, commitIndex: Math.max(this.hardState.commitIndex, index - this.random.below(2)) };
  }

  #compact(): void {
    const index = this.hardState.commitIndex - this.random.below(2);
    if (index <= this.snapshot.index) return;
    const behind = this.log.slice(index - this.snapshot.index);
    this.snapshot = at(index, (this.log[index - this.snapshot.index - 1] as Entry).term);
    this.log = behind;
    this.#stateSnapshot();
  }

  #install(): void {
    const index = this.hardState.commitIndex + 1 + this.random.below(4);
    const term = this.group[index - 1];
    if (term === undefined || index <= this.snapshot.index) return;
    const same = this.log[index - this.snapshot.index - 1]?.term === term;
    this.log = same ? this.log.slice(index - this.snapshot.index) : [];
    this.snapshot = at(index, term);
    const hardTerm = Math.max(this.hardState.term, term);
    const votedFor = hardTerm > this.hardState.term ? undefined : this.hardState.votedFor;
    this.hardState = { term: hardTerm, votedFor, commitIndex: index };
    this.#stateSnapshot();
  }

  /** The snapshot's file is there; the record that says so may be cut off by the end of the process, and so may the trimming. */
  #stateSnapshot(): void {
    this.snapshotStated = this.random.chance(0.8);
    if (!this.snapshotStated) return;
    this.write({ base: this.snapshot });
    if (this.random.chance(0.3)) return;
    const { recordsAt } = restored(replayNumbered(this.recordsLeft, this.snapshot));
    this.#trimmed = Math.max(this.#trimmed, trimPosition(recordsAt, this.snapshot.index));
  }

  /** Loses records, never the newest, and goes on from what is left. Returns what was there before. */
  restart(lossProbability: number): { readonly before: Entry[]; readonly state: RestoredState } {
    const newest = this.records.length;
    for (const { sequence } of this.recordsLeft) {
      if (sequence < newest && this.random.chance(lossProbability)) this.lost.add(sequence);
    }
    const before = this.log;
    const state = restored(replayNumbered(this.recordsLeft, this.snapshot));
    this.log = [...state.entries];
    this.hardState = state.hardState;
    this.impairedUntil = state.impairedUntil;
    return { before, state };
  }
}

replaying("whatever a node lives through: an undamaged log gives back what was there, trimmed or not", () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), (seed, steps) => {
      const life = new Life(seed);
      life.write({});
      for (let i = 0; i < steps; i++) {
        life.step();
        const { term, votedFor } = life.hardState;
        const { before, state } = life.restart(0);
        assert.is(terms(state), terms({ ...state, entries: before }));
        assert.equal([state.hardState.term, state.hardState.votedFor], [term, votedFor]);
        assert.is(state.impairedUntil, undefined);
      }
    }),
    { numRuns: 500 },
  );
});

replaying("whatever records are lost: never an entry that was not there, never an older vote, and what is missing is known", () => {
  let impaired = 0;
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 25 }), (seed, lives, steps) => {
      const life = new Life(seed);
      life.write({});
      for (let i = 0; i < lives; i++) {
        for (let j = life.random.below(steps); j >= 0; j--) life.step();
        const { term, votedFor } = life.hardState;
        const missedUntil = Math.max(life.lastIndex, life.impairedUntil ?? 0);
        const wasImpaired = missedUntil > life.lastIndex;
        const { before, state } = life.restart(life.random.chance(0.5) ? 0.15 : 0);
        assert.equal([state.hardState.term, state.hardState.votedFor], [term, votedFor]);
        // Log matching (§5.3): each entry behind the one that it was created behind, the first behind the snapshot's.
        let id = `${life.snapshot.index}/${life.snapshot.term}`;
        for (const { index, term: entryTerm } of state.entries) {
          assert.is(life.createdBehind.get(`${index}/${entryTerm}`), id);
          id = `${index}/${entryTerm}`;
        }
        if (!wasImpaired && state.impairedUntil === undefined) assert.is(terms(state), terms({ ...state, entries: before }));
        assert.ok(state.hardState.commitIndex >= life.snapshot.index && state.hardState.commitIndex <= life.lastIndex);
        const missing = missedUntil > life.lastIndex ? missedUntil : undefined;
        // Without a record of the newest snapshot, what that overwrote may or may not count as lost.
        if (life.snapshotStated || (missing !== undefined && !wasImpaired)) assert.is(state.impairedUntil, missing);
        if (state.impairedUntil !== undefined) impaired++;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(impaired > 100, `${impaired} logs had to heal`);
});

replaying.run();
