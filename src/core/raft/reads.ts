/**
 * Linearizable reads without a log write (ReadIndex, dissertation §6.4). The leader notes its commit index, asks a
 * quorum whether it still leads, and only then lets the read proceed. Reads that arrive during a round share the next
 * one. A round is named by a sequence number which every append carries and every answer echoes, so lost, doubled and
 * late messages do no harm: an echo of n was sent after round n began, by a node that had not left the leader's term.
 */
import type { MemberId } from "../../lib/ids.ts";
import type { RequestId } from "./events-effects.ts";
import type { RaftState } from "./raft-state.ts";

interface Round {
  readonly index: number;
  readonly requestIds: readonly RequestId[];
}

export class ReadRounds {
  /** Name of the newest round. */
  sequence = 0;
  readonly #state: RaftState;
  /** Entry of the leader's own term: until it is committed, the commit index may lag behind what was acknowledged (§8). */
  readonly #termStartIndex: number;
  #waiting: RequestId[] = [];
  #round: Round | undefined;

  constructor(state: RaftState, termStartIndex: number) {
    this.#state = state;
    this.#termStartIndex = termStartIndex;
  }

  get openCount(): number {
    return this.#waiting.length + (this.#round?.requestIds.length ?? 0);
  }

  request(requestId: RequestId): void {
    if (this.openCount >= this.#state.limits.openReadsMax) {
      this.#state.effects.push({ type: "read-refused", requestId, reason: "busy", leader: this.#state.leader });
    } else {
      this.#waiting.push(requestId);
    }
  }

  /** Finishes the round that a quorum has confirmed and begins the next. True: a round began, ask the followers. */
  advance(confirmedBy: (voter: MemberId) => number): boolean {
    if (this.#round !== undefined) {
      const confirmed = this.#state.configuration.quorumValue(confirmedBy) >= this.sequence;
      if (!this.#state.rules.mayServeRead({ confirmed })) return false;
      this.#finish(this.#round);
      this.#round = undefined;
    }
    if (this.#waiting.length === 0 || this.#state.commitIndex < this.#termStartIndex) return false;
    this.sequence++;
    this.#round = { index: this.#state.commitIndex, requestIds: this.#waiting };
    this.#waiting = [];
    return true;
  }

  #finish(round: Round): void {
    for (const requestId of round.requestIds) this.#state.effects.push({ type: "read-ready", requestId, index: round.index });
  }

  /** Leadership is over: none of the open reads may be answered from here. */
  abandon(): void {
    for (const requestId of [...(this.#round?.requestIds ?? []), ...this.#waiting]) {
      this.#state.effects.push({ type: "read-refused", requestId, reason: "not-leader", leader: this.#state.leader });
    }
    this.#waiting = [];
    this.#round = undefined;
  }
}
