/**
 * Raft nodes alone under a seeded scheduler: messages (through the real codec) are lost, doubled, late and reordered,
 * links are cut one way or both, nodes crash and lose any suffix of their unsynced records, pause, and restart by the
 * real replay. Same seed, same trace. Timings are a tenth of `lan`, windows small, so that a few virtual seconds hold
 * many elections.
 */
import { votersOnly } from "../../../src/core/raft/configuration.ts";
import type { RaftEffect, RaftEvent, RaftRecord } from "../../../src/core/raft/events-effects.ts";
import { decodeMessage, encodeMessage } from "../../../src/core/raft/message-codec.ts";
import type { HardState, RaftMessage } from "../../../src/core/raft/messages.ts";
import type { RaftLimits } from "../../../src/core/raft/options.ts";
import { RaftNode } from "../../../src/core/raft/raft-node.ts";
import { emptyState } from "../../../src/core/raft/raft-state.ts";
import { encodeRecord } from "../../../src/core/raft/record-codec.ts";
import { RecordReplay } from "../../../src/core/raft/replay.ts";
import type { RaftRules } from "../../../src/core/raft/rules.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SafetyChecker, SafetyViolation } from "./raft-checkers.ts";

const timings = { electionTimeoutMinMs: 100, electionTimeoutMaxMs: 200, heartbeatMs: 30 };

export interface SimulationOptions {
  readonly seed: number;
  readonly rules?: Partial<RaftRules>;
  /** Planted bug: records are reported as durable before they are. */
  readonly lyingDisk?: boolean;
  /** Planted bug: what a node says, before the network has it; `undefined` stays unsaid. */
  readonly filter?: (from: MemberId, effect: RaftEffect) => RaftEffect;
  readonly faultMs?: number;
}

export interface SimulationReport {
  readonly traceHash: number;
  readonly steps: number;
  readonly committed: number;
  readonly terms: number;
  readonly readsReady: number;
  readonly proposalsDropped: number;
}

interface Scheduled {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

interface Disk {
  readonly records: { readonly bytes: Uint8Array; readonly record: RaftRecord }[];
  durableCount: number;
  /** What the durable records say, folded by a means of its own. */
  hardState: HardState;
  terms: number[];
}

interface Slot {
  readonly id: MemberId;
  readonly disk: Disk;
  node: RaftNode | undefined;
  incarnation: number;
  pausedUntilMs: number;
  tickAtMs: number;
  durableAtMs: number;
}

export class SimulatedCluster {
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #checker = new SafetyChecker();
  readonly #slots: Slot[] = [];
  readonly #heap: Scheduled[] = [];
  readonly #cut = new Set<string>();
  #order = 0;
  #nowMs = 0;
  #steps = 0;
  #hash = 0x811c9dc5;
  #nextRequest = 1;
  #faulty = true;
  readonly #limits: Partial<RaftLimits>;
  readonly #clientGapMs: number;
  readonly #dieYoungChance: number;
  readonly #lossChance: number;
  readonly #delayMaxMs: number;
  readonly #diskMaxMs: number;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const count = this.#random.pick([1, 3, 3, 3, 5, 5]);
    this.#lossChance = this.#random.pick([0, 0.02, 0.1, 0.25]);
    // One entry a message is where old and new entries part ways; it keeps up with the clients only on a fast site.
    const single = this.#random.chance(0.5);
    this.#dieYoungChance = single ? 0.9 : 0.5;
    this.#clientGapMs = single ? 200 : 30;
    this.#delayMaxMs = this.#random.pick([2, 10, 40]);
    this.#diskMaxMs = this.#random.pick([1, 10, 60]);
    this.#limits = {
      batchBytesMax: single ? 1 : this.#random.pick([160, 1_000]),
      inflightMessagesMax: this.#random.pick([1, 1, 4]),
      inflightBytesMax: 600,
    };
    for (let i = 0; i < count; i++) {
      const disk: Disk = { records: [], durableCount: 0, hardState: { term: 0, votedFor: undefined, commitIndex: 0 }, terms: [] };
      this.#slots.push({
        id: memberId(`gw-${i}`),
        disk,
        node: undefined,
        incarnation: 0,
        pausedUntilMs: 0,
        tickAtMs: Number.POSITIVE_INFINITY,
        durableAtMs: 0,
      });
    }
  }

  run(): SimulationReport {
    for (const slot of this.#slots) this.#start(slot);
    this.#client();
    this.#fault();
    this.#runUntil(this.#options.faultMs ?? 2_000);
    const before = this.#checker.committed.length;
    this.#heal();
    const endMs = this.#nowMs + 5_000;
    do this.#runUntil(this.#nowMs + 250);
    while (this.#isStuck(before) !== undefined && this.#nowMs < endMs);
    const stuck = this.#isStuck(before);
    if (stuck !== undefined) throw new SafetyViolation("liveness", `${stuck} after all faults have ended`);
    return {
      traceHash: this.#hash >>> 0,
      steps: this.#steps,
      committed: this.#checker.committed.length,
      terms: Math.max(...this.#slots.map((slot) => slot.node?.view().term ?? 0)),
      readsReady: this.#checker.readsReady,
      proposalsDropped: this.#checker.proposalsDropped,
    };
  }

  #heal(): void {
    this.#faulty = false;
    this.#cut.clear();
    for (const slot of this.#slots) {
      slot.pausedUntilMs = Math.min(slot.pausedUntilMs, this.#nowMs);
      if (slot.node === undefined) this.#start(slot);
    }
  }

  /** A quorum is connected: there is one leader, new entries commit, and all have applied what was committed before. */
  #isStuck(before: number): string | undefined {
    const views = this.#slots.map((slot) => slot.node?.view());
    const leaders = views.filter((view) => view?.role === "leader");
    if (leaders.length !== 1) return `${leaders.length} leaders`;
    if (this.#checker.committed.length < before + 5) return "nothing is committed";
    const behind = views.find((view) => view === undefined || view.appliedIndex < before);
    return behind === undefined ? undefined : `${behind.self} is behind`;
  }

  #schedule(delayMs: number, run: () => void): void {
    const item = { atMs: this.#nowMs + delayMs, order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(item, heap[parent] as Scheduled)) break;
      heap[at] = heap[parent] as Scheduled;
      at = parent;
    }
    heap[at] = item;
  }

  #next(): Scheduled | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child++;
      if (!isBefore(heap[child] as Scheduled, last)) break;
      heap[at] = heap[child] as Scheduled;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  #runUntil(endMs: number): void {
    while ((this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY) <= endMs) {
      const item = this.#next() as Scheduled;
      this.#nowMs = item.atMs;
      item.run();
    }
    this.#nowMs = endMs;
  }

  #start(slot: Slot): void {
    const replay = new RecordReplay({ snapshot: emptyState(votersOnly(this.#slots.map(({ id }) => id))).snapshot });
    slot.disk.records.forEach(({ bytes }, i) => {
      replay.visit(i + 1, bytes);
    });
    const restored = replay.result();
    if (!restored.ok) throw new SafetyViolation("replay", `${slot.id}: ${restored.message}`);
    slot.incarnation++;
    slot.durableAtMs = this.#nowMs;
    slot.node = new RaftNode({
      self: slot.id,
      timings,
      limits: this.#limits,
      random: this.#random.fork(),
      restored: restored.value,
      nowMs: this.#nowMs,
      rules: this.#options.rules ?? {},
    });
    slot.tickAtMs = Number.POSITIVE_INFINITY;
    this.#checker.restarted(slot.id);
    this.#step(slot, slot.incarnation, { type: "tick" });
  }

  #crash(slot: Slot): void {
    slot.node = undefined;
    const unsynced = slot.disk.records.length - slot.disk.durableCount;
    slot.disk.records.length -= this.#random.below(unsynced + 1);
    // What survived is on disk now.
    while (slot.disk.durableCount < slot.disk.records.length) this.#becomeDurable(slot);
    this.#schedule(this.#random.below(300), () => {
      if (slot.node === undefined) this.#start(slot);
    });
  }

  #step(slot: Slot, incarnation: number, event: RaftEvent): void {
    const { node } = slot;
    if (node === undefined || slot.incarnation !== incarnation) return;
    if (this.#nowMs < slot.pausedUntilMs)
      return this.#schedule(slot.pausedUntilMs - this.#nowMs, () => this.#step(slot, incarnation, event));
    const effects: RaftEffect[] = [];
    node.step(this.#nowMs, event, effects);
    this.#steps++;
    const { filter } = this.#options;
    const said = filter === undefined ? effects : effects.map((effect) => filter(slot.id, effect));
    this.#checker.afterStep(slot.id, node, said);
    for (const effect of said) this.#carryOut(slot, node, effect);
    this.#armTick(slot, node);
  }

  #armTick(slot: Slot, node: RaftNode): void {
    const dueMs = Math.max(node.nextDeadlineMs(), this.#nowMs);
    if (slot.tickAtMs <= dueMs && slot.tickAtMs > this.#nowMs) return;
    slot.tickAtMs = dueMs;
    const { incarnation } = slot;
    this.#schedule(dueMs - this.#nowMs, () => {
      if (slot.tickAtMs === dueMs) this.#step(slot, incarnation, { type: "tick" });
    });
  }

  #carryOut(slot: Slot, node: RaftNode, effect: RaftEffect): void {
    this.#trace(slot.id, effect);
    if (effect.type === "role-changed" && effect.role === "leader" && this.#faulty && this.#random.chance(this.#dieYoungChance))
      this.#dieYoung(slot);
    if (effect.type === "persist") this.#persist(slot, effect.token, effect.record);
    else if (effect.type === "send") {
      if (this.#options.lyingDisk !== true) this.#checkOnDisk(slot, node, effect.to, effect.message);
      this.#send(slot.id, effect.to, encodeMessage(effect.message));
    }
  }

  /** A leader that dies young, perhaps before anybody has heard it, leaves logs that differ (figure 8 of the paper). */
  #dieYoung(slot: Slot): void {
    if (this.#random.chance(0.5)) for (const { id } of this.#slots) this.#cut.add(`${slot.id} ${id}`);
    const { incarnation } = slot;
    this.#schedule(this.#random.below(150), () => {
      for (const { id } of this.#slots) this.#cut.delete(`${slot.id} ${id}`);
      if (slot.incarnation === incarnation && slot.node !== undefined) this.#crash(slot);
    });
  }

  #persist(slot: Slot, token: number, record: RaftRecord): void {
    slot.disk.records.push({ bytes: encodeRecord(record), record });
    slot.durableAtMs = Math.max(slot.durableAtMs, this.#nowMs + 1 + this.#random.below(this.#diskMaxMs));
    const { incarnation } = slot;
    const lying = this.#options.lyingDisk === true;
    if (lying) this.#schedule(0, () => this.#step(slot, incarnation, { type: "durable", token }));
    this.#schedule(slot.durableAtMs - this.#nowMs, () => {
      if (slot.incarnation !== incarnation || slot.node === undefined) return;
      this.#becomeDurable(slot);
      if (!lying) this.#step(slot, incarnation, { type: "durable", token });
    });
  }

  #becomeDurable(slot: Slot): void {
    const { disk } = slot;
    const { record } = disk.records[disk.durableCount++] as { record: RaftRecord };
    disk.hardState = record.hardState;
    if (record.entries.length === 0) return;
    disk.terms.length = record.firstIndex - 1;
    for (const entry of record.entries) disk.terms.push(entry.term);
  }

  /** What is said about the disk is true of the disk. */
  #checkOnDisk({ id, disk }: Slot, node: RaftNode, to: MemberId, message: RaftMessage): void {
    const votedFor = message.type === "vote-request" ? id : message.type === "vote-response" && message.granted ? to : undefined;
    if (votedFor !== undefined && (disk.hardState.term !== message.term || disk.hardState.votedFor !== votedFor)) {
      throw new SafetyViolation("vote-on-disk", `${id} in term ${message.term}`);
    }
    if (message.type !== "append-accepted" || message.matchIndex === 0) return;
    if (disk.hardState.term !== message.term || disk.terms[message.matchIndex - 1] !== node.entryAt(message.matchIndex)?.term) {
      throw new SafetyViolation("acknowledged-on-disk", `${id} acknowledges ${message.matchIndex} in term ${message.term}`);
    }
  }

  #send(from: MemberId, to: MemberId, frame: Uint8Array): void {
    const copies = this.#faulty && this.#random.chance(0.05) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.#faulty && this.#random.chance(this.#lossChance)) continue;
      // Now and then a message outlives the term it was sent in.
      const delayMaxMs = this.#faulty && this.#random.chance(0.02) ? 1_000 : this.#delayMaxMs;
      this.#schedule(1 + this.#random.below(delayMaxMs), () => this.#deliver(from, to, frame));
    }
  }

  #deliver(from: MemberId, to: MemberId, frame: Uint8Array): void {
    const slot = this.#slots.find(({ id }) => id === to) as Slot;
    if (this.#cut.has(`${from} ${to}`)) return;
    const decoded = decodeMessage(frame);
    if (!decoded.ok) throw new SafetyViolation("codec", decoded.message);
    this.#step(slot, slot.incarnation, { type: "message", from, message: decoded.value });
  }

  #client(): void {
    const slot =
      this.#slots.find(({ node }) => node?.view().role === "leader" && this.#random.chance(0.7)) ?? this.#random.pick(this.#slots);
    if (slot.node !== undefined) {
      if (this.#random.chance(0.3)) {
        const requestId = this.#nextRequest++;
        this.#checker.readRequested(slot.id, requestId);
        this.#step(slot, slot.incarnation, { type: "read-index", requestId });
      } else {
        const proposals = [];
        for (let i = this.#random.below(4); i >= 0; i--) {
          const requestId = this.#nextRequest++;
          proposals.push({ requestId, command: new TextEncoder().encode(`${requestId}`) });
        }
        this.#step(slot, slot.incarnation, { type: "propose", proposals });
      }
    }
    this.#schedule(1 + this.#random.below(this.#clientGapMs), () => this.#client());
  }

  #fault(): void {
    if (!this.#faulty) return;
    const leader = this.#slots.find(({ node }) => node?.view().role === "leader");
    const slot = leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick(this.#slots);
    const other = this.#random.pick(this.#slots);
    switch (this.#random.below(6)) {
      case 0:
      case 1:
        if (slot.node !== undefined) this.#crash(slot);
        break;
      case 2:
        slot.pausedUntilMs = this.#nowMs + this.#random.below(400);
        break;
      case 3:
        this.#cut.add(`${slot.id} ${other.id}`);
        break;
      case 4:
        for (const { id } of this.#slots) this.#cut.add(`${slot.id} ${id}`).add(`${id} ${slot.id}`);
        break;
      default:
        this.#cut.clear();
    }
    this.#schedule(20 + this.#random.below(180), () => this.#fault());
  }

  #trace(id: MemberId, effect: RaftEffect): void {
    let text = `${this.#nowMs} ${id} ${effect.type}`;
    if (effect.type === "send") text += ` ${effect.to} ${effect.message.type} ${effect.message.term}`;
    if (effect.type === "persist") text += ` ${effect.token} ${effect.record.firstIndex} ${effect.record.entries.length}`;
    if (effect.type === "apply") text += ` ${effect.entries[0]?.index} ${effect.entries.length}`;
    for (let i = 0; i < text.length; i++) this.#hash = Math.imul(this.#hash ^ text.charCodeAt(i), 0x01000193);
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
