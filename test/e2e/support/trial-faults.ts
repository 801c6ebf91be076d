// What befalls the site of a trial, one thing after the other. What takes copies away is over when the site is whole again, so that never
// more than one gateway's copies are missing. While a change of the members is under way, what destroys nothing may come on top of it: a
// link is cut, or a gateway is killed and started again (where copies are missing only the one that lacks them).
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
] as const;
export type TrialFaultKind = (typeof trialFaultKinds)[number];

export interface TrialFaultsOptions {
  readonly trial: TrialSite;
  readonly random: Random;
  readonly membersMax: number;
  /** Says what is done, as it is done. */
  readonly tell: (what: string) => void;
}

/** These leave all copies where they are: the next thing may come at once. */
const harmless: ReadonlySet<TrialFaultKind> = new Set(["kill", "freeze", "cut-one-way", "cut-both-ways"]);

/** The factor: with fewer gateways there are fewer copies. */
const membersMin = 3;
const downMsMax = 3_000;
const frozenMsMin = 1_500;
const frozenMsMax = 7_000;
const cutMsMin = 1_500;
const cutMsMax = 8_000;
const weightMax = 3;
const laterMsMax = 6_000;

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
    if (!harmless.has(kind)) await trial.whole();
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
        return await this.#kill(victim, random.below(downMsMax));
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
        await Promise.all([this.#setWeight(victim), this.#onTop()]);
        return;
      case "cut-one-way":
        return await this.#cut("one way");
      case "cut-both-ways":
        return await this.#cut("both ways");
    }
  }

  /** While copies move, a while after it was asked for: nothing, a cut link, or a gateway that dies and comes back. */
  async #onTop(): Promise<void> {
    const { trial, random } = this.#options;
    const dice = random.below(4);
    if (dice === 0) return;
    await pause(random.below(laterMsMax));
    if (dice === 1) return await this.#cut(random.chance(0.5) ? "one way" : "both ways");
    await this.#kill(random.pick(trial.members), random.below(downMsMax));
  }

  /** Who is to fill all of its partitions dies once more on the way, half the time. */
  async #dieFilling(victim: TestGateway): Promise<void> {
    const { random } = this.#options;
    if (random.chance(0.5)) return;
    await pause(random.below(laterMsMax));
    await this.#kill(victim, random.below(downMsMax));
  }

  async #kill(victim: TestGateway, downMs: number): Promise<void> {
    const { trial, tell } = this.#options;
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
    await this.#dieFilling(victim);
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
    await this.#onTop();
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
