/**
 * The rules on which Raft's safety rests, each a pure function on its own, so that a reader can check them against the
 * paper and a test can replace one and prove that the checkers notice.
 */
import type { GatewayId } from "../../lib/ids.ts";

export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/** Raft §5.4.1: a log is at least as up to date when its last term is greater, or equal and it is no shorter. */
export function isUpToDate(candidate: LogPosition, own: LogPosition): boolean {
  return candidate.term > own.term || (candidate.term === own.term && candidate.index >= own.index);
}

export interface VoteQuestion {
  readonly candidate: GatewayId;
  /** For whom this node has voted in the term in question. */
  readonly votedFor: GatewayId | undefined;
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

export interface RaftRules {
  readonly mayGrantVote: (question: VoteQuestion) => boolean;
  readonly mayCommit: (question: CommitQuestion) => boolean;
  readonly quorumSize: (voterCount: number) => number;
}

export const raftRules: RaftRules = { mayGrantVote, mayCommit, quorumSize };
