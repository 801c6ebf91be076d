/**
 * A whole site in one process: real gateways on a simulated network, disks, clocks and devices, all from one seed.
 */

import type { SiteSettings, WriteLevel } from "../config/settings.ts";
import { defaultTuning, type GatewayTuning } from "../gateway/context.ts";
import type { GatewayRules } from "../gateway/rules.ts";
import { InvariantError } from "../lib/assert.ts";
import { type GatewayId, gatewayId, type Hash64 } from "../lib/ids.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import type { Cron } from "../ports/cron.ts";
import type { DiagnosticDetails, Diagnostics } from "../ports/diagnostics.ts";
import { RaftChecker } from "./checkers.ts";
import { HorizonChecker } from "./horizon-checker.ts";
import { type NetworkTuning, SimulatedNetwork } from "./network.ts";
import { Scheduler } from "./scheduler.ts";
import type { SimulatedSettings } from "./settings.ts";
import { SimulatedGateway, type WrapDisk } from "./simulated-gateway.ts";

/** What the simulator cannot make itself: pure functions that load asynchronously, and a way to let promises go on. */
export interface SimulatorWorld {
  readonly hash64: Hash64;
  readonly cron: Cron;
  readonly settings: SimulatedSettings;
  /**
   * Calls `step` until it answers false, and before each call lets all promises go on that can. Rejects with what
   * `step` throws.
   */
  readonly drive: (step: () => boolean) => Promise<void>;
}

export interface SiteOptions {
  readonly seed: number;
  readonly gateways: number;
  /** Raft's timings; `lan` when left out. */
  readonly preset?: SiteSettings["raft"]["preset"];
  /** The last gateway only votes. */
  readonly witness?: boolean;
  readonly commitDelayMs?: number;
  /** The site's write level; `quorum` when left out. */
  readonly write?: WriteLevel;
  /** Owners of each partition; as many as a site has by itself when left out. */
  readonly factor?: number;
  /** How long readings are kept, as the YAML says it; for ever when left out. */
  readonly retention?: string | undefined;
  readonly world: SimulatorWorld;
  readonly network?: Partial<NetworkTuning>;
  readonly rules?: GatewayRules;
  readonly tuning?: GatewayTuning;
  /** The first so many run the version before this one until their n-th start. */
  readonly olderVersions?: { readonly gateways: number; readonly upgradedAtStart: number };
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
  readonly hash64: Hash64;
  readonly gateways: readonly SimulatedGateway[];
  readonly checker = new RaftChecker();
  readonly #horizons = new HorizonChecker();
  readonly #world: SimulatorWorld;
  #failed: { readonly cause: unknown } | undefined;

  constructor(options: SiteOptions) {
    this.random = new SeededRandom(options.seed);
    this.#world = options.world;
    this.hash64 = options.world.hash64;
    this.settings = options.world.settings.of({
      gateways: options.gateways,
      preset: options.preset ?? "lan",
      witness: options.witness ?? false,
      commitDelayMs: options.commitDelayMs ?? 0,
      retention: options.retention,
      ...(options.write === undefined ? {} : { write: options.write }),
      ...(options.factor === undefined ? {} : { factor: options.factor }),
    });
    this.network = new SimulatedNetwork({
      scheduler: this.scheduler,
      random: this.random.fork(),
      tuning: { ...calmNetwork, ...options.network },
    });
    this.gateways = this.settings.gateways.map(
      ({ id }, at) =>
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
          upgradedAtStart: at < (options.olderVersions?.gateways ?? 0) ? (options.olderVersions?.upgradedAtStart ?? 1) : 1,
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

  /** Ends the run with what went wrong out of its sight, before the next event. */
  fail(cause: unknown): void {
    this.#failed ??= { cause };
  }

  /** Takes events until the condition holds. Throws when it does not within `withinMs` of virtual time. */
  async until(condition: () => boolean, options: { readonly withinMs: number; readonly what?: string }): Promise<void> {
    if (!(await this.reaches(condition, options.withinMs)))
      throw new Error(`not within ${options.withinMs} ms: ${options.what ?? condition.toString()}`);
  }

  /** Like `until`; false when the condition does not hold within that time. */
  async reaches(condition: () => boolean, withinMs: number): Promise<boolean> {
    const deadline = this.nowMs() + withinMs;
    let reached = false;
    await this.#world.drive(() => {
      this.#look();
      reached = condition();
      return !reached && this.#stepBy(deadline);
    });
    return reached;
  }

  async runFor(ms: number): Promise<void> {
    const deadline = this.nowMs() + ms;
    await this.#world.drive(() => {
      this.#look();
      return this.#stepBy(deadline);
    });
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
    await this.until(() => settled !== undefined, { withinMs, what: "an answer" });
    if (settled !== undefined && "value" in settled) return settled.value;
    throw settled !== undefined && "cause" in settled ? settled.cause : new Error("no answer");
  }

  /** Takes the next event; false when none is due by then. */
  #stepBy(deadline: number): boolean {
    const next = this.scheduler.nextMs();
    return next !== undefined && next <= deadline && this.scheduler.step();
  }

  /** Whether all is well with the gateways that the last event, and the promises behind it, may have changed. */
  #look(): void {
    if (this.#failed !== undefined) throw this.#failed.cause;
    for (const gateway of this.gateways) {
      const stopped = gateway.stoppedItself();
      if (stopped?.code === "internal") throw new InvariantError(`${gateway.id}: ${stopped.message}`);
      const process = gateway.running()?.process;
      if (process?.touched !== true) continue;
      process.touched = false;
      this.checker.observe(gateway);
      this.#horizons.observe(gateway, this.wallMs());
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
