/**
 * One strike of the nemesis, from its first fault to its last repair, written as a story in virtual time. Several may be
 * under way. Whatever a strike breaks it registers the repair of, so that it can be ended at any moment.
 */

import type { Random } from "../../lib/random.ts";
import type { Operator } from "../operator.ts";
import type { EffectCrash, SimulatedGateway } from "../simulated-gateway.ts";
import type { SimulatedSite } from "../site.ts";
import type { SimulatedDevice } from "../workload.ts";
import type { FaultBudget } from "./budget.ts";

/** Waits for something to become true, in virtual time; the nemesis looks after every event. */
export interface Watcher {
  readonly condition: () => boolean;
  readonly settle: (reached: boolean) => void;
}

/** What goes on at the site meanwhile, for faults that are aimed at it. */
export interface Workload {
  readonly devices: readonly SimulatedDevice[];
  /** Somebody asks the gateway for all readings of the device. */
  readonly ask: (gateway: SimulatedGateway, device: SimulatedDevice) => void;
}

export interface StrikeOptions {
  readonly number: number;
  readonly site: SimulatedSite;
  /** The strike's own source: what one strike draws, or a skipped one does not, changes no other. */
  readonly random: Random;
  readonly budget: FaultBudget;
  readonly operator: Operator;
  /** Messages acknowledged so far, to strike just behind one. */
  readonly acknowledged: () => number;
  readonly workload: Workload;
  readonly watch: (watcher: Watcher) => void;
}

const promiseMs = 3_000;
const exclusiveMs = 12_000;

export class Strike {
  readonly number: number;
  readonly site: SimulatedSite;
  readonly random: Random;
  readonly budget: FaultBudget;
  readonly operator: Operator;
  readonly workload: Workload;
  readonly #options: StrikeOptions;
  readonly #repairs: (() => void)[] = [];
  #ended = false;

  constructor(options: StrikeOptions) {
    this.#options = options;
    this.number = options.number;
    this.site = options.site;
    this.random = options.random;
    this.budget = options.budget;
    this.operator = options.operator;
    this.workload = options.workload;
  }

  get gateways(): readonly SimulatedGateway[] {
    return this.site.gateways;
  }

  /** Never comes back when the strike is ended meanwhile. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.site.scheduler.schedule(ms, `fault ${this.number} goes on`, () => {
        if (!this.#ended) resolve();
      });
    });
  }

  /** False when the condition does not hold within that time. Never comes back when the strike is ended meanwhile. */
  reaches(condition: () => boolean, withinMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const patience = this.site.scheduler.schedule(withinMs, `fault ${this.number} waits no longer`, () => settle(false));
      let settled = false;
      const settle = (reached: boolean): void => {
        patience.cancelled = true;
        if (settled || this.#ended) return;
        settled = true;
        resolve(reached);
      };
      this.#options.watch({ condition: () => settled || this.#ended || condition(), settle });
    });
  }

  /** Waits for an acknowledgement to a device, or for a commit of Raft: the worst moments. */
  afterPromise(): Promise<boolean> {
    const acknowledged = this.#options.acknowledged();
    const committed = this.site.checker.committed();
    const commit = this.random.chance(0.5);
    return this.reaches(
      () => (commit ? this.site.checker.committed() > committed : this.#options.acknowledged() > acknowledged),
      promiseMs,
    );
  }

  durationMs(): number {
    return 200 + this.random.below(8_000);
  }

  note(text: string): void {
    this.site.scheduler.note(`fault ${this.number} ${text}`);
  }

  /** A gateway that is no other strike's; `undefined` when there is none. */
  victim(): SimulatedGateway | undefined {
    return this.claim(this.random.pick(this.gateways)) ?? this.gateways.find((gateway) => this.claim(gateway) !== undefined);
  }

  claim(gateway: SimulatedGateway): SimulatedGateway | undefined {
    return this.budget.claim(gateway.id, this) ? gateway : undefined;
  }

  /** Waits until all gateways are this strike's; false when that takes too long, or another one waits for the same. */
  async everybody(): Promise<boolean> {
    if (!this.budget.queueForAll(this)) return false;
    return await this.reaches(() => this.budget.claimAll(this), exclusiveMs);
  }

  /** Registers what mends a fault; what comes back does it at once. Done once, at the latest when the strike ends. */
  mendLater(repair: () => void): () => void {
    let done = false;
    const mend = (): void => {
      if (done) return;
      done = true;
      repair();
    };
    this.#repairs.push(mend);
    return mend;
  }

  /** Cuts both directions; what comes back heals them. */
  cutBoth(a: SimulatedGateway, b: SimulatedGateway): () => void {
    const heals = [this.site.network.cut(a.id, b.id), this.site.network.cut(b.id, a.id)];
    return this.mendLater(() => {
      for (const heal of heals) heal();
    });
  }

  /** The gateway is gone, until the strike starts it again, or ends. */
  crash(gateway: SimulatedGateway, options: { readonly power: boolean }): void {
    this.note(`${options.power ? "power of" : "kill"} ${gateway.id}`);
    gateway.crash(options);
    this.mendLater(() => this.start(gateway));
  }

  crashAtEffect(gateway: SimulatedGateway, crash: EffectCrash): void {
    const boundary = gateway.running()?.boundary;
    gateway.crashAtEffect(crash);
    this.mendLater(() => {
      boundary?.pardon();
      this.start(gateway);
    });
  }

  start(gateway: SimulatedGateway): void {
    if (gateway.running() !== undefined) return;
    this.note(`start ${gateway.id}`);
    gateway.start();
  }

  slowDisk(gateway: SimulatedGateway): () => void {
    gateway.disk.setFsync({ minMs: 5, maxMs: 400 });
    return this.mendLater(() => gateway.disk.setFsync(undefined));
  }

  pause(gateway: SimulatedGateway): () => void {
    const process = gateway.running()?.process;
    process?.pause();
    return this.mendLater(() => process?.resume());
  }

  /** Mends all that is still broken, the last fault first, and lets go of what was claimed. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const repair of this.#repairs.reverse()) repair();
    this.budget.release(this);
  }
}

/** One way in which things go wrong. */
export interface Fault {
  readonly name: string;
  /** Kin, which are drawn and asked for together. */
  readonly family: string;
  /** What the strike breaks until this resolves, it mends afterwards. */
  readonly carryOut: (strike: Strike) => Promise<void>;
}
