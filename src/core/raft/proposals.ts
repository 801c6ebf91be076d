/**
 * Proposals of this node whose fate is open. That an entry was overwritten here proves nothing: another log may still
 * hold it and bring it to commitment (Raft figure 8). It is certainly lost only when something else is committed at
 * its index, or an entry of a later term is committed before it.
 */
import type { RaftEffect, RequestId } from "./events-effects.ts";
import type { Entry } from "./messages.ts";

interface OpenProposal {
  readonly requestId: RequestId;
  readonly index: number;
  readonly term: number;
}

export class OpenProposals {
  readonly #countMax: number;
  /** In order of acceptance: by term, then by index. Everything before `#head` is decided. */
  #open: OpenProposal[] = [];
  #head = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#open.length - this.#head;
  }

  get isFull(): boolean {
    return this.size >= this.#countMax;
  }

  add(proposal: OpenProposal): void {
    this.#open.push(proposal);
  }

  /** `entry` is committed: decides every open proposal that this decides. */
  committed(entry: Entry, effects: RaftEffect[]): void {
    while (this.#head < this.#open.length) {
      const { requestId, index, term } = this.#open[this.#head] as OpenProposal;
      const applied = index === entry.index && term === entry.term;
      if (!applied && term >= entry.term && index > entry.index) break;
      if (!applied) effects.push({ type: "proposal-dropped", requestId, index, term });
      this.#head++;
    }
    this.#forgetDecided();
  }

  /** A snapshot took the place of everything up to `index`: what became of proposals there cannot be told from it. */
  skippedTo(index: number, effects: RaftEffect[]): void {
    const open = this.#open.slice(this.#head);
    this.#head = 0;
    this.#open = open.filter((proposal) => proposal.index > index);
    for (const { requestId, index: at, term } of open)
      if (at <= index) effects.push({ type: "proposal-unknown", requestId, index: at, term });
  }

  /** Amortised O(1) per proposal. */
  #forgetDecided(): void {
    if (this.#head < 256 || this.#head * 2 < this.#open.length) return;
    this.#open = this.#open.slice(this.#head);
    this.#head = 0;
  }
}
