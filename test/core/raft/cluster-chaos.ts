/**
 * One seed: a cluster with its own size, tunables and faults, clients, changes of membership, transfers and snapshots;
 * then the faults end, and there must be progress. The faults stay within what Raft promises to survive: in every
 * configuration that may be in effect, a majority of the voters has a whole disk.
 */
import { type ConfigurationRecord, votersOnly } from "../../../src/core/raft/configuration.ts";
import { type MemberId, memberId } from "../../../src/lib/ids.ts";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SafetyViolation } from "./safety-violation.ts";
import { type PlantedBug, SimulatedCluster, type Slot } from "./simulated-cluster.ts";

export interface SimulationOptions extends PlantedBug {
  readonly seed: number;
  readonly faultMs?: number;
}

export interface SimulationReport {
  readonly traceHash: number;
  readonly steps: number;
  readonly committed: number;
  readonly terms: number;
  readonly readsReady: number;
  readonly proposalsDropped: number;
  readonly proposalsUnknown: number;
  readonly changes: number;
  readonly snapshotsInstalled: number;
  readonly transfersMoved: number;
  readonly impairedStarts: number;
}

const slotCount = 7;
/** Once faults end: until there is progress, and then until all are equal. */
const recoveryMs = 8_000;
const settlingMs = 8_000;

export class Simulation {
  readonly cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #clientGapMs: number;
  readonly #dieYoungChance: number;
  readonly #changesMembership: boolean;
  readonly #damages: boolean;
  readonly #faultMs: number;
  #nextRequest = 1;
  #isClientActive = true;

  constructor(options: SimulationOptions) {
    const random = new SeededRandom(options.seed);
    this.#random = random;
    this.#faultMs = options.faultMs ?? 2_000;
    const count = random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 7]);
    // One entry a message is where old and new entries part ways; it keeps up with the clients only on a fast site.
    const single = random.chance(0.5);
    this.#dieYoungChance = single ? 0.9 : 0.5;
    this.#clientGapMs = single ? 200 : 30;
    this.#changesMembership = random.chance(0.7);
    this.#damages = random.chance(0.5);
    const ids = Array.from({ length: this.#changesMembership ? slotCount : count }, (_, i) => memberId(`gw-${i}`));
    const voters = ids.slice(0, count);
    this.cluster = new SimulatedCluster({
      random,
      ids,
      founding: { ...votersOnly(voters), witnesses: count > 1 && random.chance(0.3) ? [random.pick(voters)] : [] },
      limits: {
        batchBytesMax: single ? 1 : random.pick([160, 1_000]),
        inflightMessagesMax: random.pick([1, 1, 4]),
        inflightBytesMax: 600,
        trailingEntriesMax: random.pick([0, 2, 20]),
        trailingBytesMax: random.pick([100, 10_000]),
      },
      network: { lossChance: random.pick([0, 0.02, 0.1, 0.25]), delayMaxMs: random.pick([2, 10, 40]) },
      diskMaxMs: random.pick([1, 10, 60]),
      bug: options,
      onLeader: (slot) => {
        if (this.cluster.isFaulty && this.#random.chance(this.#dieYoungChance)) this.#dieYoung(slot);
      },
      onHandover: (slot) => {
        if (this.cluster.isFaulty && this.#random.chance(0.5)) this.#staysUnaware(slot);
      },
    });
  }

  run(): SimulationReport {
    const { cluster } = this;
    const { checker, queue, slots } = cluster;
    for (const slot of slots) cluster.start(slot);
    this.#client();
    this.#fault();
    this.#operator();
    this.#compactor();
    queue.runUntil(this.#faultMs);
    const before = checker.committed.length;
    this.#heal();
    this.#runUntilDone(recoveryMs, () => this.#stuck(before));
    this.#isClientActive = false;
    this.#runUntilDone(settlingMs, () => this.#unequal());
    return {
      traceHash: cluster.hash >>> 0,
      steps: cluster.steps,
      committed: checker.committed.length,
      terms: Math.max(...slots.map(({ view }) => view?.term ?? 0)),
      readsReady: checker.readsReady,
      proposalsDropped: checker.proposalsDropped,
      proposalsUnknown: checker.proposalsUnknown,
      changes: checker.membership.changes,
      snapshotsInstalled: checker.snapshotsInstalled,
      transfersMoved: checker.transfersMoved,
      impairedStarts: cluster.impairedStarts,
    };
  }

  #runUntilDone(withinMs: number, problem: () => string | undefined): void {
    const { queue } = this.cluster;
    const endMs = queue.nowMs + withinMs;
    do queue.runUntil(queue.nowMs + 250);
    while (problem() !== undefined && queue.nowMs < endMs);
    const left = problem();
    if (left !== undefined) throw new SafetyViolation("liveness", `${left} after all faults have ended`);
  }

  #heal(): void {
    const { cluster } = this;
    cluster.isFaulty = false;
    cluster.cut.clear();
    for (const slot of cluster.slots) {
      slot.pausedUntilMs = Math.min(slot.pausedUntilMs, cluster.queue.nowMs);
      if (slot.node === undefined) cluster.start(slot);
    }
  }

  get #members(): readonly Slot[] {
    const { voters, learners } = this.cluster.checker.membership.current;
    return [...voters, ...learners].map((id) => this.cluster.slot(id));
  }

  /** There is one leader, new entries commit, and all members have applied what was committed before, and are whole. */
  #stuck(before: number): string | undefined {
    const { checker, slots } = this.cluster;
    const leaders = slots.filter(({ view }) => view?.role === "leader");
    if (leaders.length !== 1) return `${leaders.length} leaders`;
    if (checker.committed.length < before + 5) return "nothing is committed";
    const behind = this.#members.find(({ view }) => view === undefined || view.appliedIndex < before || view.impairedUntil !== undefined);
    return behind === undefined ? undefined : `${behind.id} is behind`;
  }

  /** With clients gone, all members come to the same log, and nothing is left open. */
  #unequal(): string | undefined {
    const last = this.cluster.leader?.view?.lastIndex;
    for (const { id, view } of this.#members) {
      if (view === undefined || view.lastIndex !== last || view.appliedIndex !== last)
        return `${id} ends at ${view?.appliedIndex} of ${last}`;
      if (view.openProposals > 0 || view.openReads > 0)
        return `${id} leaves ${view.openProposals} proposals and ${view.openReads} reads open`;
    }
    return undefined;
  }

  /** A leader that dies young, perhaps before anybody has heard it, leaves logs that differ (figure 8 of the paper). */
  #dieYoung(slot: Slot): void {
    const { cluster } = this;
    const { incarnation } = slot;
    const livesMs = this.#random.below(200);
    const isHalfHeard = this.#random.chance(0.5);
    const isUnheard = !isHalfHeard && this.#random.chance(0.5);
    if (isHalfHeard) slot.losesNewEntriesUntilMs = cluster.queue.nowMs + livesMs;
    if (isUnheard) for (const { id } of cluster.slots) cluster.cut.add(`${slot.id} ${id}`);
    cluster.queue.schedule(livesMs, () => {
      for (const { id } of cluster.slots) cluster.cut.delete(`${slot.id} ${id}`);
      if (slot.incarnation === incarnation && slot.node !== undefined) this.#crash(slot);
    });
  }

  /** A leader that does not hear of its successor goes on for a while, and is asked to read. */
  #staysUnaware(slot: Slot): void {
    const { cut, queue, slots } = this.cluster;
    for (const { id } of slots) cut.add(`${id} ${slot.id}`);
    for (let i = 0; i < 4; i++) queue.schedule(20 + this.#random.below(100), () => this.#read(slot));
    queue.schedule(120, () => {
      for (const { id } of slots) cut.delete(`${id} ${slot.id}`);
    });
  }

  #read(slot: Slot): void {
    const requestId = this.#nextRequest++;
    this.cluster.checker.readRequested(slot.id, requestId);
    this.cluster.step(slot, { type: "read-index", requestId });
  }

  #crash(slot: Slot): void {
    const { cluster } = this;
    cluster.crash(slot);
    if (this.#damages && this.#random.chance(0.3) && this.#staysWhole(slot)) slot.disk.damage(this.#random);
    cluster.queue.schedule(this.#random.below(300), () => {
      if (slot.node === undefined) cluster.start(slot);
    });
  }

  /** Whether every configuration that may be in effect somewhere has a majority of voters with whole disks, `damaged` left out. */
  #staysWhole(damaged: Slot): boolean {
    const { slots, checker } = this.cluster;
    const inEffect = slots.flatMap(({ view }) => (view === undefined ? [] : [view.configuration]));
    return [checker.membership.current, ...inEffect].every((configuration) => this.#hasWholeMajority(configuration, damaged));
  }

  #hasWholeMajority({ voters }: ConfigurationRecord, damaged?: Slot): boolean {
    const whole = voters.map((id) => this.cluster.slot(id)).filter((slot) => slot !== damaged && isWhole(slot));
    return whole.length > voters.length / 2;
  }

  /** Who leads, or still believes so; or anybody. */
  #mostlyLeader(chance: number): Slot {
    const { slots } = this.cluster;
    const leaders = slots.filter(({ node, view }) => node !== undefined && view?.role === "leader");
    return this.#random.pick(leaders.length > 0 && this.#random.chance(chance) ? leaders : slots);
  }

  #client(): void {
    if (!this.#isClientActive) return;
    const { cluster } = this;
    const slot = this.#mostlyLeader(0.7);
    if (this.#random.chance(0.3)) {
      this.#read(slot);
    } else {
      const proposals = [];
      for (let i = this.#random.below(4); i >= 0; i--) {
        const requestId = this.#nextRequest++;
        proposals.push({ requestId, command: new TextEncoder().encode(`${requestId}`) });
      }
      cluster.step(slot, { type: "propose", proposals });
    }
    cluster.queue.schedule(1 + this.#random.below(this.#clientGapMs), () => this.#client());
  }

  #fault(): void {
    const { cluster } = this;
    if (!cluster.isFaulty) return;
    const { queue, slots, cut } = cluster;
    const slot = this.#mostlyLeader(0.4);
    const other = this.#random.pick(slots);
    switch (this.#random.below(7)) {
      case 0:
      case 1:
        if (slot.node !== undefined) this.#crash(slot);
        break;
      case 2:
        slot.pausedUntilMs = queue.nowMs + this.#random.below(400);
        break;
      case 3:
        cut.add(`${slot.id} ${other.id}`);
        break;
      case 4:
        for (const { id } of slots) cut.add(`${slot.id} ${id}`).add(`${id} ${slot.id}`);
        break;
      case 5:
        cluster.step(
          slot,
          this.#random.pick([{ type: "peer-up", peer: other.id }, { type: "peer-down", peer: other.id }, { type: "campaign" }]),
        );
        break;
      default:
        cut.clear();
    }
    queue.schedule(20 + this.#random.below(180), () => this.#fault());
  }

  /** Changes of membership and transfers, asked of whoever may lead. */
  #operator(): void {
    const { cluster } = this;
    if (!cluster.isFaulty) return;
    const slot = this.#mostlyLeader(0.9);
    if (this.#random.chance(0.25)) {
      const to = this.#random.chance(0.5) ? undefined : this.#random.pick(cluster.slots).id;
      cluster.step(slot, { type: "transfer-leadership", to });
    } else if (this.#changesMembership && slot.view !== undefined && slot.pausedUntilMs <= cluster.queue.nowMs) {
      // A node that is paused would take the question later, when other disks may be damaged.
      const configuration = this.#changed(slot.view.configuration, slot.id);
      if (configuration.voters.length > 0 && this.#hasWholeMajority(configuration))
        cluster.step(slot, { type: "change-configuration", requestId: this.#nextRequest++, configuration });
    }
    cluster.queue.schedule(10 + this.#random.below(120), () => this.#operator());
  }

  #changed({ voters, learners, witnesses }: ConfigurationRecord, self: MemberId): ConfigurationRecord {
    const id = this.#random.chance(0.25) ? self : this.#random.pick(this.cluster.slots).id;
    const without = (list: readonly MemberId[]) => list.filter((member) => member !== id);
    const others = { voters: without(voters), learners: without(learners), witnesses: without(witnesses) };
    const withIt = (list: readonly MemberId[]) => [...list, id].sort();
    const keptWitnesses = witnesses.includes(id) || this.#random.chance(0.1) ? withIt(others.witnesses) : others.witnesses;
    const asLearner = { voters: others.voters, learners: withIt(others.learners), witnesses: keptWitnesses };
    const asVoter = { voters: withIt(others.voters), learners: others.learners, witnesses: keptWitnesses };
    const isVoter = voters.includes(id);
    const isMember = isVoter || learners.includes(id);
    if (!isMember) return this.#random.chance(0.7) ? asLearner : asVoter;
    return isVoter ? this.#random.pick([others, asLearner, asVoter]) : this.#random.pick([others, asVoter, asVoter]);
  }

  #compactor(): void {
    const { cluster } = this;
    if (this.#isClientActive) cluster.queue.schedule(5 + this.#random.below(100), () => this.#compactor());
    cluster.takeSnapshot(this.#random.pick(cluster.slots));
  }
}

function isWhole({ disk, view, node }: Slot): boolean {
  return !disk.isDamaged && disk.lackingUpTo === undefined && (node === undefined || view?.impairedUntil === undefined);
}
