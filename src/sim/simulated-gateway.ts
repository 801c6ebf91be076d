/** One gateway of a simulated site: the real `Gateway` on simulated ports, with a disk that survives it. */

import type { SiteSettings } from "../config/settings.ts";
import type { GatewayTuning } from "../gateway/context.ts";
import { Gateway } from "../gateway/gateway.ts";
import { LocalGatewayService } from "../gateway/gateway-service.ts";
import type { GatewayRules } from "../gateway/rules.ts";
import type { GatewayService } from "../gateway/service.ts";
import type { Failure } from "../lib/errors.ts";
import type { GatewayId, Hash64 } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import type { Cron } from "../ports/cron.ts";
import type { Diagnostics } from "../ports/diagnostics.ts";
import { SimulatedBroker } from "./broker.ts";
import { type DiskPorts, SimulatedDisk } from "./disk.ts";
import { EffectBoundary, type EffectKind } from "./effect-boundary.ts";
import { MachineClock } from "./machine-clock.ts";
import type { SimulatedNetwork } from "./network.ts";
import { SimulatedClock, SimulatedEntropy, SimulatedProcess } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimulatedGatewayOptions {
  readonly id: GatewayId;
  readonly settings: SiteSettings;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly random: Random;
  readonly epochMs: number;
  readonly hash64: Hash64;
  readonly cron: Cron;
  readonly diagnostics: Diagnostics;
  readonly rules: GatewayRules;
  readonly tuning: GatewayTuning;
  /** Until its n-th start it runs the version before: it knows nothing of newer feature levels. 1: never. */
  readonly upgradedAtStart: number;
  /** What stands between each process and its disk; tests plant bugs here. */
  readonly wrapDisk: WrapDisk;
}

export type WrapDisk = (ports: DiskPorts, gateway: GatewayId) => DiskPorts;

/** A process: what a start made, and a crash ends. */
export interface RunningGateway {
  readonly process: SimulatedProcess;
  readonly gateway: Gateway;
  readonly service: GatewayService;
  readonly broker: SimulatedBroker;
  readonly boundary: EffectBoundary;
}

/** How a gateway dies between two of its effects. */
export interface EffectCrash {
  /** Effects that it still makes. */
  readonly effects: number;
  readonly kinds?: readonly EffectKind[];
  readonly power: boolean;
}

/** A machine that has lost power takes so long, by its own clock, until its gateway starts. */
const bootMaxMs = 60_000;

export class SimulatedGateway {
  readonly id: GatewayId;
  readonly disk: SimulatedDisk;
  readonly clock: MachineClock;
  readonly #options: SimulatedGatewayOptions;
  #running: RunningGateway | undefined;
  #starts = 0;
  #stoppedItself: Failure | undefined;

  constructor(options: SimulatedGatewayOptions) {
    this.id = options.id;
    this.#options = options;
    this.clock = new MachineClock({ scheduler: options.scheduler, epochMs: options.epochMs });
    this.clock.reboot(options.random.below(bootMaxMs));
    this.disk = new SimulatedDisk({
      schedule: (delayMs, fire) => options.scheduler.schedule(delayMs, `${options.id} disk`, () => this.#deliver(fire)),
      random: options.random.fork(),
    });
  }

  running(): RunningGateway | undefined {
    return this.#running;
  }

  /** Why the gateway ended by itself, if it did. */
  stoppedItself(): Failure | undefined {
    return this.#stoppedItself;
  }

  start(): void {
    const { scheduler, settings, random, network, id, tuning } = this.#options;
    this.#stoppedItself = undefined;
    const process = new SimulatedProcess({ scheduler, name: `${id}.${++this.#starts}` });
    const boundary = new EffectBoundary();
    const disk = boundary.guardDisk(this.#options.wrapDisk(this.disk.ports(), id));
    const broker = new SimulatedBroker(process);
    const gateway = new Gateway({
      settings,
      self: id,
      version: "simulated",
      rules: this.#options.rules,
      tuning: this.#starts < this.#options.upgradedAtStart ? { ...tuning, featureMax: tuning.featureMax - 1 } : tuning,
      stopped: (why) => this.#endedItself(process, why),
      ports: {
        clock: new SimulatedClock({ process, machine: this.clock }),
        entropy: new SimulatedEntropy(random.fork()),
        logs: disk.logs,
        stores: disk.stores,
        documents: disk.documents,
        resultFiles: disk.results,
        snapshots: disk.snapshots,
        space: disk.space,
        transport: boundary.guardTransport(network.transport(id, process)),
        broker,
        cron: this.#options.cron,
        diagnostics: this.#options.diagnostics,
        hash64: this.#options.hash64,
        memoryBytes: () => 0,
      },
    });
    const service = new LocalGatewayService(gateway);
    this.#running = { process, gateway, service, broker, boundary };
    gateway.start().then(
      (result) => {
        if (!process.alive()) return;
        if (result.ok) service.serveRequests();
        else this.#endedItself(process, result);
      },
      (cause: unknown) =>
        this.#endedItself(process, { ok: false, code: "internal", message: String(cause instanceof Error ? cause.stack : cause) }),
    );
  }

  /** SIGKILL, or the power fails: what was not synced is lost in part. */
  crash(options: { readonly power: boolean }): void {
    this.#running?.boundary.close();
    this.#running?.process.kill();
    this.#options.network.detach(this.id);
    this.disk.crash(options);
    this.#running = undefined;
    if (options.power) this.clock.reboot(this.#options.random.below(bootMaxMs));
  }

  /** The process that runs now will die between two effects; nothing happens when it ends before. */
  crashAtEffect({ effects, kinds, power }: EffectCrash): void {
    this.#running?.boundary.sentence({ effects, ...(kinds === undefined ? {} : { kinds }), die: () => this.crash({ power }) });
  }

  #endedItself(process: SimulatedProcess, why: Failure): void {
    if (!process.alive()) return;
    this.#stoppedItself = why;
    this.crash({ power: false });
  }

  #deliver(fire: () => void): void {
    const process = this.#running?.process;
    // While nothing runs, only leftovers of a dead session come by, and they know that they are dead.
    if (process === undefined) fire();
    else process.deliver(fire);
  }
}
