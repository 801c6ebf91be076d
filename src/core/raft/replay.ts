/**
 * Folds the records of a log into the state that a node starts from. A record that cannot follow the ones before it is a
 * contradiction: the node must not start then, since it might vote or acknowledge against what it once promised.
 *
 * A log may also have lost records to damage of its disk; the gaps in the sequence numbers tell. What is folded is then,
 * at any point, a prefix of the log that the node had there: at a gap everything behind the commit index goes (the lost
 * records may have overwritten it), and entries behind a hole are set aside until a record closes it. So no entry is ever
 * put behind another one than it was created behind (log matching, Raft §5.3). What is missing at the end is said by the
 * newest record, and the node must take no part in decisions until it has it again.
 */
import { defined } from "../../lib/assert.ts";
import { FoldedLog } from "./folded-log.ts";
import type { HardState, SnapshotMeta } from "./messages.ts";
import type { RestoredState } from "./raft-state.ts";
import { type DecodedRecord, decodeRecord } from "./record-codec.ts";

/** From this record on the log on disk has its entries from `firstIndex` on. */
export interface RecordPosition {
  readonly sequence: number;
  readonly firstIndex: number;
}

export interface ReplayedLog extends RestoredState {
  /** In order of the log; a record that dropped all entries for a snapshot stands for the snapshot's index. */
  readonly recordsAt: readonly RecordPosition[];
}

export type ReplayResult =
  | { readonly ok: true; readonly value: ReplayedLog }
  /** `record`: its sequence number. */
  | { readonly ok: false; readonly record: number; readonly message: string };

/**
 * Below which sequence number a log may be trimmed once a snapshot at `snapshotIndex` is durable, and the record that
 * states it as `base` too: the record with the entry at the snapshot's index stays, so that a replay can compare its term.
 */
export function trimPosition(recordsAt: readonly RecordPosition[], snapshotIndex: number): number {
  return recordsAt.findLast(({ firstIndex }) => firstIndex <= snapshotIndex)?.sequence ?? 0;
}

const nothingSaid: HardState = { term: 0, votedFor: undefined, commitIndex: 0 };

export class RecordReplay {
  readonly #snapshot: SnapshotMeta;
  /** `undefined` until it is known what the log holds from some index on: its beginning was trimmed, or lost. */
  #log: FoldedLog | undefined;
  /** The log that the node had at this point is exactly `#log`; otherwise it may have had more behind. */
  #exact = true;
  /** No record is missing, from the first one on. */
  #complete = true;
  #hardState = nothingSaid;
  #newest: DecodedRecord | undefined;
  #sequence = 0;
  #recordsAt: RecordPosition[] = [];
  #problem: { readonly record: number; readonly message: string } | undefined;

  /** `snapshot`: the newest one on disk; index 0, term 0 and the founding configuration where there is none. */
  constructor(options: { readonly snapshot: SnapshotMeta }) {
    this.#snapshot = options.snapshot;
  }

  /** One record, in the order of the log; `payload` may be reused afterwards. */
  visit(sequence: number, payload: Uint8Array): void {
    if (this.#problem !== undefined) return;
    if (this.#sequence === 0 && sequence === 1) this.#log = new FoldedLog({ index: 0, term: 0 }, []);
    else if (sequence !== this.#sequence + 1) this.#missing();
    this.#sequence = sequence;
    const decoded = decodeRecord(payload);
    const message = decoded.ok ? this.#fold(decoded.value) : decoded.message;
    if (message !== undefined) this.#problem = { record: sequence, message };
    else if (decoded.ok) this.#newest = decoded.value;
  }

  result(): ReplayResult {
    const message = this.#problem?.message ?? this.#endProblem();
    if (message !== undefined) return { ok: false, record: this.#problem?.record ?? this.#sequence, message };
    const { index, term } = this.#snapshot;
    const entries = this.#log?.entriesBehind(this.#snapshot) ?? [];
    const lastIndex = index + entries.length;
    const hardState = this.#hardState.term < term ? { ...this.#hardState, term, votedFor: undefined } : this.#hardState;
    // A commit index is a hint that may lag (a damaged log has less than it says).
    const commitIndex = Math.min(Math.max(hardState.commitIndex, index), lastIndex);
    const known = this.#knownLastIndex();
    const impairedUntil = known > lastIndex ? known : undefined;
    return {
      ok: true,
      value: { hardState: { ...hardState, commitIndex }, snapshot: this.#snapshot, entries, impairedUntil, recordsAt: this.#recordsAt },
    };
  }

  /** The greatest index that the node's log had, and that is not known to have been wrong. */
  #knownLastIndex(): number {
    const lastIndex = this.#newest?.lastIndex ?? 0;
    // Entries that contradict the snapshot were never committed: they are overwritten by it, not lost.
    const overwritten = this.#exact && this.#log?.lastIndex === lastIndex && this.#log.contradicts(this.#snapshot);
    return overwritten ? this.#snapshot.index : lastIndex;
  }

  #endProblem(): string | undefined {
    const { index } = this.#snapshot;
    if (this.#newest === undefined) return index > 0 ? `there is no record, but a snapshot at entry ${index}` : undefined;
    if (!this.#complete && this.#newest.version === 1)
      return "records are missing, and the newest one is too old to say which term, vote and entries had been there";
    return undefined;
  }

  /** Records are missing here: only what was committed before is certain not to have been overwritten by them. */
  #missing(): void {
    this.#complete = false;
    this.#exact = false;
    if (this.#log !== undefined) this.#log = this.#log.cutBehind(this.#hardState.commitIndex);
  }

  #fold(record: DecodedRecord): string | undefined {
    const hardState = record.hardState ?? this.#hardState;
    return (
      this.#termProblem(hardState) ??
      this.#foldBase(record) ??
      this.#commitProblem(record, hardState) ??
      this.#foldEntries(record, hardState) ??
      this.#foldHardState(hardState) ??
      this.#foldLastIndex(record)
    );
  }

  #termProblem(next: HardState): string | undefined {
    const { term, votedFor } = this.#hardState;
    if (next.term < term) return `term ${next.term} follows term ${term}`;
    if (next.term === term && votedFor !== undefined && next.votedFor !== votedFor) return `a second vote in term ${term}`;
    return undefined;
  }

  /** Entries up to the snapshot are gone; those behind it stay only when the entry there is the snapshot's (Raft §7). */
  #foldBase({ base, lastIndex }: DecodedRecord): string | undefined {
    if (base === undefined) return undefined;
    const { index, term } = base;
    const here = this.#log?.holds(base);
    if (index > this.#snapshot.index && here !== true)
      return `there was a snapshot at entry ${index}, and the newest that can be read is at entry ${this.#snapshot.index}`;
    if (index === this.#snapshot.index && term !== this.#snapshot.term)
      return `the snapshot at entry ${index} was of term ${term}, the one on disk is of term ${this.#snapshot.term}`;
    if (here === true) return undefined;
    const trimmed = here === undefined && this.#log !== undefined && this.#log.before.index >= index;
    // The record's own count tells whether anything behind stayed.
    if (trimmed && this.#exact && lastIndex === this.#log?.lastIndex) return undefined;
    this.#exact = this.#exact && this.#log !== undefined && !trimmed;
    this.#log = new FoldedLog(base, []);
    this.#recordsAt = [{ sequence: this.#sequence, firstIndex: index }];
    return undefined;
  }

  /**
   * What was committed stays (§5.4), as far as the node had it: while entries are missing, it goes on with a lower commit
   * index. Where the beginning of the log was trimmed or lost, it may have had less than what is known by now.
   */
  #commitProblem({ firstIndex }: DecodedRecord, next: HardState): string | undefined {
    const log = this.#log;
    if (typeof log?.before.term !== "number") return undefined;
    const committed = Math.min(this.#hardState.commitIndex, log.lastIndex);
    if (firstIndex > 0 && firstIndex <= committed) return `committed entry ${firstIndex} is overwritten`;
    return next.commitIndex < committed ? `commit index ${next.commitIndex} follows ${this.#hardState.commitIndex}` : undefined;
  }

  #foldEntries({ firstIndex, entries }: DecodedRecord, hardState: HardState): string | undefined {
    const first = entries[0];
    if (first === undefined) return undefined;
    const last = defined(entries[entries.length - 1], "last entry");
    // With records missing, a record of version 1 may be without the hard state that belongs to it.
    if (last.term > hardState.term && this.#complete) return `an entry of a later term than ${hardState.term}`;
    const log = this.#log;
    // What the snapshot overwrote, without a record that says so: the process ended in between.
    const behindSnapshot = firstIndex === this.#snapshot.index + 1 && hardState.commitIndex >= this.#snapshot.index;
    const overwritten = behindSnapshot && log?.contradicts(this.#snapshot) === true;
    const anew = new FoldedLog({ index: firstIndex - 1, term: hardState.commitIndex >= firstIndex - 1 ? "committed" : undefined }, entries);
    if (log === undefined || firstIndex > log.lastIndex + 1) {
      if (firstIndex <= this.#snapshot.index + 1) this.#log = anew;
      else if (this.#exact && log !== undefined) return `entry ${firstIndex} follows entry ${log.lastIndex}`;
      else return undefined;
    } else if (
      overwritten ||
      firstIndex <= log.before.index ||
      (firstIndex === log.before.index + 1 && typeof log.before.term !== "number")
    ) {
      this.#log = anew;
    } else {
      const before = log.termAt(firstIndex - 1);
      if (typeof before === "number" && first.term < before) return `term ${first.term} of entry ${firstIndex} follows term ${before}`;
      this.#log = log.replacedFrom(firstIndex, entries);
    }
    this.#exact = true;
    this.#recordsAt.push({ sequence: this.#sequence, firstIndex });
    return undefined;
  }

  #foldHardState(next: HardState): string | undefined {
    const log = this.#log;
    if (this.#exact && log !== undefined && next.commitIndex > Math.max(log.lastIndex, this.#snapshot.index))
      return `commit index ${next.commitIndex} with ${log.lastIndex} entries`;
    this.#hardState = next;
    return undefined;
  }

  #foldLastIndex({ lastIndex }: DecodedRecord): string | undefined {
    const log = this.#log;
    if (log === undefined || lastIndex === undefined) return undefined;
    if (lastIndex < log.lastIndex) {
      if (lastIndex > this.#snapshot.index) return `a log that ends at entry ${lastIndex} has entry ${log.lastIndex}`;
      // A snapshot took the place of the entries, and the process ended before a record said so.
      this.#log = undefined;
      this.#exact = false;
    } else if (lastIndex === log.lastIndex) this.#exact = true;
    return undefined;
  }
}
