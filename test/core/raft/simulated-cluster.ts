/**
 * Raft nodes alone under a seeded scheduler: messages (through the real codec) are lost, doubled, late and reordered,
 * links are cut one way or both, nodes crash and lose any suffix of their unsynced records, lose records to damage,
 * pause, and restart by the real replay from snapshot and trimmed log. What happens to them is in `cluster-chaos.ts`.
 * Same seed, same trace. Timings are a tenth of `lan`, windows small, so that a few virtual seconds hold many elections.
 */
import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect, RaftEvent, RaftRecord } from "../../../src/core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../../src/core/raft/message-codec.ts";
import type { RaftMessage } from "../../../src/core/raft/messages.ts";
import type { RaftLimits } from "../../../src/core/raft/options.ts";
import { RaftNode, type RaftView } from "../../../src/core/raft/raft-node.ts";
import type { RaftRules } from "../../../src/core/raft/rules.ts";
import type { MemberId } from "../../../src/lib/ids.ts";
import type { SeededRandom } from "../../../src/lib/random.ts";
import { EventQueue } from "./event-queue.ts";
import { checkImpaired, SafetyChecker } from "./raft-checkers.ts";
import { SafetyViolation } from "./safety-violation.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const timings = { electionTimeoutMinMs: 100, electionTimeoutMaxMs: 200, heartbeatMs: 30 };

export interface ClusterOptions {
  readonly random: SeededRandom;
  readonly founding: ConfigurationRecord;
  readonly ids: readonly MemberId[];
  readonly limits: Partial<RaftLimits>;
  readonly network: { readonly lossChance: number; readonly delayMaxMs: number };
  readonly diskMaxMs: number;
  readonly bug: PlantedBug;
  /** A node has become leader. */
  readonly onLeader: (slot: Slot) => void;
  /** A leader has asked another node to stand. */
  readonly onHandover: (slot: Slot) => void;
}

export interface PlantedBug {
  readonly rules?: Partial<RaftRules>;
  /** Records are reported as durable before they are. */
  readonly lyingDisk?: boolean;
  /** What a node says, before the network has it. */
  readonly filter?: (from: MemberId, effect: RaftEffect) => RaftEffect;
}

export interface Slot {
  readonly id: MemberId;
  readonly disk: SimulatedDisk;
  /** `undefined`: down. */
  node: RaftNode | undefined;
  /** As of its last step; of a node that is down, as it was. */
  view: RaftView | undefined;
  incarnation: number;
  pausedUntilMs: number;
  tickAtMs: number;
  durableAtMs: number;
  fetchingUntilMs: number;
  /** Until then the network loses, of all that this node sends, the entries of its own term. */
  losesNewEntriesUntilMs: number;
}

export class SimulatedCluster {
  readonly slots: readonly Slot[];
  readonly checker: SafetyChecker;
  readonly queue = new EventQueue();
  /** `from to` of each link that delivers nothing. */
  readonly cut = new Set<string>();
  isFaulty = true;
  steps = 0;
  hash = 0x811c9dc5;
  /** For who looks into a seed: gets a line for every effect. */
  onTrace: ((line: string) => void) | undefined;
  restarts = 0;
  impairedStarts = 0;
  readonly #options: ClusterOptions;
  readonly #random: SeededRandom;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#random = options.random;
    this.checker = new SafetyChecker(options.founding);
    this.slots = options.ids.map((id) => ({
      id,
      disk: new SimulatedDisk({ index: 0, term: 0, configuration: options.founding }),
      node: undefined,
      view: undefined,
      incarnation: 0,
      pausedUntilMs: 0,
      tickAtMs: Number.POSITIVE_INFINITY,
      durableAtMs: 0,
      fetchingUntilMs: 0,
      losesNewEntriesUntilMs: 0,
    }));
  }

  get leader(): Slot | undefined {
    return this.slots.find(({ node, view }) => node !== undefined && view?.role === "leader");
  }

  slot(id: MemberId): Slot {
    return this.slots.find((slot) => slot.id === id) as Slot;
  }

  start(slot: Slot): void {
    const restored = slot.disk.replay();
    if (!restored.ok) throw new SafetyViolation("replay", `${slot.id}: ${restored.message}`);
    const { impairedUntil, snapshot } = restored.value;
    if (slot.disk.lackingUpTo !== undefined && (impairedUntil ?? 0) < slot.disk.lackingUpTo)
      throw new SafetyViolation(
        "damage-is-noticed",
        `${slot.id} lacks entries up to ${slot.disk.lackingUpTo}, and knows up to ${impairedUntil}`,
      );
    this.restarts++;
    if (impairedUntil !== undefined) this.impairedStarts++;
    slot.incarnation++;
    slot.durableAtMs = this.queue.nowMs;
    slot.fetchingUntilMs = 0;
    slot.node = new RaftNode({
      self: slot.id,
      timings,
      limits: this.#options.limits,
      random: this.#random.fork(),
      restored: restored.value,
      nowMs: this.queue.nowMs,
      rules: this.#options.bug.rules ?? {},
    });
    slot.tickAtMs = Number.POSITIVE_INFINITY;
    this.checker.restarted(slot.id, snapshot.index);
    this.step(slot, { type: "tick" });
  }

  /** Down until `start`. */
  crash(slot: Slot): void {
    slot.node = undefined;
    slot.disk.crash((unsynced) => this.#random.below(unsynced + 1));
  }

  step(slot: Slot, event: RaftEvent, incarnation = slot.incarnation): void {
    const { node } = slot;
    const { nowMs } = this.queue;
    if (node === undefined || slot.incarnation !== incarnation) return;
    if (nowMs < slot.pausedUntilMs) return this.queue.schedule(slot.pausedUntilMs - nowMs, () => this.step(slot, event, incarnation));
    const effects: RaftEffect[] = [];
    node.step(nowMs, event, effects);
    this.steps++;
    slot.view = node.view();
    if (event.type === "tick" && node.nextDeadlineMs() <= nowMs)
      throw new SafetyViolation("deadlines-are-ahead", `${slot.id} is due again at ${node.nextDeadlineMs()}, ticked at ${nowMs}`);
    const { filter } = this.#options.bug;
    const said = filter === undefined ? effects : effects.map((effect) => filter(slot.id, effect));
    this.checker.afterStep(slot.id, node, said);
    for (const effect of said) this.#carryOut(slot, node, effect);
    this.#armTick(slot, node);
  }

  #armTick(slot: Slot, node: RaftNode): void {
    const { nowMs } = this.queue;
    const dueMs = Math.max(node.nextDeadlineMs(), nowMs);
    if ((slot.tickAtMs <= dueMs && slot.tickAtMs > nowMs) || dueMs === Number.POSITIVE_INFINITY) return;
    slot.tickAtMs = dueMs;
    const { incarnation } = slot;
    this.queue.schedule(dueMs - nowMs, () => {
      if (slot.tickAtMs === dueMs) this.step(slot, { type: "tick" }, incarnation);
    });
  }

  #carryOut(slot: Slot, node: RaftNode, effect: RaftEffect): void {
    this.#trace(slot.id, effect);
    switch (effect.type) {
      case "role-changed":
        if (effect.role === "leader") this.#options.onLeader(slot);
        break;
      case "persist":
        this.#persist(slot, effect.token, effect.record);
        break;
      case "send":
        if (this.#options.bug.lyingDisk !== true) this.#checkOnDisk(slot, node, effect.to, effect.message);
        if (this.queue.nowMs >= slot.losesNewEntriesUntilMs || !hasNewEntries(effect.message))
          this.#send(slot.id, effect.to, encodeMessage(effect.message));
        if (effect.message.type === "timeout-now") this.#options.onHandover(slot);
        break;
      case "fetch-snapshot":
        this.#fetch(slot, effect.from);
        break;
      default:
    }
  }

  #persist(slot: Slot, token: number, record: RaftRecord): void {
    const { nowMs } = this.queue;
    slot.disk.append(record);
    slot.durableAtMs = Math.max(slot.durableAtMs, nowMs + 1 + this.#random.below(this.#options.diskMaxMs));
    const { incarnation } = slot;
    const lying = this.#options.bug.lyingDisk === true;
    if (lying) this.queue.schedule(0, () => this.step(slot, { type: "durable", token }, incarnation));
    this.queue.schedule(slot.durableAtMs - nowMs, () => {
      if (slot.incarnation !== incarnation || slot.node === undefined) return;
      slot.disk.syncNext();
      if (!lying) this.step(slot, { type: "durable", token }, incarnation);
    });
  }

  /** What is said about the disk is true of the disk, and a damaged one says nothing. */
  #checkOnDisk({ id, disk }: Slot, node: RaftNode, to: MemberId, message: RaftMessage): void {
    if (disk.lackingUpTo !== undefined) checkImpaired(id, message);
    const votedFor = message.type === "vote-request" ? id : message.type === "vote-response" && message.granted ? to : undefined;
    if (votedFor !== undefined && (disk.hardState.term !== message.term || disk.hardState.votedFor !== votedFor)) {
      throw new SafetyViolation("vote-on-disk", `${id} in term ${message.term}`);
    }
    if (message.type !== "append-accepted" || message.matchIndex === 0) return;
    if (disk.hardState.term !== message.term || !disk.holds(message.matchIndex, node.entryAt(message.matchIndex)?.term)) {
      throw new SafetyViolation("acknowledged-on-disk", `${id} acknowledges ${message.matchIndex} in term ${message.term}`);
    }
  }

  #send(from: MemberId, to: MemberId, frame: Uint8Array): void {
    const { lossChance, delayMaxMs } = this.#options.network;
    const copies = this.isFaulty && this.#random.chance(0.05) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.isFaulty && this.#random.chance(lossChance)) continue;
      // Now and then a message outlives the term it was sent in.
      const mostMs = this.isFaulty && this.#random.chance(0.02) ? 1_000 : delayMaxMs;
      this.queue.schedule(1 + this.#random.below(mostMs), () => this.#deliver(from, to, frame));
    }
  }

  #deliver(from: MemberId, to: MemberId, frame: Uint8Array): void {
    if (this.cut.has(`${from} ${to}`)) return;
    const decoded = decodeMessage(frame);
    if (!decoded.ok) throw new SafetyViolation("codec", decoded.message);
    this.step(this.slot(to), { type: "message", from, message: decoded.value });
  }

  /** A snapshot of what this node has applied is written, and the node told when it is on disk. */
  takeSnapshot(slot: Slot): void {
    const { node, incarnation } = slot;
    const index = slot.view?.appliedIndex ?? 0;
    const position = node?.positionAt(index);
    if (node === undefined || index === 0 || position === undefined) return;
    const snapshot = { index, ...position };
    this.queue.schedule(this.#random.below(3 * this.#options.diskMaxMs), () => {
      if (slot.incarnation !== incarnation || slot.node === undefined) return;
      slot.disk.storeSnapshot(snapshot);
      if (!this.#random.chance(0.9)) return;
      this.queue.schedule(1, () => this.step(slot, { type: "snapshot-stored", index }, incarnation));
    });
  }

  /** Over another channel, in its own time: it may fail, and end when its sender leads no longer. */
  #fetch(slot: Slot, from: MemberId): void {
    const { nowMs } = this.queue;
    if (nowMs < slot.fetchingUntilMs) return;
    const { incarnation } = slot;
    const transferMs = 1 + this.#random.below(this.isFaulty ? 300 : 30);
    slot.fetchingUntilMs = nowMs + transferMs;
    const snapshot = this.slot(from).disk.snapshot;
    this.queue.schedule(transferMs, () => {
      if (slot.incarnation !== incarnation || slot.node === undefined || this.cut.has(`${from} ${slot.id}`)) return;
      if (this.slot(from).node === undefined || (this.isFaulty && this.#random.chance(0.2))) return;
      slot.disk.storeSnapshot(snapshot);
      this.queue.schedule(this.#random.below(this.#options.diskMaxMs), () =>
        this.step(slot, { type: "snapshot-received", from, snapshot }, incarnation),
      );
    });
  }

  #trace(id: MemberId, effect: RaftEffect): void {
    let text = `${this.queue.nowMs} ${id} ${effect.type}`;
    if (effect.type === "send") text += ` ${effect.to} ${effect.message.type} ${effect.message.term}`;
    if (effect.type === "persist") text += ` ${effect.token} ${effect.record.firstIndex} ${effect.record.entries.length}`;
    if (effect.type === "apply") text += ` ${effect.entries[0]?.index} ${effect.entries.length}`;
    this.onTrace?.(`${text} ${JSON.stringify(effect)}`);
    for (let i = 0; i < text.length; i++) this.hash = Math.imul(this.hash ^ text.charCodeAt(i), 0x01000193);
  }
}

function hasNewEntries(message: RaftMessage): boolean {
  return message.type === "append" && message.entries.some(({ term }) => term === message.term);
}
