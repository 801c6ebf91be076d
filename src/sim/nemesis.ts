/**
 * Lets things go wrong at a simulated site: strikes, one after the other or several at once, each drawn from the families
 * of faults that this seed has. Nothing exceeds what is promised to be survivable (`faults/budget.ts`), so whatever was
 * acknowledged must survive all of it; `calm` ends every fault, and then the site must come back.
 */

import type { Random } from "../lib/random.ts";
import { FaultBudget } from "./faults/budget.ts";
import { faultFamilies, faults, faultsOf } from "./faults/families.ts";
import { type Fault, Strike, type Watcher, type Workload } from "./faults/strike.ts";
import { Operator } from "./operator.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";

export interface NemesisOptions {
  readonly site: SimulatedSite;
  readonly random: Random;
  /** Messages acknowledged so far, to strike just behind one. */
  readonly acknowledged: () => number;
  /** Nothing goes on when it is left out. */
  readonly workload?: Workload;
  /** Numbers of strikes that do nothing, for whoever looks for the faults that a failure needs. */
  readonly skipFaults?: ReadonlySet<number>;
  /** Families or names of faults; drawn when it is left out. */
  readonly only?: readonly string[];
}

/** Most strikes at a time. */
const lanesMax = 3;
const gapMs = 3_000;
/** Of a gateway that stopped by itself, for a fault of its disk, somebody sees to it that it starts again. */
const restartMs = 2_000;
const membersMs = 60_000;
const noWorkload: Workload = { devices: [], ask: () => undefined };
const fatalToHeld: ReadonlySet<string> = new Set(["folder", "membership"]);

export class Nemesis {
  /** The highest number of a strike so far, skipped ones too. */
  faults = 0;
  readonly #options: NemesisOptions;
  readonly #site: SimulatedSite;
  readonly #budget: FaultBudget;
  readonly #operator: Operator;
  readonly #faults: readonly Fault[];
  readonly #sources: readonly Random[];
  readonly #watchers = new Set<Watcher>();
  readonly #strikes = new Set<Strike>();
  #begun = false;
  #over = false;

  constructor(options: NemesisOptions) {
    this.#options = options;
    this.#site = options.site;
    const { gateways } = options.site;
    this.#budget = new FaultBudget(
      gateways.map((gateway) => gateway.id),
      () => fewestVoters(gateways),
    );
    const { random } = options;
    this.#operator = new Operator({ site: options.site, random: random.fork() });
    const drawn = options.only === undefined ? drawFaults(random) : faultsOf(options.only);
    // What is held on one disk is lost with it: that is what level `any` says.
    const isSingle = options.site.settings.replication.write === "any";
    const survivable = drawn.filter(({ family }) => !isSingle || !fatalToHeld.has(family));
    this.#faults = survivable.length === 0 ? faultsOf(["crash"]) : survivable;
    const lanes = random.pick([1, 1, 2, 2, lanesMax]);
    this.#sources = Array.from({ length: lanes }, () => random.fork());
  }

  /** Lets time pass, with whatever goes wrong in it. */
  async during(ms: number): Promise<void> {
    const site = this.#site;
    const endMs = site.nowMs() + ms;
    if (!this.#begun) this.#begin();
    while (site.nowMs() < endMs) {
      if (!(await site.reaches(() => this.#anyDue(), endMs - site.nowMs()))) {
        site.scheduler.advanceTo(endMs);
        return;
      }
      // Those who waited go on before the next event: the site lets all promises go on first.
      for (const watcher of [...this.#watchers]) {
        if (!watcher.condition()) continue;
        this.#watchers.delete(watcher);
        watcher.settle(true);
      }
    }
  }

  /** Ends whatever is still going on; all gateways run on when it resolves, if they can. */
  async calm(): Promise<void> {
    const { network, gateways } = this.#site;
    this.#over = true;
    this.#watchers.clear();
    for (const strike of this.#strikes) strike.end();
    this.#strikes.clear();
    network.heal();
    Object.assign(network.tuning, { dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 });
    for (const gateway of gateways) {
      gateway.clock.set();
      gateway.clock.synchronised = true;
      gateway.disk.setFsync(undefined);
      gateway.disk.setIoErrors(0);
      gateway.disk.setFull(false);
    }
    this.#startAll();
    // A start that met the last error of a disk fails a little later.
    await this.#site.runFor(restartMs);
    this.#startAll();
    await this.#site.until(() => this.#operator.idle(), { withinMs: membersMs, what: "the changes of members that were begun come about" });
  }

  #anyDue(): boolean {
    for (const watcher of this.#watchers) if (watcher.condition()) return true;
    return false;
  }

  #begin(): void {
    this.#begun = true;
    this.#site.scheduler.note(`faults of this seed: ${this.#faults.map((fault) => fault.name).join(" ")}`);
    for (const [lane, source] of this.#sources.entries())
      this.#lane(lane, source).catch((cause: unknown) => {
        this.#site.fail(cause);
      });
  }

  /** One strike after the other. What a lane draws depends on no other lane, and on none of its own strikes. */
  async #lane(lane: number, source: Random): Promise<void> {
    for (let number = lane + 1; !this.#over; number += this.#sources.length) {
      this.faults = Math.max(this.faults, number);
      const random = source.fork();
      const strike = new Strike({
        number,
        site: this.#site,
        random,
        budget: this.#budget,
        operator: this.#operator,
        acknowledged: this.#options.acknowledged,
        workload: this.#options.workload ?? noWorkload,
        watch: (watcher) => this.#watchers.add(watcher),
      });
      this.#strikes.add(strike);
      await strike.wait(random.below(gapMs));
      const fault = random.pick(this.#faults);
      if (this.#options.skipFaults?.has(number) === true) {
        strike.note(`skipped: ${fault.name}`);
        await strike.wait(strike.durationMs());
      } else {
        strike.note(fault.name);
        await fault.carryOut(strike);
      }
      strike.end();
      this.#strikes.delete(strike);
      this.#startAll();
    }
  }

  #startAll(): void {
    for (const gateway of this.#site.gateways) if (gateway.running() === undefined && !this.#budget.isClaimed(gateway.id)) gateway.start();
  }
}

/** Of the configurations that are in effect anywhere. */
function fewestVoters(gateways: readonly SimulatedGateway[]): number {
  let fewest = gateways.length;
  for (const gateway of gateways) {
    const view = gateway.running()?.gateway.serving()?.consensus.view();
    if (view !== undefined) fewest = Math.min(fewest, view.configuration.voters.length);
  }
  return fewest;
}

/** A seed has some families of faults and not others: what is rare among all of them is common where it is one of few. */
function drawFaults(random: Random): readonly Fault[] {
  const chosen = faultFamilies.filter(() => random.chance(0.6));
  return chosen.length === 0 ? faults : faultsOf(chosen);
}
