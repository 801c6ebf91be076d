/**
 * What Raft nodes of one site say to each other. A closed union; any message may be lost, doubled, late or out of
 * order. The wire format stands in `message-codec.ts`.
 */
import type { MemberId } from "../../lib/ids.ts";
import type { ConfigurationRecord } from "./configuration.ts";

/**
 * `no-op`: the entry with which a leader opens its term (Raft §8); its command is empty and it is not for the state machine.
 * `configuration`: its command is a `ConfigurationRecord` (`configuration-codec.ts`), in effect from when it is in the log.
 */
export type EntryKind = "command" | "no-op" | "configuration";

export interface Entry {
  /** From 1, without gaps. */
  readonly index: number;
  /** Term of the leader that created the entry. Never falls from one index to the next. */
  readonly term: number;
  readonly kind: EntryKind;
  readonly command: Uint8Array;
}

/** Asks whether an election could be won (dissertation §9.6). `term` is the one that the sender would stand for. */
export interface PreVoteRequest {
  readonly type: "pre-vote-request";
  readonly term: number;
  readonly lastLogIndex: number;
  readonly lastLogTerm: number;
}

/** Granted: `term` is the one asked for. Refused: `term` is the refuser's own. */
export interface PreVoteResponse {
  readonly type: "pre-vote-response";
  readonly term: number;
  readonly granted: boolean;
}

export interface VoteRequest {
  readonly type: "vote-request";
  readonly term: number;
  readonly lastLogIndex: number;
  readonly lastLogTerm: number;
  /** The leader has asked the sender to take over (dissertation §3.10): whoever trusts that leader votes all the same. */
  readonly transfer: boolean;
}

export interface VoteResponse {
  readonly type: "vote-response";
  readonly term: number;
  readonly granted: boolean;
}

/** AppendEntries; without entries it is the heartbeat, the news of a commit, or the question of a read round. */
export interface AppendRequest {
  readonly type: "append";
  readonly term: number;
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commitIndex: number;
  /** Newest read round of this leader; it grows within the term. */
  readonly readSequence: number;
  /** Entry i has index `prevIndex + 1 + i`. */
  readonly entries: readonly Entry[];
}

/**
 * The logs agree up to `receivedIndex`, and up to `matchIndex` the follower has them on disk. A follower that heals a damaged
 * log says `matchIndex` 0, for it may not vouch for anything, and what it has on disk as `receivedIndex`.
 */
export interface AppendAccepted {
  readonly type: "append-accepted";
  readonly term: number;
  readonly matchIndex: number;
  readonly receivedIndex: number;
  /** Newest read round that the follower has seen from this leader. */
  readonly readSequence: number;
}

/**
 * The logs do not agree at `rejectedIndex` (the request's `prevIndex`). `conflictIndex` is the greatest index at which
 * the follower's log may still agree with the leader's, `conflictTerm` the follower's term there (§5.3, fast backtracking).
 * With a term above the request's it only says that the sender is deposed.
 */
export interface AppendRejected {
  readonly type: "append-rejected";
  readonly term: number;
  readonly rejectedIndex: number;
  readonly conflictIndex: number;
  readonly conflictTerm: number;
  readonly readSequence: number;
}

/**
 * The follower lacks entries that the leader's log no longer has (Raft §7). The message only names the snapshot; the
 * follower fetches it, over another channel and in pieces, from the sender. Also the heartbeat as long as that takes.
 */
export interface InstallSnapshot {
  readonly type: "install-snapshot";
  readonly term: number;
  readonly snapshotIndex: number;
  readonly snapshotTerm: number;
  readonly readSequence: number;
}

/** Asks the receiver, whose log is complete, to stand for election at once (dissertation §3.10). */
export interface TimeoutNow {
  readonly type: "timeout-now";
  readonly term: number;
}

export type RaftMessage =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendAccepted
  | AppendRejected
  | InstallSnapshot
  | TimeoutNow;

export type RaftMessageType = RaftMessage["type"];

/** What must be on disk before a node speaks in a term. `commitIndex` is a hint: it may lag behind, never run ahead. */
export interface HardState {
  readonly term: number;
  readonly votedFor: MemberId | undefined;
  readonly commitIndex: number;
}

/** What a snapshot stands for: everything up to and including the entry at `index`. Index 0, term 0: the empty beginning. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  /** In effect at `index`. */
  readonly configuration: ConfigurationRecord;
}
