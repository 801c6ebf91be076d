/**
 * A few Raft nodes under full control of a test: nothing moves by itself. Messages wait until `deliver`, time passes
 * only for the node that is ticked, disks are instant unless held back, snapshots are fetched when the test says so. Links
 * can be cut; nodes can crash and restart from their disks.
 */
import { type ConfigurationRecord, votersOnly } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect, RaftEvent } from "../../../src/core/raft/events-effects.ts";
import type { Entry, RaftMessage } from "../../../src/core/raft/messages.ts";
import type { RaftLimits } from "../../../src/core/raft/options.ts";
import { type FollowerView, RaftNode, type RaftView } from "../../../src/core/raft/raft-node.ts";
import type { RaftRules } from "../../../src/core/raft/rules.ts";
import { assert, defined } from "../../../src/lib/assert.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SafetyChecker } from "./raft-checkers.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

export interface NodeSpec {
  readonly id: string;
  /** Terms of the log's entries from index 1 on; empty when left out. */
  readonly log?: readonly number[];
  /** At least the log's last term, which is the default. */
  readonly term?: number;
  readonly commitIndex?: number;
  /** The log was damaged: up to here it once had entries. */
  readonly impairedUntil?: number;
  /** Not of the founding members: it has an empty disk, and has been told who they are. */
  readonly joins?: boolean;
}

export interface ManualOptions {
  readonly rules?: Partial<RaftRules>;
  readonly limits?: Partial<RaftLimits>;
  readonly learners?: readonly string[];
  readonly witnesses?: readonly string[];
}

export interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: RaftMessage;
}

export const electionTimeoutMaxMs = 2_000;
const heartbeatMs = 150;

/** An entry whose command tells index and term, so that equal pairs have equal contents. */
export function testEntry(index: number, term: number): Entry {
  return { index, term, kind: "command", command: new TextEncoder().encode(`${index}/${term}`) };
}

export function ofType<T extends RaftEffect["type"]>(effects: readonly RaftEffect[], type: T): readonly Extract<RaftEffect, { type: T }>[] {
  return effects.filter((effect): effect is Extract<RaftEffect, { type: T }> => effect.type === type);
}

/** Whether a message belongs to an election. */
export const isVoting = ({ message }: { readonly message: RaftMessage }): boolean => message.type.includes("vote");

export class ManualCluster {
  readonly checker: SafetyChecker;
  nowMs = 0;
  /** Messages under way, oldest first. */
  readonly wire: Envelope[] = [];
  readonly #options: ManualOptions;
  readonly #ids: readonly MemberId[];
  readonly #disks = new Map<MemberId, SimulatedDisk>();
  readonly #nodes = new Map<MemberId, RaftNode>();
  readonly #said = new Map<MemberId, RaftEffect[]>();
  readonly #heldDisks = new Map<MemberId, number[]>();
  readonly #cut = new Set<MemberId>();
  /** What was last asked for by `fetch-snapshot`, and of whom. */
  readonly #fetches = new Map<MemberId, MemberId>();

  constructor(specs: readonly NodeSpec[], options: ManualOptions = {}) {
    this.#options = options;
    this.#ids = specs.map(({ id }) => memberId(id));
    const founders = specs.filter(({ joins }) => joins !== true).map(({ id }) => id);
    const learners = (options.learners ?? []).map(memberId).sort();
    const voters = founders.map(memberId).filter((id) => !learners.includes(id));
    const founding = { ...votersOnly(voters), learners, witnesses: (options.witnesses ?? []).map(memberId).sort() };
    this.checker = new SafetyChecker(founding);
    for (const { id, log = [], term, commitIndex = 0, impairedUntil } of specs) {
      const self = memberId(id);
      const disk = new SimulatedDisk({ index: 0, term: 0, configuration: founding });
      const hardState = { term: term ?? log[log.length - 1] ?? 0, votedFor: undefined, commitIndex };
      const entries = log.map((entryTerm, i) => testEntry(i + 1, entryTerm));
      if (hardState.term > 0) {
        disk.append({ hardState, base: undefined, firstIndex: Math.min(1, log.length), entries, lastIndex: impairedUntil ?? log.length });
        disk.syncNext();
      }
      this.#disks.set(self, disk);
      this.#said.set(self, []);
      this.#start(self);
    }
  }

  #start(self: MemberId): void {
    const restored = defined(this.#disks.get(self), self).replay();
    assert(restored.ok, restored.ok ? "" : restored.message);
    const node = new RaftNode({
      self,
      timings: "lan",
      random: new SeededRandom(this.#ids.indexOf(self) + 1),
      restored: restored.value,
      nowMs: this.nowMs,
      rules: this.#options.rules ?? {},
      limits: this.#options.limits ?? {},
    });
    this.#nodes.set(self, node);
    this.checker.restarted(self, restored.value.snapshot.index);
  }

  node(id: string): RaftNode {
    return defined(this.#nodes.get(memberId(id)), id);
  }

  view(id: string): RaftView {
    return this.node(id).view();
  }

  /** What a leader knows of a follower. */
  progress(leader: string, follower: string): FollowerView {
    return defined(
      this.view(leader).followers.find(({ id }) => id === follower),
      follower,
    );
  }

  /** All effects of a node so far. */
  said(id: string): readonly RaftEffect[] {
    return defined(this.#said.get(memberId(id)), id);
  }

  step(id: string, event: RaftEvent): readonly RaftEffect[] {
    const self = memberId(id);
    const node = this.#nodes.get(self);
    const disk = defined(this.#disks.get(self), id);
    if (node === undefined) return [];
    const effects: RaftEffect[] = [];
    node.step(this.nowMs, event, effects);
    this.checker.afterStep(self, node, effects);
    this.#said.get(self)?.push(...effects);
    for (const effect of effects) {
      if (effect.type === "send") this.wire.push({ from: self, to: effect.to, message: effect.message });
      else if (effect.type === "fetch-snapshot") this.#fetches.set(self, effect.from);
    }
    for (const effect of effects) {
      if (effect.type !== "persist") continue;
      disk.append(effect.record);
      const held = this.#heldDisks.get(self);
      if (held === undefined) this.#sync(id, effect.token);
      else held.push(effect.token);
    }
    return effects;
  }

  #sync(id: string, token: number): void {
    defined(this.#disks.get(memberId(id)), id).syncNext();
    this.step(id, { type: "durable", token });
  }

  /** From now on this node's records stay unsynced until `releaseDisk`. */
  holdDisk(id: string): void {
    this.#heldDisks.set(memberId(id), []);
  }

  releaseDisk(id: string): void {
    const tokens = this.#heldDisks.get(memberId(id)) ?? [];
    this.#heldDisks.delete(memberId(id));
    for (const token of tokens) this.#sync(id, token);
  }

  /** The node is gone, and what was not on its disk with it. */
  crash(id: string): void {
    this.#nodes.delete(memberId(id));
    this.#heldDisks.delete(memberId(id));
    this.#fetches.delete(memberId(id));
    defined(this.#disks.get(memberId(id)), id).crash((unsynced) => unsynced);
  }

  /** A crashed node starts again from its disk. */
  restart(id: string): void {
    this.#start(memberId(id));
    this.step(id, { type: "tick" });
  }

  /** The state as applied is stored, and the node told so. */
  storeSnapshot(id: string): void {
    const index = this.view(id).appliedIndex;
    defined(this.#disks.get(memberId(id)), id).storeSnapshot({ index, ...defined(this.node(id).positionAt(index), "position") });
    this.step(id, { type: "snapshot-stored", index });
  }

  /** Whom the node has asked for a snapshot, if it still waits for one. */
  fetchOf(id: string): string | undefined {
    return this.#fetches.get(memberId(id));
  }

  /** The snapshot that a node has asked for arrives, as it is at its sender by now. */
  completeFetch(id: string): void {
    const from = defined(this.#fetches.get(memberId(id)), `a fetch of ${id}`);
    this.#fetches.delete(memberId(id));
    const { snapshot } = defined(this.#disks.get(from), from);
    defined(this.#disks.get(memberId(id)), id).storeSnapshot(snapshot);
    this.step(id, { type: "snapshot-received", from, snapshot });
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

  /** Heartbeats of `id` for a while, everything delivered; nobody else's clock is read. */
  beat(id: string, ms = heartbeatMs): void {
    for (let passed = 0; passed < ms; passed += heartbeatMs) {
      this.elapse(heartbeatMs);
      this.step(id, { type: "tick" });
      this.deliver();
    }
  }

  /** Time passes for all, everything delivered. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += heartbeatMs) {
      this.elapse(heartbeatMs);
      for (const id of this.#ids) this.step(id, { type: "tick" });
      this.deliver();
    }
  }

  /** Lets this node's election timer, and nobody else's, run out; its requests are on the wire then. */
  timeOut(id: string): void {
    const { configuration } = this.view(id);
    this.elapse(configuration.witnesses.includes(memberId(id)) ? 2 * electionTimeoutMaxMs : electionTimeoutMaxMs);
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

  change(
    id: string,
    requestId: number,
    to: { readonly voters: string; readonly learners?: string; readonly witnesses?: string },
  ): readonly RaftEffect[] {
    return this.step(id, { type: "change-configuration", requestId, configuration: configurationOf(to) });
  }

  /** Voters in effect at a node, as in "a b c". */
  votersOf(id: string): string {
    return this.view(id).configuration.voters.join(" ");
  }

  /** Terms of a node's log from index 1 on, as far as it is not compacted. */
  logOf(id: string): readonly number[] {
    const { firstIndex, lastIndex } = this.view(id);
    const terms: number[] = [];
    for (let i = firstIndex; i <= lastIndex; i++) terms.push(defined(this.node(id).entryAt(i), `entry ${i}`).term);
    return terms;
  }
}

function configurationOf(members: {
  readonly voters: string;
  readonly learners?: string;
  readonly witnesses?: string;
}): ConfigurationRecord {
  const list = (names = "") => names.split(" ").filter(Boolean).map(memberId).sort();
  return { voters: list(members.voters), learners: list(members.learners), witnesses: list(members.witnesses) };
}
