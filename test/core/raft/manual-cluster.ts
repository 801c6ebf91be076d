/**
 * A few Raft nodes under full control of a test: nothing moves by itself. Messages wait until `deliver`, time passes
 * only for the node that is ticked, disks are instant unless held back. Links can be cut.
 */
import { votersOnly } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect, RaftEvent } from "../../../src/core/raft/events-effects.ts";
import type { Entry, RaftMessage } from "../../../src/core/raft/messages.ts";
import type { RaftLimits } from "../../../src/core/raft/options.ts";
import { RaftNode } from "../../../src/core/raft/raft-node.ts";
import { emptyState } from "../../../src/core/raft/raft-state.ts";
import type { RaftRules } from "../../../src/core/raft/rules.ts";
import { defined } from "../../../src/lib/assert.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SafetyChecker } from "./raft-checkers.ts";

export interface NodeSpec {
  readonly id: string;
  /** Terms of the log's entries from index 1 on; empty when left out. */
  readonly log?: readonly number[];
  /** At least the log's last term, which is the default. */
  readonly term?: number;
  readonly commitIndex?: number;
}

export interface ManualOptions {
  readonly rules?: Partial<RaftRules>;
  readonly limits?: Partial<RaftLimits>;
}

export interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: RaftMessage;
}

export const electionTimeoutMaxMs = 2_000;

/** An entry whose command tells index and term, so that equal pairs have equal contents. */
export function testEntry(index: number, term: number): Entry {
  return { index, term, kind: "command", command: new TextEncoder().encode(`${index}/${term}`) };
}

export class ManualCluster {
  readonly checker = new SafetyChecker();
  nowMs = 0;
  /** Messages under way, oldest first. */
  readonly wire: Envelope[] = [];
  readonly #nodes = new Map<MemberId, RaftNode>();
  readonly #said = new Map<MemberId, RaftEffect[]>();
  readonly #heldDisks = new Map<MemberId, number[]>();
  readonly #cut = new Set<MemberId>();

  constructor(specs: readonly NodeSpec[], options: ManualOptions = {}) {
    const voters = specs.map(({ id }) => memberId(id));
    for (const { id, log = [], term, commitIndex = 0 } of specs) {
      const entries = log.map((entryTerm, i) => testEntry(i + 1, entryTerm));
      const node = new RaftNode({
        self: memberId(id),
        timings: "lan",
        random: new SeededRandom(voters.indexOf(memberId(id)) + 1),
        restored: {
          ...emptyState(votersOnly(voters)),
          hardState: { term: term ?? log[log.length - 1] ?? 0, votedFor: undefined, commitIndex },
          entries,
        },
        nowMs: 0,
        rules: options.rules ?? {},
        limits: options.limits ?? {},
      });
      this.#nodes.set(memberId(id), node);
      this.#said.set(memberId(id), []);
    }
  }

  node(id: string): RaftNode {
    return defined(this.#nodes.get(memberId(id)), id);
  }

  /** All effects of a node so far. */
  said(id: string): readonly RaftEffect[] {
    return defined(this.#said.get(memberId(id)), id);
  }

  step(id: string, event: RaftEvent): readonly RaftEffect[] {
    const self = memberId(id);
    const node = this.node(id);
    const effects: RaftEffect[] = [];
    node.step(this.nowMs, event, effects);
    this.checker.afterStep(self, node, effects);
    this.#said.get(self)?.push(...effects);
    for (const effect of effects) {
      if (effect.type === "send") this.wire.push({ from: self, to: effect.to, message: effect.message });
    }
    for (const effect of effects) {
      if (effect.type !== "persist") continue;
      const held = this.#heldDisks.get(self);
      if (held === undefined) this.step(id, { type: "durable", token: effect.token });
      else held.push(effect.token);
    }
    return effects;
  }

  /** From now on this node's records stay unsynced until `releaseDisk`. */
  holdDisk(id: string): void {
    this.#heldDisks.set(memberId(id), []);
  }

  releaseDisk(id: string): void {
    const tokens = this.#heldDisks.get(memberId(id)) ?? [];
    this.#heldDisks.delete(memberId(id));
    for (const token of tokens) this.step(id, { type: "durable", token });
  }

  /** Nothing goes to these nodes or comes from them. */
  isolate(...ids: readonly string[]): void {
    for (const id of ids) this.#cut.add(memberId(id));
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Delivers until nothing is under way; what `only` refuses stays on the wire, what runs into a cut link is lost. */
  deliver(only: (envelope: Envelope) => boolean = () => true): void {
    for (let rounds = 0; rounds < 10_000; rounds++) {
      const at = this.wire.findIndex(only);
      if (at < 0) return;
      const [envelope] = this.wire.splice(at, 1) as [Envelope];
      if (this.#cut.has(envelope.from) || this.#cut.has(envelope.to)) continue;
      this.step(envelope.to, { type: "message", from: envelope.from, message: envelope.message });
    }
    throw new Error("the messages never end");
  }

  elapse(ms: number): void {
    this.nowMs += ms;
  }

  /** Lets this node's election timer, and nobody else's, run out; its requests are on the wire then. */
  timeOut(id: string): void {
    this.elapse(electionTimeoutMaxMs);
    this.step(id, { type: "tick" });
  }

  /** Lets a node stand and delivers until all is said. */
  elect(id: string): void {
    this.timeOut(id);
    this.deliver();
  }

  propose(id: string, requestId: number): readonly RaftEffect[] {
    return this.step(id, { type: "propose", proposals: [{ requestId, command: new TextEncoder().encode(`request ${requestId}`) }] });
  }

  /** Terms of a node's log from index 1 on. */
  logOf(id: string): readonly number[] {
    const terms: number[] = [];
    for (let i = 1; i <= this.node(id).view().lastIndex; i++) terms.push(defined(this.node(id).entryAt(i), `entry ${i}`).term);
    return terms;
  }
}
