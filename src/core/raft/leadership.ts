/**
 * The leader's side of replication; an instance lives as long as one leadership. It sends entries while they are on
 * their way to its own disk (dissertation §10.2.1), counts itself only once they are there, and commits only entries of
 * its own term by counting (§5.4.2). It gives up when no quorum has answered for an election timeout (check-quorum), and
 * hands over when it is asked to (dissertation §3.10), when a change took its vote away (§4.2.2), when it is a witness, or when
 * its disk stands still while those of the others do not.
 */
import { defined } from "../../lib/assert.ts";
import type { MemberId } from "../../lib/ids.ts";
import { type ConfigurationRecord, configurationProblem, isSingleChange } from "./configuration.ts";
import { encodeConfiguration } from "./configuration-codec.ts";
import type { Proposal, RefusalReason, RequestId } from "./events-effects.ts";
import type { AppendAccepted, AppendRejected, Entry, EntryKind } from "./messages.ts";
import { Progress } from "./progress.ts";
import { entryBytes } from "./raft-log.ts";
import type { RaftState } from "./raft-state.ts";
import { ReadRounds } from "./reads.ts";

const noCommand = new Uint8Array(0);
/** A follower that answered this many heartbeats ago is there. */
const recentHeartbeats = 3;

interface Transfer {
  readonly to: MemberId;
  readonly deadlineMs: number;
  asked: boolean;
}

export class Leadership {
  readonly reads: ReadRounds;
  readonly #termStartIndex: number;
  readonly #state: RaftState;
  readonly #progress = new Map<MemberId, Progress>();
  #heartbeatDueMs: number;
  /** Bytes of all entries above the commit index. */
  #uncommittedBytes = 0;
  #transfer: Transfer | undefined;
  /** The record that this node's disk has been at, and since when. */
  #diskAt: { readonly token: number; readonly sinceMs: number } | undefined;
  /** A transfer of one's own accord that failed is not tried again at once. */
  #passOnAfterMs = Number.NEGATIVE_INFINITY;

  constructor(state: RaftState) {
    this.#state = state;
    const { log, nowMs } = state;
    this.#followConfiguration();
    for (const entry of log.slice(state.commitIndex + 1, log.lastIndex)) this.#uncommittedBytes += entryBytes(entry);
    this.#heartbeatDueMs = nowMs + state.timings.heartbeatMs;
    // §8: nothing of earlier terms can be known as committed before an entry of this one is.
    this.#termStartIndex = this.#append("no-op", noCommand).index;
    this.reads = new ReadRounds(state, this.#termStartIndex);
  }

  /** A progress for each peer of the configuration in effect, and for nobody else. */
  #followConfiguration(): void {
    const { log, nowMs, peers } = this.#state;
    for (const peer of peers)
      if (!this.#progress.has(peer)) this.#progress.set(peer, new Progress({ nextIndex: log.lastIndex + 1, nowMs }));
    for (const peer of this.#progress.keys()) if (!peers.includes(peer)) this.#progress.delete(peer);
  }

  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  get progress(): ReadonlyMap<MemberId, Progress> {
    return this.#progress;
  }

  get nextDeadlineMs(): number {
    const leaseEndMs = this.#quorumHeardMs() + this.#state.timings.electionTimeoutMinMs;
    return Math.min(this.#heartbeatDueMs, leaseEndMs, this.#transfer?.deadlineMs ?? Number.POSITIVE_INFINITY);
  }

  propose(proposals: readonly Proposal[]): void {
    const { effects, proposals: open, term } = this.#state;
    for (const { requestId, command } of proposals) {
      const reason = this.#refusal(command);
      if (reason !== undefined) {
        effects.push({ type: "proposal-refused", requestId, reason, leader: this.#state.self });
        continue;
      }
      const { index } = this.#append("command", command);
      open.add({ requestId, index, term });
      effects.push({ type: "proposal-accepted", requestId, index, term });
    }
  }

  #refusal(command: Uint8Array): RefusalReason | undefined {
    const { limits, proposals, durability } = this.#state;
    if (this.#transfer !== undefined) return "transferring";
    if (command.length > limits.commandBytesMax) return "too-large";
    const backlogBytes = Math.max(this.#uncommittedBytes, durability.pendingBytes);
    return proposals.isFull || backlogBytes + command.length > limits.backlogBytesMax ? "busy" : undefined;
  }

  #append(kind: EntryKind, command: Uint8Array): Entry {
    const entry: Entry = { index: this.#state.log.lastIndex + 1, term: this.#state.term, kind, command };
    this.#state.append(entry);
    this.#uncommittedBytes += entryBytes(entry);
    return entry;
  }

  /** Dissertation §4.1. The new configuration is in effect here from now on. */
  changeConfiguration(requestId: RequestId, configuration: ConfigurationRecord): void {
    const { effects, proposals, term, self } = this.#state;
    const reason = this.#changeRefusal(configuration);
    if (reason !== undefined) {
      effects.push({ type: "proposal-refused", requestId, reason, leader: self });
      return;
    }
    const { index } = this.#append("configuration", encodeConfiguration(configuration));
    this.#followConfiguration();
    proposals.add({ requestId, index, term });
    effects.push({ type: "proposal-accepted", requestId, index, term });
  }

  #changeRefusal(configuration: ConfigurationRecord): RefusalReason | undefined {
    const { commitIndex, changeInFlight, rules, proposals } = this.#state;
    if (this.#transfer !== undefined) return "transferring";
    if (proposals.isFull) return "busy";
    if (configurationProblem(configuration) !== undefined) return "invalid";
    if (!isSingleChange(this.#state.configuration.record, configuration)) return "invalid";
    const ownTermCommitted = commitIndex >= this.#termStartIndex;
    return rules.mayChangeMembership({ ownTermCommitted, changeInFlight }) ? undefined : "change-in-flight";
  }

  /** Dissertation §3.10: no new proposals, bring the target up to date, then have it stand. */
  transferTo(target: MemberId | undefined): void {
    const { effects, nowMs, timings, configuration, self } = this.#state;
    const to = target ?? this.#successor();
    if (to === undefined || to === self || !configuration.isVoter(to)) {
      effects.push({ type: "transfer-ended", to, moved: false });
      return;
    }
    this.#endTransfer({ moved: false });
    this.#transfer = { to, deadlineMs: nowMs + timings.electionTimeoutMinMs, asked: false };
  }

  /** The voter that could take over soonest: heard lately, no witness, with the most of the log on disk. */
  #successor(): MemberId | undefined {
    const { configuration, self, nowMs, timings } = this.#state;
    let best: { readonly id: MemberId; readonly matchIndex: number } | undefined;
    for (const id of configuration.otherVoters(self)) {
      const progress = this.#progress.get(id);
      if (progress === undefined || configuration.isWitness(id) || nowMs - progress.heardMs > timings.heartbeatMs * recentHeartbeats)
        continue;
      if (best === undefined || progress.matchIndex > best.matchIndex) best = { id, matchIndex: progress.matchIndex };
    }
    return best?.id;
  }

  #endTransfer(outcome: { readonly moved: boolean }): void {
    if (this.#transfer !== undefined) this.#state.effects.push({ type: "transfer-ended", to: this.#transfer.to, ...outcome });
    this.#transfer = undefined;
  }

  /** Leadership is over. */
  abandon(): void {
    this.reads.abandon();
    this.#endTransfer({ moved: true });
  }

  /** False: leadership is lost, no quorum has answered for an election timeout. */
  tick(): boolean {
    const { nowMs, timings } = this.#state;
    if (nowMs >= this.#quorumHeardMs() + timings.electionTimeoutMinMs) return false;
    if (this.#transfer !== undefined && nowMs >= this.#transfer.deadlineMs) this.#endTransfer({ moved: false });
    if (nowMs >= this.#heartbeatDueMs) {
      if (this.#transfer !== undefined) this.#transfer.asked = false;
      this.#broadcastHeartbeat();
    }
    return true;
  }

  /**
   * A witness has nothing to lead for once another voter has everything; nor has a leader whose vote was taken away. Such a
   * one waits for its change to commit: whoever leads next has no progress for it, and would never tell it that it did. And a
   * leader whose disk stands still would take less and less until it took nothing, and be heard all the time.
   */
  #passOn(): void {
    const { configuration, self, commitIndex, nowMs, timings } = this.#state;
    if (this.#transfer !== undefined || commitIndex < this.#termStartIndex) return;
    const fit = configuration.isVoter(self) ? !configuration.isWitness(self) && !this.#isLeftBehind() : !this.isDismissed;
    if (fit) return;
    const to = this.#successor();
    if (to === undefined || nowMs < this.#passOnAfterMs || (this.#progress.get(to)?.matchIndex ?? 0) < commitIndex) return;
    this.#passOnAfterMs = nowMs + timings.electionTimeoutMaxMs;
    this.transferTo(to);
  }

  /** The others commit without this node's disk, which has been at one record for longer than any election takes. */
  #isLeftBehind(): boolean {
    const { commitIndex, durability, nowMs, timings } = this.#state;
    const token = durability.oldestPending;
    if (token !== this.#diskAt?.token) this.#diskAt = token === undefined ? undefined : { token, sinceMs: nowMs };
    if (this.#diskAt === undefined || commitIndex <= durability.durableIndex) return false;
    return nowMs - this.#diskAt.sinceMs >= timings.electionTimeoutMaxMs;
  }

  /** When a quorum, this node included, had last been heard. */
  #quorumHeardMs(): number {
    return this.#state.configuration.quorumValue((voter) => this.#progress.get(voter)?.heardMs ?? this.#state.nowMs);
  }

  #broadcastHeartbeat(): void {
    this.#heartbeatDueMs = this.#state.nowMs + this.#state.timings.heartbeatMs;
    for (const [peer, progress] of this.#progress) this.#sendAppend(peer, progress, []);
  }

  accepted(from: MemberId, message: AppendAccepted): void {
    const progress = this.#heard(from, message);
    if (progress === undefined) return;
    if (message.matchIndex > message.receivedIndex || message.receivedIndex > this.#state.log.lastIndex) {
      this.#state.violation(from, `acknowledged entry ${message.receivedIndex}, which was never sent`);
      return;
    }
    const { matchIndex, receivedIndex } = message;
    progress.accepted({ matchIndex, receivedIndex, firstIndex: this.#state.log.firstIndex });
    this.maybeCommit();
  }

  rejected(from: MemberId, message: AppendRejected): void {
    const progress = this.#heard(from, message);
    if (progress === undefined) return;
    const denies = progress.deniesWhatItHad(message.rejectedIndex);
    if (!denies && !progress.isCurrentRejection(message.rejectedIndex)) return;
    // A late answer, or a follower whose log was damaged and which says so by starting over: it no longer counts for anything
    // that it had. Asking again at once could go on at the speed of the link, so the heartbeat does.
    if (denies) progress.startOver();
    const { log } = this.#state;
    // The follower may agree only with what is compacted away here.
    if (Math.min(message.conflictIndex, message.rejectedIndex - 1) < log.before.index) return this.#offerSnapshot(from, progress);
    const agreed = log.lastWithTermAtMost(message.conflictTerm, Math.min(message.conflictIndex, message.rejectedIndex - 1));
    progress.probeFrom(agreed.index + 1);
    progress.probePaused = denies;
  }

  /** Notes that a voter follows in this term. `undefined`: the answer cannot be one to this leader. */
  #heard(from: MemberId, message: AppendAccepted | AppendRejected): Progress | undefined {
    const progress = this.#progress.get(from);
    // A member that a change took out may still answer.
    if (progress === undefined) return undefined;
    if (message.readSequence > this.reads.sequence) {
      this.#state.violation(from, `answered read round ${message.readSequence}, which was never asked`);
      return undefined;
    }
    progress.heardMs = this.#state.nowMs;
    progress.readSequence = Math.max(progress.readSequence, message.readSequence);
    return progress;
  }

  peerUp(peer: MemberId): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined) this.#sendAppend(peer, progress, []);
  }

  peerDown(peer: MemberId): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined && progress.state !== "snapshot") progress.probeFrom(0);
  }

  /** Call when a follower has acknowledged more, or this node's own disk has. */
  maybeCommit(): void {
    const { configuration, durability, log, rules, term: currentTerm, commitIndex, self } = this.#state;
    const index = configuration.quorumValue((voter) => (voter === self ? durability.durableIndex : this.#matchIndexOf(voter)));
    if (index <= commitIndex) return;
    const entryTerm = defined(log.termAt(index), `term of entry ${index}`);
    if (!rules.mayCommit({ entryTerm, currentTerm })) return;
    for (let i = commitIndex + 1; i <= index; i++) this.#uncommittedBytes -= entryBytes(defined(log.entryAt(i), `entry ${i}`));
    this.#state.commitTo(index);
  }

  /** A committed change took this leader's vote away: it no longer leads (dissertation §4.2.2). */
  get isDismissed(): boolean {
    const { configuration, self, changeInFlight } = this.#state;
    return !changeInFlight && !configuration.isVoter(self);
  }

  #matchIndexOf(voter: MemberId): number {
    return this.#progress.get(voter)?.matchIndex ?? 0;
  }

  /** Sends what this step has made sendable: new entries, then the news of a commit, and the question of a read round. */
  flush(): void {
    const { self } = this.#state;
    const confirmedBy = (voter: MemberId) => (voter === self ? this.reads.sequence : (this.#progress.get(voter)?.readSequence ?? 0));
    while (this.reads.advance(confirmedBy)) this.#broadcastHeartbeat();
    for (const [peer, progress] of this.#progress) {
      this.#sendEntries(peer, progress);
      this.#sendCommit(peer, progress);
    }
    this.#passOn();
    this.#askSuccessor();
  }

  #askSuccessor(): void {
    const transfer = this.#transfer;
    if (transfer === undefined || transfer.asked) return;
    if (this.#progress.get(transfer.to)?.matchIndex !== this.#state.log.lastIndex) return;
    transfer.asked = true;
    this.#state.send(transfer.to, { type: "timeout-now", term: this.#state.term });
  }

  #sendEntries(peer: MemberId, progress: Progress): void {
    const { limits, log } = this.#state;
    if (progress.state === "snapshot") return;
    if (progress.nextIndex < log.firstIndex) return this.#offerSnapshot(peer, progress);
    if (progress.state === "probe") {
      if (progress.probePaused) return;
      progress.probePaused = true;
      this.#sendAppend(peer, progress, log.batchFrom(progress.nextIndex, limits.batchBytesMax));
      return;
    }
    while (progress.nextIndex <= log.lastIndex && progress.mayPipeline(limits)) {
      const entries = log.batchFrom(progress.nextIndex, limits.batchBytesMax);
      this.#sendAppend(peer, progress, entries);
      let bytes = 0;
      for (const entry of entries) bytes += entryBytes(entry);
      progress.pipelined(progress.nextIndex + entries.length - 1, bytes);
    }
  }

  /** While entries are still on their way to commitment, the news rides along with what follows; the last of it goes alone. */
  #sendCommit(peer: MemberId, progress: Progress): void {
    const { commitIndex, log } = this.#state;
    if (progress.state === "replicate" && progress.commitSent < commitIndex && commitIndex === log.lastIndex) {
      this.#sendAppend(peer, progress, []);
    }
  }

  /** Heartbeat and more; to a follower that needs what is compacted away, the offer of the snapshot instead. */
  #sendAppend(peer: MemberId, progress: Progress, entries: readonly Entry[]): void {
    const { commitIndex, log, term } = this.#state;
    const prevIndex = progress.nextIndex - 1;
    const prevTerm = log.termAt(prevIndex);
    if (progress.state === "snapshot" || prevTerm === undefined) return this.#offerSnapshot(peer, progress);
    progress.commitSent = commitIndex;
    this.#state.send(peer, { type: "append", term, prevIndex, prevTerm, commitIndex, readSequence: this.reads.sequence, entries });
  }

  #offerSnapshot(peer: MemberId, progress: Progress): void {
    const { snapshot, term } = this.#state;
    progress.awaitSnapshot();
    progress.commitSent = 0;
    const { index: snapshotIndex, term: snapshotTerm } = snapshot;
    this.#state.send(peer, { type: "install-snapshot", term, snapshotIndex, snapshotTerm, readSequence: this.reads.sequence });
  }
}
