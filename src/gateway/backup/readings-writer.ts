/**
 * Readings that come from a backup, on the way that readings of devices take: into the lanes of their owners, as rounds, on
 * the disks of the write quorum before this says that they are stored. Slice by slice, so that a round stays a round.
 */

import { failure, type Result, success } from "../../lib/errors.ts";
import { type DeviceId, type Partition, partitionOf } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import { runTypeAt, type SeriesRun } from "../../series/run.ts";
import type { GatewayContext } from "../context.ts";
import { ClientSession } from "../ingest/client-session.ts";
import { type Ingest, pendingBytesMax } from "../ingest/ingest.ts";
import type { Lane } from "../ingest/lane.ts";

export interface ReadingsWriterOptions {
  readonly context: GatewayContext;
  readonly ingest: Pick<Ingest, "obtainRef">;
  readonly laneOf: (at: Partition) => Lane;
  /** As for a payload of a device. */
  readonly filled: (lane: Lane, bytes: number) => void;
  readonly pendingBytes: () => number;
  /** Why no readings can be taken now. */
  readonly refusal: () => "store-behind" | "disk-full" | undefined;
}

export interface SeriesReadings {
  readonly device: DeviceId;
  readonly metric: string;
  /** Sorted and unique. */
  readonly run: SeriesRun;
}

/** What one slice holds at most: well below a round. */
const sliceReadingsMax = 16_384;
const sliceBytesMax = 1 << 20;
const readingBytes = 21;

export class ReadingsWriter {
  readonly #options: ReadingsWriterOptions;

  constructor(options: ReadingsWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves once all are on the disks of their write quorum. Fails with `busy` or `disk-full` when nothing can be taken now, and with
   * `quorum-unavailable` when the copies did not come; some of the readings may be stored then, and writing all again is harmless.
   */
  async write(all: readonly SeriesReadings[]): Promise<Result<void>> {
    for (const slice of slicesOf(all)) {
      const refused = this.#refusal();
      if (refused !== undefined) return refused;
      const stored = await this.#store(slice);
      if (!stored.ok) return stored;
    }
    return success(undefined);
  }

  #refusal(): Result<never> | undefined {
    const { context, pendingBytes, refusal } = this.#options;
    if (context.inbox.closed()) return failure("not-ready", `${context.self} stops`);
    const why = refusal();
    if (why === "disk-full") return failure("disk-full", `the disk of ${context.self} is full`);
    if (why !== undefined || pendingBytes() >= pendingBytesMax)
      return failure("busy", `${context.self} is behind with what it has to store`);
    return undefined;
  }

  /** All of a slice in one turn; a partition's readings wait together, because its owners may part from those of another. */
  #store(slice: readonly SeriesReadings[]): Promise<Result<void>> {
    const { context, ingest } = this.#options;
    return new Promise((resolve) => {
      const session = new ClientSession({
        id: "restore",
        username: undefined,
        session: "clean",
        close: () => resolve(failure("quorum-unavailable", "too few owners of the readings stored them in time: try again")),
      });
      const bytesBy = new Map<Partition, number>();
      for (const { device, metric, run } of slice) {
        const ref = ingest.obtainRef({ device, metric });
        if (ref < 0) {
          session.end();
          resolve(failure("too-large", `${context.self} keeps as many series as it may: ${device} ${metric} is one more`));
          return;
        }
        const at = partitionOf(device, context.ports.hash64);
        append(this.#options.laneOf(at), ref, run);
        bytesBy.set(at, (bytesBy.get(at) ?? 0) + bytesOf(run));
      }
      let open = bytesBy.size;
      const done = () => {
        if (--open === 0) resolve(success(undefined));
      };
      if (open === 0) resolve(success(undefined));
      const sinceMs = context.clock.monotonicMs();
      for (const [at, bytes] of bytesBy) {
        const lane = this.#options.laneOf(at);
        lane.hold(at, session, session.arrive(), done);
        lane.took(bytes, sinceMs);
        this.#options.filled(lane, bytes);
      }
    });
  }
}

function append(lane: Lane, ref: number, run: SeriesRun): void {
  for (let row = 0; row < run.count; row++) {
    const type = runTypeAt(run, row);
    const number = run.numbers[row] as number;
    lane.builder.append(ref, run.times[row] as number, type, number, type === ValueType.Text ? run.texts[number] : undefined);
  }
}

function* slicesOf(all: readonly SeriesReadings[]): Generator<SeriesReadings[]> {
  let slice: SeriesReadings[] = [];
  let readings = 0;
  let bytes = 0;
  for (const series of all) {
    for (let row = 0; row < series.run.count; ) {
      const end = endOfPart(series.run, row, { readings: sliceReadingsMax - readings, bytes: sliceBytesMax - bytes });
      if (end > row) {
        const part = { ...series, run: partOf(series.run, row, end) };
        slice.push(part);
        readings += part.run.count;
        bytes += bytesOf(part.run);
        row = end;
      }
      if (readings < sliceReadingsMax && bytes < sliceBytesMax && end === series.run.count) continue;
      yield slice;
      slice = [];
      readings = 0;
      bytes = 0;
    }
  }
  if (slice.length > 0) yield slice;
}

/** As far as both bounds let the part go; at least one row where it is the first of its slice. */
function endOfPart(run: SeriesRun, from: number, left: { readonly readings: number; readonly bytes: number }): number {
  let bytes = 0;
  let row = from;
  for (; row < run.count && row - from < left.readings && bytes < left.bytes; row++) bytes += rowBytes(run, row);
  return row;
}

function partOf(run: SeriesRun, from: number, to: number): SeriesRun {
  return {
    count: to - from,
    times: run.times.subarray(from, to),
    types: run.types?.subarray(from, to),
    numbers: run.numbers.subarray(from, to),
    texts: run.texts,
  };
}

function bytesOf(run: SeriesRun): number {
  if (run.types === undefined) return run.count * readingBytes;
  let bytes = 0;
  for (let row = 0; row < run.count; row++) bytes += rowBytes(run, row);
  return bytes;
}

function rowBytes(run: SeriesRun, row: number): number {
  const text = runTypeAt(run, row) === ValueType.Text ? run.texts[run.numbers[row] as number] : undefined;
  return readingBytes + (text === undefined ? 0 : text.length * 3);
}
