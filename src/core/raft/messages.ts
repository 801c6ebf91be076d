/**
 * What Raft nodes of one site say to each other. A closed union; any message may be lost, doubled, late or out of
 * order. The wire format stands in `message-codec.ts`.
 */
import type { GatewayId } from "../../lib/ids.ts";

/** `no-op`: the entry with which a leader opens its term (Raft §8); its command is empty and it is not for the state machine. */
export type EntryKind = "command" | "no-op";

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

/** The logs agree up to `receivedIndex`, and up to `matchIndex` the follower has them on disk. */
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

export type RaftMessage = PreVoteRequest | PreVoteResponse | VoteRequest | VoteResponse | AppendRequest | AppendAccepted | AppendRejected;

export type RaftMessageType = RaftMessage["type"];

/** What must be on disk before a node speaks in a term. `commitIndex` is a hint: it may lag behind, never run ahead. */
export interface HardState {
  readonly term: number;
  readonly votedFor: GatewayId | undefined;
  readonly commitIndex: number;
}
