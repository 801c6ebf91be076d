/**
 * Gets back what chunks in quarantine held: the readings of their stretch of their series are fetched from other owners and kept,
 * then the chunk is let go of. Until it is, questions about the stretch are refused here, and its hours are in no digest. A crash at
 * any point leaves the chunk in quarantine, or its readings in the log: what is fetched again is stored once.
 *
 * What is guaranteed: a reading that was acknowledged at a write level of `quorum` or `all`, with n whole owners, is on ⌊n/2⌋ + 1 of them,
 * so on ⌊n/2⌋ others, and ⌈n/2⌉ of the n − 1 others always meet one that has it. So many must have answered for the whole stretch; of a
 * pair of owners that is the other one. Where writes need less, or a partition is short of whole owners, all other whole
 * owners must: what only this gateway had is then gone with the chunk. With fewer answers the chunk stays, and waits.
 */

import type { ConsistencyLevel } from "../../config/settings.ts";
import { ownerCounts, type RingState, wholeOwnersOf } from "../../core/ring/owner-changes.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import type { DamagedChunk, Quarantine } from "../series/quarantine.ts";
import type { SeriesStore } from "../series/series-store.ts";
import type { ChunkRef } from "../series/store-keys.ts";
import type { PageFetcher } from "./page-fetcher.ts";

export interface ChunkRestorerOptions {
  readonly context: GatewayContext;
  readonly quarantine: Pick<Quarantine, "entries">;
  readonly store: Pick<SeriesStore, "retireDamaged">;
  readonly fetcher: PageFetcher;
  readonly ring: () => RingState;
  readonly reachable: (peer: GatewayId) => boolean;
  readonly writeLevel: ConsistencyLevel;
  readonly rawHorizonUs: (partition: number) => number;
  /** Resolves once the owner has all that the site's stand-in kept for it, under this epoch (`hints/stand-in.ts`). */
  readonly drained: (owner: GatewayId, epoch: number) => Promise<Result<void>>;
}

/** Looked at in one go: the rest with the next pass. */
const chunksMax = 256;

export class ChunkRestorer {
  readonly #options: ChunkRestorerOptions;
  /** Since the start. */
  restored = 0;
  readings = 0;
  /** Those that wait let all others have their turn before they are tried again. */
  #tried = new WeakSet<ChunkRef>();

  constructor(options: ChunkRestorerOptions) {
    this.#options = options;
  }

  /** Tries what is in quarantine, once each. How many were restored. */
  async run(): Promise<number> {
    const before = this.restored;
    for (const damaged of this.#next()) {
      if (this.#options.context.inbox.closed()) break;
      this.#tried.add(damaged.ref);
      const restored = await this.#restore(damaged);
      if (!restored.ok)
        this.#options.context.diagnostics.info("chunk-waits", {
          device: damaged.series.device,
          metric: damaged.series.metric,
          code: restored.code,
          why: restored.message,
        });
    }
    return this.restored - before;
  }

  #next(): readonly DamagedChunk[] {
    const all = [...this.#options.quarantine.entries()];
    const untried = all.filter(({ ref }) => !this.#tried.has(ref));
    if (untried.length === 0) this.#tried = new WeakSet();
    return (untried.length === 0 ? all : untried).slice(0, chunksMax);
  }

  async #restore({ series, ref }: DamagedChunk): Promise<Result<void>> {
    const { ring, rawHorizonUs, store, fetcher, context } = this.#options;
    const { partition } = series;
    const fromUs = Math.max(ref.minUs, rawHorizonUs(partition));
    // What is below the horizon as a whole is dropped anyway.
    if (fromUs > ref.maxUs || ref.state !== "damaged") return success(undefined);
    const { table } = ring();
    const needed = this.#needed(partition);
    const names = { device: series.device, metric: series.metric };
    const failures: string[] = [];
    let answered = 0;
    for (const owner of needed.owners) {
      if (!this.#options.reachable(owner)) {
        failures.push(`${owner} is not connected`);
        continue;
      }
      const drained = await this.#options.drained(owner, table.epoch);
      const wanted = { partitions: [partition], names, fromUs, toUs: ref.maxUs + 1 };
      const fetched = drained.ok ? await fetcher.fetch(owner, table.epoch, wanted) : drained;
      if (fetched.ok) {
        answered++;
        this.readings += fetched.value.readings;
      } else {
        failures.push(`${owner}: ${fetched.message}`);
      }
    }
    if (answered < needed.answers || needed.answers === 0)
      return failure("quorum-unavailable", `${answered} of ${needed.answers} other owners have answered for it: ${failures.join("; ")}`);
    // What an owner acknowledged under an earlier table was in its answer; a later one may have taken it away from here.
    if (ring().table.epoch !== table.epoch) return failure("ring-changed", "the owners changed meanwhile");
    const retired = await store.retireDamaged(series, [ref]);
    if (!retired.ok) return retired;
    this.restored++;
    context.diagnostics.info("chunk-restored", { ...names, readings: ref.count, fromMs: fromUs / 1_000, owners: answered });
    return success(undefined);
  }

  /** All other whole owners are asked; so many must answer, 0: there is nobody to answer. */
  #needed(partition: Partition): { readonly owners: readonly GatewayId[]; readonly answers: number } {
    const { ring, context, writeLevel } = this.#options;
    const owners = wholeOwnersOf(ring(), partition).filter((owner) => owner !== context.self);
    const { whole, planned } = ownerCounts(ring(), partition);
    const meetsWrites = writeLevel === "quorum" || writeLevel === "all";
    return { owners, answers: whole >= planned && meetsWrites ? Math.min(owners.length, whole - Math.floor(whole / 2)) : owners.length };
  }
}
