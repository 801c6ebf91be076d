/**
 * Somebody who asks for readings while everything goes wrong, at whichever gateway, page by page or counted. An answer may say that it
 * is not complete; one that says it is must have every reading that was acknowledged before it was asked for and is not given up.
 */

import type { ReadingsAnswer } from "../gateway/service.ts";
import { deviceId, partitionOf } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import { highestHorizons } from "./horizons.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";
import { SafetyViolation } from "./violations.ts";
import type { SimulatedDevice } from "./workload.ts";

const pauseMinMs = 500;
const pauseMaxMs = 3_000;
const limit = 5_000;
const countEveryMs = 3_600_000;

export class ReadingClient {
  /** Answers that said they were complete. */
  complete = 0;
  readonly #site: SimulatedSite;
  readonly #random: Random;
  readonly #devices: readonly SimulatedDevice[];
  #stopped = false;

  constructor(options: { readonly site: SimulatedSite; readonly random: Random; readonly devices: readonly SimulatedDevice[] }) {
    this.#site = options.site;
    this.#random = options.random;
    this.#devices = options.devices;
  }

  start(): void {
    const pauseMs = pauseMinMs + this.#random.below(pauseMaxMs - pauseMinMs);
    this.#site.scheduler.schedule(pauseMs, "somebody asks for readings", () => {
      if (this.#stopped) return;
      const gateway = this.#random.pick(this.#site.gateways);
      const device = this.#random.pick(this.#devices);
      this.ask(gateway, device, { isCounted: this.#random.chance(0.3) });
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Asks now, all readings or their count. */
  ask(gateway: SimulatedGateway, device: SimulatedDevice, { isCounted }: { readonly isCounted: boolean }): void {
    const running = gateway.running();
    if (running === undefined) return;
    // As acknowledged by now, with the greatest value of each time.
    const expected = new Map<number, number>();
    for (const { ms, value } of device.acknowledged) expected.set(ms, Math.max(value, expected.get(ms) ?? value));
    const counted = isCounted
      ? { everyMs: countEveryMs, aggregate: { kind: "count" } as const }
      : { everyMs: undefined, aggregate: undefined };
    const query = {
      metric: "value",
      device: device.id,
      fromMs: undefined,
      toMs: undefined,
      consistency: undefined,
      limit,
      cursor: undefined,
    };
    running.process.deliver(() => {
      running.service.readings({ ...query, ...counted }).then(
        (answer) => {
          if (!answer.ok || !answer.value.complete || !running.process.alive()) return;
          this.complete++;
          const problem = this.#problemOf(answer.value, expected, { device: device.id, isCounted });
          if (problem !== undefined)
            this.#site.fail(new SafetyViolation(`${gateway.id} said that its answer about ${device.id} is complete: ${problem}`));
        },
        (cause: unknown) => this.#site.fail(cause),
      );
    });
  }

  #problemOf(
    { series }: ReadingsAnswer,
    expected: ReadonlyMap<number, number>,
    { device, isCounted }: { readonly device: string; readonly isCounted: boolean },
  ): string | undefined {
    const horizonUs = highestHorizons(this.#site)[partitionOf(deviceId(device), this.#site.hash64)] ?? 0;
    const kept = [...expected].filter(([ms]) => ms * 1_000 >= horizonUs);
    const points = series.flatMap((each) => each.points);
    if (isCounted) {
      const found = points.reduce((sum, [, count]) => sum + Number(count), 0);
      return found < kept.length ? `it counts ${found}, ${kept.length} were acknowledged and are kept` : undefined;
    }
    const values = new Map(points.map(([ms, value]) => [ms, Number(value)]));
    for (const [ms, value] of kept) {
      const found = values.get(ms);
      // A greater one may have come since.
      if (found === undefined || found < value) return `at ${ms} it has ${String(found)}, ${value} was acknowledged`;
    }
    return undefined;
  }
}
