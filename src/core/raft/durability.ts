/**
 * What of this node's state is on disk. Records are handed out in one order and become durable in that order; whatever
 * speaks for the disk (a vote, an acknowledgement, a candidacy) waits here until the record behind it is safe.
 */
import { assert } from "../../lib/assert.ts";
import type { MemberId } from "../../lib/ids.ts";
import type { RaftEffect } from "./events-effects.ts";
import type { HardState, RaftMessage, SnapshotMeta } from "./messages.ts";
import { entryBytes, type RaftLog } from "./raft-log.ts";

interface PendingRecord {
  readonly token: number;
  /** Greatest index that this record makes durable in the log as it is now; 0 when none. */
  lastIndex: number;
  readonly bytes: number;
}

interface HeldMessage {
  readonly token: number;
  readonly to: MemberId;
  readonly message: RaftMessage;
}

export class Durability {
  /** Every entry up to here is on disk. */
  durableIndex: number;
  /** Bytes of entries that were handed out and are not yet on disk. */
  pendingBytes = 0;
  #handedOutIndex: number;
  /** Hard state of the newest record. */
  #recorded: HardState;
  #token = 0;
  #durableToken = 0;
  /** Token of the newest record that changed term or vote. */
  #voteToken = 0;
  /** A snapshot that the next record has to name. */
  #base: SnapshotMeta | undefined;
  readonly #pending: PendingRecord[] = [];
  /** By receiver and type: a newer message of the same kind says everything the older one did. Bounded by the peers. */
  readonly #held = new Map<string, HeldMessage>();

  constructor(restored: { readonly hardState: HardState; readonly lastIndex: number }) {
    this.#recorded = restored.hardState;
    this.durableIndex = restored.lastIndex;
    this.#handedOutIndex = restored.lastIndex;
  }

  /** The log was cut: nothing from `index` on is (or will be, by a record under way) durable. */
  truncatedFrom(index: number): void {
    this.#handedOutIndex = Math.min(this.#handedOutIndex, index - 1);
    this.durableIndex = Math.min(this.durableIndex, index - 1);
    for (const record of this.#pending) record.lastIndex = Math.min(record.lastIndex, index - 1);
  }

  /** The log begins anew behind a snapshot, which is on disk itself. */
  resetTo(snapshot: SnapshotMeta): void {
    this.#base = snapshot;
    this.#handedOutIndex = snapshot.index;
    this.durableIndex = snapshot.index;
    for (const record of this.#pending) record.lastIndex = 0;
  }

  /** A snapshot inside the log is on disk: the next record says so. */
  compactedTo(snapshot: SnapshotMeta): void {
    this.#base = snapshot;
  }

  /**
   * Hands out one record with everything that is new, if term, vote, log or snapshot changed. The commit index only rides
   * along. `lastIndex`: the greatest that the log has, or is known to have had.
   */
  flush(state: HardState, log: RaftLog, lastIndex: number, effects: RaftEffect[]): void {
    const recorded = this.#recorded;
    const voteChanged = state.term !== recorded.term || state.votedFor !== recorded.votedFor;
    const firstIndex = this.#handedOutIndex + 1;
    const base = this.#base;
    if (!voteChanged && firstIndex > log.lastIndex && base === undefined) return;
    const entries = firstIndex > log.lastIndex ? [] : log.slice(firstIndex, log.lastIndex);
    const token = ++this.#token;
    if (voteChanged) this.#voteToken = token;
    this.#recorded = state;
    this.#base = undefined;
    let bytes = 0;
    for (const entry of entries) bytes += entryBytes(entry);
    this.pendingBytes += bytes;
    this.#handedOutIndex = log.lastIndex;
    this.#pending.push({ token, lastIndex: entries.length === 0 ? 0 : log.lastIndex, bytes });
    const record = { hardState: state, base, firstIndex: entries.length === 0 ? 0 : firstIndex, entries, lastIndex };
    effects.push({ type: "persist", token, record });
  }

  /** Records up to `token` are fsynced. */
  confirm(token: number): void {
    assert(token <= this.#token, `record ${token} was handed out`);
    if (token <= this.#durableToken) return;
    this.#durableToken = token;
    let count = 0;
    for (const record of this.#pending) {
      if (record.token > token) break;
      count++;
      this.pendingBytes -= record.bytes;
      if (record.lastIndex > this.durableIndex) this.durableIndex = record.lastIndex;
    }
    this.#pending.splice(0, count);
  }

  /** Token of the oldest record that is not on disk; `undefined`: all are. */
  get oldestPending(): number | undefined {
    return this.#pending[0]?.token;
  }

  /** Whether term and vote, as they were at the last `flush`, are on disk. */
  get voteDurable(): boolean {
    return this.#voteToken <= this.#durableToken;
  }

  /** Sends at once where term and vote are on disk, otherwise as soon as they are. Call after `flush`. */
  sendWhenVoteDurable(to: MemberId, message: RaftMessage, effects: RaftEffect[]): void {
    if (this.voteDurable) effects.push({ type: "send", to, message });
    else this.#held.set(`${message.type} ${to}`, { token: this.#voteToken, to, message });
  }

  /** Sends what waited and is safe now; what belongs to an earlier term is forgotten, as if the network had lost it. */
  releaseHeld(term: number, effects: RaftEffect[]): void {
    for (const [key, held] of this.#held) {
      if (held.token > this.#durableToken) continue;
      this.#held.delete(key);
      // The grant of a pre-vote names the term to come.
      if (held.message.term >= term) effects.push({ type: "send", to: held.to, message: held.message });
    }
  }
}
