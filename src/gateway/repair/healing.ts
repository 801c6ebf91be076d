/**
 * What gives this gateway the readings that it should have and has not: filling where it became an owner, repair where it was one all
 * along, and questions that find out; and what answers other gateways that do the same.
 */

import type { SiteSettings } from "../../config/settings.ts";
import { answeredLevel, levelThatMeetsWrites } from "../../config/survival.ts";
import type { RingState } from "../../core/ring/owner-changes.ts";
import { failure, type Result } from "../../lib/errors.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import { sameDigest } from "../../series/digest.ts";
import type { GatewayContext } from "../context.ts";
import { Filling, type OwnerFilled } from "../filling.ts";
import type { LocalReader } from "../query/local-reader.ts";
import type { Requests } from "../requests.ts";
import { RolledPages } from "../rolled-pages.ts";
import type { GatewayRules } from "../rules.ts";
import type { Rollups } from "../series/rollups.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import type { SeriesStore } from "../series/series-store.ts";
import { ChunkRestorer } from "./chunk-restorer.ts";
import { ChunkStream } from "./chunk-stream.ts";
import { Comparison } from "./comparison.ts";
import { DigestServer } from "./digest-wire.ts";
import { PageFetcher } from "./page-fetcher.ts";
import { PartitionDigests } from "./partition-digests.ts";
import { ReadRepair } from "./read-repair.ts";
import type { ReadingsKeeper } from "./readings-keeper.ts";
import { Repair } from "./repair.ts";
import { SiteRepair } from "./site-repair.ts";

export interface HealingOptions {
  readonly context: GatewayContext;
  readonly requests: Requests;
  readonly rules: GatewayRules;
  /** What this gateway acts under. */
  readonly ring: () => RingState;
  readonly featureLevel: () => number;
  readonly reachable: (peer: GatewayId) => boolean;
  readonly gateways: () => GatewayId[];
  readonly seriesStore: SeriesStore;
  readonly reader: SeriesReader;
  readonly rollups: Rollups;
  readonly localReader: Pick<LocalReader, "checked">;
  readonly keeper: ReadingsKeeper;
  readonly mayTake: () => boolean;
  readonly rawHorizonUs: (partition: number) => number;
  /** Readings of this gateway's clients that wait for their copies: repair lets them go first. */
  readonly pendingReadings: () => number;
  /** Resolves once the owner has all that the site's stand-in kept for it, under this epoch. */
  readonly drained: (owner: GatewayId, epoch: number) => Promise<Result<void>>;
  readonly propose: (filled: OwnerFilled) => Promise<Result<void>>;
}

/** From here on every gateway of the site answers what repair asks. */
const repairLevel = 4;

export class Healing {
  readonly filling: Filling;
  readonly digests: PartitionDigests;
  readonly repair: Repair;
  readonly siteRepair: SiteRepair;
  readonly readRepair: ReadRepair;
  readonly chunkStream: ChunkStream;
  readonly rolledPages: RolledPages;
  readonly #options: HealingOptions;

  constructor(options: HealingOptions) {
    this.#options = options;
    const { context, requests, rules, ring, reachable, seriesStore, reader, rollups, keeper, rawHorizonUs, drained } = options;
    const { index, quarantine } = seriesStore;
    const { hash64 } = context.ports;
    const isOn = () => options.featureLevel() >= repairLevel;
    const parts = { context, requests, ring, rawHorizonUs, reachable };
    this.rolledPages = new RolledPages({
      index,
      reader,
      blocks: rollups,
      requests,
      hash64,
      horizonUs: (series) => seriesStore.horizonOf(series),
      checked: (request) => options.localReader.checked(request),
      adopt: (series, blocks) => seriesStore.adoptBlocks(series, blocks),
    });
    this.chunkStream = new ChunkStream({
      context,
      requests,
      index,
      source: seriesStore.reading.source,
      pins: seriesStore.reading.pins,
      rawHorizonUs,
      checked: (request) => this.#wholeIn(request),
      mayTake: options.mayTake,
      adopt: (chunks) => seriesStore.adoptChunks(chunks),
    });
    this.digests = this.#answeredDigests();
    const fetcher = new PageFetcher({ ...parts, keeper, index, reader, pendingReadings: options.pendingReadings });
    this.repair = new Repair({
      ...parts,
      fetcher,
      isOn,
      comparison: new Comparison({ ...parts, digests: this.digests, fetcher, isSettled: rules.isSettled ?? sameDigest }),
      restorer: new ChunkRestorer({
        ...parts,
        quarantine,
        store: seriesStore,
        fetcher,
        drained,
        writeLevel: lowestLevel(context.settings),
      }),
    });
    this.siteRepair = new SiteRepair({ context, requests, repair: this.repair, gateways: options.gateways });
    this.readRepair = new ReadRepair({ self: context.self, hash64, keeper, ring, isOn });
    this.filling = new Filling({
      context,
      requests,
      keeper,
      ring,
      rawHorizonUs,
      stream: (owner, asked) => this.chunkStream.fetchAll(owner, asked),
      pull: (owner, asked) => this.repair.pull(owner, asked),
      prepared: () => seriesStore.idle(),
      canPull: isOn,
      fetchRolled: (owner, asked) => this.rolledPages.fetchAll(owner, asked),
      counted: () => seriesStore.counted(),
      drained,
      ...(rules.fillSources === undefined ? {} : { fillSources: rules.fillSources }),
      propose: options.propose,
    });
  }

  stop(): void {
    this.filling.stop();
    this.repair.stop();
  }

  /** Answers for this gateway as well. */
  #answeredDigests(): PartitionDigests {
    const { context, requests, rules, seriesStore, reader, rollups, rawHorizonUs } = this.#options;
    const { clock, tuning } = context;
    const digests = new PartitionDigests({
      index: seriesStore.index,
      quarantine: seriesStore.quarantine,
      reader,
      rollups: tuning.rollups ? rollups : undefined,
      clock,
      rawHorizonUs,
      ...(rules.comparableDigest === undefined ? {} : { comparable: rules.comparableDigest }),
    });
    seriesStore.watch((series, fromUs, toUs) => digests.changed(series, fromUs, toUs));
    new DigestServer({ digests, requests, clock, rawHorizonUs, checked: (request) => this.#wholeIn(request) }).serve();
    return digests;
  }

  /** Whether this gateway can say what all readings of these partitions are, under this epoch. */
  #wholeIn(request: { readonly epoch: number; readonly partitions: readonly number[] }): Result<ReadonlySet<Partition>> {
    const { localReader, context, ring } = this.#options;
    const checked = localReader.checked(request);
    if (!checked.ok) return checked;
    const { filling } = ring();
    const unfilled = request.partitions.find((at) => filling.get(at)?.includes(context.self) === true);
    return unfilled === undefined ? checked : failure("not-ready", `${context.self} has not all readings of partition ${unfilled} yet`);
  }
}

/** Of those that readings of the site are written at: profiles may write at less than the site. */
function lowestLevel(settings: SiteSettings): ReturnType<typeof answeredLevel> {
  return levelThatMeetsWrites(settings) === "all" ? "one" : answeredLevel(settings.replication.write);
}
