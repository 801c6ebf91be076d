/**
 * Fills this gateway where it became an owner without having the readings: fetches, batch of partitions by batch, all that the
 * whole owners of them hold, and then asks the site to count it as whole there. All of them where a copy was lost; a majority is
 * enough where none was (`fillSources`), so that one that is away holds up no move. Sealed chunks come as they are, from the first
 * of them (`repair/chunk-stream.ts`); what is missing then is found by digests and fetched as pages (`repair/repair.ts`). Where
 * not all gateways know that yet, all of it comes as pages. A batch that fails waits until the others have had their turn; one in which
 * readings are damaged is tried again in halves.
 *
 * Digests and pages are asked for under the current epoch, in which this gateway is an owner already, and an owner answers only under its
 * own. So whatever an owner has acknowledged under an earlier table is in what it answers, and whatever is written under a
 * later one counts this gateway among its owners (`core/replica/rules.ts`). That goes for each partition by itself: as long as its own
 * owners stay as they are, what was fetched under an epoch counts under the following ones too (`fill-progress.ts`). So the changes of
 * other partitions, of which there are many while several gateways fill, do not make it begin anew. Nothing is remembered between
 * starts: what is not counted as filled is fetched again, which stores nothing twice.
 */

import { type FillSources, fillSources, type RingState } from "../core/ring/owner-changes.ts";
import { type ErrorCode, type Failure, FailureError, failure, type Result, success } from "../lib/errors.ts";
import { type GatewayId, type Incarnation, type Partition, partition, partitionOf } from "../lib/ids.ts";
import type { GatewayContext } from "./context.ts";
import { FillProgress } from "./fill-progress.ts";
import { pause } from "./pause.ts";
import { comparePositions } from "./query/queries.ts";
import { type Page, type PagePosition, type PageRequest, unpackPage } from "./query/wire.ts";
import type { ReadingsKeeper } from "./repair/readings-keeper.ts";
import type { Requests } from "./requests.ts";
import { horizonRanges } from "./retention/horizons.ts";

/** Refused by the site when `epoch` is not that of its owner table any more, or `gateway` is not this data folder's. */
export interface OwnerFilled {
  readonly gateway: GatewayId;
  readonly incarnation: Incarnation;
  readonly epoch: number;
  /** Ascending. */
  readonly partitions: readonly number[];
}

/** Of an owner, under this epoch. */
export interface FillRequest {
  readonly epoch: number;
  readonly partitions: readonly Partition[];
}

export interface FillingOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call">;
  readonly keeper: Pick<ReadingsKeeper, "encode" | "keep">;
  readonly ring: () => RingState;
  /** Raw readings of the partition below this instant are given up: they are not fetched. */
  readonly rawHorizonUs: (partition: number) => number;
  /** Resolves when nothing is under way here that gives up readings of partitions that this gateway did not own before. */
  readonly prepared: () => Promise<void>;
  /** Puts the sealed chunks that an owner has and this gateway lacks into the store, as far as that goes. */
  readonly stream: (owner: GatewayId, asked: FillRequest) => Promise<Result<void>>;
  /** Gets all that an owner has and this gateway lacks. */
  readonly pull: (owner: GatewayId, asked: FillRequest) => Promise<Result<unknown>>;
  /** Whether all gateways of the site can answer the two. */
  readonly canPull: () => boolean;
  /** Gets what an owner has of readings that were given up, and may be repeated. */
  readonly fetchRolled: (owner: GatewayId, asked: FillRequest) => Promise<Result<void>>;
  /** Resolves when a crash would take back nothing of what these three have put into the store. */
  readonly counted: () => Promise<Result<void>>;
  /** Resolves once the owner has all that the site's stand-in kept for it, under this epoch (`hints/stand-in.ts`). */
  readonly drained?: (owner: GatewayId, epoch: number) => Promise<Result<void>>;
  /** Resolves once the command is applied here, so that `ring` tells of it, or with a failure. */
  readonly propose: (command: OwnerFilled) => Promise<Result<unknown>>;
  /** Where tests plant bugs. */
  readonly fillSources?: typeof fillSources;
  /** 4 MiB/s when absent: beside ingest on a small board. */
  readonly bytesPerSecond?: number;
}

/** Partitions of one batch: each batch is a command and an epoch, and is begun anew when the owners change meanwhile. */
export const fillBatchMax = 128;
const pageLimit = 20_000;
const pageTimeoutMs = 10_000;
const readingBytes = 21;
const retryMs = 500;
/** A gateway that is an epoch behind has the next one soon. */
const ringWaitMs = 100;
const bytesPerSecondDefault = 4 << 20;
const nameUnitsMax = 0xffff;
const everything = { metric: undefined, device: "*", labels: {} };

interface Batch extends FillRequest {
  readonly sources: FillSources;
}

/** What may be the matter of a single partition of a batch: the others are tried without it. */
const divisible: ReadonlySet<ErrorCode> = new Set(["data-damaged", "internal"]);

export class Filling {
  readonly #options: FillingOptions;
  readonly #context: GatewayContext;
  readonly #progress: FillProgress;
  #running = false;
  #stopped = false;
  /**
   * Where the next batch begins, and whom it does not ask, so that one that cannot be filled holds up no other: until all have had their
   * turn. And how many partitions it may have.
   */
  #from = 0;
  #failed: FillSources[] = [];
  #batchMax = fillBatchMax;
  /** Readings fetched since the start, repeated ones counted again. */
  fetched = 0;

  constructor(options: FillingOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#progress = new FillProgress(options.context.self);
  }

  /** Begins where there is something to fill and nothing is under way. After each change of the ring, and at the start. */
  look(): void {
    // Also while it is under way: no table may be missed.
    this.#ring();
    if (this.#running || this.#over() || this.#nextBatch() === undefined) return;
    this.#running = true;
    void this.#fillAll().finally(() => {
      this.#running = false;
      // The ring may have changed behind the last look.
      this.look();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Partitions that are left. */
  partitionsLeft(): number {
    let left = 0;
    for (const gateways of this.#options.ring().filling.values()) if (gateways.includes(this.#context.self)) left++;
    return left;
  }

  async #fillAll(): Promise<void> {
    for (let batch = this.#nextBatch(); batch !== undefined && !this.#over(); batch = this.#nextBatch()) {
      const filled = await this.#fill(batch).catch(storeFailure);
      if (filled.ok) {
        this.#batchMax = Math.min(fillBatchMax, this.#batchMax * 2);
        continue;
      }
      this.#passOver(batch, filled.code);
      this.#context.diagnostics.info("filling-waits", { partitions: batch.partitions.length, code: filled.code, why: filled.message });
      await this.#pause(filled.code === "ring-changed" ? ringWaitMs : retryMs);
    }
  }

  #ring(): RingState {
    const ring = this.#options.ring();
    this.#progress.follow(ring);
    return ring;
  }

  #over(): boolean {
    return this.#stopped || this.#context.inbox.closed();
  }

  /** The next partitions that are left and have the same sources. */
  #nextBatch(): Batch | undefined {
    const ring = this.#ring();
    const next = this.#batchFrom(ring);
    if (next !== undefined || (this.#from === 0 && this.#failed.length === 0)) return next;
    this.#from = 0;
    this.#failed = [];
    return this.#batchFrom(ring);
  }

  #passOver({ epoch, partitions, sources }: Batch, why: ErrorCode): void {
    if (divisible.has(why)) {
      this.#from = (partitions.at(-1) as Partition) + 1;
      this.#batchMax = Math.ceil(partitions.length / 2);
    } else if (why !== "ring-changed" || this.#ring().table.epoch === epoch) this.#failed.push(sources);
  }

  #batchFrom(ring: RingState): Batch | undefined {
    const { self } = this.#context;
    const partitions: Partition[] = [];
    let sources: FillSources | undefined;
    for (const [at, gateways] of ring.filling) {
      if (at < this.#from || !gateways.includes(self)) continue;
      const found = (this.#options.fillSources ?? fillSources)(ring, at);
      if (this.#failed.some((failed) => sameSources(failed, found))) continue;
      if (sources === undefined) sources = found;
      else if (!sameSources(sources, found)) continue;
      if (partitions.push(partition(at)) >= this.#batchMax) break;
    }
    return sources === undefined ? undefined : { epoch: ring.table.epoch, partitions, sources };
  }

  async #fill(batch: Batch): Promise<Result<unknown>> {
    const { owners, needed, always } = batch.sources;
    const begun = this.#progress.of(batch.partitions);
    await this.#options.prepared();
    let asked = 0;
    let refusal: Failure | undefined;
    // The one that is to go has its last chance here: without it there is no need to ask the others.
    for (const owner of owners.toSorted((a, b) => Number(b === always) - Number(a === always))) {
      const partitions = batch.partitions.filter((_, at) => begun[at]?.has(owner) !== true);
      const fetched =
        partitions.length === 0 ? success(undefined) : await this.#fetchFrom(owner, { ...batch, partitions }, { first: asked === 0 });
      if (fetched.ok) {
        asked++;
        for (const fetchedFrom of begun) fetchedFrom.add(owner);
      } else if (owner === always || fetched.code === "ring-changed") return fetched;
      else refusal ??= fetched;
    }
    if (refusal !== undefined && asked < needed) return refusal;
    const counted = await this.#options.counted();
    if (!counted.ok) return counted;
    const { epoch } = this.#ring().table;
    const now = this.#progress.of(batch.partitions);
    if (begun.some((fetchedFrom, at) => fetchedFrom !== now[at])) return failure("ring-changed", "the owners of what was fetched changed");
    return this.#options.propose({
      gateway: this.#context.self,
      incarnation: this.#context.incarnation,
      epoch,
      partitions: batch.partitions,
    });
  }

  async #fetchFrom(owner: GatewayId, batch: Batch, { first }: { readonly first: boolean }): Promise<Result<void>> {
    const { epoch, partitions } = batch;
    const asked: FillRequest = { epoch, partitions };
    const drained = (await this.#options.drained?.(owner, epoch)) ?? success(undefined);
    if (!drained.ok) return drained;
    const fetched = (await this.#pull(owner, asked, first)) ?? (await this.#fetchAll(owner, batch));
    return fetched.ok ? this.#options.fetchRolled(owner, asked) : fetched;
  }

  async #pull(owner: GatewayId, asked: FillRequest, first: boolean): Promise<Result<unknown> | undefined> {
    const { stream, pull, ring } = this.#options;
    if (this.#over()) return failure("not-ready", "this gateway stops");
    if (ring().table.epoch !== asked.epoch) return failure("ring-changed", `the owners are not those of epoch ${asked.epoch} any more`);
    if (!this.#options.canPull()) return undefined;
    const streamed = first ? await stream(owner, asked) : success(undefined);
    // What did not come that way comes the other way.
    if (!streamed.ok) this.#context.diagnostics.info("chunks-not-streamed", { owner, code: streamed.code, why: streamed.message });
    return streamed.ok || streamed.code !== "ring-changed" ? pull(owner, asked) : streamed;
  }

  async #fetchAll(owner: GatewayId, { epoch, partitions }: Batch): Promise<Result<void>> {
    let after: PagePosition | undefined;
    for (;;) {
      if (this.#over()) return failure("not-ready", "this gateway stops");
      if (this.#options.ring().table.epoch !== epoch) return failure("ring-changed", `the owners are not those of epoch ${epoch} any more`);
      const page = await this.#fetch(owner, {
        epoch,
        partitions,
        selector: everything,
        fromUs: Number.MIN_SAFE_INTEGER,
        toUs: Number.MAX_SAFE_INTEGER,
        after,
        limit: pageLimit,
        horizons: horizonRanges(partitions, this.#options.rawHorizonUs),
      });
      if (!page.ok) return page;
      const problem = this.#problemOf(page.value, partitions, after);
      if (problem !== undefined) return failure("internal", `a page of readings from ${owner} ${problem}`);
      const kept = await this.#keep(page.value, epoch);
      if (!kept.ok) return kept;
      await this.#pause((kept.value / (this.#options.bytesPerSecond ?? bytesPerSecondDefault)) * 1_000);
      const last = page.value.series.at(-1);
      if (page.value.end || last === undefined) return success(undefined);
      after = { device: last.device, metric: last.metric, us: last.run.times[last.run.count - 1] as number };
    }
  }

  async #fetch(owner: GatewayId, request: PageRequest): Promise<Result<Page>> {
    const reply = await this.#options.requests.call(owner, "page", request, { timeoutMs: pageTimeoutMs, channel: "bulk" });
    return reply.ok ? unpackPage(reply.value) : reply;
  }

  /** What a page cannot be. A lying or confused owner must not fill this disk with other things, nor keep this gateway busy for ever. */
  #problemOf(page: Page, partitions: readonly Partition[], after: PagePosition | undefined): string | undefined {
    const asked = new Set(partitions);
    const { hash64 } = this.#context.ports;
    let readings = 0;
    let before = after;
    for (const { device, metric, run } of page.series) {
      if (!asked.has(partitionOf(device, hash64))) return `has readings of ${device}, which were not asked for`;
      if (device.length > nameUnitsMax || metric.length > nameUnitsMax) return "has a name that no series has";
      if (run.count === 0) return "has a series without readings";
      const first = { device, metric, us: run.times[0] as number };
      if (before !== undefined && comparePositions(first, before) <= 0) return "goes back";
      before = { device, metric, us: run.times[run.count - 1] as number };
      readings += run.count;
    }
    if (readings > pageLimit) return `has ${readings} readings, where ${pageLimit} were asked for`;
    return readings === 0 && !page.end ? "has no readings and is not the last" : undefined;
  }

  /** On disk and in the heads when it resolves, with the bytes written. */
  async #keep(page: Page, epoch: number): Promise<Result<number>> {
    if (page.series.length === 0) return success(0);
    const { keeper } = this.#options;
    const round = keeper.encode(page.series, epoch);
    while (!this.#over()) {
      const kept = await keeper.keep(round);
      if (kept.ok) {
        this.fetched += kept.value.readings;
        return success(Math.max(kept.value.bytes, kept.value.readings * readingBytes));
      }
      if (kept.code !== "busy") return kept;
      await this.#pause(retryMs);
    }
    return failure("not-ready", "this gateway stops");
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#context.clock, Math.max(1, ms));
  }
}

/** A store that cannot be read, as when this gateway stops, is no bug: the batch is begun anew. */
function storeFailure(cause: unknown): Failure {
  if (cause instanceof FailureError) return cause.failure;
  throw cause;
}

function sameSources(a: FillSources, b: FillSources): boolean {
  return a.needed === b.needed && a.always === b.always && a.owners.toSorted().join(" ") === b.owners.toSorted().join(" ");
}
