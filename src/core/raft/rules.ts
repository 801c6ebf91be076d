/**
 * The rules on which Raft's safety rests, each a pure function on its own, so that a reader can check them against the
 * paper and a test can replace one and prove that the checkers notice.
 */
import type { MemberId } from "../../lib/ids.ts";

export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/** Raft §5.4.1: a log is at least as up to date when its last term is greater, or equal and it is no shorter. */
export function isUpToDate(candidate: LogPosition, own: LogPosition): boolean {
  return candidate.term > own.term || (candidate.term === own.term && candidate.index >= own.index);
}

export interface VoteQuestion {
  readonly candidate: MemberId;
  /** For whom this node has voted in the term in question. */
  readonly votedFor: MemberId | undefined;
  readonly candidateLog: LogPosition;
  readonly ownLog: LogPosition;
}

/** Raft §5.2, §5.4.1: one vote a term, first come, first served, and only for a log that is up to date. */
export function mayGrantVote(question: VoteQuestion): boolean {
  const free = question.votedFor === undefined || question.votedFor === question.candidate;
  return free && isUpToDate(question.candidateLog, question.ownLog);
}

export interface CommitQuestion {
  /** Term of the entry that a quorum has on disk. */
  readonly entryTerm: number;
  readonly currentTerm: number;
}

/** Raft §5.4.2: only an entry of the leader's own term commits by counting; earlier ones commit under it. */
export function mayCommit(question: CommitQuestion): boolean {
  return question.entryTerm === question.currentTerm;
}

/** Size of a majority. */
export function quorumSize(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

export interface MembershipQuestion {
  /** An entry of the leader's own term is committed: what it knows as committed is complete (dissertation §4.1, the bug of 2015). */
  readonly ownTermCommitted: boolean;
  /** The configuration in effect is not committed yet. */
  readonly changeInFlight: boolean;
}

/** Dissertation §4.1: one change of the membership at a time. */
export function mayChangeMembership(question: MembershipQuestion): boolean {
  return question.ownTermCommitted && !question.changeInFlight;
}

export interface ReadQuestion {
  /** A quorum has confirmed, after the read was asked, that this node still led. */
  readonly confirmed: boolean;
}

/** Dissertation §6.4: a leader answers a read only when it has heard that it still leads. */
export function mayServeRead(question: ReadQuestion): boolean {
  return question.confirmed;
}

/**
 * Whether a node whose log lost entries that it once had may vote, stand, or acknowledge: never, until it has them again
 * (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018).
 */
export function mayVoteImpaired(): boolean {
  return false;
}

export interface RaftRules {
  readonly mayGrantVote: (question: VoteQuestion) => boolean;
  readonly mayCommit: (question: CommitQuestion) => boolean;
  readonly quorumSize: (voterCount: number) => number;
  readonly mayChangeMembership: (question: MembershipQuestion) => boolean;
  readonly mayServeRead: (question: ReadQuestion) => boolean;
  readonly mayVoteImpaired: () => boolean;
}

export const raftRules: RaftRules = { mayGrantVote, mayCommit, quorumSize, mayChangeMembership, mayServeRead, mayVoteImpaired };
