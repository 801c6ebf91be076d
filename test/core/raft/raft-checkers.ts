/**
 * Raft's five properties (figure 3 of the paper) and what follows from them, checked after every step of every node
 * from the outside: by effects, and by the log that the node shows.
 */

import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect } from "../../../src/core/raft/events-effects.ts";
import type { Entry, RaftMessage, SnapshotMeta } from "../../../src/core/raft/messages.ts";
import type { RaftNode, RaftView } from "../../../src/core/raft/raft-node.ts";
import type { MemberId } from "../../../src/lib/ids.ts";
import { MembershipChecker } from "./membership-checker.ts";
import { SafetyViolation } from "./safety-violation.ts";

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
  readonly membership: MembershipChecker;
  readsReady = 0;
  proposalsDropped = 0;
  proposalsUnknown = 0;
  snapshotsInstalled = 0;
  transfersMoved = 0;

  constructor(founding: ConfigurationRecord) {
    this.membership = new MembershipChecker(founding);
  }

  restarted(id: MemberId, snapshotIndex: number): void {
    this.#applied.set(id, snapshotIndex);
    this.#leaderLast.delete(id);
  }

  readRequested(id: MemberId, requestId: number): void {
    this.#readFloors.set(`${id} ${requestId}`, this.committed.length);
  }

  afterStep(id: MemberId, node: RaftNode, effects: readonly RaftEffect[]): void {
    const view = node.view();
    for (const effect of effects) this.#check(id, node, view, effect);
    this.#checkAppendOnly(id, view);
  }

  #check(id: MemberId, node: RaftNode, view: RaftView, effect: RaftEffect): void {
    switch (effect.type) {
      case "role-changed":
        if (effect.role === "leader") this.#checkLeader(id, node, view, effect.term);
        break;
      case "persist":
        if (effect.record.base !== undefined) this.#checkSnapshot(id, effect.record.base);
        for (const entry of effect.record.entries) {
          this.#checkLogMatching(id, node, entry);
          this.membership.written(id, node, entry, ({ index, term }) => this.committed[index - 1]?.term === term);
        }
        break;
      case "apply":
        for (const entry of effect.entries) this.#checkApplied(id, view, entry);
        break;
      case "send":
        this.#checkSpoken(id, effect.to, effect.message);
        if (view.impairedUntil !== undefined) checkImpaired(id, effect.message);
        break;
      case "restore-snapshot":
        this.#checkSnapshot(id, effect.snapshot);
        if (effect.snapshot.index <= (this.#applied.get(id) ?? 0))
          throw new SafetyViolation("apply-in-order", `${id} goes back to ${effect.snapshot.index}`);
        this.#applied.set(id, effect.snapshot.index);
        this.snapshotsInstalled++;
        break;
      case "transfer-ended":
        if (effect.moved) this.transfersMoved++;
        break;
      case "proposal-unknown":
        this.proposalsUnknown++;
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
      case "read-refused":
      case "fetch-snapshot":
        break;
      case "peer-violation":
        throw new SafetyViolation("no-violation", `${id} says that ${effect.from} ${effect.what}`);
    }
  }

  #checkLeader(id: MemberId, node: RaftNode, view: RaftView, term: number): void {
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) throw new SafetyViolation("election-safety", `${other} and ${id} lead in term ${term}`);
    this.#leaders.set(term, id);
    const { firstIndex } = view;
    for (const entry of this.committed) {
      // What is compacted away was compared when the snapshot was made.
      if (entry.index < firstIndex) continue;
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
    const prevTerm = node.entryAt(entry.index - 1)?.term ?? this.committed[entry.index - 2]?.term ?? 0;
    const content = contentOf(entry);
    const seen = this.#entries.get(key);
    if (seen === undefined) this.#entries.set(key, { prevTerm, content });
    else if (seen.prevTerm !== prevTerm || seen.content !== content) throw new SafetyViolation("log-matching", `${id} has another ${key}`);
  }

  /** A snapshot stands for what is committed at its index, and for the configuration in effect there. */
  #checkSnapshot(id: MemberId, { index, term, configuration }: SnapshotMeta): void {
    if (this.committed[index - 1]?.term !== term) throw new SafetyViolation("snapshot", `${id} has one at ${index}/${term}`);
    const expected = this.membership.at(index);
    if (JSON.stringify(configuration) !== JSON.stringify(expected))
      throw new SafetyViolation("snapshot", `${id} has ${JSON.stringify(configuration)} at ${index}, it was ${JSON.stringify(expected)}`);
  }

  #checkApplied(id: MemberId, view: RaftView, entry: Entry): void {
    const expected = (this.#applied.get(id) ?? 0) + 1;
    if (entry.index !== expected) throw new SafetyViolation("apply-in-order", `${id} applies ${entry.index}, not ${expected}`);
    this.#applied.set(id, entry.index);
    const known = this.committed[entry.index - 1];
    if (known === undefined) {
      if (this.#dropped.has(`${entry.index}/${entry.term}`))
        throw new SafetyViolation("dropped-is-lost", `${entry.index}/${entry.term} is applied`);
      this.committed.push(entry);
      this.membership.committed(entry);
      this.#committedIn.push(view.term);
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
  #checkAppendOnly(id: MemberId, { role, term, lastIndex }: RaftView): void {
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

/** Who lacks what it once had takes no part in decisions (Alagappan et al., FAST 2018). */
export function checkImpaired(id: MemberId, message: RaftMessage): void {
  const speaks =
    message.type === "pre-vote-request" ||
    message.type === "vote-request" ||
    ((message.type === "pre-vote-response" || message.type === "vote-response") && message.granted) ||
    (message.type === "append-accepted" && message.matchIndex > 0);
  if (speaks) throw new SafetyViolation("impaired-is-silent", `${id} sends ${message.type}`);
}
