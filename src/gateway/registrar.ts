/**
 * Registers devices in the replicated state as they are first seen: behind the ingest path, in batches, again until it
 * worked. Readings never wait for it.
 */

import type { SiteState } from "../core/site/site-state.ts";
import type { DeviceId } from "../lib/ids.ts";
import type { Consensus } from "./consensus/consensus.ts";
import type { GatewayContext } from "./context.ts";
import { pause } from "./pause.ts";

interface SeenDevice {
  readonly profile: string;
  readonly metrics: Set<string>;
  readonly firstSeenMs: number;
}

const batchMax = 500;
/** Characters of names in a batch: far below what one log entry may hold. */
const batchNamesMax = 128 << 10;
const retryMs = 500;
const waitingMax = 100_000;
const collectMs = 100;
const proposeTimeoutMs = 5_000;

export class Registrar {
  readonly #context: GatewayContext;
  readonly #consensus: Consensus;
  readonly #state: SiteState;
  readonly #waiting = new Map<DeviceId, SeenDevice>();
  #running = false;

  constructor(options: { readonly context: GatewayContext; readonly consensus: Consensus; readonly state: SiteState }) {
    this.#context = options.context;
    this.#consensus = options.consensus;
    this.#state = options.state;
  }

  seen(device: DeviceId, profile: string, metric: string): void {
    if (this.#state.devices().get(device)?.metrics.includes(metric) === true) return;
    const waiting = this.#waiting.get(device);
    if (waiting !== undefined) waiting.metrics.add(metric);
    // Beyond the bound a device is registered when this gateway next starts: its readings are stored all the same.
    else if (this.#waiting.size < waitingMax)
      this.#waiting.set(device, { profile, metrics: new Set([metric]), firstSeenMs: this.#context.clock.wallMs() });
    if (!this.#running) {
      this.#running = true;
      this.#context.clock.schedule(collectMs, () => void this.#run());
    }
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#context.inbox.closed()) {
      const batch = this.#nextBatch();
      const devices = batch.map(({ id, seen, metrics }) => ({ id, profile: seen.profile, metrics, firstSeenMs: seen.firstSeenMs }));
      const result = await this.#consensus.propose({ t: "register-devices", devices }, proposeTimeoutMs);
      if (!result.ok) {
        // An unknown outcome is simply tried again: registering twice is registering once. After a pause: a refusal comes at once.
        this.#context.diagnostics.debug("register-devices-later", { devices: batch.length, why: result.message });
        await pause(this.#context.clock, retryMs);
        continue;
      }
      // A metric that was seen meanwhile, or did not fit, keeps its device waiting for the next batch.
      for (const { id, seen, metrics } of batch) {
        for (const metric of metrics) seen.metrics.delete(metric);
        if (seen.metrics.size === 0) this.#waiting.delete(id);
      }
    }
    this.#running = false;
  }

  /** The next devices and metrics that fit into one log entry; a device with very many metrics is registered in parts. */
  #nextBatch(): { readonly id: DeviceId; readonly seen: SeenDevice; readonly metrics: readonly string[] }[] {
    const batch: { id: DeviceId; seen: SeenDevice; metrics: string[] }[] = [];
    let names = 0;
    for (const [id, seen] of this.#waiting) {
      const metrics: string[] = [];
      names += id.length + seen.profile.length;
      for (const metric of seen.metrics) {
        if (names > batchNamesMax && metrics.length > 0) break;
        metrics.push(metric);
        names += metric.length;
      }
      batch.push({ id, seen, metrics: metrics.sort() });
      if (batch.length >= batchMax || names > batchNamesMax) break;
    }
    return batch;
  }
}
