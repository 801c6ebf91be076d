/**
 * Content digests of a series by the hour of UTC: of exactly the readings that a scan would give, those that stand in several
 * chunks or heads counted once. Rows of rollups by the hour stand for the readings of chunks that share their time with
 * nothing else, and a chunk's own digest for one that lies in one hour.
 */

import { type Result, success } from "../../lib/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { ChunkStats } from "../../series/chunk-stats.ts";
import { type Digest, digestRun } from "../../series/digest.ts";
import { hasRollup, type Rollup, RollupLevel, windowUsOf } from "../../series/rollup.ts";
import { lowerBound, type SeriesRun } from "../../series/run.ts";
import { LoopTurns } from "../query/loop-turns.ts";
import type { Quarantine } from "../series/quarantine.ts";
import { planRollups, type UsRange } from "../series/rollup-plan.ts";
import type { Rollups } from "../series/rollups.ts";
import type { Series } from "../series/series-index.ts";
import type { SeriesReader } from "../series/series-reader.ts";
import type { ChunkRef } from "../series/store-keys.ts";

export const hourUs = windowUsOf(RollupLevel.Hour);

export interface HourDigestsOptions {
  readonly reader: Pick<SeriesReader, "scan" | "pinned">;
  /** `undefined`: all digests are of the readings themselves. */
  readonly rollups: Pick<Rollups, "known" | "fetch"> | undefined;
  readonly quarantine: Pick<Quarantine, "entries">;
  readonly clock: Clock;
}

/** Sums by hour, to be added to. */
export class HourSums {
  readonly byHour = new Map<number, { count: number; low: number; high: number }>();

  add(hour: number, { count, low, high }: Digest): void {
    const known = this.byHour.get(hour);
    if (known === undefined) {
      this.byHour.set(hour, { count, low, high });
      return;
    }
    known.count += count;
    known.low = (known.low + low) >>> 0;
    known.high = (known.high + high) >>> 0;
  }
}

/** Chunks of one series whose rollups are fetched at once. */
const fetchMax = 512;
/** Chunks that turn out to be damaged in the course of one computation. */
const triesMax = 64;

export class HourDigests {
  readonly #options: HourDigestsOptions;
  readonly #turns: LoopTurns;

  constructor(options: HourDigestsOptions) {
    this.#options = options;
    this.#turns = new LoopTurns(options.clock);
  }

  /** Hours of the range, first and last, of which a quarantined chunk of the series has a part: nobody here knows what is in them. */
  unknownHours(series: Series, { fromUs, toUs }: UsRange): (readonly [first: number, last: number])[] {
    const unknown: (readonly [number, number])[] = [];
    for (const { series: damaged, ref } of this.#options.quarantine.entries())
      if (damaged === series && ref.maxUs >= fromUs && ref.minUs < toUs)
        unknown.push([Math.floor(Math.max(ref.minUs, fromUs) / hourUs), Math.floor(Math.min(ref.maxUs, toUs - 1) / hourUs)]);
    return unknown.sort((a, b) => a[0] - b[0]);
  }

  /**
   * Adds the digests of [fromUs, toUs), without its unknown hours. What is sealed, compacted or dropped meanwhile changes nothing;
   * readings that join meanwhile may count or not.
   */
  async add(series: Series, range: UsRange, sums: HourSums): Promise<Result<void>> {
    for (let left = triesMax; ; left--) {
      const found = new HourSums();
      const added = await this.#addKnown(series, range, found);
      if (added.ok) for (const [hour, digest] of found.byHour) sums.add(hour, digest);
      // A chunk was found to be damaged: its hours are unknown by now.
      if (added.ok || added.code !== "data-damaged" || left === 0) return added;
    }
  }

  async #addKnown(series: Series, range: UsRange, sums: HourSums): Promise<Result<void>> {
    let { fromUs } = range;
    for (const [first, last] of this.unknownHours(series, range)) {
      const added = await this.#addRange(series, { fromUs, toUs: first * hourUs }, sums);
      if (!added.ok) return added;
      fromUs = Math.max(fromUs, (last + 1) * hourUs);
    }
    return this.#addRange(series, { fromUs, toUs: range.toUs }, sums);
  }

  async #addRange(series: Series, range: UsRange, sums: HourSums): Promise<Result<void>> {
    if (range.fromUs >= range.toUs) return success(undefined);
    const { rollups, reader } = this.#options;
    this.#turns.worked({ rows: 1 });
    // What the plan names stays in the store until it has been read.
    const added = await reader.pinned(async () => {
      const mayServe = (chunk: ChunkRef): boolean => rollups !== undefined && hasRollup(RollupLevel.Hour, chunk);
      const stretches = planRollups(series, range, mayServe);
      const left: UsRange[] = stretches.filter(({ alone }) => alone === undefined);
      const alone = stretches.filter((stretch): stretch is UsRange & { readonly alone: ChunkRef } => stretch.alone !== undefined);
      for (let from = 0; from < alone.length; from += fetchMax) {
        const wanted = alone.slice(from, from + fetchMax);
        const found = await this.#rollups(
          series,
          wanted.map((stretch) => stretch.alone),
        );
        for (const [at, rollup] of found.entries()) {
          const stretch = wanted[at] as UsRange;
          if (rollup === undefined || !this.#addRows(rollup, stretch, sums)) left.push(stretch);
        }
      }
      for (const { fromUs, toUs } of left) {
        const scanned = await reader.scan(series, { fromUs, toUs }, (run, stats) => {
          this.#addRun(series, run, stats, sums);
          return true;
        });
        if (!scanned.ok) return scanned;
      }
      return success(undefined);
    });
    if (this.#turns.isDue()) await this.#turns.end();
    return added;
  }

  async #rollups(series: Series, chunks: readonly ChunkRef[]): Promise<readonly (Rollup | undefined)[]> {
    const { rollups } = this.#options;
    if (rollups === undefined) return chunks.map(() => undefined);
    const known = chunks.map((chunk) => rollups.known(RollupLevel.Hour, series, chunk, false));
    const missing = chunks.filter((_, at) => known[at] === undefined).map((chunk) => ({ series, chunk }));
    const fetched = missing.length === 0 ? [] : await rollups.fetch(RollupLevel.Hour, missing, false);
    let next = 0;
    return known.map((each) => (each === undefined ? fetched[next++] : each.rollup));
  }

  /** False, and nothing added, where the stretch cuts a row: then the readings are read. */
  #addRows({ rows, digests }: Rollup, { fromUs, toUs }: UsRange, sums: HourSums): boolean {
    const { times } = rows.ends;
    const begin = rows.firstEndingFrom(fromUs);
    const end = rows.firstBeginningFrom(toUs);
    if (begin >= end) return true;
    if ((times[begin * 2] as number) < fromUs || (times[end * 2 - 1] as number) >= toUs) return false;
    for (let row = begin; row < end; row++)
      sums.add(Math.floor((times[row * 2] as number) / hourUs), {
        count: rows.counts[row] as number,
        low: digests[row * 2] as number,
        high: digests[row * 2 + 1] as number,
      });
    this.#turns.worked({ rows: end - begin });
    return true;
  }

  #addRun(series: Series, run: SeriesRun, stats: ChunkStats | undefined, sums: HourSums): void {
    this.#turns.worked({ readings: run.count });
    const lastHour = Math.floor((run.times[run.count - 1] as number) / hourUs);
    for (let from = 0; from < run.count; ) {
      const hour = Math.floor((run.times[from] as number) / hourUs);
      const to = hour === lastHour ? run.count : lowerBound(run, (hour + 1) * hourUs);
      const isWhole = from === 0 && to === run.count && stats !== undefined;
      sums.add(hour, isWhole ? stats.digest : digestRun(series.hash, run, from, to));
      from = to;
    }
  }
}
