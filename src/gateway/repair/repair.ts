/**
 * Anti-entropy: this gateway compares what it holds with each of its co-owners, again and again, and fetches what it lacks; all
 * of them do, so what one has all come to have. Damaged chunks are restored first. A pass is followed by a pause of ten times as
 * long as it took, but for a moment at least and ten minutes at most: repair takes a tenth of a gateway's time.
 *
 * `pull` is the same for whoever has to have all that one owner has, also where this gateway holds nothing yet.
 */

import { type RingState, wholeOwnersOf } from "../../core/ring/owner-changes.ts";
import { partitionsOf } from "../../core/ring/owner-table.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { ChunkRestorer } from "./chunk-restorer.ts";
import type { Compared, CompareRequest, Comparison } from "./comparison.ts";
import type { PageFetcher } from "./page-fetcher.ts";

export interface RepairOptions {
  readonly context: GatewayContext;
  readonly comparison: Pick<Comparison, "compare" | "waitedMs">;
  readonly fetcher: Pick<PageFetcher, "waitedMs">;
  readonly restorer: Pick<ChunkRestorer, "run" | "restored" | "readings">;
  readonly ring: () => RingState;
  readonly reachable: (peer: GatewayId) => boolean;
  /** False below the feature level at which every gateway answers. */
  readonly isOn: () => boolean;
}

/** What one pass has come to. */
export interface RepairReport {
  /** Partitions that this gateway has all readings of, as compared with all of their other whole owners. */
  readonly partitionsCompared: number;
  /** Of these, those in which all of them hold the same. */
  readonly partitionsEqual: number;
  readonly hoursDiffering: number;
  readonly readingsFetched: number;
  readonly chunksRestored: number;
  /** Every partition was compared with every other owner, and was equal. */
  readonly equal: boolean;
  /** Why something could not be compared. */
  readonly problems: readonly string[];
}

export interface RepairView extends RepairReport {
  /** How long ago the last pass ended; `undefined` before the first. */
  readonly lastPassMs: number | undefined;
  readonly passes: number;
}

const pauseFactor = 10;
const problemsMax = 10;
const nothingYet: RepairReport = {
  partitionsCompared: 0,
  partitionsEqual: 0,
  hoursDiffering: 0,
  readingsFetched: 0,
  chunksRestored: 0,
  equal: false,
  problems: [],
};

export class Repair {
  readonly #options: RepairOptions;
  readonly #context: GatewayContext;
  #stopped = false;
  #last: RepairReport = nothingYet;
  #lastEndMs: number | undefined;
  #passes = 0;
  #fetched = 0;
  #underWay: Promise<RepairReport> | undefined;
  /** When the next pass begins, on the monotonic clock. */
  #dueMs = 0;
  /** With whom it begins. */
  #turn = 0;
  /** Passes in a row that found a difference and could do nothing about it. */
  #inVain = 0;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#context = options.context;
  }

  start(): void {
    void this.#goOn();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Of the last pass; what was fetched and restored counts since the start. */
  view(): RepairView {
    const { restorer } = this.#options;
    return {
      ...this.#last,
      lastPassMs: this.#lastEndMs === undefined ? undefined : Math.round(this.#context.clock.monotonicMs() - this.#lastEndMs),
      passes: this.#passes,
      readingsFetched: this.#fetched + restorer.readings,
      chunksRestored: restorer.restored,
    };
  }

  /** A pass now, behind the one that is under way. Unless it is *settled*, what is on its way counts as well. */
  async run(how: { readonly settled: boolean }): Promise<Result<RepairReport>> {
    if (!this.#options.isOn()) return failure("not-ready", "not all gateways of the site have the version that repairs");
    while (this.#underWay !== undefined) await this.#underWay;
    return success((await this.#pass(how)).report);
  }

  /**
   * Makes this gateway have all that the owner has of these partitions, at the latest when it resolves: on disk. The owner must be whole
   * in them, under this epoch. Fails as the owner does; with `ring-changed` when the owners change meanwhile; with
   * `data-damaged` where the owner itself waits for readings to be restored.
   */
  async pull(owner: GatewayId, asked: CompareRequest): Promise<Result<{ readonly readings: number }>> {
    const compared = await this.#options.comparison.compare(owner, asked, { settled: false });
    if (!compared.ok) return compared;
    const { unknown, readings } = compared.value;
    this.#fetched += readings;
    if (unknown) return failure("data-damaged", `${owner} or this gateway has a damaged chunk among the readings wanted`);
    if (this.#options.ring().table.epoch !== asked.epoch)
      return failure("ring-changed", `the owners are not those of epoch ${asked.epoch} any more`);
    return success({ readings });
  }

  /** A co-owner is there again: it may have what is missing here, and the other way round. */
  peerAdmitted(): void {
    this.#dueMs = Math.min(this.#dueMs, this.#context.clock.monotonicMs() + this.#context.tuning.repairPauseMinMs);
  }

  async #goOn(): Promise<void> {
    const { clock, tuning, random } = this.#context;
    const { repairPauseMinMs, repairPauseMaxMs } = tuning;
    // Gateways that start together do not go round together.
    this.#dueMs = clock.monotonicMs() + repairPauseMinMs * (0.5 + random.real() / 2);
    while (!this.#over()) {
      const leftMs = this.#dueMs - clock.monotonicMs();
      // The end of the pause may be moved forward.
      if (leftMs > 0) await this.#pause(Math.min(leftMs, repairPauseMinMs));
      else if (!this.#options.isOn() || this.#underWay !== undefined) await this.#pause(repairPauseMinMs);
      else {
        const { report, workedMs } = await this.#pass({ settled: true });
        const pauseMs = workedMs * this.#pauseFactorAfter(report);
        this.#dueMs = clock.monotonicMs() + Math.max(repairPauseMinMs, Math.min(repairPauseMaxMs, pauseMs));
      }
    }
  }

  #pauseFactorAfter({ equal, readingsFetched }: RepairReport): number {
    if (equal || readingsFetched > 0) this.#inVain = 0;
    else this.#inVain++;
    if (equal) return pauseFactor;
    return Math.min(pauseFactor, 2 ** Math.max(0, this.#inVain - 1));
  }

  #over(): boolean {
    return this.#stopped || this.#context.inbox.closed();
  }

  async #pass(how: { readonly settled: boolean }): Promise<{ readonly report: RepairReport; readonly workedMs: number }> {
    const { clock } = this.#context;
    const beganMs = clock.monotonicMs();
    const waitedMs = this.#waitedMs();
    const pass = this.#compareAll(how)
      .catch((cause: unknown): RepairReport => {
        // The store fails, as it does when this gateway stops: the next pass will show.
        const why = cause instanceof Error ? cause.message : String(cause);
        if (!this.#over()) this.#context.diagnostics.error("repair-failed", { cause: why });
        return { ...nothingYet, problems: [why] };
      })
      .finally(() => {
        this.#underWay = undefined;
      });
    this.#underWay = pass;
    const report = await pass;
    this.#last = report;
    this.#lastEndMs = clock.monotonicMs();
    this.#passes++;
    return { report, workedMs: this.#lastEndMs - beganMs - (this.#waitedMs() - waitedMs) };
  }

  /** What waiting for others takes is nobody's work, and no reason to come back later. */
  #waitedMs(): number {
    return this.#options.comparison.waitedMs + this.#options.fetcher.waitedMs;
  }

  async #compareAll(how: { readonly settled: boolean }): Promise<RepairReport> {
    const { ring, comparison, restorer, reachable } = this.#options;
    const chunksRestored = await restorer.run();
    const now = ring();
    const { epoch } = now.table;
    const own = this.#wholeHere(now);
    const unequal = new Set<Partition>();
    const uncompared = new Set<Partition>();
    const problems: string[] = [];
    let hoursDiffering = 0;
    let readingsFetched = 0;
    const take = (partitions: readonly Partition[], compared: Compared): void => {
      for (const at of partitions) if (!compared.equal.has(at)) unequal.add(at);
      hoursDiffering += compared.hours;
      readingsFetched += compared.readings;
    };
    for (const [owner, partitions] of this.#inTurn(now, own)) {
      const compared = this.#over()
        ? failure("not-ready", "this gateway stops")
        : reachable(owner)
          ? await comparison.compare(owner, { epoch, partitions }, how)
          : failure("unreachable", `${owner} is not connected`);
      if (compared.ok) {
        take(partitions, compared.value);
        continue;
      }
      for (const at of partitions) uncompared.add(at);
      if (problems.length < problemsMax) problems.push(compared.message);
    }
    this.#fetched += readingsFetched;
    const compared = own.filter((at) => !uncompared.has(at));
    const partitionsEqual = compared.filter((at) => !unequal.has(at)).length;
    const equal = uncompared.size === 0 && unequal.size === 0;
    return { partitionsCompared: compared.length, partitionsEqual, hoursDiffering, readingsFetched, chunksRestored, equal, problems };
  }

  /** Partitions of which this gateway has all readings: of the others it gets them in another way (`filling.ts`). */
  #wholeHere(ring: RingState): Partition[] {
    const { self } = this.#context;
    return partitionsOf(ring.table, self).filter((at) => ring.filling.get(at)?.includes(self) !== true);
  }

  /** The other whole owners of these partitions, another one first each time. */
  #inTurn(ring: RingState, own: readonly Partition[]): [GatewayId, Partition[]][] {
    const shared = new Map<GatewayId, Partition[]>();
    for (const at of own)
      for (const owner of wholeOwnersOf(ring, at)) {
        if (owner === this.#context.self) continue;
        const known = shared.get(owner);
        if (known === undefined) shared.set(owner, [at]);
        else known.push(at);
      }
    const owners = [...shared].sort(([a], [b]) => (a < b ? -1 : 1));
    const first = owners.length === 0 ? 0 : this.#turn++ % owners.length;
    return [...owners.slice(first), ...owners.slice(0, first)];
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#context.clock, Math.max(1, ms));
  }
}
