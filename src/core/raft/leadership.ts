/**
 * The leader's side of replication; an instance lives as long as one leadership. It sends entries while they are on
 * their way to its own disk (dissertation §10.2.1), counts itself only once they are there, and commits only entries of
 * its own term by counting (§5.4.2). It gives up when no quorum has answered for an election timeout (check-quorum).
 */
import { defined } from "../../lib/assert.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { Proposal, RefusalReason } from "./events-effects.ts";
import type { AppendAccepted, AppendRejected, Entry, EntryKind } from "./messages.ts";
import { Progress } from "./progress.ts";
import { entryBytes } from "./raft-log.ts";
import type { RaftState } from "./raft-state.ts";
import { ReadRounds } from "./reads.ts";

const noCommand = new Uint8Array(0);

export class Leadership {
  readonly reads: ReadRounds;
  readonly #state: RaftState;
  readonly #progress = new Map<GatewayId, Progress>();
  #heartbeatDueMs: number;
  /** Bytes of all entries above the commit index. */
  #uncommittedBytes = 0;

  constructor(state: RaftState) {
    this.#state = state;
    const { log, nowMs } = state;
    for (const peer of state.peers) this.#progress.set(peer, new Progress({ nextIndex: log.lastIndex + 1, nowMs }));
    for (const entry of log.slice(state.commitIndex + 1, log.lastIndex)) this.#uncommittedBytes += entryBytes(entry);
    this.#heartbeatDueMs = nowMs + state.timings.heartbeatMs;
    // §8: nothing of earlier terms can be known as committed before an entry of this one is.
    this.reads = new ReadRounds(state, this.#append("no-op", noCommand).index);
  }

  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  get progress(): ReadonlyMap<GatewayId, Progress> {
    return this.#progress;
  }

  get nextDeadlineMs(): number {
    return Math.min(this.#heartbeatDueMs, this.#quorumHeardMs() + this.#state.timings.electionTimeoutMinMs);
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
    if (command.length > limits.commandBytesMax) return "too-large";
    const backlogBytes = Math.max(this.#uncommittedBytes, durability.pendingBytes);
    return proposals.isFull || backlogBytes + command.length > limits.backlogBytesMax ? "busy" : undefined;
  }

  #append(kind: EntryKind, command: Uint8Array): Entry {
    const entry: Entry = { index: this.#state.log.lastIndex + 1, term: this.#state.term, kind, command };
    this.#state.log.append(entry);
    this.#uncommittedBytes += entryBytes(entry);
    return entry;
  }

  /** False: leadership is lost, no quorum has answered for an election timeout. */
  tick(): boolean {
    const { nowMs, timings } = this.#state;
    if (nowMs >= this.#quorumHeardMs() + timings.electionTimeoutMinMs) return false;
    if (nowMs >= this.#heartbeatDueMs) this.#broadcastHeartbeat();
    return true;
  }

  /** When a quorum, this node included, had last been heard. */
  #quorumHeardMs(): number {
    return this.#state.configuration.quorumValue((voter) => this.#progress.get(voter)?.heardMs ?? this.#state.nowMs);
  }

  #broadcastHeartbeat(): void {
    this.#heartbeatDueMs = this.#state.nowMs + this.#state.timings.heartbeatMs;
    for (const [peer, progress] of this.#progress) this.#sendAppend(peer, progress, []);
  }

  accepted(from: GatewayId, message: AppendAccepted): void {
    const progress = this.#heard(from, message);
    if (progress === undefined) return;
    if (message.matchIndex > message.receivedIndex || message.receivedIndex > this.#state.log.lastIndex) {
      this.#state.violation(from, `acknowledged entry ${message.receivedIndex}, which was never sent`);
      return;
    }
    progress.accepted(message.matchIndex, message.receivedIndex);
    this.maybeCommit();
  }

  rejected(from: GatewayId, message: AppendRejected): void {
    const progress = this.#heard(from, message);
    if (progress === undefined) return;
    // A late answer, or a follower that lost part of its log: asking again at once could go on at the speed of the link.
    if (progress.deniesWhatItHad(message.rejectedIndex) || !progress.isCurrentRejection(message.rejectedIndex)) return;
    const agreed = this.#state.log.lastWithTermAtMost(message.conflictTerm, Math.min(message.conflictIndex, message.rejectedIndex - 1));
    progress.probeFrom(agreed.index + 1);
  }

  /** Notes that a voter follows in this term. `undefined`: the answer cannot be one to this leader. */
  #heard(from: GatewayId, message: AppendAccepted | AppendRejected): Progress | undefined {
    const progress = this.#progress.get(from);
    if (progress === undefined || message.readSequence > this.reads.sequence) {
      this.#state.violation(from, `answered read round ${message.readSequence}, which was never asked`);
      return undefined;
    }
    progress.heardMs = this.#state.nowMs;
    progress.readSequence = Math.max(progress.readSequence, message.readSequence);
    return progress;
  }

  peerUp(peer: GatewayId): void {
    const progress = this.#progress.get(peer);
    if (progress !== undefined) this.#sendAppend(peer, progress, []);
  }

  peerDown(peer: GatewayId): void {
    this.#progress.get(peer)?.probeFrom(0);
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

  #matchIndexOf(voter: GatewayId): number {
    return this.#progress.get(voter)?.matchIndex ?? 0;
  }

  /** Sends what this step has made sendable: new entries, then the news of a commit, and the question of a read round. */
  flush(): void {
    const { self } = this.#state;
    const confirmedBy = (voter: GatewayId) => (voter === self ? this.reads.sequence : (this.#progress.get(voter)?.readSequence ?? 0));
    while (this.reads.advance(confirmedBy)) this.#broadcastHeartbeat();
    for (const [peer, progress] of this.#progress) {
      this.#sendEntries(peer, progress);
      this.#sendCommit(peer, progress);
    }
  }

  #sendEntries(peer: GatewayId, progress: Progress): void {
    const { limits, log } = this.#state;
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
  #sendCommit(peer: GatewayId, progress: Progress): void {
    const { commitIndex, log } = this.#state;
    if (progress.state === "replicate" && progress.commitSent < commitIndex && commitIndex === log.lastIndex) {
      this.#sendAppend(peer, progress, []);
    }
  }

  #sendAppend(peer: GatewayId, progress: Progress, entries: readonly Entry[]): void {
    const { commitIndex, log, term } = this.#state;
    const prevIndex = progress.nextIndex - 1;
    const prevTerm = defined(log.termAt(prevIndex), `term of entry ${prevIndex}`);
    progress.commitSent = commitIndex;
    this.#state.send(peer, { type: "append", term, prevIndex, prevTerm, commitIndex, readSequence: this.reads.sequence, entries });
  }
}
