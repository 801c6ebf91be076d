/**
 * The disk of one node of the seeded cluster: records (as real bytes) of which a prefix is fsynced, and the newest
 * snapshot. It folds what is fsynced by a means of its own, so that what a node says of its disk can be compared with it.
 * Records are trimmed behind a snapshot as a gateway does it, and can be lost to damage.
 */
import type { RaftRecord } from "../../../src/core/raft/events-effects.ts";
import type { Entry, HardState, SnapshotMeta } from "../../../src/core/raft/messages.ts";
import { encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { type RecordPosition, RecordReplay, type ReplayResult, trimPosition } from "../../../src/core/raft/replay.ts";
import type { Random } from "../../../src/lib/random.ts";
import { SafetyViolation } from "./safety-violation.ts";

interface StoredRecord {
  readonly sequence: number;
  readonly bytes: Uint8Array;
  readonly record: RaftRecord;
}

export class SimulatedDisk {
  snapshot: SnapshotMeta;
  hardState: HardState = { term: 0, votedFor: undefined, commitIndex: 0 };
  /** Damage took entries that the node had: it had them up to this index. Until they are back, it may vouch for nothing. */
  lackingUpTo: number | undefined;
  /** Since the last `replay`. */
  isDamaged = false;
  #records: StoredRecord[] = [];
  #syncedCount = 0;
  #nextSequence = 1;
  /** The log that the node has on disk. */
  #log = new Terms();
  /** The same, as if nothing had ever been damaged. */
  #wholeLog = new Terms();
  #recordsAt: RecordPosition[] = [];

  constructor(founding: SnapshotMeta) {
    this.snapshot = founding;
  }

  append(record: RaftRecord): void {
    this.#records.push({ sequence: this.#nextSequence++, bytes: encodeRecord(record), record });
  }

  /** The oldest record that is not fsynced yet, is now. */
  syncNext(): void {
    const { sequence, record } = this.#records[this.#syncedCount++] as StoredRecord;
    const { hardState, base, firstIndex, entries, lastIndex } = record;
    this.hardState = hardState;
    for (const log of [this.#log, this.#wholeLog]) {
      if (base !== undefined) log.beginAt(base);
      if (entries.length > 0) log.replaceFrom(firstIndex, entries);
    }
    if (entries.length > 0) this.#recordsAt.push({ sequence, firstIndex });
    // Only where nothing stands behind the snapshot: otherwise earlier records still hold what does.
    else if (base?.index === lastIndex) this.#recordsAt.push({ sequence, firstIndex: lastIndex });
    if (base !== undefined) this.#trim(base.index);
    this.#noteHealing();
  }

  #trim(snapshotIndex: number): void {
    const before = trimPosition(this.#recordsAt, snapshotIndex);
    const kept = Math.max(
      0,
      this.#records.findIndex(({ sequence }) => sequence >= before),
    );
    this.#records.splice(0, kept);
    this.#syncedCount -= kept;
    this.#recordsAt = this.#recordsAt.filter(({ sequence }) => sequence >= before);
  }

  #noteHealing(): void {
    if (this.lackingUpTo !== undefined && Math.max(this.snapshot.index, this.#log.lastIndex) >= this.lackingUpTo)
      this.lackingUpTo = undefined;
  }

  storeSnapshot(snapshot: SnapshotMeta): void {
    if (snapshot.index > this.snapshot.index) this.snapshot = snapshot;
    this.#noteHealing();
  }

  /** The power goes: of what is not fsynced, the newest `lost(count)` records are lost, the rest is on disk. */
  crash(lost: (unsyncedCount: number) => number): void {
    this.#records.length -= lost(this.#records.length - this.#syncedCount);
    while (this.#syncedCount < this.#records.length) this.syncNext();
    this.#nextSequence = (this.#records[this.#records.length - 1]?.sequence ?? 0) + 1;
  }

  /** Of a node that is down: some records in a row are unreadable, but not the newest. False: there is nothing to damage. */
  damage(random: Random): boolean {
    if (this.#records.length < 2) return false;
    const from = random.below(this.#records.length - 1);
    const count = 1 + random.below(this.#records.length - 1 - from);
    this.#records.splice(from, count);
    this.#syncedCount = this.#records.length;
    this.isDamaged = true;
    return true;
  }

  /** What a node starts from; as damage may have left it, which the node has to know of. */
  replay(): ReplayResult {
    const replay = new RecordReplay({ snapshot: this.snapshot });
    for (const { sequence, bytes } of this.#records) replay.visit(sequence, bytes);
    const result = replay.result();
    if (!result.ok) return result;
    this.isDamaged = false;
    const { entries, recordsAt, hardState } = result.value;
    const { term: termBefore, votedFor } = this.hardState;
    if (hardState.term < termBefore || (hardState.term === termBefore && hardState.votedFor !== votedFor))
      throw new SafetyViolation("hard-state-on-disk", `term ${hardState.term} and vote ${hardState.votedFor} are not what was recorded`);
    this.#recordsAt = [...recordsAt];
    this.#wholeLog.beginAt(this.snapshot);
    this.#log = new Terms();
    this.#log.beginAt(this.snapshot);
    this.#log.replaceFrom(this.snapshot.index + 1, entries);
    if (entries.some(({ index, term }) => this.#wholeLog.at(index) !== term))
      throw new SafetyViolation("log-on-disk", "the log that was replayed is another one");
    const { lastIndex } = this.#wholeLog;
    if (lastIndex > this.#log.lastIndex) this.lackingUpTo = Math.max(lastIndex, this.lackingUpTo ?? 0);
    this.#noteHealing();
    return result;
  }

  /** Whether the entry at `index` is on disk with this term, or under the snapshot. */
  holds(index: number, term: number | undefined): boolean {
    return index <= this.snapshot.index || (term !== undefined && this.#log.at(index) === term);
  }
}

/** Terms of a log's entries, as far as they are known. */
class Terms {
  #terms: (number | undefined)[] = [];

  get lastIndex(): number {
    return this.#terms.length;
  }

  at(index: number): number | undefined {
    return this.#terms[index - 1];
  }

  /** Behind a snapshot stays only what is known to go on from there. */
  beginAt({ index, term }: SnapshotMeta): void {
    if (index === 0 || this.at(index) === term) return;
    this.#terms = [];
    this.#terms[index - 1] = term;
  }

  replaceFrom(firstIndex: number, entries: readonly Entry[]): void {
    this.#terms.length = firstIndex - 1;
    for (const { term } of entries) this.#terms.push(term);
  }
}
