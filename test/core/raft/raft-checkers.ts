/**
 * Raft's five properties (figure 3 of the paper) and what follows from them, checked after every step of every node
 * from the outside: by effects, and by the log that the node shows.
 */
import type { RaftEffect } from "../../../src/core/raft/events-effects.ts";
import type { Entry, RaftMessage } from "../../../src/core/raft/messages.ts";
import type { RaftNode } from "../../../src/core/raft/raft-node.ts";
import type { MemberId } from "../../../src/lib/ids.ts";

export class SafetyViolation extends Error {
  override readonly name = "SafetyViolation";
  readonly property: string;

  constructor(property: string, detail: string) {
    super(`${property}: ${detail}`);
    this.property = property;
  }
}

interface SeenEntry {
  readonly prevTerm: number;
  readonly content: string;
}

function contentOf(entry: Entry): string {
  return `${entry.kind} ${Buffer.from(entry.command).toString("latin1")}`;
}

export class SafetyChecker {
  /** committed[i] is the entry at index i + 1 that some node has applied first. */
  readonly committed: Entry[] = [];
  /** In which term (at the latest) each of them was committed. */
  readonly #committedIn: number[] = [];
  readonly #leaders = new Map<number, MemberId>();
  readonly #entries = new Map<string, SeenEntry>();
  readonly #votes = new Map<string, MemberId>();
  readonly #spokenTerm = new Map<MemberId, number>();
  readonly #applied = new Map<MemberId, number>();
  readonly #dropped = new Set<string>();
  readonly #readFloors = new Map<string, number>();
  readonly #leaderLast = new Map<MemberId, { readonly term: number; readonly lastIndex: number }>();
  readsReady = 0;
  proposalsDropped = 0;

  restarted(id: MemberId): void {
    this.#applied.set(id, 0);
    this.#leaderLast.delete(id);
  }

  readRequested(id: MemberId, requestId: number): void {
    this.#readFloors.set(`${id} ${requestId}`, this.committed.length);
  }

  afterStep(id: MemberId, node: RaftNode, effects: readonly RaftEffect[]): void {
    for (const effect of effects) this.#check(id, node, effect);
    this.#checkAppendOnly(id, node);
  }

  #check(id: MemberId, node: RaftNode, effect: RaftEffect): void {
    switch (effect.type) {
      case "role-changed":
        if (effect.role === "leader") this.#checkLeader(id, node, effect.term);
        break;
      case "persist":
        for (const entry of effect.record.entries) this.#checkLogMatching(id, node, entry);
        break;
      case "apply":
        for (const entry of effect.entries) this.#checkApplied(id, node, entry);
        break;
      case "send":
        this.#checkSpoken(id, effect.to, effect.message);
        break;
      case "proposal-dropped":
        this.proposalsDropped++;
        this.#dropped.add(`${effect.index}/${effect.term}`);
        if (this.committed[effect.index - 1]?.term === effect.term)
          throw new SafetyViolation("dropped-is-lost", `${effect.index}/${effect.term} is committed`);
        break;
      case "read-ready": {
        this.readsReady++;
        const floor = this.#readFloors.get(`${id} ${effect.requestId}`) ?? 0;
        if (effect.index < floor)
          throw new SafetyViolation("linearizable-read", `${id} reads at ${effect.index}, ${floor} was applied before`);
        break;
      }
      case "proposal-accepted":
      case "proposal-refused":
      case "proposal-unknown":
      case "read-refused":
      case "fetch-snapshot":
      case "restore-snapshot":
      case "transfer-ended":
        break;
      case "peer-violation":
        throw new SafetyViolation("no-violation", `${id} says that ${effect.from} ${effect.what}`);
    }
  }

  #checkLeader(id: MemberId, node: RaftNode, term: number): void {
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) throw new SafetyViolation("election-safety", `${other} and ${id} lead in term ${term}`);
    this.#leaders.set(term, id);
    for (const entry of this.committed) {
      // A vote may arrive late: only a leader of a later term than that of the commit must know.
      if ((this.#committedIn[entry.index - 1] as number) >= term) continue;
      if (node.entryAt(entry.index)?.term !== entry.term) {
        throw new SafetyViolation("leader-completeness", `${id} leads in term ${term} without committed ${entry.index}/${entry.term}`);
      }
    }
  }

  /** By induction over (index, term) -> (term before, content), equal pairs mean equal prefixes. */
  #checkLogMatching(id: MemberId, node: RaftNode, entry: Entry): void {
    const key = `${entry.index}/${entry.term}`;
    const prevTerm = node.entryAt(entry.index - 1)?.term ?? 0;
    const content = contentOf(entry);
    const seen = this.#entries.get(key);
    if (seen === undefined) this.#entries.set(key, { prevTerm, content });
    else if (seen.prevTerm !== prevTerm || seen.content !== content) throw new SafetyViolation("log-matching", `${id} has another ${key}`);
  }

  #checkApplied(id: MemberId, node: RaftNode, entry: Entry): void {
    const expected = (this.#applied.get(id) ?? 0) + 1;
    if (entry.index !== expected) throw new SafetyViolation("apply-in-order", `${id} applies ${entry.index}, not ${expected}`);
    this.#applied.set(id, entry.index);
    const known = this.committed[entry.index - 1];
    if (known === undefined) {
      if (this.#dropped.has(`${entry.index}/${entry.term}`))
        throw new SafetyViolation("dropped-is-lost", `${entry.index}/${entry.term} is applied`);
      this.committed.push(entry);
      this.#committedIn.push(node.view().term);
    } else if (known.term !== entry.term || contentOf(known) !== contentOf(entry)) {
      throw new SafetyViolation(
        "state-machine-safety",
        `${id} applies ${entry.index}/${entry.term}, ${known.index}/${known.term} was applied`,
      );
    }
  }

  #checkSpoken(id: MemberId, to: MemberId, message: RaftMessage): void {
    if (message.type === "pre-vote-request" || message.type === "pre-vote-response") return;
    if (message.term < (this.#spokenTerm.get(id) ?? 0))
      throw new SafetyViolation("term-never-falls", `${id} sends ${message.type} of term ${message.term}`);
    this.#spokenTerm.set(id, message.term);
    if (message.type === "append" && this.#leaders.get(message.term) !== id)
      throw new SafetyViolation("election-safety", `${id} sends as leader of ${message.term}`);
    const votedFor = message.type === "vote-request" ? id : message.type === "vote-response" && message.granted ? to : undefined;
    if (votedFor === undefined) return;
    const key = `${id} ${message.term}`;
    if ((this.#votes.get(key) ?? votedFor) !== votedFor) throw new SafetyViolation("one-vote", `${id} votes twice in term ${message.term}`);
    this.#votes.set(key, votedFor);
  }

  /** Leader append-only: within its term a leader's log never gets shorter (equal entries follow from log matching). */
  #checkAppendOnly(id: MemberId, node: RaftNode): void {
    const { role, term, lastIndex } = node.view();
    const before = this.#leaderLast.get(id);
    if (role !== "leader") {
      this.#leaderLast.delete(id);
      return;
    }
    if (before?.term === term && lastIndex < before.lastIndex)
      throw new SafetyViolation("leader-append-only", `${id} cut its log in term ${term}`);
    this.#leaderLast.set(id, { term, lastIndex });
  }
}
