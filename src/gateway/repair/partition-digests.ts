/**
 * What this gateway holds, as digests that can be compared with another owner's: by partition, by spans of hours, by hours, and by
 * series of some hours; all of the merged unique readings from a horizon on. Digests of hours are kept and computed anew
 * where readings have come since, when somebody asks. The hour that a horizon cuts is computed for that horizon each time.
 * Hours of which a quarantined chunk has a part are *unknown*: they are equal to nothing, and different from nothing.
 */

import { type Result, success } from "../../lib/errors.ts";
import type { Partition } from "../../lib/ids.ts";
import { type Digest, emptyDigest } from "../../series/digest.ts";
import type { Series, SeriesIndex } from "../series/series-index.ts";
import { Turns } from "../series/turns.ts";
import { HourDigests, type HourDigestsOptions, HourSums, hourUs } from "./hour-digests.ts";

export interface PartitionDigestsOptions extends HourDigestsOptions {
  readonly index: SeriesIndex;
  /** Of one whose time this is: below it nothing counts any more, here at least. */
  readonly rawHorizonUs: (partition: number) => number;
  /** What of a digest is compared: all of it. Tests plant bugs here. */
  readonly comparable?: (digest: Digest) => Digest;
  /** Spans whose hours are kept one by one; 4,096 (12 MiB) when absent. */
  readonly spansMax?: number;
}

/** An hour or a span of them, by number. `undefined`: unknown. */
export interface DigestNode {
  readonly at: number;
  readonly digest: Digest | undefined;
}

/** One series in one hour. */
export interface SeriesNode extends DigestNode {
  readonly device: string;
  readonly metric: string;
}

export type NodeLevel = "span" | "hour";

export interface NumberRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Hours of a span: ten days and sixteen hours. */
export const spanHours = 256;
const spansMaxDefault = 4_096;
/** With more hours to be computed anew, the partition is computed as a whole. */
const dirtyMax = 4_096;
const everything = { fromUs: Number.MIN_SAFE_INTEGER, toUs: Number.MAX_SAFE_INTEGER };

interface Span {
  readonly number: number;
  readonly total: { count: number; low: number; high: number };
  /** Count, low and high of each hour in turn; `undefined` while there is no room for them. */
  words: Uint32Array | undefined;
}

/** What is known of a partition. */
class Leaves {
  readonly spans = new Map<number, Span>();
  readonly dirtyHours = new Set<number>();
  readonly dirtySpans = new Set<number>();
  readonly turns = new Turns();
  isLoaded = false;

  touch(hour: number): void {
    if (this.dirtyHours.size >= dirtyMax) this.isLoaded = false;
    else this.dirtyHours.add(hour);
  }
}

export class PartitionDigests {
  readonly #options: PartitionDigestsOptions;
  readonly #hours: HourDigests;
  readonly #leaves = new Map<Partition, Leaves>();
  readonly #seriesOf = new Map<Partition, Series[]>();
  #seriesSeen = 0;
  /** Spans with their hours, the one not used for longest first. */
  readonly #detailed = new Set<Span>();

  constructor(options: PartitionDigestsOptions) {
    this.#options = options;
    this.#hours = new HourDigests(options);
  }

  /** Readings of a series in [fromUs, toUs] have come, can be read again, or are gone. */
  changed({ partition }: Series, fromUs: number, toUs: number): void {
    const leaves = this.#leaves.get(partition);
    if (leaves === undefined) return;
    const first = Math.floor(fromUs / hourUs);
    const last = Math.floor(toUs / hourUs);
    if (first === last) {
      leaves.touch(first);
      return;
    }
    for (let span = spanOf(first); span <= spanOf(last); span++) leaves.dirtySpans.add(span);
  }

  /** This gateway does not own the partition any more: what it held of it goes. */
  forget(at: Partition): void {
    const leaves = this.#leaves.get(at);
    if (leaves === undefined) return;
    this.#leaves.delete(at);
    for (const span of leaves.spans.values()) this.#detailed.delete(span);
  }

  /** Of all that counts from the horizon on. */
  async root(at: Partition, horizonUs: number): Promise<Result<DigestNode>> {
    if (this.#allSeries(at).length === 0) return success({ at, digest: emptyDigest });
    const nodes = await this.nodes(at, "span", { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }, horizonUs);
    if (!nodes.ok) return nodes;
    let sum = emptyDigest;
    for (const { digest } of nodes.value) {
      if (digest === undefined) return success({ at, digest: undefined });
      sum = added(sum, digest);
    }
    return success({ at, digest: sum });
  }

  /** Those of the range that have any reading, or are unknown, ascending; each of what counts in it from the horizon on. */
  async nodes(at: Partition, level: NodeLevel, range: NumberRange, horizonUs: number): Promise<Result<DigestNode[]>> {
    const leaves = this.#leaves.get(at) ?? new Leaves();
    this.#leaves.set(at, leaves);
    return leaves.turns.take(async () => {
      const fresh = await this.#refresh(at, leaves);
      if (!fresh.ok) return fresh;
      const firstHour = Math.ceil(horizonUs / hourUs);
      const hours = level === "hour" ? range : { from: range.from * spanHours, to: range.to * spanHours };
      const cut = await this.#cutHour(at, horizonUs);
      if (!cut.ok) return cut;
      const digests = new Map<number, Digest>();
      const add = (hour: number, digest: Digest): void => {
        if (digest.count === 0) return;
        const node = level === "hour" ? hour : spanOf(hour);
        digests.set(node, added(digests.get(node) ?? emptyDigest, digest));
      };
      if (cut.value !== undefined && firstHour - 1 >= hours.from && firstHour - 1 < hours.to) add(firstHour - 1, cut.value);
      for (const span of [...leaves.spans.values()]) {
        const begin = span.number * spanHours;
        if (begin + spanHours <= Math.max(hours.from, firstHour) || begin >= hours.to) continue;
        if (level === "span" && begin >= firstHour) {
          add(begin, span.total);
          continue;
        }
        const words = await this.#wordsOf(at, leaves, span);
        if (!words.ok) return words;
        for (let hour = Math.max(begin, hours.from, firstHour); hour < Math.min(begin + spanHours, hours.to); hour++)
          add(hour, digestAt(words.value, hour - begin));
      }
      const unknown = this.#unknownOf(at, level, range, horizonUs);
      const numbers = ascending(new Set([...digests.keys(), ...unknown]));
      return success(
        numbers.map((number) => ({ at: number, digest: unknown.has(number) ? undefined : this.#comparable(digests.get(number)) })),
      );
    });
  }

  /**
   * By series, in the order (device, metric, hour), what each has in these hours, from those behind `after` on: of whole series, until
   * `max` are found.
   */
  async bySeries(
    at: Partition,
    hours: readonly number[],
    options: {
      readonly horizonUs: number;
      readonly after?: { readonly device: string; readonly metric: string } | undefined;
      /** Only up to here. */
      readonly last?: { readonly device: string; readonly metric: string } | undefined;
      readonly max: number;
    },
  ): Promise<Result<{ readonly nodes: SeriesNode[]; readonly end: boolean }>> {
    const { horizonUs, after, last, max } = options;
    const nodes: SeriesNode[] = [];
    const ranges = rangesOf(hours);
    for (const series of this.#sortedSeries(at)) {
      if (after !== undefined && compareNames(series, after) <= 0) continue;
      if (last !== undefined && compareNames(series, last) > 0) break;
      if (nodes.length >= max) return success({ nodes, end: false });
      const sums = new HourSums();
      const unknown = new Set<number>();
      for (const { from, to } of ranges) {
        const range = { fromUs: Math.max(from * hourUs, horizonUs), toUs: to * hourUs };
        const summed = await this.#hours.add(series, range, sums);
        if (!summed.ok) return summed;
        for (const [first, end] of this.#hours.unknownHours(series, range)) for (let hour = first; hour <= end; hour++) unknown.add(hour);
      }
      const { device, metric } = series;
      for (const hour of hours) {
        const sum = sums.byHour.get(hour);
        if (unknown.has(hour)) nodes.push({ device, metric, at: hour, digest: undefined });
        else if (sum !== undefined) nodes.push({ device, metric, at: hour, digest: this.#comparable(sum) });
      }
    }
    return success({ nodes, end: true });
  }

  /** Hours that are computed anew when they are asked for, and spans that are: for tests. */
  pending(at: Partition): number {
    const leaves = this.#leaves.get(at);
    return leaves === undefined ? 0 : leaves.dirtyHours.size + leaves.dirtySpans.size * spanHours;
  }

  #comparable(digest: Digest = emptyDigest): Digest {
    const { comparable } = this.#options;
    return comparable === undefined ? digest : comparable(digest);
  }

  /** Readings that join while it computes make their hours dirty again: for the next one who asks. */
  async #refresh(at: Partition, leaves: Leaves): Promise<Result<void>> {
    if (!leaves.isLoaded) {
      leaves.isLoaded = true;
      leaves.dirtyHours.clear();
      leaves.dirtySpans.clear();
      // What is below is not asked for any more.
      const fromUs = Math.max(everything.fromUs, Math.floor(this.#options.rawHorizonUs(at) / hourUs) * hourUs);
      const sums = await this.#sum(at, { fromUs, toUs: everything.toUs });
      if (sums.ok) this.#replaceAll(leaves, sums.value);
      else leaves.isLoaded = false;
      return sums.ok ? success(undefined) : sums;
    }
    for (const hour of [...leaves.dirtyHours]) {
      const span = leaves.spans.get(spanOf(hour));
      if (leaves.dirtySpans.has(spanOf(hour)) || (span !== undefined && span.words === undefined)) {
        leaves.dirtyHours.delete(hour);
        leaves.dirtySpans.add(spanOf(hour));
      }
    }
    const spans = rangesOf(ascending(leaves.dirtySpans)).map(({ from, to }) => ({ from: from * spanHours, to: to * spanHours }));
    for (const range of [...spans, ...rangesOf(ascending(leaves.dirtyHours))]) {
      const refreshed = await this.#refreshRange(at, leaves, range);
      if (!refreshed.ok) return refreshed;
    }
    return success(undefined);
  }

  /** Whole spans, or hours of one or more spans that have theirs. */
  async #refreshRange(at: Partition, leaves: Leaves, range: NumberRange): Promise<Result<void>> {
    const isWhole = range.from % spanHours === 0 && range.to % spanHours === 0;
    if (isWhole) for (let hour = range.from; hour < range.to; hour += spanHours) leaves.dirtySpans.delete(spanOf(hour));
    for (let hour = range.from; hour < range.to; hour++) leaves.dirtyHours.delete(hour);
    const sums = await this.#sum(at, { fromUs: range.from * hourUs, toUs: range.to * hourUs });
    if (!sums.ok) {
      if (isWhole) for (let hour = range.from; hour < range.to; hour += spanHours) leaves.dirtySpans.add(spanOf(hour));
      else for (let hour = range.from; hour < range.to; hour++) leaves.dirtyHours.add(hour);
      return sums;
    }
    for (let number = spanOf(range.from); number <= spanOf(range.to - 1); number++) {
      const begin = number * spanHours;
      const known = leaves.spans.get(number);
      // It lost its hours while others were computed.
      if (known !== undefined && known.words === undefined && !isWhole) {
        leaves.dirtySpans.add(number);
        continue;
      }
      const span = known ?? this.#newSpan(leaves, number);
      const words = this.#detail(span);
      for (let hour = Math.max(begin, range.from); hour < Math.min(begin + spanHours, range.to); hour++) {
        const sum = sums.value.byHour.get(hour) ?? emptyDigest;
        words[(hour - begin) * 3] = sum.count;
        words[(hour - begin) * 3 + 1] = sum.low;
        words[(hour - begin) * 3 + 2] = sum.high;
      }
      total(span, words);
      if (span.total.count === 0) this.#drop(leaves, span);
    }
    this.#evict();
    return success(undefined);
  }

  #replaceAll(leaves: Leaves, { byHour }: HourSums): void {
    for (const span of leaves.spans.values()) this.#detailed.delete(span);
    leaves.spans.clear();
    for (const [hour, sum] of byHour) {
      const number = spanOf(hour);
      const span = leaves.spans.get(number) ?? this.#newSpan(leaves, number);
      const words = this.#detail(span);
      words.set([sum.count, sum.low, sum.high], (hour - number * spanHours) * 3);
    }
    for (const span of leaves.spans.values()) total(span, span.words as Uint32Array);
    this.#evict();
  }

  async #wordsOf(at: Partition, leaves: Leaves, span: Span): Promise<Result<Uint32Array>> {
    if (span.words === undefined) {
      const range = { from: span.number * spanHours, to: (span.number + 1) * spanHours };
      const refreshed = await this.#refreshRange(at, leaves, range);
      if (!refreshed.ok) return refreshed;
    }
    // Without any reading by now it was let go.
    if (leaves.spans.get(span.number) !== span || span.words === undefined) return success(new Uint32Array(spanHours * 3));
    return success(this.#detail(span));
  }

  #newSpan(leaves: Leaves, number: number): Span {
    const span: Span = { number, total: { count: 0, low: 0, high: 0 }, words: undefined };
    leaves.spans.set(number, span);
    return span;
  }

  /** Its hours, as those used last. */
  #detail(span: Span): Uint32Array {
    span.words ??= new Uint32Array(spanHours * 3);
    this.#detailed.delete(span);
    this.#detailed.add(span);
    return span.words;
  }

  #drop(leaves: Leaves, span: Span): void {
    leaves.spans.delete(span.number);
    this.#detailed.delete(span);
  }

  #evict(): void {
    const { spansMax = spansMaxDefault } = this.#options;
    for (const span of this.#detailed) {
      if (this.#detailed.size <= spansMax) return;
      this.#detailed.delete(span);
      span.words = undefined;
    }
  }

  async #sum(at: Partition, range: { readonly fromUs: number; readonly toUs: number }): Promise<Result<HourSums>> {
    const sums = new HourSums();
    for (const series of [...this.#allSeries(at)]) {
      const summed = await this.#hours.add(series, range, sums);
      if (!summed.ok) return summed;
    }
    return success(sums);
  }

  /** The part that counts of the hour that the horizon cuts; `undefined` where it cuts none. */
  async #cutHour(at: Partition, horizonUs: number): Promise<Result<Digest | undefined>> {
    if (!Number.isFinite(horizonUs) || horizonUs % hourUs === 0) return success(undefined);
    const hour = Math.floor(horizonUs / hourUs);
    const sums = await this.#sum(at, { fromUs: horizonUs, toUs: (hour + 1) * hourUs });
    return sums.ok ? success(sums.value.byHour.get(hour)) : sums;
  }

  #unknownOf(at: Partition, level: NodeLevel, range: NumberRange, horizonUs: number): ReadonlySet<number> {
    const unknown = new Set<number>();
    for (const { series, ref } of this.#options.quarantine.entries()) {
      if (series.partition !== at || ref.maxUs < horizonUs) continue;
      const numberOf = (us: number): number => (level === "hour" ? Math.floor(us / hourUs) : spanOf(Math.floor(us / hourUs)));
      const last = Math.min(numberOf(ref.maxUs), range.to - 1);
      for (let number = Math.max(numberOf(Math.max(ref.minUs, horizonUs)), range.from); number <= last; number++) unknown.add(number);
    }
    return unknown;
  }

  #allSeries(at: Partition): readonly Series[] {
    const all = this.#options.index.all();
    for (; this.#seriesSeen < all.length; this.#seriesSeen++) {
      const series = all[this.#seriesSeen] as Series;
      const known = this.#seriesOf.get(series.partition);
      if (known === undefined) this.#seriesOf.set(series.partition, [series]);
      else known.push(series);
    }
    return this.#seriesOf.get(at) ?? [];
  }

  #sortedSeries(at: Partition): readonly Series[] {
    return [...this.#allSeries(at)].sort(compareNames);
  }
}

export function compareNames(
  a: { readonly device: string; readonly metric: string },
  b: { readonly device: string; readonly metric: string },
): number {
  if (a.device !== b.device) return a.device < b.device ? -1 : 1;
  return a.metric === b.metric ? 0 : a.metric < b.metric ? -1 : 1;
}

function spanOf(hour: number): number {
  return Math.floor(hour / spanHours);
}

function digestAt(words: Uint32Array, at: number): Digest {
  return { count: words[at * 3] as number, low: words[at * 3 + 1] as number, high: words[at * 3 + 2] as number };
}

function total(span: Span, words: Uint32Array): void {
  let count = 0;
  let low = 0;
  let high = 0;
  for (let at = 0; at < words.length; at += 3) {
    count += words[at] as number;
    low = (low + (words[at + 1] as number)) | 0;
    high = (high + (words[at + 2] as number)) | 0;
  }
  span.total.count = count;
  span.total.low = low >>> 0;
  span.total.high = high >>> 0;
}

function added(a: Digest, b: Digest): Digest {
  return { count: a.count + b.count, low: (a.low + b.low) >>> 0, high: (a.high + b.high) >>> 0 };
}

function ascending(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}

/** Stretches of neighbouring numbers, of ascending ones. */
export function rangesOf(numbers: readonly number[]): NumberRange[] {
  const ranges: { from: number; to: number }[] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last.to === number) last.to = number + 1;
    else ranges.push({ from: number, to: number + 1 });
  }
  return ranges;
}
