/**
 * Plays scripts of a few words a line against `RaftNode` alone, through nothing but what it shows to everybody: constructor,
 * `step`, effects, `view`, `entryAt`, `positionAt`. Nothing happens unless a line says so: records are fsynced by `sync`,
 * messages move by `deliver`, snapshots by `fetch`; `settle` does all of it until nothing is left. Lines:
 *
 *     member a voter|learner|witness              the founding configuration, before any node
 *     node a [term 2] [vote b] [log 1,1,2] [commit 2] [snapshot 3/1] [lacks 9]
 *     campaign a    tick a 500    propose a text    read a    transfer a [b]    up a b    down a b    compact a [5]
 *     change a voters a,b,c [learners d] [witnesses c]
 *     sync a    deliver a b [type]    drop a b [type]    fetch b    settle
 *     a role leader term 2 …                      expectations: any of role, term, leader, vote, commit, applied, first,
 *                                                 last, log, voters, learners, snapshot, lacks, open
 *     a knows b state probe match 3 next 4        expectations of a leader's progress
 *     a said proposal-refused busy                the newest effect of that type, and its reason or index
 */
import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect, RaftEvent } from "../../../src/core/raft/events-effects.ts";
import type { RaftMessage, SnapshotMeta } from "../../../src/core/raft/messages.ts";
import { RaftNode } from "../../../src/core/raft/raft-node.ts";
import { assert, defined } from "../../../src/lib/assert.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { testEntry } from "./manual-cluster.ts";
import { SafetyChecker } from "./raft-checkers.ts";

interface Driven {
  readonly node: RaftNode;
  readonly effects: RaftEffect[];
  readonly unsynced: number[];
  snapshot: SnapshotMeta;
  fetchFrom: MemberId | undefined;
}

interface Sent {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: RaftMessage;
}

type Words = readonly string[];

const settleRoundsMax = 10_000;
const ids = (list: string | undefined) => (list === undefined ? [] : list.split(",").map(memberId).sort());

/** "term 2 vote b" as a map. */
function pairs(words: Words): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < words.length; i += 2) found.set(defined(words[i], "key"), defined(words[i + 1], `value of ${words[i]}`));
  return found;
}

export class ScenarioDriver {
  readonly #driven = new Map<MemberId, Driven>();
  readonly #wire: Sent[] = [];
  readonly #founding: { voters: MemberId[]; learners: MemberId[]; witnesses: MemberId[] } = { voters: [], learners: [], witnesses: [] };
  #checker: SafetyChecker | undefined;
  #nowMs = 0;
  #requestId = 0;

  /** Throws at the first line that cannot be played or whose expectation does not hold. */
  play(script: string): void {
    for (const [number, line] of script.split("\n").entries()) {
      const words = line.replace(/#.*/, "").trim().split(/\s+/).filter(Boolean);
      if (words.length === 0) continue;
      try {
        this.#playLine(words);
      } catch (error) {
        if (error instanceof Error) error.message = `line ${number + 1}, "${line.trim()}": ${error.message}`;
        throw error;
      }
    }
  }

  #playLine([verb = "", id = "", ...rest]: Words): void {
    const self = memberId(id);
    switch (verb) {
      case "member":
        return this.#member(self, rest[0]);
      case "node":
        return this.#create(self, pairs(rest));
      case "campaign":
        return this.#step(self, { type: "campaign" });
      case "tick":
        this.#nowMs += Number(rest[0]);
        return this.#step(self, { type: "tick" });
      case "propose":
        return this.#step(self, {
          type: "propose",
          proposals: [{ requestId: ++this.#requestId, command: new TextEncoder().encode(rest.join(" ")) }],
        });
      case "read":
        this.#checker?.readRequested(self, ++this.#requestId);
        return this.#step(self, { type: "read-index", requestId: this.#requestId });
      case "transfer":
        return this.#step(self, { type: "transfer-leadership", to: rest[0] === undefined ? undefined : memberId(rest[0]) });
      case "up":
      case "down":
        return this.#step(self, { type: verb === "up" ? "peer-up" : "peer-down", peer: memberId(defined(rest[0], "peer")) });
      case "change":
        return this.#step(self, {
          type: "change-configuration",
          requestId: ++this.#requestId,
          configuration: configurationOf(pairs(rest)),
        });
      case "compact":
        return this.#compact(self, rest[0] === undefined ? undefined : Number(rest[0]));
      case "sync":
        return assert(this.#sync(self), "nothing is unsynced");
      case "deliver":
      case "drop":
        return this.#move(verb, self, memberId(defined(rest[0], "receiver")), rest[1]);
      case "fetch":
        return assert(this.#fetch(self), "no snapshot was asked for");
      case "settle":
        return this.#settle();
      default:
        return this.#expect(memberId(verb), [id, ...rest]);
    }
  }

  #member(id: MemberId, role: string | undefined): void {
    const { voters, learners, witnesses } = this.#founding;
    (role === "learner" ? learners : voters).push(id);
    if (role === "witness") witnesses.push(id);
  }

  #create(self: MemberId, given: Map<string, string>): void {
    this.#checker ??= new SafetyChecker(this.#founding);
    const [snapshotIndex = 0, snapshotTerm = 0] = (given.get("snapshot") ?? "0/0").split("/").map(Number);
    const snapshot = { index: snapshotIndex, term: snapshotTerm, configuration: this.#founding };
    const terms = (given.get("log") ?? "").split(",").filter(Boolean).map(Number);
    const vote = given.get("vote");
    const lacks = given.get("lacks");
    const node = new RaftNode({
      self,
      timings: "lan",
      random: new SeededRandom(this.#driven.size + 1),
      nowMs: this.#nowMs,
      limits: { trailingEntriesMax: 0 },
      restored: {
        hardState: {
          term: Number(given.get("term") ?? terms[terms.length - 1] ?? snapshotTerm),
          votedFor: vote === undefined ? undefined : memberId(vote),
          commitIndex: Number(given.get("commit") ?? snapshotIndex),
        },
        snapshot,
        entries: terms.map((term, i) => testEntry(snapshotIndex + 1 + i, term)),
        impairedUntil: lacks === undefined ? undefined : Number(lacks),
      },
    });
    this.#driven.set(self, { node, effects: [], unsynced: [], snapshot, fetchFrom: undefined });
    this.#checker.restarted(self, snapshotIndex);
  }

  #of(self: MemberId): Driven {
    return defined(this.#driven.get(self), `node ${self}`);
  }

  #step(self: MemberId, event: RaftEvent): void {
    const driven = this.#of(self);
    const effects: RaftEffect[] = [];
    driven.node.step(this.#nowMs, event, effects);
    this.#checker?.afterStep(self, driven.node, effects);
    for (const effect of effects) {
      driven.effects.push(effect);
      if (effect.type === "send") this.#wire.push({ from: self, to: effect.to, message: effect.message });
      else if (effect.type === "persist") driven.unsynced.push(effect.token);
      else if (effect.type === "fetch-snapshot") driven.fetchFrom = effect.from;
    }
  }

  #sync(self: MemberId): boolean {
    const token = this.#of(self).unsynced.shift();
    if (token !== undefined) this.#step(self, { type: "durable", token });
    return token !== undefined;
  }

  #move(verb: "deliver" | "drop", from: MemberId, to: MemberId, type: string | undefined): void {
    const at = this.#wire.findIndex((sent) => sent.from === from && sent.to === to && (type === undefined || sent.message.type === type));
    const [sent] = at < 0 ? [] : this.#wire.splice(at, 1);
    const { message } = defined(sent, "a message under way");
    if (verb === "deliver") this.#step(to, { type: "message", from, message });
  }

  #compact(self: MemberId, at: number | undefined): void {
    const driven = this.#of(self);
    const index = at ?? driven.node.view().appliedIndex;
    driven.snapshot = { index, ...defined(driven.node.positionAt(index), "the state at that index") };
    this.#step(self, { type: "snapshot-stored", index });
  }

  #fetch(self: MemberId): boolean {
    const driven = this.#of(self);
    const from = driven.fetchFrom;
    if (from === undefined) return false;
    driven.fetchFrom = undefined;
    driven.snapshot = this.#of(from).snapshot;
    this.#step(self, { type: "snapshot-received", from, snapshot: driven.snapshot });
    return true;
  }

  #settle(): void {
    for (let rounds = 0; rounds < settleRoundsMax; rounds++) {
      const nodes = [...this.#driven.keys()];
      const sent = this.#wire.find(({ to }) => this.#driven.has(to));
      if (nodes.some((self) => this.#sync(self)) || nodes.some((self) => this.#fetch(self))) continue;
      if (sent === undefined) return;
      this.#move("deliver", sent.from, sent.to, sent.message.type);
    }
    assert(false, "the messages never end");
  }

  #expect(self: MemberId, [first = "", second = "", ...rest]: Words): void {
    if (first === "knows") return this.#expectKnown(self, memberId(second), rest);
    if (first === "said") return this.#expectSaid(self, second, rest[0]);
    const { node } = this.#of(self);
    const view = node.view();
    const log: number[] = [];
    for (let index = view.firstIndex; index <= view.lastIndex; index++) log.push(defined(node.entryAt(index), `entry ${index}`).term);
    compare([first, second, ...rest], {
      role: view.role,
      term: view.term,
      leader: view.leader,
      vote: view.votedFor,
      commit: view.commitIndex,
      applied: view.appliedIndex,
      first: view.firstIndex,
      last: view.lastIndex,
      log: log.join(","),
      voters: view.configuration.voters.join(","),
      learners: view.configuration.learners.join(","),
      snapshot: view.snapshotIndex,
      lacks: view.impairedUntil,
      open: view.openProposals,
    });
  }

  #expectKnown(leader: MemberId, follower: MemberId, words: Words): void {
    const known = defined(
      this.#of(leader)
        .node.view()
        .followers.find(({ id }) => id === follower),
      `progress of ${follower}`,
    );
    compare(words, { state: known.state, match: known.matchIndex, next: known.nextIndex, inflight: known.inflight });
  }

  #expectSaid(self: MemberId, type: string, detail: string | undefined): void {
    const effect = this.#of(self).effects.findLast((said) => said.type === type);
    const found = effect === undefined ? undefined : "reason" in effect ? effect.reason : "index" in effect ? effect.index : "";
    assert(found !== undefined && (detail === undefined || String(found) === detail), `said ${type} ${found}, not ${detail}`);
  }
}

function compare(words: Words, actual: Readonly<Record<string, string | number | undefined>>): void {
  for (const [key, expected] of pairs(words)) {
    assert(key in actual, `nothing is called ${key}`);
    const found = actual[key] === undefined || actual[key] === "" ? "none" : String(actual[key]);
    assert(found === expected, `${key} is ${found}, not ${expected}`);
  }
}

function configurationOf(given: Map<string, string>): ConfigurationRecord {
  return { voters: ids(given.get("voters")), learners: ids(given.get("learners")), witnesses: ids(given.get("witnesses")) };
}
