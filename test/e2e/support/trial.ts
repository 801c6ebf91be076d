// A whole trial: recordings at full speed through the gateways of a site to which one thing after the other happens; afterwards all copies
// must soon be equal, and every acknowledged reading must be at every gateway, once and exact.
import { SeededRandom } from "../../../src/lib/random.ts";
import { must, type TestGateway } from "./site.ts";
import { type Befallen, TrialCheck, trialLevels } from "./trial-check.ts";
import { type TrialFaultKind, TrialFaults, trialFaultKinds } from "./trial-faults.ts";
import { TrialLoad, trialProfiles } from "./trial-load.ts";
import { TrialSite } from "./trial-site.ts";
import { until } from "./until.ts";

export interface TrialOptions {
  readonly gateways: number;
  /** At least; each kind of fault comes about once in any case. */
  readonly seconds: number;
  /** Of the faults; the processes go their own ways, so that it does not replay a run. */
  readonly seed: number;
  readonly devices?: number;
  readonly windowMax?: number;
  readonly print: (line: string) => void;
}

export interface TrialReport {
  readonly acknowledged: number;
  readonly faults: number;
  readonly seconds: number;
  /** From the end of the last refill until all digests were seen to be equal. */
  readonly equalAfterMs: number;
  /** Empty: nothing was lost, doubled, altered or invented. */
  readonly problems: readonly string[];
  /** Where data folders and logs were left; only when there are problems. */
  readonly folder: string | undefined;
}

/** One more than the members at the beginning, and two in the place of those that leave. */
const sparesCount = 3;
const readingsBetween = 500;
const equalWithinMs = 60_000;

/** Resolves with what was found; throws, with the folder kept, when the site does not come back at all. */
export async function runTrial(options: TrialOptions): Promise<TrialReport> {
  const trial = await TrialSite.start({ members: options.gateways, spares: sparesCount, files: trialProfiles });
  let load: TrialLoad | undefined;
  let keep = true;
  try {
    load = new TrialLoad({ gateways: () => trial.members, devices: options.devices ?? 8, windowMax: options.windowMax ?? 20 });
    const report = await new Trial(trial, load, options).run();
    keep = report.problems.length > 0;
    return { ...report, folder: keep ? trial.site.folder : undefined };
  } catch (error) {
    throw new Error(`the trial broke off; data folders and logs: ${trial.site.folder}`, { cause: error });
  } finally {
    await load?.close();
    await trial.end({ keep });
  }
}

class Trial {
  readonly #trial: TrialSite;
  readonly #load: TrialLoad;
  readonly #options: TrialOptions;
  readonly #beganMs: number;
  readonly #befallen: Befallen[] = [];

  constructor(trial: TrialSite, load: TrialLoad, options: TrialOptions) {
    this.#trial = trial;
    this.#load = load;
    this.#options = options;
    this.#beganMs = load.journal.beganMs;
  }

  async run(): Promise<Omit<TrialReport, "folder">> {
    await this.#befallAll();
    const seconds = this.#seconds();
    await this.#load.drain();
    const settledMs = performance.now();
    this.#say(`${this.#load.acknowledged} readings are acknowledged (${Math.round(this.#load.acknowledged / seconds)}/s)`);
    const problems: string[] = [];
    const unequal = await this.#equal().catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    const equalAfterMs = Math.round(performance.now() - settledMs);
    if (unequal === undefined) this.#say(`all digests are equal ${equalAfterMs} ms after the last refill`);
    else problems.push(unequal);
    problems.push(...(await this.#checkAll()));
    problems.push(...(await this.#repairFindsNothing()));
    return { acknowledged: this.#load.acknowledged, faults: this.#befallen.length, seconds, equalAfterMs, problems };
  }

  async #befallAll(): Promise<void> {
    const { gateways, seed, seconds } = this.#options;
    const faults = new TrialFaults({
      trial: this.#trial,
      random: new SeededRandom(seed),
      membersMax: Math.max(gateways, 4) + 1,
      tell: (what) => this.#say(what),
    });
    const missing = new Set<TrialFaultKind>(trialFaultKinds);
    while (missing.size > 0 || this.#seconds() < seconds) {
      await this.#load.more(readingsBetween);
      const kind = faults.next();
      const before = this.#load.acknowledged;
      const beganMs = performance.now();
      this.#load.takeLongestGapMs();
      await faults.befall(kind);
      missing.delete(kind);
      const toMs = performance.now();
      this.#befallen.push({ what: kind, fromMs: beganMs, toMs });
      const took = toMs - beganMs;
      const rate = Math.round((1_000 * (this.#load.acknowledged - before)) / took);
      this.#say(
        `  ${kind} is over after ${(took / 1_000).toFixed(1)} s, ${rate} readings/s, longest gap ${Math.round(this.#load.takeLongestGapMs())} ms`,
      );
    }
    await this.#load.more(readingsBetween);
  }

  /** All gateways have, since now, compared all that they hold with all others, and found no difference. */
  async #equal(): Promise<undefined> {
    const sinceMs = performance.now();
    let last = "";
    await until(
      "all owners' digests are equal",
      async () => {
        const answers = await Promise.all(
          this.#trial.members.map(async ({ id, client }) => [id, must(await client.status()).repair] as const),
        );
        last = JSON.stringify(Object.fromEntries(answers));
        const isEqual = answers.every(
          ([, repair]) => repair?.equal === true && repair.lastPassMs !== undefined && repair.lastPassMs <= performance.now() - sinceMs,
        );
        return isEqual || undefined;
      },
      { withinMs: equalWithinMs, explain: () => last, everyMs: 250 },
    );
    return undefined;
  }

  async #checkAll(): Promise<string[]> {
    const check = new TrialCheck({ journal: this.#load.journal, gateways: this.#trial.members, befallen: this.#befallen });
    const problems: string[] = [];
    // Level one first: the others would bring an owner what it lacks.
    for (const level of trialLevels) {
      const counts: string[] = [];
      for (const gateway of this.#trial.members) {
        const checked = await check.check(gateway, level);
        counts.push(`${gateway.id} ${checked.readings}`);
        problems.push(...checked.problems);
      }
      this.#say(`readings at level ${level}: ${counts.join(", ")}; ${problems.length === 0 ? "as acknowledged" : "NOT as acknowledged"}`);
    }
    for (const { id, client } of this.#trial.members) problems.push(...(await damages(id, client)));
    return problems;
  }

  /** `fogbank repair`, when everything is said to be equal. */
  async #repairFindsNothing(): Promise<string[]> {
    const result = await this.#trial.fogbank(this.#trial.other(), ["repair", "-o", "json"]);
    if (result.code !== 0) return [`fogbank repair: exit ${result.code}: ${result.stdout}${result.stderr}`];
    const { gateways } = JSON.parse(result.stdout) as { readonly gateways: readonly { readonly readingsFetched: number }[] };
    return gateways.some(({ readingsFetched }) => readingsFetched > 0) ? [`fogbank repair had something to do: ${result.stdout}`] : [];
  }

  #seconds(): number {
    return (performance.now() - this.#beganMs) / 1_000;
  }

  #say(what: string): void {
    this.#options.print(`${this.#seconds().toFixed(1).padStart(6)} s  ${what}`);
  }
}

/** With a damaged chunk a gateway's own copy would be another's. */
async function damages(id: string, client: TestGateway["client"]): Promise<string[]> {
  const { store } = must(await client.status());
  return (store.damagedChunks ?? 0) > 0 ? [`${id} has ${store.damagedChunks} damaged chunks`] : [];
}
