/**
 * A whole site in one process: real gateways on a simulated network, disks, clocks and devices, all from one seed.
 */

import { loadSite } from "../config/load-site.ts";
import type { SiteSettings } from "../config/settings.ts";
import { defaultTuning, type GatewayTuning } from "../gateway/context.ts";
import type { GatewayRules } from "../gateway/serving.ts";
import { InvariantError } from "../lib/assert.ts";
import { type GatewayId, gatewayId, type Hash64 } from "../lib/ids.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import type { Cron } from "../ports/cron.ts";
import type { DiagnosticDetails, Diagnostics } from "../ports/diagnostics.ts";
import { RaftChecker } from "./checkers.ts";
import { type NetworkTuning, SimulatedNetwork } from "./network.ts";
import { Scheduler } from "./scheduler.ts";
import { SimulatedGateway, type WrapDisk } from "./simulated-gateway.ts";

/** What the simulator cannot make itself: pure functions that load asynchronously, and a way to let promises settle. */
export interface SimulatorWorld {
  readonly hash64: Hash64;
  readonly cron: Cron;
  /** Resolves when all promises that could go on have gone on. */
  readonly settle: () => Promise<void>;
}

export interface SiteOptions {
  readonly seed: number;
  readonly gateways: number;
  readonly world: SimulatorWorld;
  readonly network?: Partial<NetworkTuning>;
  readonly rules?: GatewayRules;
  readonly tuning?: GatewayTuning;
  readonly wrapDisk?: WrapDisk;
}

const calmNetwork: NetworkTuning = { delayMinMs: 0.2, delayMaxMs: 2, dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 };
/** 2026-01-01, where simulated clocks begin. */
const epochMs = Date.UTC(2026, 0, 1);

export class SimulatedSite {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly settings: SiteSettings;
  readonly network: SimulatedNetwork;
  readonly gateways: readonly SimulatedGateway[];
  readonly checker = new RaftChecker();
  readonly #world: SimulatorWorld;

  constructor(options: SiteOptions) {
    this.random = new SeededRandom(options.seed);
    this.#world = options.world;
    this.settings = simulatedSettings(options.gateways);
    this.network = new SimulatedNetwork({
      scheduler: this.scheduler,
      random: this.random.fork(),
      tuning: { ...calmNetwork, ...options.network },
    });
    this.gateways = this.settings.gateways.map(
      ({ id }) =>
        new SimulatedGateway({
          id,
          settings: this.settings,
          scheduler: this.scheduler,
          network: this.network,
          random: this.random.fork(),
          epochMs,
          hash64: options.world.hash64,
          cron: options.world.cron,
          diagnostics: this.#diagnostics(id),
          rules: options.rules ?? {},
          tuning: options.tuning ?? defaultTuning,
          wrapDisk: options.wrapDisk ?? ((ports) => ports),
        }),
    );
  }

  gateway(id: string): SimulatedGateway {
    const found = this.gateways.find((gateway) => gateway.id === gatewayId(id));
    if (found === undefined) throw new InvariantError(`the simulated site has no ${id}`);
    return found;
  }

  startAll(): void {
    for (const gateway of this.gateways) gateway.start();
  }

  nowMs(): number {
    return this.scheduler.nowMs();
  }

  /** True time on the wall, which gateways' clocks may differ from. */
  wallMs(): number {
    return Math.floor(epochMs + this.scheduler.nowMs());
  }

  leader(): SimulatedGateway | undefined {
    return this.gateways.find((gateway) => gateway.running()?.gateway.serving()?.consensus.isLeader() === true);
  }

  /** Takes events until the condition holds. Throws when it does not within `withinMs` of virtual time. */
  async until(condition: () => boolean, options: { readonly withinMs: number; readonly what?: string }): Promise<void> {
    if (!(await this.reaches(condition, options.withinMs)))
      throw new Error(`not within ${options.withinMs} ms: ${options.what ?? condition.toString()}`);
  }

  /** Like `until`; false when the condition does not hold within that time. */
  async reaches(condition: () => boolean, withinMs: number): Promise<boolean> {
    const deadline = this.nowMs() + withinMs;
    while (!condition()) {
      if ((this.scheduler.nextMs() ?? Number.POSITIVE_INFINITY) > deadline) return false;
      await this.#step();
    }
    return true;
  }

  async runFor(ms: number): Promise<void> {
    const deadline = this.nowMs() + ms;
    while ((this.scheduler.nextMs() ?? Number.POSITIVE_INFINITY) <= deadline) await this.#step();
    this.scheduler.advanceTo(deadline);
  }

  /** Waits, in virtual time, for something that a gateway answers. */
  async answer<T>(promise: Promise<T>, withinMs = 60_000): Promise<T> {
    let settled: { readonly value: T } | { readonly cause: unknown } | undefined;
    promise.then(
      (value) => {
        settled = { value };
      },
      (cause: unknown) => {
        settled = { cause };
      },
    );
    await this.#world.settle();
    await this.until(() => settled !== undefined, { withinMs, what: "an answer" });
    if (settled !== undefined && "value" in settled) return settled.value;
    throw settled !== undefined && "cause" in settled ? settled.cause : new Error("no answer");
  }

  async #step(): Promise<void> {
    this.scheduler.step();
    await this.#world.settle();
    for (const gateway of this.gateways) {
      const stopped = gateway.stoppedItself();
      if (stopped?.code === "internal") throw new InvariantError(`${gateway.id}: ${stopped.message}`);
      this.checker.observe(gateway);
    }
  }

  #diagnostics(id: GatewayId): Diagnostics {
    const say =
      (level: string) =>
      (event: string, details?: DiagnosticDetails): void =>
        this.scheduler.note(`${id} ${level} ${event} ${details === undefined ? "" : JSON.stringify(details)}`);
    return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  }
}

/** A site on loopback, as a YAML file would give it. */
function simulatedSettings(count: number): SiteSettings {
  const gateways = Array.from(
    { length: count },
    (_, i) =>
      `  gw-${String.fromCharCode(97 + i)}: { host: 127.0.0.1, listen: { mqtt: ${1000 + i * 10}, mesh: ${1001 + i * 10}, http: ${1002 + i * 10} } }`,
  );
  const files: Record<string, string> = {
    "site.yaml": [
      "site: simulated",
      "gateways:",
      ...gateways,
      "devices: devices",
      "jobs: jobs",
      "sinks:",
      "  archive: { type: file }",
      "",
    ].join("\n"),
    "devices/sensor.yaml":
      "profile: sensor\ntopic: sensors/{device}/data\npayload: json\ntimestamp: { path: ts, unit: ms }\nmetrics:\n  value: { path: v }\n",
    "devices/plain.yaml": "profile: plain\ntopic: plain/{device}\npayload: number\nmetrics:\n  value: {}\n",
    "jobs/mean.yaml":
      'name: mean\nschedule: "*/10 * * * * *"\nwindow: 10s\nsource: { metric: value }\ngroupBy: [device]\naggregate: { mean: mean, n: count }\nsinks: [archive]\n',
  };
  const loaded = loadSite(
    {
      readFile: (path) => {
        const text = files[path];
        return text === undefined
          ? { ok: false, missing: true, reason: "no such file" }
          : { ok: true, value: new TextEncoder().encode(text) };
      },
      listFolder: (path) => ({
        ok: true,
        value: Object.keys(files).flatMap((name) => (name.startsWith(`${path}/`) ? [name.slice(path.length + 1)] : [])),
      }),
    },
    "site.yaml",
    {},
  );
  if (!loaded.ok) throw new InvariantError(`the simulated site's settings: ${JSON.stringify(loaded)}`);
  return loaded.settings;
}
