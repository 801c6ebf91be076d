/**
 * One Raft node as a pure machine: an event in, effects out, all time and chance from outside. It guarantees Raft's
 * five properties (figure 3 of the paper) as long as `durable` events tell the truth and `restored` is what the records
 * say. Messages may be lost, doubled, late and out of order.
 *
 * It needs no gateway. A driver begins it anywhere, gives it one event at a time, carries out the effects (or loses them),
 * and reads the state (`test/core/raft/scenario-driver.ts` plays scripts in this way):
 *
 *     const snapshot = { index: 0, term: 0, configuration: votersOnly([a, b, c]) };
 *     const restored = { hardState: { term: 3, votedFor: b, commitIndex: 1 }, snapshot, entries, impairedUntil: undefined };
 *     const node = new RaftNode({ self: a, timings: "lan", random, restored, nowMs: 0 });
 *     node.step(0, { type: "campaign" }, effects);          // or tick, message, propose, change-configuration, …
 *     for (const effect of effects) …                       // persist: answer { type: "durable", token } once it is fsynced;
 *                                                           // send: { type: "message", from: a, message } at the receiver;
 *                                                           // fetch-snapshot: { type: "snapshot-received", from, snapshot }
 *     node.view(); node.entryAt(7); node.positionAt(5);     // positionAt: term and membership of a snapshot to be made there
 *
 * Time is the driver's too: a leader is trusted until `nowMs` is the minimum election timeout behind its last message.
 */
import { assert, unreachable } from "../../lib/assert.ts";
import type { MemberId } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import type { ConfigurationRecord } from "./configuration.ts";
import { Election } from "./election.ts";
import type { RaftEffect, RaftEvent, RaftRole } from "./events-effects.ts";
import { acknowledge, receiveAppend, receiveInstallSnapshot, rejectDeposed } from "./following.ts";
import { Leadership } from "./leadership.ts";
import type {
  AppendAccepted,
  AppendRejected,
  AppendRequest,
  Entry,
  InstallSnapshot,
  RaftMessage,
  SnapshotMeta,
  TimeoutNow,
} from "./messages.ts";
import { type RaftLimits, type RaftPreset, type RaftTimings, raftLimits, raftPresets } from "./options.ts";
import { RaftState, type RestoredState } from "./raft-state.ts";
import { type RaftRules, raftRules } from "./rules.ts";

export interface RaftNodeOptions {
  readonly self: MemberId;
  /** A preset's name, or timings of one's own. */
  readonly timings: RaftPreset | RaftTimings;
  readonly random: Random;
  /** What `RecordReplay` made of the log, or `emptyState(votersOnly([…]))`, or any state that a test wants to begin with. */
  readonly restored: RestoredState;
  /** Monotonic milliseconds, as in `step`. */
  readonly nowMs: number;
  readonly limits?: Partial<RaftLimits>;
  readonly rules?: Partial<RaftRules>;
}

export interface RaftView {
  readonly self: MemberId;
  readonly role: RaftRole;
  readonly term: number;
  readonly leader: MemberId | undefined;
  readonly votedFor: MemberId | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** In effect here. */
  readonly configuration: ConfigurationRecord;
  /** Index of the entry that brought it; above `commitIndex` the change is in flight. */
  readonly configurationIndex: number;
  readonly snapshotIndex: number;
  readonly impairedUntil: number | undefined;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Entries up to here are on this node's disk. */
  readonly durableIndex: number;
  readonly openProposals: number;
  /** As a leader; 0 and empty otherwise. */
  readonly openReads: number;
  readonly uncommittedBytes: number;
  readonly followers: readonly FollowerView[];
}

export interface FollowerView {
  readonly id: MemberId;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly matchIndex: number;
  readonly nextIndex: number;
  readonly inflight: number;
  readonly heardMs: number;
}

export class RaftNode {
  readonly #state: RaftState;
  readonly #election: Election;
  #leadership: Leadership | undefined;
  #announced: { role: RaftRole; term: number; leader: MemberId | undefined };
  /** Nothing changes but by `step`. */
  #viewed: RaftView | undefined;

  constructor(options: RaftNodeOptions) {
    const rules: RaftRules = { ...raftRules, ...options.rules };
    this.#state = new RaftState({
      self: options.self,
      rules,
      timings: typeof options.timings === "string" ? raftPresets[options.timings] : options.timings,
      limits: { ...raftLimits, ...options.limits },
      random: options.random,
      restored: options.restored,
      nowMs: options.nowMs,
    });
    this.#election = new Election(this.#state, {
      becomeFollower: (term, leader) => this.#becomeFollower(term, leader),
      becomeLeader: () => this.#becomeLeader(),
    });
    this.#announced = { role: "follower", term: this.#state.term, leader: undefined };
  }

  /**
   * Takes one event to completion and appends what follows from it to `effects`, to be carried out in that order. The
   * first step of a restarted node applies what the records know to be committed. A `nowMs` that goes back is ignored.
   */
  step(nowMs: number, event: RaftEvent, effects: RaftEffect[]): void {
    const state = this.#state;
    this.#viewed = undefined;
    state.effects = effects;
    if (nowMs > state.nowMs) state.nowMs = nowMs;
    this.#handle(event);
    this.#announce();
    state.durability.flush(state.hardState, state.log, Math.max(state.log.lastIndex, state.impairedUntil ?? 0), effects);
    state.sendReplies();
    this.#apply();
    this.#leadership?.flush();
    if (this.#leadership?.isDismissed === true) this.#dismiss();
  }

  /** When the next `tick` is due; infinite where none is needed. */
  nextDeadlineMs(): number {
    return this.#leadership?.nextDeadlineMs ?? this.#election.nextDeadlineMs;
  }

  /** The same object until the next step. */
  view(): RaftView {
    this.#viewed ??= this.#look();
    return this.#viewed;
  }

  #look(): RaftView {
    const state = this.#state;
    const followers: FollowerView[] = [];
    for (const [id, progress] of this.#leadership?.progress ?? []) {
      const { state: mode, matchIndex, nextIndex, inflightCount: inflight, heardMs } = progress;
      followers.push({ id, state: mode, matchIndex, nextIndex, inflight, heardMs });
    }
    return {
      self: state.self,
      role: state.role,
      term: state.term,
      leader: state.leader,
      votedFor: state.votedFor,
      commitIndex: state.commitIndex,
      appliedIndex: state.appliedIndex,
      configuration: state.configuration.record,
      configurationIndex: state.configurations.current.index,
      snapshotIndex: state.snapshot.index,
      impairedUntil: state.impairedUntil,
      firstIndex: state.log.firstIndex,
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.last.term,
      durableIndex: state.durability.durableIndex,
      openProposals: state.proposals.size,
      openReads: this.#leadership?.reads.openCount ?? 0,
      uncommittedBytes: this.#leadership?.uncommittedBytes ?? 0,
      followers,
    };
  }

  /** What a snapshot at this applied index stands for; `undefined` where the log no longer tells. */
  positionAt(index: number): Omit<SnapshotMeta, "index"> | undefined {
    const { log, appliedIndex, configurations } = this.#state;
    const term = log.termAt(index);
    return term === undefined || index > appliedIndex ? undefined : { term, configuration: configurations.at(index).record };
  }

  /** `undefined` where the log has none (any more). */
  entryAt(index: number): Entry | undefined {
    return this.#state.log.entryAt(index);
  }

  #handle(event: RaftEvent): void {
    switch (event.type) {
      case "tick":
        return this.#tick();
      case "campaign":
        return this.#leadership === undefined ? this.#election.stand() : undefined;
      case "message":
        return this.#receive(event.from, event.message);
      case "propose":
        return this.#propose(event);
      case "durable":
        return this.#durable(event.token);
      case "read-index":
        return this.#readIndex(event.requestId);
      case "change-configuration":
        return this.#changeConfiguration(event.requestId, event.configuration);
      case "transfer-leadership":
        return this.#transferLeadership(event.to);
      case "snapshot-stored":
        return this.#state.compact(event.index);
      case "snapshot-received":
        return this.#snapshotReceived(event.from, event.snapshot);
      case "peer-up":
        this.#leadership?.peerUp(event.peer);
        return this.#election.peerUp(event.peer);
      case "peer-down":
        return this.#leadership?.peerDown(event.peer);
      default:
        return unreachable(event);
    }
  }

  #tick(): void {
    if (this.#leadership === undefined) this.#election.tick();
    else if (!this.#leadership.tick()) this.#becomeFollower(this.#state.term, undefined);
  }

  #propose(event: Extract<RaftEvent, { type: "propose" }>): void {
    if (this.#leadership !== undefined) return this.#leadership.propose(event.proposals);
    const { effects, leader } = this.#state;
    for (const { requestId } of event.proposals) effects.push({ type: "proposal-refused", requestId, reason: "not-leader", leader });
  }

  #changeConfiguration(requestId: number, configuration: ConfigurationRecord): void {
    if (this.#leadership !== undefined) return this.#leadership.changeConfiguration(requestId, configuration);
    this.#state.effects.push({ type: "proposal-refused", requestId, reason: "not-leader", leader: this.#state.leader });
  }

  #transferLeadership(to: MemberId | undefined): void {
    if (this.#leadership !== undefined) return this.#leadership.transferTo(to);
    this.#state.effects.push({ type: "transfer-ended", to, moved: false });
  }

  #snapshotReceived(from: MemberId, snapshot: SnapshotMeta): void {
    const state = this.#state;
    if (snapshot.index <= state.commitIndex) return;
    // Only a follower asks for one; who has come to lead since has everything that is committed (§5.4.3).
    if (this.#leadership !== undefined) return;
    // The sender may have gone on to a later term since it offered one. A log does not end in a term that its node has not seen.
    if (snapshot.term > state.term) this.#becomeFollower(snapshot.term, undefined);
    state.install(snapshot);
    state.receivedIndex = Math.max(state.receivedIndex, snapshot.index);
    state.healIfWhole();
    if (state.role === "follower" && state.leader === from) acknowledge(state, from);
  }

  /** The news that this leader is none any more is on its way; the best of the others need not wait for its time-out. */
  #dismiss(): void {
    this.#becomeFollower(this.#state.term, undefined);
    this.#announce();
  }

  #readIndex(requestId: number): void {
    if (this.#leadership !== undefined) return this.#leadership.reads.request(requestId);
    this.#state.effects.push({ type: "read-refused", requestId, reason: "not-leader", leader: this.#state.leader });
  }

  #durable(token: number): void {
    const state = this.#state;
    const { durability } = state;
    const before = durability.durableIndex;
    durability.confirm(token);
    durability.releaseHeld(state.term, state.effects);
    state.healIfWhole();
    this.#election.afterDurable();
    this.#leadership?.maybeCommit();
    const more = durability.durableIndex > before && state.receivedIndex > 0;
    if (more && state.role === "follower" && state.leader !== undefined) acknowledge(state, state.leader);
  }

  #receive(from: MemberId, message: RaftMessage): void {
    const state = this.#state;
    // Whether the sender is a member is asked where its answer counts: one who is new to this node's configuration may well
    // lead, or stand, by a newer one (dissertation §4.2.2).
    if (from === state.self) return state.violation(from, `sent ${message.type} under this node's own id`);
    switch (message.type) {
      case "pre-vote-request":
        return this.#election.preVoteRequested(from, message);
      case "pre-vote-response":
        return this.#election.preVoteAnswered(from, message);
      case "vote-request":
        return this.#election.voteRequested(from, message);
      case "vote-response":
        return this.#election.voteAnswered(from, message);
      case "append":
        return this.#receiveAppend(from, message);
      case "install-snapshot":
        return this.#receiveInstallSnapshot(from, message);
      case "timeout-now":
        return this.#receiveTimeoutNow(from, message);
      case "append-accepted":
      case "append-rejected":
        return this.#receiveAppendAnswer(from, message);
      default:
        return unreachable(message);
    }
  }

  #receiveAppend(from: MemberId, message: AppendRequest): void {
    const state = this.#state;
    if (message.term < state.term) return rejectDeposed(state, from, message.prevIndex);
    if (!this.#follow(from, message.term)) return;
    receiveAppend(state, from, message);
  }

  #receiveInstallSnapshot(from: MemberId, message: InstallSnapshot): void {
    const state = this.#state;
    if (message.term < state.term) return rejectDeposed(state, from, message.snapshotIndex);
    if (!this.#follow(from, message.term)) return;
    receiveInstallSnapshot(state, from, message);
  }

  /** Whoever sends the log in a term leads it. False: another one does. */
  #follow(leader: MemberId, term: number): boolean {
    const state = this.#state;
    if (term === state.term && (state.role === "leader" || (state.leader !== undefined && state.leader !== leader))) {
      state.violation(leader, `leads in term ${term}, which has the leader ${state.leader}`);
      return false;
    }
    this.#becomeFollower(term, leader);
    state.leaderHeardMs = state.nowMs;
    state.resetElectionTimer();
    return true;
  }

  #receiveTimeoutNow(from: MemberId, message: TimeoutNow): void {
    const { term, leader, role } = this.#state;
    if (message.term === term && leader === from && role === "follower") this.#election.standAtOnce();
  }

  #receiveAppendAnswer(from: MemberId, message: AppendAccepted | AppendRejected): void {
    const state = this.#state;
    // A node that has come to a higher term alone is freed here: this leader steps down, and the next election takes
    // place above that term. Without it, check-quorum and stickiness would keep the node out for ever.
    if (message.term > state.term) return this.#becomeFollower(message.term, undefined);
    if (message.term < state.term || this.#leadership === undefined) return;
    if (message.type === "append-accepted") this.#leadership.accepted(from, message);
    else this.#leadership.rejected(from, message);
  }

  #becomeFollower(term: number, leader: MemberId | undefined): void {
    const state = this.#state;
    if (term > state.term) state.enterTerm(term);
    if (state.role !== "follower") state.resetElectionTimer();
    state.role = "follower";
    state.leader = leader;
    const ended = this.#leadership;
    this.#leadership = undefined;
    ended?.abandon();
  }

  #becomeLeader(): void {
    const state = this.#state;
    assert(state.role === "candidate" && state.votedFor === state.self, "a leader was the candidate of its term");
    state.role = "leader";
    state.leader = state.self;
    this.#leadership = new Leadership(state);
  }

  #announce(): void {
    const { role, term, leader, effects } = this.#state;
    const { role: lastRole, term: lastTerm, leader: lastLeader } = this.#announced;
    if (role === lastRole && term === lastTerm && leader === lastLeader) return;
    this.#announced = { role, term, leader };
    effects.push({ type: "role-changed", role, term, leader });
  }

  #apply(): void {
    const state = this.#state;
    if (state.appliedIndex >= state.commitIndex) return;
    const entries = state.log.slice(state.appliedIndex + 1, state.commitIndex);
    for (const entry of entries) state.proposals.committed(entry, state.effects);
    state.appliedIndex = state.commitIndex;
    state.effects.push({ type: "apply", entries });
  }
}
