/**
 * The state that the parts of a Raft node share, and the few changes to it that keep its invariants: the term never
 * falls, a vote is given once a term, the commit index never falls, and the log is never cut below it.
 */
import { assert } from "../../lib/assert.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import type { Configuration } from "./configuration.ts";
import { Durability } from "./durability.ts";
import type { RaftEffect, RaftRole } from "./events-effects.ts";
import type { Entry, HardState, RaftMessage } from "./messages.ts";
import type { RaftLimits, RaftTimings } from "./options.ts";
import { OpenProposals } from "./proposals.ts";
import { RaftLog } from "./raft-log.ts";
import type { RaftRules } from "./rules.ts";

export interface RestoredState {
  readonly hardState: HardState;
  /** Indexes from 1 without gaps. */
  readonly entries: readonly Entry[];
}

export interface RaftStateOptions {
  readonly self: GatewayId;
  readonly configuration: Configuration;
  readonly rules: RaftRules;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly restored: RestoredState;
  readonly nowMs: number;
}

export class RaftState {
  readonly self: GatewayId;
  readonly configuration: Configuration;
  readonly rules: RaftRules;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly log: RaftLog;
  readonly durability: Durability;
  readonly proposals: OpenProposals;
  /** The caller's list during a step. */
  effects: RaftEffect[] = [];
  nowMs: number;
  term: number;
  votedFor: GatewayId | undefined;
  role: RaftRole = "follower";
  leader: GatewayId | undefined;
  leaderHeardMs = Number.NEGATIVE_INFINITY;
  electionDeadlineMs: number;
  commitIndex: number;
  appliedIndex = 0;
  /** As a follower: the log agrees with the leader of this term up to here. */
  receivedIndex = 0;
  /** As a follower: newest read round seen from the leader of this term. */
  readSequenceSeen = 0;
  readonly #replies: { readonly to: GatewayId; readonly message: RaftMessage }[] = [];

  constructor(options: RaftStateOptions) {
    const { hardState, entries } = options.restored;
    this.self = options.self;
    this.configuration = options.configuration;
    this.rules = options.rules;
    this.timings = options.timings;
    this.limits = options.limits;
    this.random = options.random;
    this.nowMs = options.nowMs;
    this.log = new RaftLog({ index: 0, term: 0 }, entries);
    assert(hardState.commitIndex <= this.log.lastIndex, "the commit index on disk is covered by the log on disk");
    assert(hardState.term >= this.log.last.term, "the term on disk is not below that of the log");
    this.term = hardState.term;
    this.votedFor = hardState.votedFor;
    this.commitIndex = hardState.commitIndex;
    this.durability = new Durability({ hardState, lastIndex: this.log.lastIndex });
    this.proposals = new OpenProposals(options.limits.openProposalsMax);
    this.electionDeadlineMs = this.nowMs + this.#firstTimeoutMs();
  }

  /**
   * After a start nobody is known to lead, and asking early does no harm, since a pre-vote is refused by whoever hears
   * a leader: a site that starts has its leader within the minimum timeout, a site of one at once.
   */
  #firstTimeoutMs(): number {
    const { heartbeatMs, electionTimeoutMinMs } = this.timings;
    if (this.configuration.voters.length === 1) return 0;
    return heartbeatMs + this.random.below(Math.max(1, electionTimeoutMinMs - heartbeatMs));
  }

  get hardState(): HardState {
    return { term: this.term, votedFor: this.votedFor, commitIndex: this.commitIndex };
  }

  get peers(): readonly GatewayId[] {
    return this.configuration.peersOf(this.self);
  }

  resetElectionTimer(): void {
    const { electionTimeoutMinMs, electionTimeoutMaxMs } = this.timings;
    this.electionDeadlineMs =
      this.nowMs + electionTimeoutMinMs + this.random.below(Math.max(1, electionTimeoutMaxMs - electionTimeoutMinMs));
  }

  /** Dissertation §4.2.3: who leads, or heard a leader within the minimum election timeout, takes no part in elections. */
  get trustsLeader(): boolean {
    if (this.role === "leader") return true;
    return this.leader !== undefined && this.nowMs - this.leaderHeardMs < this.timings.electionTimeoutMinMs;
  }

  enterTerm(term: number): void {
    assert(term > this.term, `term ${term} follows ${this.term}`);
    this.term = term;
    this.votedFor = undefined;
    this.receivedIndex = 0;
    this.readSequenceSeen = 0;
  }

  vote(candidate: GatewayId): void {
    assert(this.votedFor === undefined || this.votedFor === candidate, `one vote in term ${this.term}`);
    this.votedFor = candidate;
  }

  truncateFrom(index: number): void {
    assert(index > this.commitIndex, `entry ${index} is not committed (§5.4)`);
    this.log.truncateFrom(index);
    this.durability.truncatedFrom(index);
  }

  commitTo(index: number): void {
    assert(index <= this.log.lastIndex, `committed entry ${index} is in the log`);
    if (index > this.commitIndex) this.commitIndex = index;
  }

  send(to: GatewayId, message: RaftMessage): void {
    this.effects.push({ type: "send", to, message });
  }

  /** An answer: it leaves after this step's record, and not before term and vote are on disk. */
  reply(to: GatewayId, message: RaftMessage): void {
    this.#replies.push({ to, message });
  }

  sendReplies(): void {
    for (const { to, message } of this.#replies) this.durability.sendWhenVoteDurable(to, message, this.effects);
    this.#replies.length = 0;
  }

  violation(from: GatewayId, what: string): void {
    this.effects.push({ type: "peer-violation", from, what });
  }
}
