import {
  type BackupBlock,
  BackupKind,
  type BackupManifest,
  BackupReader,
  type BackupTrailer,
  readFailed,
  readManifest,
  type SeriesDigest,
} from "../../lib/backup-file.ts";
import { deviceItems, jobItems, kindName, kvItems, resultItems, seriesItems } from "../../lib/backup-items.ts";
import { FailureError, failure } from "../../lib/errors.ts";
import { Packing } from "../../lib/packing.ts";
import { unwrap } from "../command.ts";
import type { World } from "../world.ts";

/** Reads a backup's file on this machine: block after block, and as a whole. */

export interface Inspected {
  readonly manifest: BackupManifest;
  readonly trailer: BackupTrailer;
  /** All series of the file, by `seriesKey`. */
  readonly series: ReadonlyMap<string, SeriesDigest>;
  /** The same for the same file only. */
  readonly id: string;
}

export const seriesKey = (series: { readonly device: string; readonly metric: string }): string =>
  JSON.stringify([series.device, series.metric]);

/** The blocks of a file, each verified by itself; the last `yield` is behind the check of the whole. */
export async function* blocksOf(world: World, path: string): AsyncGenerator<BackupBlock, BackupTrailer> {
  const packing = new Packing();
  const reader = new BackupReader(packing);
  try {
    for await (const bytes of world.files.bytes(path)) {
      for (const block of named(path, () => unwrap(reader.push(bytes)))) {
        if (block.kind === BackupKind.Failed) {
          const { code, message } = readFailed(packing, block.content);
          throw new FailureError(
            failure("data-damaged", `the backup is incomplete, because the gateway could not finish it (${code}): ${message}`),
          );
        }
        yield block;
      }
    }
  } catch (error) {
    if (error instanceof FailureError) throw error;
    throw new FailureError(failure("usage", `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`));
  }
  return named(path, () => unwrap(reader.ended()));
}

/**
 * Verifies all of a file: every checksum, every item, that the readings are those that the file says they are, and that nothing that
 * it counts is missing. Throws `data-damaged` otherwise.
 */
export async function inspect(world: World, path: string, seen: (bytes: number) => void): Promise<Inspected> {
  const packing = new Packing();
  const found = { kv: 0, devices: 0, readings: 0, series: 0, results: 0, jobs: 0 };
  const fromReadings = new Map<string, SeriesDigest>();
  const series = new Map<string, SeriesDigest>();
  let manifest: BackupManifest | undefined;
  let bytes = 0;
  const blocks = blocksOf(world, path);
  let next = await blocks.next();
  for (; next.done !== true; next = await blocks.next()) {
    const block = next.value;
    bytes += block.bytes.length;
    seen(bytes);
    switch (block.kind) {
      case BackupKind.Manifest:
        manifest = unwrap(readManifest(packing, block.content));
        break;
      case BackupKind.Kv:
        found.kv += unwrap(kvItems(packing, block)).length;
        break;
      case BackupKind.Devices:
        found.devices += unwrap(deviceItems(packing, block)).length;
        break;
      case BackupKind.Readings:
        for (const digest of unwrap(await world.digestsOfReadings(block))) {
          found.readings += digest.count;
          add(fromReadings, digest);
        }
        break;
      case BackupKind.Series:
        for (const digest of unwrap(seriesItems(packing, block))) {
          found.series++;
          series.set(seriesKey(digest), digest);
        }
        break;
      case BackupKind.Results:
        found.results += unwrap(resultItems(packing, block)).length;
        break;
      case BackupKind.Jobs:
        found.jobs += unwrap(jobItems(packing, block)).length;
        break;
      case BackupKind.Trailer:
        break;
      default:
        throw damaged(path, `a block of ${kindName(block.kind)} is where none should be`);
    }
  }
  const trailer = next.value;
  if (manifest === undefined) throw damaged(path, "it has no manifest");
  for (const [name, count] of Object.entries(trailer.counts))
    if (found[name as keyof typeof found] !== count)
      throw damaged(path, `it counts ${count} ${name}, and has ${found[name as keyof typeof found]}`);
  const [difference] = differences(series, fromReadings);
  if (difference !== undefined) throw damaged(path, `its readings are not those that it lists: ${difference}`);
  return { manifest, trailer, series, id: `${manifest.clusterId} ${manifest.startedMs} ${trailer.checksum.toString(16)}` };
}

/** Counts and digests of parts add up. */
export function add(all: Map<string, SeriesDigest>, part: SeriesDigest): void {
  const key = seriesKey(part);
  const { device, metric } = part;
  const known = all.get(key) ?? { count: 0, low: 0, high: 0 };
  all.set(key, {
    device,
    metric,
    count: known.count + part.count,
    low: (known.low + part.low) >>> 0,
    high: (known.high + part.high) >>> 0,
  });
}

/** Where two sides differ, in words. */
export function* differences(
  wanted: ReadonlyMap<string, SeriesDigest>,
  found: ReadonlyMap<string, SeriesDigest>,
  options: { readonly more?: boolean } = {},
): Generator<string> {
  for (const [key, { device, metric, count, low, high }] of wanted) {
    const other = found.get(key);
    const name = `${device} ${metric}`;
    if (other === undefined) yield `${name}: ${count} readings in the backup, none found`;
    else if (options.more === true ? other.count < count : other.count !== count)
      yield `${name}: ${count} readings in the backup, ${other.count} found`;
    else if (options.more !== true && (other.low !== low || other.high !== high))
      yield `${name}: as many readings as in the backup (${count}), but not the same`;
  }
  if (options.more === true) return;
  for (const [key, { device, metric, count }] of found)
    if (!wanted.has(key)) yield `${device} ${metric}: none in the backup, ${count} readings found`;
}

function named<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FailureError) throw new FailureError(failure(error.failure.code, `${path}: ${error.failure.message}`));
    throw error;
  }
}

function damaged(path: string, what: string): FailureError {
  return new FailureError(failure("data-damaged", `${path}: the backup is damaged: ${what}`));
}
