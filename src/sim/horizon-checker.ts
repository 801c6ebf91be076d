/**
 * What must hold of retention after every event: no process sees a horizon go back, and no horizon is in the future, whatever
 * the clock of a gateway says: a wrong clock deletes nothing.
 */

import { partitionCount } from "../lib/ids.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import { SafetyViolation } from "./violations.ts";

/** Clocks that agree within 30 s may be ahead together; what drifts or jumps a little may add to that. */
const aheadMaxMs = 120_000;

interface Seen {
  /** The same object as long as the same process runs. */
  readonly process: unknown;
  readonly appliedIndex: number;
  readonly horizons: Float64Array;
}

export class HorizonChecker {
  readonly #seen = new Map<string, Seen>();

  /** `wallMs`: the true time. Cheap when nothing was applied. */
  observe(gateway: SimulatedGateway, wallMs: number): void {
    const running = gateway.running();
    const state = running?.gateway.serving()?.state;
    if (running === undefined || state === undefined) return;
    const before = this.#seen.get(gateway.id);
    const same = before?.process === running.process ? before : undefined;
    if (same?.appliedIndex === state.appliedIndex()) return;
    const horizons = new Float64Array(2 * partitionCount);
    horizons.set(state.horizons("raw"));
    horizons.set(state.horizons("rollup"), partitionCount);
    const limitUs = (wallMs + aheadMaxMs) * 1_000;
    for (let at = 0; at < horizons.length; at++) {
      const horizonUs = horizons[at] as number;
      if (horizonUs < (same?.horizons[at] ?? 0))
        throw new SafetyViolation(`${gateway.id}: the horizon of partition ${at % partitionCount} goes back to ${horizonUs} µs`);
      if (horizonUs > limitUs)
        throw new SafetyViolation(`${gateway.id}: the horizon of partition ${at % partitionCount} is in the future, at ${horizonUs} µs`);
    }
    this.#seen.set(gateway.id, { process: running.process, appliedIndex: state.appliedIndex(), horizons });
  }
}
