/**
 * Folds the records of a log into the state that a node starts from. A record that cannot follow the ones before it is
 * damage: the node must not start then, since it might vote or acknowledge against what it once promised.
 */
import type { RaftRecord } from "./events-effects.ts";
import type { Entry, HardState } from "./messages.ts";
import type { RestoredState } from "./raft-state.ts";
import { decodeRecord } from "./record-codec.ts";

export type ReplayResult =
  | { readonly ok: true; readonly value: RestoredState }
  /** `record` counts from 1. */
  | { readonly ok: false; readonly record: number; readonly message: string };

export class RecordReplay {
  #hardState: HardState = { term: 0, votedFor: undefined, commitIndex: 0 };
  readonly #entries: Entry[] = [];
  #records = 0;
  #damage: Extract<ReplayResult, { ok: false }> | undefined;

  /** One record, in the order of the log; `payload` may be reused afterwards. */
  visit(payload: Uint8Array): void {
    this.#records++;
    if (this.#damage !== undefined) return;
    const decoded = decodeRecord(payload);
    const problem = decoded.ok ? this.#fold(decoded.value) : decoded.message;
    if (problem !== undefined) this.#damage = { ok: false, record: this.#records, message: problem };
  }

  result(): ReplayResult {
    return this.#damage ?? { ok: true, value: { hardState: this.#hardState, entries: this.#entries } };
  }

  #fold(record: RaftRecord): string | undefined {
    const hardState = record.hardState ?? this.#hardState;
    return this.#termProblem(hardState) ?? this.#foldEntries(record, hardState.term) ?? this.#foldHardState(hardState);
  }

  #termProblem(next: HardState): string | undefined {
    const { term, votedFor } = this.#hardState;
    if (next.term < term) return `term ${next.term} follows term ${term}`;
    if (next.term === term && votedFor !== undefined && next.votedFor !== votedFor) return `a second vote in term ${term}`;
    return undefined;
  }

  #foldEntries({ firstIndex, entries }: RaftRecord, term: number): string | undefined {
    const first = entries[0];
    if (first === undefined) return undefined;
    const before = this.#entries[firstIndex - 2];
    if (firstIndex > this.#entries.length + 1) return `entry ${firstIndex} follows entry ${this.#entries.length}`;
    if (firstIndex <= this.#hardState.commitIndex) return `committed entry ${firstIndex} is overwritten`;
    if (before !== undefined && first.term < before.term) return `term ${first.term} of entry ${firstIndex} follows term ${before.term}`;
    if ((entries[entries.length - 1] as Entry).term > term) return `an entry of a later term than ${term}`;
    this.#entries.length = firstIndex - 1;
    for (const entry of entries) this.#entries.push(entry);
    return undefined;
  }

  #foldHardState(next: HardState): string | undefined {
    if (next.commitIndex > this.#entries.length) return `commit index ${next.commitIndex} with ${this.#entries.length} entries`;
    if (next.commitIndex < this.#hardState.commitIndex) return `commit index ${next.commitIndex} follows ${this.#hardState.commitIndex}`;
    this.#hardState = next;
    return undefined;
  }
}
