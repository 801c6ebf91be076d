/**
 * Compares what this gateway holds of partitions with what another owner holds, as a tree of digests (Merkle 1987; Dynamo, section
 * 4.7): partitions, spans of hours, hours, series. What differs at the leaves is fetched as pages and kept: here only, nothing is
 * written to the other owner, which does the same the other way round. Merging is set union with the greater value, so both
 * come to have the same. Below the horizon of either of the two nothing counts.
 *
 * *Settled* comparisons leave alone what is on its way anyway: the leaves that differ are compared once more after a moment, and a
 * leaf counts when it lacks the same readings as before, whatever else has come meanwhile (digests are additive). So a hole is found
 * also in an hour that grows evenly, and live traffic is not fetched twice.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { type Failure, failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, Hash64, Partition } from "../../lib/ids.ts";
import { type Digest, sameDigest, subtractDigests } from "../../series/digest.ts";
import type { GatewayContext } from "../context.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import { withRanges } from "../retention/horizons.ts";
import {
  type DigestsReply,
  type DigestsWanted,
  hoursMax,
  readDigests,
  readSeriesDigests,
  requestOf,
  type SeriesPlace,
} from "./digest-wire.ts";
import { hourUs } from "./hour-digests.ts";
import type { PageFetcher, Wanted } from "./page-fetcher.ts";
import { type DigestNode, type NodeLevel, type PartitionDigests, rangesOf, type SeriesNode, spanHours } from "./partition-digests.ts";

export interface ComparisonOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call">;
  readonly digests: PartitionDigests;
  readonly fetcher: PageFetcher;
  readonly ring: () => RingState;
  readonly rawHorizonUs: (partition: number) => number;
  /** Whether a leaf that lacked `before` and now lacks `after` lacks readings that are not on their way. */
  readonly isSettled: (before: Digest, after: Digest) => boolean;
}

export interface CompareRequest {
  readonly epoch: number;
  readonly partitions: readonly Partition[];
}

export interface Compared {
  /** Partitions of which both held the same, at the first or at the second look. */
  readonly equal: ReadonlySet<Partition>;
  /** Hours that differed, also where the other one is who lacks something. */
  readonly hours: number;
  readonly readings: number;
  /** Something could not be compared, because a chunk is damaged there or here. */
  readonly unknown: boolean;
}

/** Partitions compared with one request. */
const rootsMax = 256;
/** A mesh loses frames: digests are asked for again, and what took its time the first time is there the next time. */
const timeoutsMs = [2_500, 5_000, 10_000, 10_000] as const;
/** Spans whose hours are asked for at once. */
const spansAtOnce = 16;
/** Leaves that wait for a second look. */
const suspectsMax = 20_000;
/** From so many series of an hour on, and half of those that the owner has, whole hours are fetched. */
const wholeHourMin = 8;
/** So many hours of which an owner says that it has more, one after the other, and then has nothing: it is not believed any longer. */
const emptyHoursMax = 4_096;

interface Suspect {
  readonly partition: Partition;
  readonly device: string;
  readonly metric: string;
  readonly hour: number;
  /** What the other one has more than this gateway. */
  readonly lacks: Digest;
}

interface Tally {
  readonly equal: Set<Partition>;
  /** Hours that differed and were not looked at again yet. */
  readonly unequalHours: Map<Partition, Set<number>>;
  /** Partitions of which some hour differed at the second look too. */
  readonly unequal: Set<Partition>;
  suspects: Suspect[];
  hours: number;
  readings: number;
  unknown: boolean;
  /** Hours that were fetched since the last one that brought a reading. */
  emptyHours: number;
}

export class Comparison {
  readonly #options: ComparisonOptions;
  readonly #context: GatewayContext;
  readonly #hash64: Hash64;
  /** Time spent waiting for a second look, and for answers that did not come: no work. */
  waitedMs = 0;

  constructor(options: ComparisonOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#hash64 = options.context.ports.hash64;
  }

  /** Compares with an owner that is whole in these partitions, and keeps what it has and this gateway has not. */
  async compare(
    owner: GatewayId,
    { epoch, partitions }: CompareRequest,
    { settled }: { readonly settled: boolean },
  ): Promise<Result<Compared>> {
    const tally: Tally = {
      equal: new Set(),
      unequalHours: new Map(),
      unequal: new Set(),
      suspects: [],
      hours: 0,
      readings: 0,
      unknown: false,
      emptyHours: 0,
    };
    for (let from = 0; from < partitions.length; ) {
      const batch = partitions.slice(from, from + rootsMax);
      const compared = await this.#roots(owner, { epoch, partitions: batch }, tally, settled);
      if (!compared.ok) return compared;
      from += compared.value;
    }
    const looked = settled ? await this.#lookAgain(owner, epoch, tally) : success(undefined);
    if (!looked.ok) return looked;
    if (settled) for (const at of tally.unequalHours.keys()) if (!tally.unequal.has(at)) tally.equal.add(at);
    const { equal, hours, readings, unknown } = tally;
    return success({ equal, hours, readings, unknown });
  }

  /** How many of the partitions were compared, from the first on. */
  async #roots(owner: GatewayId, { epoch, partitions }: CompareRequest, tally: Tally, settled: boolean): Promise<Result<number>> {
    const reply = await this.#ask(owner, epoch, { of: "partition", partitions });
    if (!reply.ok) return reply;
    const horizonUs = withRanges(this.#options.rawHorizonUs, reply.value.horizons);
    const missing: Partition[] = [];
    const differing: Partition[] = [];
    const { nodes, end } = reply.value;
    const last = nodes.at(-1);
    const covered = end || last === undefined ? partitions.length : partitions.indexOf(last.at as Partition) + 1;
    const roots = new Map(nodes.map(({ at, digest }) => [at, digest]));
    for (const at of partitions.slice(0, covered)) {
      const theirs = roots.has(at) ? roots.get(at) : nothing;
      const own = await this.#options.digests.root(at, horizonUs(at));
      if (!own.ok) return own;
      const ours = own.value.digest;
      if (ours !== undefined && theirs !== undefined && sameDigest(ours, theirs)) tally.equal.add(at);
      // Where there is nothing yet, the way down the tree is the longer one.
      else if (!settled && ours?.count === 0 && theirs !== undefined) missing.push(at);
      else differing.push(at);
    }
    if (missing.length > 0) {
      const fetched = await this.#fetch(owner, epoch, { partitions: missing, names: undefined, ...wholeTime }, tally);
      if (!fetched.ok) return fetched;
      // All that there is by now differed.
      for (const at of missing) {
        const hours = await this.#options.digests.nodes(at, "hour", wholeRange, horizonUs(at));
        if (!hours.ok) return hours;
        tally.hours += hours.value.length;
      }
    }
    for (const at of differing) {
      const compared = await this.#partition(owner, epoch, at, tally, settled);
      if (!compared.ok) return compared;
    }
    return success(covered);
  }

  async #partition(owner: GatewayId, epoch: number, at: Partition, tally: Tally, settled: boolean): Promise<Result<void>> {
    tally.unequalHours.set(at, new Set());
    const spans = await this.#differing(owner, epoch, at, { of: "span", ...allSpans }, tally);
    if (!spans.ok) return spans;
    for (const range of rangesOf(spans.value)) {
      for (let from = range.from; from < range.to; from += spansAtOnce) {
        const asked = { of: "hour" as const, from: from * spanHours, to: Math.min(from + spansAtOnce, range.to) * spanHours };
        const hours = await this.#differing(owner, epoch, at, asked, tally);
        if (!hours.ok) return hours;
        for (let first = 0; first < hours.value.length; first += hoursMax) {
          const compared = await this.#hours(owner, epoch, at, hours.value.slice(first, first + hoursMax), tally, settled);
          if (!compared.ok) return compared;
        }
      }
    }
    return success(undefined);
  }

  /** Numbers of the nodes that are not equal, ascending. */
  async #differing(
    owner: GatewayId,
    epoch: number,
    at: Partition,
    asked: { readonly of: NodeLevel; readonly from: number; readonly to: number },
    tally: Tally,
  ): Promise<Result<number[]>> {
    const { of, to } = asked;
    const differing: number[] = [];
    for (let from = asked.from; from < to; ) {
      const reply = await this.#ask(owner, epoch, { of, partition: at, range: { from, to } });
      if (!reply.ok) return reply;
      const { nodes, end, horizons } = reply.value;
      const covered = end ? to : (nodes.at(-1) as DigestNode).at + 1;
      const horizonUs = withRanges(this.#options.rawHorizonUs, horizons);
      const own = await this.#options.digests.nodes(at, of, { from, to: covered }, horizonUs(at));
      if (!own.ok) return own;
      for (const [number, pair] of pairsOf(own.value, nodes, (node) => node.at)) {
        if (isEqual(pair)) continue;
        if (isUnknown(pair)) tally.unknown = true;
        if (of === "hour") {
          tally.hours++;
          tally.unequalHours.get(at)?.add(number);
        }
        differing.push(number);
      }
      from = covered;
    }
    return success(differing.sort((a, b) => a - b));
  }

  /** Compares some hours series by series. */
  async #hours(
    owner: GatewayId,
    epoch: number,
    at: Partition,
    hours: readonly number[],
    tally: Tally,
    settled: boolean,
  ): Promise<Result<void>> {
    const lacking = await this.#lackingSeries(owner, epoch, at, hours, tally);
    if (!lacking.ok) return lacking;
    const { suspects, present } = lacking.value;
    if (!settled) return this.#fetchSuspects(owner, epoch, suspects, present, tally);
    tally.suspects.push(...suspects);
    if (tally.suspects.length < suspectsMax) {
      // Nothing is lacking here: what differs is the other one's matter, or on its way.
      return success(undefined);
    }
    return this.#lookAgain(owner, epoch, tally);
  }

  /** Series of these hours of which the owner may have what is not here; and in how many series of each hour it has anything. */
  async #lackingSeries(
    owner: GatewayId,
    epoch: number,
    at: Partition,
    hours: readonly number[],
    tally: Tally,
  ): Promise<Result<{ readonly suspects: Suspect[]; readonly present: ReadonlyMap<number, number> }>> {
    const suspects: Suspect[] = [];
    const present = new Map<number, number>();
    let after: SeriesPlace | undefined;
    for (;;) {
      const reply = await this.#askSeries(owner, epoch, { of: "series", partition: at, hours, after });
      if (!reply.ok) return reply;
      const { nodes, end, horizons } = reply.value;
      const horizonUs = withRanges(this.#options.rawHorizonUs, horizons)(at);
      const last = end ? undefined : placeOf(nodes.at(-1) as SeriesNode);
      const own = await this.#options.digests.bySeries(at, hours, { horizonUs, after, last, max: Number.POSITIVE_INFINITY });
      if (!own.ok) return own;
      for (const [, pair] of pairsOf(own.value.nodes, nodes, (node) => `${node.device}\u0000${node.metric}\u0000${node.at}`)) {
        const { theirs, ours } = pair;
        if (theirs === undefined) continue;
        present.set(theirs.at, (present.get(theirs.at) ?? 0) + 1);
        if (isEqual(pair)) continue;
        if (theirs.digest === undefined) tally.unknown = true;
        // A chunk that is damaged here is fetched as a whole, from more than one owner (`chunk-restorer.ts`).
        else if (ours !== undefined && ours.digest === undefined) tally.unknown = true;
        else {
          const { device, metric, at: hour, digest } = theirs;
          suspects.push({ partition: at, device, metric, hour, lacks: subtractDigests(digest, ours?.digest ?? nothing) });
        }
      }
      if (last === undefined) return success({ suspects, present });
      after = last;
    }
  }

  /** Fetches those of the suspects that still lack what they lacked. */
  async #lookAgain(owner: GatewayId, epoch: number, tally: Tally): Promise<Result<void>> {
    const before = tally.suspects;
    tally.suspects = [];
    if (tally.unequalHours.size === 0) return success(undefined);
    const waitMs = this.#context.tuning.repairSettleMs;
    if ([...tally.unequalHours.values()].some((hours) => hours.size > 0)) {
      this.waitedMs += waitMs;
      await this.#pause(waitMs);
    }
    const byPartition = new Map<Partition, Map<string, Suspect>>();
    for (const suspect of before) {
      const known = byPartition.get(suspect.partition) ?? new Map<string, Suspect>();
      byPartition.set(suspect.partition, known.set(nameOf(suspect), suspect));
    }
    for (const [at, unequal] of tally.unequalHours) {
      const hours = [...unequal].sort((a, b) => a - b);
      const still = new Set<number>();
      for (const { from, to } of stretchesOf(hours)) {
        const look: Tally = { ...tally, unequalHours: new Map() };
        const differing = await this.#differing(owner, epoch, at, { of: "hour", from, to }, look);
        if (!differing.ok) return differing;
        tally.unknown = look.unknown;
        for (const hour of differing.value) if (unequal.has(hour)) still.add(hour);
      }
      // What is equal by now was on its way.
      tally.hours -= unequal.size - still.size;
      if (still.size > 0) tally.unequal.add(at);
      // Looked at twice is enough: what differs once more is for the next pass.
      unequal.clear();
      const suspects = byPartition.get(at);
      if (suspects === undefined || still.size === 0) continue;
      const wanted = hours.filter((hour) => still.has(hour));
      for (let first = 0; first < wanted.length; first += hoursMax) {
        const again = await this.#lackingSeries(owner, epoch, at, wanted.slice(first, first + hoursMax), tally);
        if (!again.ok) return again;
        const settled = again.value.suspects.filter((suspect) => {
          const known = suspects.get(nameOf(suspect));
          return known !== undefined && this.#options.isSettled(known.lacks, suspect.lacks);
        });
        if (settled.length === 0) tally.emptyHours += Math.min(hoursMax, wanted.length - first);
        const fetched = await this.#fetchSuspects(owner, epoch, settled, again.value.present, tally);
        if (!fetched.ok) return fetched;
      }
    }
    return success(undefined);
  }

  /** Those of one partition. */
  async #fetchSuspects(
    owner: GatewayId,
    epoch: number,
    suspects: readonly Suspect[],
    present: ReadonlyMap<number, number>,
    tally: Tally,
  ): Promise<Result<void>> {
    const [first] = suspects;
    if (first === undefined) return emptyEnd(owner, tally);
    const { readings } = tally;
    const partitions = [first.partition];
    const inHour = new Map<number, number>();
    for (const { hour } of suspects) inHour.set(hour, (inHour.get(hour) ?? 0) + 1);
    const isWhole = (hour: number): boolean => {
      const lacking = inHour.get(hour) ?? 0;
      return lacking >= wholeHourMin && lacking * 2 >= (present.get(hour) ?? 0);
    };
    const wanted: Wanted[] = [];
    for (const { from, to } of rangesOf([...inHour.keys()].filter(isWhole).sort((a, b) => a - b)))
      wanted.push({ partitions, names: undefined, fromUs: from * hourUs, toUs: to * hourUs });
    const bySeries = new Map<string, { readonly device: string; readonly metric: string; readonly hours: number[] }>();
    for (const { device, metric, hour } of suspects) {
      if (isWhole(hour)) continue;
      const key = `${device}\u0000${metric}`;
      const known = bySeries.get(key) ?? { device, metric, hours: [] };
      bySeries.set(key, known);
      known.hours.push(hour);
    }
    for (const { device, metric, hours } of bySeries.values())
      for (const { from, to } of rangesOf(hours.sort((a, b) => a - b)))
        wanted.push({ partitions, names: { device, metric }, fromUs: from * hourUs, toUs: to * hourUs });
    for (const each of wanted) {
      const fetched = await this.#fetch(owner, epoch, each, tally);
      if (!fetched.ok) return fetched;
    }
    tally.emptyHours = tally.readings > readings ? 0 : tally.emptyHours + inHour.size;
    return emptyEnd(owner, tally);
  }

  async #fetch(owner: GatewayId, epoch: number, wanted: Wanted, tally: Tally): Promise<Result<void>> {
    const fetched = await this.#options.fetcher.fetch(owner, epoch, wanted);
    if (fetched.ok) {
      tally.readings += fetched.value.readings;
      return success(undefined);
    }
    // A chunk has turned out to be damaged there since it said what it has: the rest of the comparison goes on.
    if (fetched.code !== "data-damaged") return fetched;
    tally.unknown = true;
    return success(undefined);
  }

  async #ask(owner: GatewayId, epoch: number, wanted: Exclude<DigestsWanted, { of: "series" }>): Promise<Result<DigestsReply<DigestNode>>> {
    const reply = await this.#call(owner, epoch, wanted);
    return reply.ok ? named(owner, readDigests(reply.value, wanted)) : reply;
  }

  async #askSeries(
    owner: GatewayId,
    epoch: number,
    wanted: Extract<DigestsWanted, { of: "series" }>,
  ): Promise<Result<DigestsReply<SeriesNode>>> {
    const reply = await this.#call(owner, epoch, wanted);
    return reply.ok ? named(owner, readSeriesDigests(reply.value, wanted, this.#hash64)) : reply;
  }

  async #call(owner: GatewayId, epoch: number, wanted: DigestsWanted): Promise<Result<unknown>> {
    const { requests, ring, rawHorizonUs } = this.#options;
    let reply: Result<unknown> = failure("outcome-unknown", `${owner} was not asked`);
    for (const timeoutMs of timeoutsMs) {
      if (this.#context.inbox.closed()) return failure("not-ready", "this gateway stops");
      if (ring().table.epoch !== epoch) return failure("ring-changed", `the owners are not those of epoch ${epoch} any more`);
      const beganMs = this.#context.clock.monotonicMs();
      reply = await requests.call(owner, "digests", requestOf(epoch, wanted, rawHorizonUs), { timeoutMs, channel: "bulk" });
      if (reply.ok || reply.code !== "outcome-unknown") break;
      this.waitedMs += this.#context.clock.monotonicMs() - beganMs;
    }
    return reply;
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#context.clock, Math.max(1, ms));
  }
}

const nothing: Digest = { count: 0, low: 0, high: 0 };
const wholeRange = { from: Number.MIN_SAFE_INTEGER, to: Number.MAX_SAFE_INTEGER };
/** All that readings can lie in. */
const allSpans = {
  from: Math.floor(Number.MIN_SAFE_INTEGER / hourUs / spanHours),
  to: Math.floor(Number.MAX_SAFE_INTEGER / hourUs / spanHours) + 1,
};
const wholeTime = { fromUs: Number.MIN_SAFE_INTEGER, toUs: Number.MAX_SAFE_INTEGER };

function emptyEnd(owner: GatewayId, { emptyHours }: Tally): Result<void> {
  if (emptyHours <= emptyHoursMax) return success(undefined);
  return failure("internal", `${owner} says of ${emptyHours} hours that it has readings which it has not`);
}

interface Pair<T> {
  ours: T | undefined;
  theirs: T | undefined;
}

function pairsOf<T, K>(ours: readonly T[], theirs: readonly T[], keyOf: (node: T) => K): Map<K, Pair<T>> {
  const pairs = new Map<K, Pair<T>>();
  for (const node of ours) pairs.set(keyOf(node), { ours: node, theirs: undefined });
  for (const node of theirs) {
    const known = pairs.get(keyOf(node));
    if (known === undefined) pairs.set(keyOf(node), { ours: undefined, theirs: node });
    else known.theirs = node;
  }
  return pairs;
}

/** A node that is not there is one without readings. */
function isEqual({ ours, theirs }: Pair<DigestNode>): boolean {
  const own = ours === undefined ? nothing : ours.digest;
  const other = theirs === undefined ? nothing : theirs.digest;
  return own !== undefined && other !== undefined && sameDigest(own, other);
}

function isUnknown({ ours, theirs }: Pair<DigestNode>): boolean {
  return (ours !== undefined && ours.digest === undefined) || (theirs !== undefined && theirs.digest === undefined);
}

function placeOf({ device, metric }: SeriesNode): SeriesPlace {
  return { device, metric };
}

function nameOf({ device, metric, hour }: Suspect): string {
  return `${device}\u0000${metric}\u0000${hour}`;
}

/** Numbers that lie near each other are asked for in one go. */
function stretchesOf(ascending: readonly number[]): { readonly from: number; readonly to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  for (const number of ascending) {
    const last = stretches.at(-1);
    if (last !== undefined && number < last.from + spanHours) last.to = number + 1;
    else stretches.push({ from: number, to: number + 1 });
  }
  return stretches;
}

function named<T>(owner: GatewayId, result: Result<T>): Result<T> {
  if (result.ok) return result;
  const failed: Failure = result;
  return failure(failed.code, `${owner}: ${failed.message}`);
}
