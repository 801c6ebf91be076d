/**
 * Read repair: what an answer contains, and an owner that answered did not have, is written to that owner before the answer is given.
 * So what a quorum read has shown, every later quorum read shows: it stands on every owner of the quorum that was asked. It is
 * written under the epoch of the question; where that fails the answer says that it is not complete. Where the owners changed
 * meanwhile the question is put again.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import type { GatewayId, Hash64, Partition } from "../../lib/ids.ts";
import { partitionOf } from "../../lib/ids.ts";
import type { SeriesRun } from "../../series/run.ts";
import type { Page, PageSeries } from "../query/wire.ts";
import { lackingOf } from "./lacking.ts";
import type { ReadingsKeeper } from "./readings-keeper.ts";

export interface ReadRepairOptions {
  readonly self: GatewayId;
  readonly hash64: Hash64;
  readonly keeper: Pick<ReadingsKeeper, "encode" | "keep" | "offer">;
  readonly ring: () => RingState;
  /** False below the feature level at which every gateway takes what it is offered. */
  readonly isOn: () => boolean;
}

/** The page of one owner, and the partitions for which it has all readings. */
export interface OwnersPage {
  readonly gateway: GatewayId;
  readonly partitions: ReadonlySet<Partition>;
  readonly reply: Page;
}

/** Whether each of the owners that answered has all of the answer by now, on its disk; if not, whether that is because the owners changed. */
export type ReadRepairOutcome = "written" | "ring-changed" | "failed";

/** Kept in one go; at most as many as a page has. */
const lotReadingsMax = 20_000;
/** An offer may be lost on its way, there or back, and may be made again. */
const triesMax = 3;

export class ReadRepair {
  readonly #options: ReadRepairOptions;
  /** Readings written to owners that lacked them, this gateway included, and lots that could not be written; since the start. */
  readings = 0;
  failed = 0;

  constructor(options: ReadRepairOptions) {
    this.#options = options;
  }

  /** `merged`: the union of the pages, up to where it counts. */
  async repair(pages: readonly OwnersPage[], merged: readonly PageSeries[], epoch: number): Promise<ReadRepairOutcome> {
    if (pages.length < 2 || !this.#options.isOn()) return "written";
    const outcomes = await Promise.all(pages.map((page) => this.#repairOwner(page, merged, epoch)));
    if (outcomes.includes("ring-changed")) return "ring-changed";
    return outcomes.includes("failed") ? "failed" : "written";
  }

  async #repairOwner({ gateway, partitions, reply }: OwnersPage, merged: readonly PageSeries[], epoch: number): Promise<ReadRepairOutcome> {
    const lacking = this.#lacking(partitions, reply, merged);
    for (const lot of lotsOf(lacking)) {
      const outcome = await this.#write(gateway, lot, epoch);
      if (outcome !== "written") {
        this.failed++;
        return outcome;
      }
      this.readings += lot.reduce((sum, { run }) => sum + run.count, 0);
    }
    return "written";
  }

  #lacking(partitions: ReadonlySet<Partition>, { series }: Page, merged: readonly PageSeries[]): PageSeries[] {
    const own = new Map<string, SeriesRun[]>();
    for (const { device, metric, run } of series) {
      const name = `${device}\u0000${metric}`;
      const known = own.get(name);
      if (known === undefined) own.set(name, [run]);
      else known.push(run);
    }
    const lacking: PageSeries[] = [];
    for (const { device, metric, run } of merged) {
      const runs = own.get(`${device}\u0000${metric}`) ?? [];
      // The only owner that has it, and all of it, as it is nearly always: nothing was merged.
      if ((runs.length === 1 && runs[0] === run) || !partitions.has(partitionOf(device, this.#options.hash64))) continue;
      for (const rows of lackingOf(runs, run)) lacking.push({ device, metric, run: rows });
    }
    return lacking;
  }

  async #write(gateway: GatewayId, lot: readonly PageSeries[], epoch: number): Promise<ReadRepairOutcome> {
    const { keeper, self, ring } = this.#options;
    const round = keeper.encode(lot, epoch);
    if (gateway === self) {
      if (ring().table.epoch !== epoch) return "ring-changed";
      const kept = await keeper.keep(round);
      if (!kept.ok) return "failed";
      return ring().table.epoch === epoch ? "written" : "ring-changed";
    }
    for (let left = triesMax; left > 0; left--) {
      const offered = await keeper.offer(gateway, { epoch, round });
      if (offered.ok) return "written";
      if (offered.code === "ring-changed") return "ring-changed";
      if (offered.code !== "outcome-unknown") return "failed";
    }
    return "failed";
  }
}

function lotsOf(series: readonly PageSeries[]): PageSeries[][] {
  const lots: PageSeries[][] = [];
  let readings = lotReadingsMax;
  for (const each of series) {
    // A run is part of one page.
    if (readings >= lotReadingsMax) {
      lots.push([]);
      readings = 0;
    }
    (lots.at(-1) as PageSeries[]).push(each);
    readings += each.run.count;
  }
  return lots;
}
