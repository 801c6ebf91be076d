/**
 * What goes wrong at a simulated site, one thing after the other or two at once. Nothing here takes away what a disk has
 * synced, so whatever was acknowledged must survive all of it; `calm` ends every fault, and then the site must come back.
 */

import { unreachable } from "../lib/assert.ts";
import type { Random } from "../lib/random.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";

/** Faults that strike at a random moment, and those that wait for the worst one. */
const kinds = [
  "power-cut",
  "kill",
  "pause",
  "isolate",
  "cut-pair",
  "clock",
  "slow-disk",
  "full-disk",
  "site-power-cut",
  "leader-lost-after-commit",
  "voter-restarts",
  "power-cuts-in-turn",
] as const;
type FaultKind = (typeof kinds)[number];

export interface NemesisOptions {
  readonly site: SimulatedSite;
  readonly random: Random;
  /** Messages acknowledged so far, to strike just behind one. */
  readonly acknowledged: () => number;
  /** Numbers of strikes that do nothing, for whoever looks for the faults that a failure needs. */
  readonly skipFaults?: ReadonlySet<number>;
}

const striking = 3_000;
/** By then every follower that hears of no leader is due to stand. */
const electionMs = 2_500;

export class Nemesis {
  /** Strikes so far, skipped ones too: the number of the last one. */
  faults = 0;
  readonly #site: SimulatedSite;
  readonly #source: Random;
  readonly #skipFaults: ReadonlySet<number>;
  readonly #acknowledged: () => number;
  /** The strike's own source: what one strike draws, or a skipped one does not, changes no other. */
  #random: Random;

  constructor(options: NemesisOptions) {
    this.#site = options.site;
    this.#source = options.random;
    this.#random = options.random;
    this.#skipFaults = options.skipFaults ?? new Set();
    this.#acknowledged = options.acknowledged;
  }

  /** Some calm, then one fault from its beginning to its end; now and then a link is cut all the while. */
  async strike(): Promise<void> {
    this.#random = this.#source.fork();
    const number = ++this.faults;
    await this.#site.runFor(this.#random.below(3_000));
    const background = this.#random.chance(0.25);
    const kind = this.#random.pick(kinds);
    const victim = this.#random.pick(this.#site.gateways);
    if (this.#skipFaults.has(number)) {
      this.#site.scheduler.note(`fault ${number} skipped: ${kind} ${victim.id}`);
      await this.#site.runFor(this.#duration());
      return;
    }
    this.#site.scheduler.note(`fault ${number} ${kind} ${victim.id}`);
    if (background) this.#cutPair();
    await this.#carryOut(kind, victim);
    if (background) this.#site.network.heal();
    this.#startAll();
  }

  /** Ends whatever is still going on. */
  calm(): void {
    const { network, gateways } = this.#site;
    network.heal();
    Object.assign(network.tuning, { dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 });
    for (const gateway of gateways) {
      gateway.clockFault.offsetMs = 0;
      this.#healthyDisk(gateway);
    }
    this.#startAll();
  }

  async #carryOut(kind: FaultKind, victim: SimulatedGateway): Promise<void> {
    switch (kind) {
      case "power-cut":
      case "kill":
        victim.crash({ power: kind === "power-cut" });
        await this.#site.runFor(this.#duration());
        break;
      case "pause":
        await this.#pause(victim);
        break;
      case "isolate":
        for (const other of this.#site.gateways) if (other !== victim) this.#cut(victim, other);
        await this.#site.runFor(this.#duration());
        this.#site.network.heal();
        break;
      case "cut-pair":
        this.#cutPair();
        await this.#site.runFor(this.#duration());
        this.#site.network.heal();
        break;
      case "clock":
        victim.clockFault.offsetMs += (this.#random.below(20_000) - 10_000) * (this.#random.chance(0.1) ? 1_000 : 1);
        break;
      case "slow-disk":
        this.#slowDisk(victim);
        victim.disk.setIoErrors(this.#random.chance(0.5) ? 0.2 : 0);
        await this.#site.runFor(this.#duration());
        this.#healthyDisk(victim);
        break;
      case "full-disk":
        victim.disk.setFull(true);
        await this.#site.runFor(this.#duration());
        victim.disk.setFull(false);
        break;
      case "site-power-cut":
        await this.#sitePowerCut();
        break;
      case "leader-lost-after-commit":
        await this.#leaderLost();
        break;
      case "voter-restarts":
        await this.#voterRestarts();
        break;
      case "power-cuts-in-turn":
        await this.#powerCutsInTurn();
        break;
      default:
        unreachable(kind);
    }
  }

  async #pause(victim: SimulatedGateway): Promise<void> {
    const process = victim.running()?.process;
    process?.pause();
    await this.#site.runFor(this.#duration());
    process?.resume();
  }

  /** The whole site loses power, in the very moment in which something was promised; with slow disks, so that much is unsynced. */
  async #sitePowerCut(): Promise<void> {
    const { gateways } = this.#site;
    if (this.#random.chance(0.7)) for (const gateway of gateways) this.#slowDisk(gateway);
    await this.#site.runFor(this.#random.below(1_500));
    await this.#afterPromise();
    for (const gateway of gateways) gateway.crash({ power: true });
    for (const gateway of gateways) this.#healthyDisk(gateway);
    await this.#site.runFor(this.#random.below(500));
    for (const gateway of gateways) {
      gateway.start();
      await this.#site.runFor(this.#random.below(2_000));
    }
  }

  /** The leader is gone just after something was committed or acknowledged, for long enough that another takes over. */
  async #leaderLost(): Promise<void> {
    await this.#afterPromise();
    const leader = this.#site.leader();
    if (leader === undefined) return;
    if (this.#random.chance(0.3)) {
      for (const other of this.#site.gateways) if (other !== leader) this.#cut(leader, other);
      await this.#site.runFor(2_000 + this.#duration());
      this.#site.network.heal();
      return;
    }
    leader.crash({ power: this.#random.chance(0.7) });
    await this.#site.runFor(2_000 + this.#duration());
  }

  /**
   * Two candidates for one term, and one voter that loses power just after its vote and is back before the election is
   * over. The candidates hear nothing of each other, or they would not use one term; they stand still until both are due,
   * and with slow disks one of them asks late.
   */
  async #voterRestarts(): Promise<void> {
    const { gateways, network } = this.#site;
    const voter = this.#site.leader() ?? this.#random.pick(gateways);
    const others = gateways.filter((gateway) => gateway !== voter);
    const sides = [others.filter((_, at) => at % 2 === 0), others.filter((_, at) => at % 2 === 1)] as const;
    const cutSides = (): void => {
      for (const one of sides[0]) for (const other of sides[1]) this.#cutBoth(one, other);
    };
    for (let turn = 0; turn < 2; turn++) {
      cutSides();
      for (const other of others) {
        this.#slowDisk(other);
        this.#cutBoth(voter, other);
      }
      const paused = others.map((other) => other.running()?.process);
      for (const process of paused) process?.pause();
      await this.#site.runFor(electionMs);
      network.heal();
      cutSides();
      for (const process of paused) process?.resume();
      const before = voteOf(voter);
      await this.#site.reaches(() => voteOf(voter) !== before && voteOf(voter)?.endsWith(` ${voter.id}`) === false, striking);
      // Its vote reaches the disk, and the candidate.
      await this.#site.runFor(this.#random.below(20));
      const vote = voteOf(voter) ?? "";
      voter.crash({ power: true });
      // The other side asks first.
      const favoured = sides.find((side) => side.some((gateway) => vote.endsWith(` ${gateway.id}`))) ?? [];
      for (const gateway of favoured) this.#cutBoth(voter, gateway);
      await this.#site.runFor(this.#random.below(20));
      voter.start();
      await this.#site.runFor(this.#random.below(2_000));
      network.heal();
    }
    network.heal();
    for (const other of others) this.#healthyDisk(other);
  }

  /** Power cuts of one gateway after the other, each just after a promise: no disk but the synced ones may be relied on. */
  async #powerCutsInTurn(): Promise<void> {
    for (const gateway of this.#site.gateways) {
      await this.#afterPromise();
      gateway.crash({ power: true });
      await this.#site.runFor(this.#random.below(300));
      gateway.start();
    }
  }

  /** Waits for an acknowledgement to a device, or for a commit of Raft. */
  async #afterPromise(): Promise<void> {
    const acknowledged = this.#acknowledged();
    const committed = this.#site.checker.committed();
    const commit = this.#random.chance(0.5);
    await this.#site.reaches(() => (commit ? this.#site.checker.committed() > committed : this.#acknowledged() > acknowledged), striking);
  }

  #startAll(): void {
    for (const gateway of this.#site.gateways) if (gateway.running() === undefined) gateway.start();
  }

  #slowDisk(gateway: SimulatedGateway): void {
    gateway.disk.setFsync({ minMs: 5, maxMs: 400 });
  }

  #healthyDisk(gateway: SimulatedGateway): void {
    gateway.disk.setFsync(undefined);
    gateway.disk.setIoErrors(0);
    gateway.disk.setFull(false);
  }

  #cutPair(): void {
    const { gateways } = this.#site;
    const a = this.#random.below(gateways.length);
    const b = (a + 1 + this.#random.below(gateways.length - 1)) % gateways.length;
    this.#cut(gateways[a] as SimulatedGateway, gateways[b] as SimulatedGateway);
  }

  #cutBoth(a: SimulatedGateway, b: SimulatedGateway): void {
    this.#site.network.cut(a.id, b.id);
    this.#site.network.cut(b.id, a.id);
  }

  /** One direction or both. */
  #cut(a: SimulatedGateway, b: SimulatedGateway): void {
    const direction = this.#random.below(4);
    if (direction !== 1) this.#site.network.cut(a.id, b.id);
    if (direction !== 0) this.#site.network.cut(b.id, a.id);
  }

  #duration(): number {
    return 200 + this.#random.below(8_000);
  }
}

/** Term and choice of a gateway's last vote. */
function voteOf(gateway: SimulatedGateway): string | undefined {
  const view = gateway.running()?.gateway.serving()?.consensus.view();
  return view?.votedFor === undefined ? undefined : `${view.term} ${view.votedFor}`;
}
