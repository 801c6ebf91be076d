// What befalls the site of a trial, one thing after the other. Each is over when the site is whole again, so that never more than one
// gateway's copies are missing; only cut links, which destroy nothing, go along with a change of the members.
import type { Random } from "../../../src/lib/random.ts";
import type { TestGateway } from "./site.ts";
import type { TrialSite } from "./trial-site.ts";
import { pause } from "./until.ts";

export const trialFaultKinds = [
  "kill",
  "freeze",
  "wipe",
  "replace",
  "add",
  "remove",
  "remove-now",
  "weight",
  "cut-one-way",
  "cut-both-ways",
  "weight-and-cut",
] as const;
export type TrialFaultKind = (typeof trialFaultKinds)[number];

export interface TrialFaultsOptions {
  readonly trial: TrialSite;
  readonly random: Random;
  readonly membersMax: number;
  /** Says what is done, as it is done. */
  readonly tell: (what: string) => void;
}

/** The factor: with fewer gateways there are fewer copies. */
const membersMin = 3;
const downMsMax = 3_000;
const frozenMsMin = 1_500;
const frozenMsMax = 7_000;
const cutMsMin = 1_500;
const cutMsMax = 8_000;
const weightMax = 3;

export class TrialFaults {
  readonly #options: TrialFaultsOptions;
  readonly #weights = new Map<string, number>();
  #due: TrialFaultKind[] = [];

  constructor(options: TrialFaultsOptions) {
    this.#options = options;
  }

  /** Each kind comes once before one comes again, but for additions, which removals need. */
  next(): TrialFaultKind {
    if (this.#due.length === 0) this.#due = [...trialFaultKinds];
    const possible = this.#due.filter((kind) => this.#isPossible(kind));
    const kind = possible.length === 0 ? "add" : this.#options.random.pick(possible);
    this.#due = this.#due.filter((other) => other !== kind);
    return kind;
  }

  /** When it resolves, all members run, linked and whole. */
  async befall(kind: TrialFaultKind): Promise<void> {
    const { trial } = this.#options;
    await this.#strike(kind);
    await Promise.all(trial.members.map((gateway) => gateway.ready()));
    await trial.whole();
  }

  #isPossible(kind: TrialFaultKind): boolean {
    const { trial, membersMax } = this.#options;
    if (kind === "add") return trial.members.length < membersMax;
    if (kind === "remove" || kind === "remove-now") return trial.members.length > membersMin;
    return true;
  }

  async #strike(kind: TrialFaultKind): Promise<void> {
    const { trial, random } = this.#options;
    const victim = random.pick(trial.members);
    switch (kind) {
      case "kill":
        return await this.#kill(victim);
      case "freeze":
        return await this.#freeze(victim);
      case "wipe":
        await victim.kill();
        trial.wipe(victim);
        return await this.#replace(victim);
      case "replace":
        return await this.#replace(victim);
      case "add":
        return await this.#add();
      case "remove":
        return await this.#remove(victim, []);
      case "remove-now":
        return await this.#remove(victim, ["--now"]);
      case "weight":
        return await this.#setWeight(victim);
      case "cut-one-way":
        return await this.#cut("one way");
      case "cut-both-ways":
        return await this.#cut("both ways");
      case "weight-and-cut":
        await Promise.all([this.#setWeight(victim), this.#cut(random.chance(0.5) ? "one way" : "both ways")]);
        return;
    }
  }

  async #kill(victim: TestGateway): Promise<void> {
    const { trial, random, tell } = this.#options;
    const downMs = random.below(downMsMax);
    tell(`SIGKILL ${victim.id}, started again after ${downMs} ms`);
    await victim.kill();
    await pause(downMs);
    trial.start(victim);
  }

  async #freeze(victim: TestGateway): Promise<void> {
    const frozenMs = this.#between(frozenMsMin, frozenMsMax);
    this.#options.tell(`SIGSTOP ${victim.id} for ${frozenMs} ms`);
    victim.process.signal("SIGSTOP");
    await pause(frozenMs);
    victim.process.signal("SIGCONT");
  }

  /** With an empty folder. One that still runs is told so, and ends. */
  async #replace(victim: TestGateway): Promise<void> {
    const { trial, tell } = this.#options;
    const via = trial.other(victim);
    tell(`replace ${victim.id}${victim.isRunning ? ", which runs" : ", killed and wiped"}, by way of ${via.id}`);
    await trial.insist(via, ["gateway", "replace", victim.id, "--yes"]);
    await this.#endedByItself(victim);
    trial.wipe(victim);
    trial.start(victim);
  }

  async #endedByItself(victim: TestGateway): Promise<void> {
    if (!victim.isRunning) return;
    const exit = await victim.process.ended(60_000);
    if (exit.code !== 1) throw new Error(`${victim.id} was replaced, and ended with ${JSON.stringify(exit)}:\n${victim.process.tail()}`);
  }

  async #add(): Promise<void> {
    const { trial, tell } = this.#options;
    const spare = trial.spares.shift();
    if (spare === undefined) throw new Error("there is no spare gateway");
    const via = trial.other(spare);
    tell(`add ${spare.id}, by way of ${via.id}`);
    const { mqtt, mesh, http } = spare.ports;
    const ports = ["--mqtt", String(mqtt), "--mesh", String(mesh), "--http", String(http)];
    await trial.insist(via, ["gateway", "add", spare.id, "--host", "127.0.0.1", ...ports]);
    trial.members.push(spare);
    trial.start(spare);
  }

  async #remove(victim: TestGateway, how: readonly string[]): Promise<void> {
    const { trial, tell } = this.#options;
    const via = trial.other(victim);
    tell(`remove ${victim.id} ${how.join(" ")}, by way of ${via.id}`);
    await trial.insist(via, ["gateway", "remove", victim.id, "--yes", ...how], /there is no gateway/);
    trial.members.splice(trial.members.indexOf(victim), 1);
    this.#weights.delete(victim.id);
    await trial.left(victim);
  }

  async #setWeight(victim: TestGateway): Promise<void> {
    const { trial, random, tell } = this.#options;
    const before = this.#weights.get(victim.id) ?? 1;
    const weight = 1 + ((before + random.below(weightMax - 1)) % weightMax);
    this.#weights.set(victim.id, weight);
    tell(`weight of ${victim.id}: ${weight}`);
    await trial.insist(trial.other(), ["gateway", "set", victim.id, "--weight", String(weight)]);
  }

  async #cut(how: "one way" | "both ways"): Promise<void> {
    const { trial, random, tell } = this.#options;
    const from = random.pick(trial.members);
    const to = random.pick(trial.members.filter((gateway) => gateway !== from));
    const cutMs = this.#between(cutMsMin, cutMsMax);
    tell(`cut ${from.id} → ${to.id} ${how} for ${cutMs} ms`);
    trial.links.cut([[from.id, to.id], ...(how === "both ways" ? [[to.id, from.id] as const] : [])]);
    await pause(cutMs);
    trial.links.mend();
  }

  #between(least: number, most: number): number {
    return least + this.#options.random.below(most - least);
  }
}
