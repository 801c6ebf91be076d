/**
 * How owners ask each other for digests (MessagePack in requests of type `digests`; fields are append-only), and what of an
 * answer is believed: a lying or confused owner must not keep this gateway busy for ever.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import { deviceId, type Hash64, type Partition, partition, partitionCount, partitionOf } from "../../lib/ids.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Requests } from "../requests.ts";
import { type HorizonRange, horizonRanges, withRanges } from "../retention/horizons.ts";
import {
  compareNames,
  type DigestNode,
  type NodeLevel,
  type NumberRange,
  type PartitionDigests,
  type SeriesNode,
} from "./partition-digests.ts";

/** Of whole partitions; or of one partition, by span or by hour of a range of numbers, or by series of hours. */
export type DigestsWanted =
  | { readonly of: "partition"; readonly partitions: readonly Partition[] }
  | { readonly of: NodeLevel; readonly partition: Partition; readonly range: NumberRange }
  | { readonly of: "series"; readonly partition: Partition; readonly hours: readonly number[]; readonly after: SeriesPlace | undefined };

export interface SeriesPlace {
  readonly device: string;
  readonly metric: string;
}

interface DigestsRequest {
  readonly epoch: number;
  readonly of: DigestsWanted["of"];
  readonly partitions: readonly number[];
  /** Spans or hours. */
  readonly from?: number;
  readonly to?: number;
  readonly hours?: readonly number[];
  readonly after?: SeriesPlace | undefined;
  /** What the asker knows to be given up. */
  readonly horizons?: readonly HorizonRange[] | undefined;
}

/** What an owner says. `end`: of all that was asked; otherwise up to the last one. */
export interface DigestsReply<T> {
  readonly nodes: readonly T[];
  readonly end: boolean;
  /** What it knows to be given up. */
  readonly horizons: unknown;
}

/** Nodes of one answer. */
const nodesMax = 4_096;
/** Hours that are asked for at once, by series. */
export const hoursMax = 24;
/** After so much work an answer is given for the partitions that it was enough for: at least one. */
const answerMs = 2_000;
const nameUnitsMax = 0xffff;
const unknownCount = -1;

export interface DigestServerOptions {
  readonly digests: PartitionDigests;
  readonly requests: Pick<Requests, "serve">;
  readonly clock: Clock;
  readonly rawHorizonUs: (partition: number) => number;
  /** Whether this gateway can answer for these partitions under this epoch: it owns them, with all of their readings. */
  readonly checked: (request: { readonly epoch: number; readonly partitions: readonly number[] }) => Result<unknown>;
}

export function requestOf(epoch: number, wanted: DigestsWanted, rawHorizonUs: (partition: number) => number): DigestsRequest {
  const partitions = wanted.of === "partition" ? wanted.partitions : [wanted.partition];
  const horizons = horizonRanges(partitions, rawHorizonUs);
  const common = { epoch, of: wanted.of, partitions, horizons };
  if (wanted.of === "partition") return common;
  return wanted.of === "series" ? { ...common, hours: wanted.hours, after: wanted.after } : { ...common, ...wanted.range };
}

/** Answers for this gateway. */
export class DigestServer {
  readonly #options: DigestServerOptions;

  constructor(options: DigestServerOptions) {
    this.#options = options;
  }

  serve(): void {
    this.#options.requests.serve("digests", (_from, body) => this.#answer(body));
  }

  async #answer(body: unknown): Promise<Result<unknown>> {
    const request = (body ?? {}) as Partial<DigestsRequest>;
    const { epoch, of, partitions } = request;
    if (typeof epoch !== "number" || !arePartitions(partitions)) return malformed();
    const checked = this.#options.checked({ epoch, partitions });
    if (!checked.ok) return checked;
    const horizonUs = withRanges(this.#options.rawHorizonUs, request.horizons);
    const found = of === "partition" ? await this.#roots(partitions, horizonUs) : await this.#parts(request, horizonUs);
    if (!found.ok) return found;
    const horizons = horizonRanges(partitions, this.#options.rawHorizonUs);
    return success({ ...found.value, ...(horizons === undefined ? {} : { horizons }) });
  }

  async #roots(partitions: readonly number[], horizonUs: (partition: number) => number): Promise<Result<object>> {
    const { digests, clock } = this.#options;
    const untilMs = clock.monotonicMs() + answerMs;
    const nodes: unknown[] = [];
    for (const at of partitions.map(partition)) {
      const root = await digests.root(at, horizonUs(at));
      if (!root.ok) return root;
      const isLate = clock.monotonicMs() >= untilMs && at !== partitions.at(-1);
      // Most partitions of a small site have nothing. Who stops early says where.
      if (isLate || root.value.digest?.count !== 0) nodes.push(packNode(root.value));
      if (isLate) return success({ nodes, end: false });
    }
    return success({ nodes, end: true });
  }

  async #parts(request: Partial<DigestsRequest>, horizonUs: (partition: number) => number): Promise<Result<object>> {
    const { of, from, to, hours, after } = request;
    const at = partition(request.partitions?.[0] as number);
    if (of === "series") {
      if (!isListOfHours(hours) || !(after === undefined || after === null || isPlace(after))) return malformed();
      const found = await this.#options.digests.bySeries(at, hours, {
        horizonUs: horizonUs(at),
        after: after ?? undefined,
        max: nodesMax - hoursMax,
      });
      if (!found.ok) return found;
      return success({ nodes: found.value.nodes.map((node) => [node.device, node.metric, ...packNode(node)]), end: found.value.end });
    }
    if ((of !== "span" && of !== "hour") || typeof from !== "number" || typeof to !== "number") return malformed();
    const found = await this.#options.digests.nodes(at, of, { from, to }, horizonUs(at));
    if (!found.ok) return found;
    return success({ nodes: found.value.slice(0, nodesMax).map(packNode), end: found.value.length <= nodesMax });
  }
}

/** Roots come in the order of the partitions, all other nodes ascending, and only what was asked for; what is empty is left out. */
export function readDigests(value: unknown, wanted: Exclude<DigestsWanted, { of: "series" }>): Result<DigestsReply<DigestNode>> {
  const reply = shapeOf(value);
  if (reply === undefined) return malformed();
  const nodes: DigestNode[] = [];
  let before = wanted.of === "partition" ? -1 : wanted.range.from - 1;
  for (const item of reply.nodes) {
    const node = Array.isArray(item) && item.length === 4 ? unpackNode(item as readonly unknown[], 0) : undefined;
    if (node === undefined) return malformed();
    const place = wanted.of === "partition" ? wanted.partitions.indexOf(partition(node.at)) : node.at;
    if (place <= before || (wanted.of !== "partition" && place >= wanted.range.to)) return malformed();
    before = place;
    nodes.push(node);
  }
  return success({ ...reply, nodes });
}

/** In the order (device, metric, hour), behind the place asked for. */
export function readSeriesDigests(
  value: unknown,
  wanted: Extract<DigestsWanted, { of: "series" }>,
  hash64: Hash64,
): Result<DigestsReply<SeriesNode>> {
  const reply = shapeOf(value);
  if (reply === undefined) return malformed();
  const hours = new Set(wanted.hours);
  const nodes: SeriesNode[] = [];
  let before: SeriesPlace & { readonly at: number } = { device: "", metric: "", at: Number.NEGATIVE_INFINITY, ...wanted.after };
  let isBehindAfter = wanted.after === undefined;
  for (const item of reply.nodes as readonly unknown[]) {
    if (!Array.isArray(item) || item.length !== 6) return malformed();
    const [device, metric] = item as readonly unknown[];
    const place: unknown = { device, metric };
    const node = unpackNode(item as readonly unknown[], 2);
    if (!isPlace(place) || node === undefined || !hours.has(node.at) || partitionOf(deviceId(place.device), hash64) !== wanted.partition)
      return malformed();
    const order = compareNames(place, before);
    if (order < 0 || (order === 0 && (!isBehindAfter || node.at <= before.at))) return malformed();
    isBehindAfter = true;
    before = { ...place, at: node.at };
    nodes.push({ ...place, ...node });
  }
  return success({ ...reply, nodes });
}

function shapeOf(value: unknown): DigestsReply<unknown> | undefined {
  const reply = (value ?? {}) as { readonly nodes?: unknown; readonly end?: unknown; readonly horizons?: unknown };
  if (!Array.isArray(reply.nodes) || reply.nodes.length > nodesMax || typeof reply.end !== "boolean") return undefined;
  // Whoever stops early has to have come further.
  if (!reply.end && reply.nodes.length === 0) return undefined;
  return { nodes: reply.nodes, end: reply.end, horizons: reply.horizons };
}

function packNode({ at, digest }: DigestNode): readonly number[] {
  return digest === undefined ? [at, unknownCount, 0, 0] : [at, digest.count, digest.low, digest.high];
}

function unpackNode(item: readonly unknown[], from: number): DigestNode | undefined {
  const numbers = item.slice(from);
  if (!numbers.every((each) => Number.isSafeInteger(each))) return undefined;
  const [at, count, low, high] = numbers as unknown as readonly [number, number, number, number];
  if (count === unknownCount) return { at, digest: undefined };
  if (count < 0 || low < 0 || low > 0xffffffff || high < 0 || high > 0xffffffff) return undefined;
  return { at, digest: { count, low, high } };
}

function arePartitions(partitions: unknown): partitions is readonly number[] {
  if (!Array.isArray(partitions) || partitions.length === 0 || partitions.length > partitionCount) return false;
  return partitions.every((at) => Number.isInteger(at) && at >= 0 && at < partitionCount);
}

function isListOfHours(hours: unknown): hours is readonly number[] {
  if (!Array.isArray(hours) || hours.length === 0 || hours.length > hoursMax) return false;
  return hours.every((hour, place) => Number.isSafeInteger(hour) && (place === 0 || hour > hours[place - 1]));
}

function isPlace(place: unknown): place is SeriesPlace {
  const { device, metric } = (place ?? {}) as Partial<SeriesPlace>;
  return typeof device === "string" && typeof metric === "string" && device.length <= nameUnitsMax && metric.length <= nameUnitsMax;
}

function malformed(): Result<never> {
  return failure("internal", "digests from another gateway, or a question for them, are malformed");
}
