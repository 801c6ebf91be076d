/**
 * Elections: pre-vote (dissertation §9.6), vote (Raft §5.2, §5.4.1), leader stickiness (dissertation §4.2.3). A
 * candidate asks for votes, and counts its own, only once its candidacy is on disk; so does a voter with its answer. A
 * learner that is asked votes: the candidate may know, as it does not yet, that it is a voter (dissertation §4.2.2).
 */
import type { MemberId } from "../../lib/ids.ts";
import type { PreVoteRequest, PreVoteResponse, RaftMessage, VoteRequest, VoteResponse } from "./messages.ts";
import type { RaftState } from "./raft-state.ts";

/** Changes of role, which the node carries out. */
export interface ElectionOutcomes {
  becomeFollower(term: number, leader: MemberId | undefined): void;
  becomeLeader(): void;
}

export class Election {
  readonly #state: RaftState;
  readonly #outcomes: ElectionOutcomes;
  /** Answers in the current round, this node's own included. */
  readonly #votes = new Map<MemberId, boolean>();
  /** As a candidate: the candidacy is on disk and the requests have left. */
  #asked = false;
  /** As a candidate: the leader asked for it. */
  #transfer = false;

  constructor(state: RaftState, outcomes: ElectionOutcomes) {
    this.#state = state;
    this.#outcomes = outcomes;
  }

  /**
   * A voter whose removal is in its log, but not known to be committed, stands all the same: its log may be the only one that
   * can win (dissertation §4.2.2). Its own vote does not count then.
   */
  get #mayStand(): boolean {
    const { configurations, commitIndex, self, isImpaired } = this.#state;
    return configurations.isVoterFrom(commitIndex, self) && !isImpaired;
  }

  get nextDeadlineMs(): number {
    return this.#mayStand ? this.#state.electionDeadlineMs : Number.POSITIVE_INFINITY;
  }

  tick(): void {
    if (this.#state.nowMs >= this.#state.electionDeadlineMs) this.stand();
  }

  /** The election timeout has passed. */
  stand(): void {
    const state = this.#state;
    if (!this.#mayStand) return;
    state.resetElectionTimer();
    // A slow disk is not a lost election: the time of a candidacy counts from when the others are asked.
    if (state.role === "candidate" && !this.#asked) return;
    this.#beginPreVote();
  }

  #beginPreVote(): void {
    const state = this.#state;
    state.role = "pre-candidate";
    state.leader = undefined;
    this.#votes.clear();
    this.#votes.set(state.self, true);
    for (const voter of state.configuration.otherVoters(state.self)) state.send(voter, this.#request());
    this.#countPreVotes();
  }

  /** The leader passes its leadership on (dissertation §3.10). The question whether an election could be won is not asked. */
  standAtOnce(): void {
    if (this.#mayStand) this.#beginCandidacy({ transfer: true });
  }

  #beginCandidacy(options: { readonly transfer: boolean }): void {
    const state = this.#state;
    this.#transfer = options.transfer;
    state.enterTerm(state.term + 1);
    state.vote(state.self);
    state.role = "candidate";
    state.resetElectionTimer();
    this.#votes.clear();
    this.#asked = false;
  }

  /** Call when records have become durable. */
  afterDurable(): void {
    const state = this.#state;
    if (state.role !== "candidate" || this.#asked || !state.durability.voteDurable) return;
    this.#asked = true;
    state.resetElectionTimer();
    for (const voter of state.configuration.otherVoters(state.self)) state.send(voter, this.#request());
    this.#votes.set(state.self, true);
    this.#countVotes();
  }

  #request(): RaftMessage {
    const { role, term, log } = this.#state;
    const { index: lastLogIndex, term: lastLogTerm } = log.last;
    if (role === "candidate") return { type: "vote-request", term, lastLogIndex, lastLogTerm, transfer: this.#transfer };
    return { type: "pre-vote-request", term: term + 1, lastLogIndex, lastLogTerm };
  }

  /** A link stands again: asks anew who has not answered. */
  peerUp(peer: MemberId): void {
    const { role } = this.#state;
    const asking = role === "pre-candidate" || (role === "candidate" && this.#asked);
    if (asking && !this.#votes.has(peer) && this.#state.configuration.isVoter(peer)) this.#state.send(peer, this.#request());
  }

  preVoteRequested(from: MemberId, message: PreVoteRequest): void {
    const state = this.#state;
    // A vote in that term would be a new one, so none is given away in it yet. An answer with the own term frees a
    // node that has fallen behind; nothing is recorded, and the own timer goes on.
    const granted =
      message.term > state.term &&
      !state.trustsLeader &&
      !state.isImpaired &&
      state.rules.mayGrantVote({ candidate: from, votedFor: undefined, candidateLog: positionOf(message), ownLog: state.log.last });
    state.reply(from, { type: "pre-vote-response", term: granted ? message.term : state.term, granted });
  }

  preVoteAnswered(from: MemberId, message: PreVoteResponse): void {
    const state = this.#state;
    if (!message.granted && message.term > state.term) {
      this.#outcomes.becomeFollower(message.term, undefined);
    } else if (state.role === "pre-candidate" && message.term === state.term + (message.granted ? 1 : 0)) {
      this.#votes.set(from, message.granted);
      this.#countPreVotes();
    }
  }

  #countPreVotes(): void {
    const { configuration, term } = this.#state;
    if (configuration.isQuorum((voter) => this.#votes.get(voter) === true)) this.#beginCandidacy({ transfer: false });
    else if (configuration.isBlocked((voter) => this.#votes.get(voter) === false)) this.#outcomes.becomeFollower(term, undefined);
  }

  voteRequested(from: MemberId, message: VoteRequest): void {
    const state = this.#state;
    // Dissertation §4.2.3: not even the term is taken over from a candidate while a leader is there.
    if (message.term > state.term && state.trustsLeader && !message.transfer) return;
    if (message.term > state.term) this.#outcomes.becomeFollower(message.term, undefined);
    const granted =
      message.term === state.term &&
      state.leader === undefined &&
      !state.isImpaired &&
      state.rules.mayGrantVote({ candidate: from, votedFor: state.votedFor, candidateLog: positionOf(message), ownLog: state.log.last });
    if (granted) {
      state.vote(from);
      state.resetElectionTimer();
    }
    state.reply(from, { type: "vote-response", term: state.term, granted });
  }

  voteAnswered(from: MemberId, message: VoteResponse): void {
    const state = this.#state;
    if (message.term > state.term) {
      this.#outcomes.becomeFollower(message.term, undefined);
    } else if (message.term === state.term && state.role === "candidate" && this.#asked) {
      this.#votes.set(from, message.granted);
      this.#countVotes();
    }
  }

  #countVotes(): void {
    const { configuration, term } = this.#state;
    if (configuration.isQuorum((voter) => this.#votes.get(voter) === true)) this.#outcomes.becomeLeader();
    else if (configuration.isBlocked((voter) => this.#votes.get(voter) === false)) this.#outcomes.becomeFollower(term, undefined);
  }
}

function positionOf(request: PreVoteRequest | VoteRequest): { readonly index: number; readonly term: number } {
  return { index: request.lastLogIndex, term: request.lastLogTerm };
}
