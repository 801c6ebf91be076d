/**
 * Retention at work. The Raft leader proposes horizons by age, every gateway those that free its own disk, and each gateway
 * drops what lies below the horizons that the site agreed on. Nobody proposes anything by a clock that a majority of the
 * gateways' clocks does not confirm: a wrong clock deletes nothing. What is dropped follows from the site's state, so that
 * a crash at any point costs nothing but time.
 */

import { freeBytesWanted } from "../../config/free-space.ts";
import type { RetentionAdvanceCommand, RetentionLevel } from "../../core/site/commands.ts";
import { partitionSet } from "../../core/site/retention.ts";
import type { SiteState } from "../../core/site/site-state.ts";
import { formatDuration } from "../../lib/duration.ts";
import { partitionCount } from "../../lib/ids.ts";
import { majorityOf } from "../../lib/voters.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { GatewayContext } from "../context.ts";
import { resumeFactor, type SpaceWatch } from "../disk-space.ts";
import { pause } from "../pause.ts";
import { ageHorizonUs, type DiskState, heldHorizon, type OpenWindow, SpacePressure, type Stock, spaceHorizonUs } from "./policy.ts";

/** The readings of this gateway, as far as dropping goes. */
export interface Droppable {
  /** Drops up to so many chunks below the horizons, to be rolled up not before they are `lagUs` behind; how many, `undefined` when it cannot be done now. Throws when the store fails. */
  dropBefore(chunksMax: number, lagUs: number): Promise<number | undefined>;
  /** Readings in memory that keep others from being dropped become chunks. False: there are none. */
  release(): Promise<boolean>;
  /** Lets the disk have the room of what was dropped, a piece at a time. True: there is more. */
  giveBack(): Promise<boolean>;
}

/** What jobs with sinks still need. */
export interface OpenWindows {
  /** The oldest window of each that is not committed. */
  oldest(nowMs: number): readonly OpenWindow[];
  /** How many that are not committed begin in this range. */
  count(range: { readonly fromUs: number; readonly toUs: number }): number;
}

export interface RetentionOptions {
  readonly context: GatewayContext;
  readonly consensus: Pick<Consensus, "propose" | "isLeader">;
  readonly state: SiteState;
  readonly store: Droppable;
  readonly stock: Readonly<Record<RetentionLevel, Stock>>;
  /** Bytes of the store on disk. */
  readonly storeBytes: () => number;
  readonly space: Pick<SpaceWatch, "space" | "mayTake" | "look">;
  readonly ownPartitions: () => Iterable<number>;
  readonly windows: OpenWindows;
  /** How many gateways' clocks, the own one included, are no further from it than that, and how many gateways there are. */
  readonly clocksWithin: (deviationMaxMs: number) => { readonly near: number; readonly gateways: number };
}

export interface HorizonView {
  /** What is before is given up in every partition. */
  readonly lowestMs: number;
  /** What is from here on is kept in every partition. */
  readonly highestMs: number;
}

export interface RetentionView {
  readonly raw: HorizonView;
  /** `undefined`: rollups go with the readings. */
  readonly rollup: HorizonView | undefined;
  readonly chunksDropped: number;
  readonly unprocessedWindows: number;
  readonly heldBackBy: string | undefined;
}

/** Since this level a site can give up readings. */
const featureLevel = 3;
const clockDeviationMaxMs = 30_000;
const chunksPerStep = 384;
const stepPauseMs = 100;
const proposeTimeoutMs = 10_000;
/** A closed window that is not committed after this share of the time that it may hold a horizon back is late. */
const lateShare = 1 / 4;
/** Readings become rollups so much behind their time at most, or so much of their retention: blocks are few then. */
const rollLagMaxMs = 86_400_000;
const rollLagShare = 1 / 4;
/** One step frees at least this share of the store: giving back little costs the disk as many writes as giving back more. */
const leastShareOfStore = 1 / 20;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #context: GatewayContext;
  readonly #pressure = new SpacePressure();
  readonly #everywhere = partitionSet(Array.from({ length: partitionCount }, (_, at) => at));
  #unprocessedBefore: number | undefined;
  #chunksDropped = 0;
  #heldBy: OpenWindow | undefined;
  #exhausted = false;
  #clockTrouble: string | undefined;
  #working = false;
  #stopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#context = options.context;
  }

  start(): void {
    this.#context.clock.schedule(this.#context.tuning.retentionEveryMs, () => {
      if (this.#stopped || this.#context.inbox.closed()) return;
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  diskState(): DiskState {
    if (!this.#options.space.mayTake()) return "disk-full";
    if (this.#options.space.space() === undefined) return "unknown";
    return this.#pressure.isLow() ? "low" : "ok";
  }

  /** What is to stay free on this disk; 0: nothing is dropped for it. */
  bytesKeptFree(): number {
    const space = this.#options.space.space();
    if (space === undefined) return 0;
    const wanted = freeBytesWanted(this.#context.settings.retention.minFreeDisk, space.totalBytes);
    // Where less is asked for than readings need to be taken, the oldest go before none are taken any more.
    return wanted === 0 ? 0 : Math.max(wanted, resumeFactor * this.#context.tuning.reserveBytes);
  }

  view(): RetentionView {
    return {
      raw: this.#viewOf("raw"),
      rollup: this.#context.settings.retention.rollupMs === undefined ? undefined : this.#viewOf("rollup"),
      chunksDropped: this.#chunksDropped,
      unprocessedWindows: this.#options.state.unprocessedWindows(),
      heldBackBy: this.#heldBy === undefined ? undefined : describe(this.#heldBy),
    };
  }

  /** Sentences for a person. */
  warnings(): string[] {
    const warnings: string[] = [];
    const { retention } = this.#context.settings;
    const late = this.#heldBy;
    if (late !== undefined && late.toMs + this.#context.tuning.retentionHoldMs * lateShare < this.#context.clock.wallMs())
      warnings.push(
        `retention is held back by ${describe(late)}, which is not committed; its readings go ${formatDuration(this.#holdMaxMs())} after their time`,
      );
    const unprocessed = this.#options.state.unprocessedWindows() - (this.#unprocessedBefore ?? 0);
    if (unprocessed > 0)
      warnings.push(`readings of ${unprocessed} windows of jobs with sinks were given up before the windows were committed`);
    if (this.#exhausted && this.#pressure.isLow())
      warnings.push(
        `less is free on the disk than retention.minFreeDisk asks for, and no readings older than ${formatDuration(this.#context.tuning.keepNewestMs)} are left to drop`,
      );
    const isAsked = retention.rawMs !== undefined || this.#pressure.isLow();
    if (isAsked && this.#clockTrouble !== undefined) warnings.push(`nothing is dropped: ${this.#clockTrouble}`);
    return warnings;
  }

  /** One thing at a time: what was proposed is dropped, and the room given back, before the next horizon is thought of. */
  #look(): void {
    // What was told before this start is no news.
    this.#unprocessedBefore ??= this.#options.state.unprocessedWindows();
    if (this.#working) return;
    this.#working = true;
    this.#work().then(
      () => {
        this.#working = false;
      },
      (cause: unknown) => {
        this.#working = false;
        this.#context.diagnostics.warn("retention-failed", {
          cause: cause instanceof Error ? cause.message : String(cause),
          next: `tried again in ${formatDuration(this.#context.tuning.retentionEveryMs)}`,
        });
      },
    );
  }

  async #work(): Promise<void> {
    if (!(await this.#drop())) return;
    // What was dropped a moment ago is not missing any more.
    await this.#options.space.look();
    // Judged and decided in one go, by one reading of the clock.
    const commands = this.#due();
    for (const command of commands) {
      const result = await this.#options.consensus.propose(command, proposeTimeoutMs);
      if (!result.ok) this.#context.diagnostics.info("horizon-not-moved", { level: command.level, why: result.message });
      else if (command.unprocessedWindows > 0)
        this.#context.diagnostics.error("unprocessed-windows-dropped", {
          windows: command.unprocessedWindows,
          horizon: new Date(command.horizonUs / 1_000).toISOString(),
        });
    }
    if (commands.length > 0) await this.#drop();
    if (!this.#pressure.isLow()) return;
    while (!this.#stopped && (await this.#options.store.giveBack())) await this.#pause();
  }

  /** True when nothing below the horizons is left. */
  async #drop(): Promise<boolean> {
    const before = this.#chunksDropped;
    for (;;) {
      if (this.#stopped || this.#context.inbox.closed()) return false;
      const dropped = await this.#options.store.dropBefore(chunksPerStep, this.#lagUs());
      // With an old reading in memory a series waits for the next checkpoint: too long where room is missing.
      if (dropped === 0 && this.#pressure.isLow() && (await this.#options.store.release())) continue;
      if (dropped === 0) {
        const chunks = this.#chunksDropped - before;
        if (chunks > 0)
          this.#context.diagnostics.info("readings-dropped", { chunks, keptFrom: new Date(this.view().raw.highestMs).toISOString() });
        return true;
      }
      this.#chunksDropped += dropped ?? 0;
      // Also while a checkpoint is under way.
      await this.#pause();
    }
  }

  /** A rollup by the hour of a day is one block, of an hour a row: but nobody who keeps readings for a day waits for another. */
  #lagUs(): number {
    const { rawMs } = this.#context.settings.retention;
    return this.#pressure.isLow() ? 0 : Math.min(rollLagMaxMs, (rawMs ?? 0) * rollLagShare) * 1_000;
  }

  #pause(): Promise<void> {
    return pause(this.#context.clock, stepPauseMs);
  }

  #due(): RetentionAdvanceCommand[] {
    const low = this.#pressure.look(this.#options.space.space(), this.bytesKeptFree());
    const { state, consensus } = this.#options;
    if (state.featureLevel() < featureLevel) return [];
    this.#clockTrouble = this.#troubleOfClock();
    if (this.#clockTrouble !== undefined) return [];
    const nowMs = this.#context.clock.wallMs();
    const windows = this.#options.windows.oldest(nowMs);
    const commands: RetentionAdvanceCommand[] = [];
    this.#heldBy = undefined;
    const { rawMs, rollupMs } = this.#context.settings.retention;
    if (consensus.isLeader() && rollupMs !== undefined)
      commands.push(...this.#advance("rollup", ageHorizonUs(nowMs, rollupMs), this.#everywhere));
    if (consensus.isLeader() && rawMs !== undefined) {
      const held = heldHorizon(ageHorizonUs(nowMs, rawMs), windows, this.#holdMaxMs());
      this.#heldBy = held.by;
      commands.push(...this.#giveUpRaw(held.horizonUs, this.#everywhere));
    }
    if (low.low) commands.push(...this.#relieve(nowMs, low.missingBytes, windows));
    return commands;
  }

  /** Rollups that are not kept for longer go first: nothing is made into what would be given up with the next command. */
  #giveUpRaw(horizonUs: number, partitions: Uint8Array): RetentionAdvanceCommand[] {
    const isKept = this.#context.settings.retention.rollupMs !== undefined;
    return [...(isKept ? [] : this.#advance("rollup", horizonUs, partitions)), ...this.#advance("raw", horizonUs, partitions)];
  }

  #holdMaxMs(): number {
    return Math.max(this.#context.settings.retention.rawMs ?? 0, this.#context.tuning.retentionHoldMs);
  }

  /** What makes this gateway's clock one that must not delete anything. */
  #troubleOfClock(): string | undefined {
    if (!this.#context.clock.synchronised()) return "the system clock is not synchronised";
    const { near, gateways } = this.#options.clocksWithin(clockDeviationMaxMs);
    // The middle of three clocks that all say something else is no better than any of them: more than half must agree.
    return near >= majorityOf(gateways)
      ? undefined
      : `of ${gateways} gateways only ${near} that ${near === 1 ? "is" : "are"} heard ${near === 1 ? "has" : "have"} the time of ${this.#context.self}, within ${formatDuration(clockDeviationMaxMs)}`;
  }

  /** The oldest readings go, here and at their other owners. Windows that jobs still need go last. */
  #relieve(nowMs: number, missingBytes: number, windows: readonly OpenWindow[]): RetentionAdvanceCommand[] {
    const { raw, rollup } = this.#options.stock;
    const limitUs = (nowMs - this.#context.tuning.keepNewestMs) * 1_000;
    const wanted = { missingBytes: Math.max(missingBytes, this.#options.storeBytes() * leastShareOfStore), limitUs };
    const own = partitionSet(this.#options.ownPartitions());
    const horizonUs = spaceHorizonUs(raw, wanted);
    // Readings first: what is left of those that are gone takes little.
    const blocksUs = horizonUs === undefined ? spaceHorizonUs(rollup, wanted) : undefined;
    this.#exhausted = horizonUs === undefined && blocksUs === undefined;
    if (blocksUs !== undefined) return this.#advance("rollup", blocksUs, own);
    if (horizonUs === undefined) return [];
    const spared = heldHorizon(horizonUs, windows, Number.POSITIVE_INFINITY);
    const chosenUs = spared.by === undefined || raw.bytesBefore(spared.horizonUs) <= 0 ? horizonUs : spared.horizonUs;
    return this.#giveUpRaw(chosenUs, own);
  }

  #advance(level: RetentionLevel, horizonUs: number, partitions: Uint8Array): RetentionAdvanceCommand[] {
    const horizons = this.#options.state.horizons(level);
    let lowestUs = Number.POSITIVE_INFINITY;
    let highestUs = 0;
    for (let at = 0; at < partitionCount; at++) {
      if (((partitions[at >> 3] as number) & (1 << (at & 7))) === 0) continue;
      lowestUs = Math.min(lowestUs, horizons[at] as number);
      highestUs = Math.max(highestUs, horizons[at] as number);
    }
    if (lowestUs >= horizonUs) return [];
    // Those below the highest were told when it passed them.
    const unprocessedWindows = level === "raw" ? this.#options.windows.count({ fromUs: highestUs, toUs: horizonUs }) : 0;
    return [{ t: "retention-advance", level, partitions, horizonUs, unprocessedWindows }];
  }

  #viewOf(level: RetentionLevel): HorizonView {
    const horizons = this.#options.state.horizons(level);
    let lowestUs = Number.POSITIVE_INFINITY;
    let highestUs = 0;
    for (let at = 0; at < partitionCount; at++) {
      lowestUs = Math.min(lowestUs, horizons[at] as number);
      highestUs = Math.max(highestUs, horizons[at] as number);
    }
    return { lowestMs: lowestUs / 1_000, highestMs: highestUs / 1_000 };
  }
}

function describe({ job, fromMs, toMs }: OpenWindow): string {
  return `the window of job "${job}" from ${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()}`;
}
