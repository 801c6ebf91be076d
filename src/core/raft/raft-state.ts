/**
 * The state that the parts of a Raft node share, and the few changes to it that keep its invariants: the term never
 * falls, a vote is given once a term, the commit index never falls, and the log is never cut below it.
 */
import { assert } from "../../lib/assert.ts";
import type { MemberId } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import { Configuration, ConfigurationHistory, type ConfigurationRecord } from "./configuration.ts";
import { decodeConfiguration } from "./configuration-codec.ts";
import { Durability } from "./durability.ts";
import type { RaftEffect, RaftRole } from "./events-effects.ts";
import type { Entry, HardState, RaftMessage, SnapshotMeta } from "./messages.ts";
import type { RaftLimits, RaftTimings } from "./options.ts";
import { OpenProposals } from "./proposals.ts";
import { RaftLog } from "./raft-log.ts";
import type { RaftRules } from "./rules.ts";

/** What a node starts from: term, vote, log, commit index and membership. `RecordReplay` makes it from the log on disk. */
export interface RestoredState {
  /** `commitIndex` is not below the snapshot's index. */
  readonly hardState: HardState;
  /** The state machine holds this snapshot. Index 0, term 0 and the founding configuration in a log that was never compacted. */
  readonly snapshot: SnapshotMeta;
  /** From the snapshot's index + 1 on, without gaps. */
  readonly entries: readonly Entry[];
  /**
   * The log was damaged and lacks entries up to this index that it once had: no vote, candidacy or acknowledgement until
   * they are there again.
   */
  readonly impairedUntil: number | undefined;
}

/** What a node of a new group starts from. */
export function emptyState(configuration: ConfigurationRecord): RestoredState {
  return {
    hardState: { term: 0, votedFor: undefined, commitIndex: 0 },
    snapshot: { index: 0, term: 0, configuration },
    entries: [],
    impairedUntil: undefined,
  };
}

export interface RaftStateOptions {
  readonly self: MemberId;
  readonly rules: RaftRules;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly restored: RestoredState;
  readonly nowMs: number;
}

export class RaftState {
  readonly self: MemberId;
  readonly configurations: ConfigurationHistory;
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
  votedFor: MemberId | undefined;
  role: RaftRole = "follower";
  leader: MemberId | undefined;
  leaderHeardMs = Number.NEGATIVE_INFINITY;
  electionDeadlineMs: number;
  commitIndex: number;
  appliedIndex: number;
  /** The newest snapshot on this node's disk. */
  snapshot: SnapshotMeta;
  /** Greatest index of a damaged log; see `RestoredState`. */
  impairedUntil: number | undefined;
  /** As a follower: the log agrees with the leader of this term up to here. */
  receivedIndex = 0;
  /** As a follower: newest read round seen from the leader of this term. */
  readSequenceSeen = 0;
  readonly #replies: { readonly to: MemberId; readonly message: RaftMessage }[] = [];

  constructor(options: RaftStateOptions) {
    const { hardState, entries, snapshot } = options.restored;
    this.self = options.self;
    this.rules = options.rules;
    this.timings = options.timings;
    this.limits = options.limits;
    this.random = options.random;
    this.nowMs = options.nowMs;
    this.snapshot = snapshot;
    this.impairedUntil = options.restored.impairedUntil;
    this.log = new RaftLog({ index: snapshot.index, term: snapshot.term }, entries);
    assert(hardState.commitIndex <= this.log.lastIndex, "the commit index on disk is covered by the log on disk");
    assert(hardState.commitIndex >= snapshot.index, "a snapshot holds what is committed");
    assert(hardState.term >= this.log.last.term, "the term on disk is not below that of the log");
    this.configurations = new ConfigurationHistory({
      index: snapshot.index,
      configuration: new Configuration(snapshot.configuration, options.rules),
    });
    for (const entry of entries) this.#noteConfiguration(entry);
    this.term = hardState.term;
    this.votedFor = hardState.votedFor;
    this.commitIndex = hardState.commitIndex;
    this.appliedIndex = snapshot.index;
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
    return heartbeatMs + this.random.below(Math.max(1, electionTimeoutMinMs - heartbeatMs)) + this.#patienceMs();
  }

  get hardState(): HardState {
    return { term: this.term, votedFor: this.votedFor, commitIndex: this.commitIndex };
  }

  get configuration(): Configuration {
    return this.configurations.current.configuration;
  }

  /** The configuration in effect is not committed yet. */
  get changeInFlight(): boolean {
    return this.configurations.current.index > this.commitIndex;
  }

  get isImpaired(): boolean {
    return this.impairedUntil !== undefined && !this.rules.mayVoteImpaired();
  }

  /** Everything that the damaged log had is there again, in agreement with a leader. */
  healIfWhole(): void {
    if (this.impairedUntil === undefined) return;
    const whole = Math.min(this.durability.durableIndex, Math.max(this.receivedIndex, this.snapshot.index));
    if (whole >= this.impairedUntil) this.impairedUntil = undefined;
  }

  get peers(): readonly MemberId[] {
    return this.configuration.peersOf(this.self);
  }

  resetElectionTimer(): void {
    const { electionTimeoutMinMs, electionTimeoutMaxMs } = this.timings;
    this.electionDeadlineMs =
      this.nowMs + electionTimeoutMinMs + this.random.below(Math.max(1, electionTimeoutMaxMs - electionTimeoutMinMs)) + this.#patienceMs();
  }

  /** A witness leads only where nobody else can: it lets the others try first. */
  #patienceMs(): number {
    return this.configuration.isWitness(this.self) ? this.timings.electionTimeoutMaxMs : 0;
  }

  /** Dissertation §4.2.3: who leads, or heard a leader within the minimum election timeout, takes no part in elections. */
  get trustsLeader(): boolean {
    if (this.role === "leader") return true;
    return this.leader !== undefined && this.nowMs - this.leaderHeardMs < this.timings.electionTimeoutMinMs;
  }

  enterTerm(term: number): void {
    assert(term > this.term, `term ${term} follows ${this.term}`);
    this.term = term;
    this.leader = undefined;
    this.votedFor = undefined;
    this.receivedIndex = 0;
    this.readSequenceSeen = 0;
  }

  vote(candidate: MemberId): void {
    assert(this.votedFor === undefined || this.votedFor === candidate, `one vote in term ${this.term}`);
    this.votedFor = candidate;
  }

  append(entry: Entry): void {
    this.log.append(entry);
    this.#noteConfiguration(entry);
  }

  /** Dissertation §4.1: a configuration is in effect as soon as it is in the log. */
  #noteConfiguration(entry: Entry): void {
    if (entry.kind !== "configuration") return;
    const decoded = decodeConfiguration(entry.command);
    assert(decoded.ok, `entry ${entry.index} holds a configuration`);
    this.configurations.append({ index: entry.index, configuration: new Configuration(decoded.value, this.rules) });
  }

  truncateFrom(index: number): void {
    assert(index > this.commitIndex, `entry ${index} is not committed (§5.4)`);
    this.log.truncateFrom(index);
    this.configurations.truncateFrom(index);
    this.durability.truncatedFrom(index);
  }

  commitTo(index: number): void {
    assert(index <= this.log.lastIndex, `committed entry ${index} is in the log`);
    if (index > this.commitIndex) this.commitIndex = index;
  }

  /** A snapshot of the applied state at `index` is on disk: the log lets go of what stands before it, but for a tail. */
  compact(index: number): void {
    const term = this.log.termAt(index);
    if (index <= this.snapshot.index || term === undefined) return;
    assert(index <= this.appliedIndex, `the snapshot at ${index} holds what was applied`);
    this.snapshot = { index, term, configuration: this.configurations.at(index).record };
    this.configurations.forgetBefore(index);
    const { trailingEntriesMax: entriesMax, trailingBytesMax: bytesMax } = this.limits;
    this.log.compactTo(this.log.compactionIndex(index, { entriesMax, bytesMax }));
    this.durability.compactedTo(this.snapshot);
  }

  /** A snapshot from the leader takes the place of the log up to its position, and of the state. */
  install(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.commitIndex, "a snapshot that is news");
    if (this.log.termAt(snapshot.index) === snapshot.term) {
      this.durability.compactedTo(snapshot);
      this.configurations.forgetBefore(snapshot.index);
    } else {
      this.log.reset({ index: snapshot.index, term: snapshot.term });
      this.durability.resetTo(snapshot);
      this.configurations.restart({ index: snapshot.index, configuration: new Configuration(snapshot.configuration, this.rules) });
    }
    this.snapshot = snapshot;
    this.commitIndex = snapshot.index;
    this.appliedIndex = snapshot.index;
    this.proposals.skippedTo(snapshot.index, this.effects);
    this.effects.push({ type: "restore-snapshot", snapshot });
  }

  send(to: MemberId, message: RaftMessage): void {
    this.effects.push({ type: "send", to, message });
  }

  /** An answer: it leaves after this step's record, and not before term and vote are on disk. */
  reply(to: MemberId, message: RaftMessage): void {
    this.#replies.push({ to, message });
  }

  sendReplies(): void {
    for (const { to, message } of this.#replies) this.durability.sendWhenVoteDurable(to, message, this.effects);
    this.#replies.length = 0;
  }

  violation(from: MemberId, what: string): void {
    this.effects.push({ type: "peer-violation", from, what });
  }
}
