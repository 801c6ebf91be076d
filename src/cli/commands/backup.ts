import { BackupKind, type BackupManifest, BackupReader, type BackupTrailer, readFailed, readManifest } from "../../lib/backup-file.ts";
import { type ExitStatus, FailureError, failure } from "../../lib/errors.ts";
import { Packing } from "../../lib/packing.ts";
import { inspect } from "../backup/inspect.ts";
import { connect, print, type RemoteOptions, unwrap, usageError } from "../command.ts";
import { formatBytes, formatTime, ProgressLine, plain, printWarning } from "../terminal.ts";
import type { WholeFileWriter, World } from "../world.ts";

export interface BackupOptions extends RemoteOptions {
  readonly file?: string;
  readonly force?: boolean;
  readonly allowIncomplete?: boolean;
}

/** `fogbank backup`: the file is there only once it is whole, verified block by block, and on disk. */
export async function backup(world: World, options: BackupOptions): Promise<ExitStatus> {
  const client = connect(world, options);
  const status = unwrap(await client.status());
  const path = options.file ?? `${status.site}-${stamp(world.clock.wallMs())}.fogbank`;
  if (options.force !== true && world.files.exists(path)) throw usageError(`${path} exists already; --force replaces it`);
  const pieces = unwrap(await client.backup({ allowIncomplete: options.allowIncomplete === true }));
  const file = unwrap(world.files.createWhole(path));
  let taken: Taken;
  try {
    taken = await take(world, pieces, file);
  } catch (error) {
    file.abandon();
    throw error;
  }
  unwrap(file.finish({ replace: options.force === true }));
  warnOfMissing(world, taken.trailer);
  return print(world, options, summaryOf(path, taken), (summary) => printSummary(world, "written", summary));
}

/** `fogbank backup verify`: needs no gateway. */
export async function verifyBackup(world: World, path: string, options: { readonly output: string }): Promise<ExitStatus> {
  const progress = new ProgressLine(world);
  const { manifest, trailer } = await inspect(world, path, (bytes) => progress.update(() => `${formatBytes(bytes)} verified`)).finally(() =>
    progress.clear(),
  );
  warnOfMissing(world, trailer);
  return print(world, options, summaryOf(path, { manifest, trailer }), (summary) => printSummary(world, "whole and undamaged", summary));
}

interface Taken {
  readonly manifest: BackupManifest;
  readonly trailer: BackupTrailer;
}

async function take(
  world: World,
  pieces: AsyncIterable<{ readonly ok: true; readonly value: Uint8Array } | ReturnType<typeof failure>>,
  file: WholeFileWriter,
): Promise<Taken> {
  const packing = new Packing();
  const reader = new BackupReader(packing);
  const progress = new ProgressLine(world);
  let manifest: BackupManifest | undefined;
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      const part = unwrap(piece);
      for (const block of unwrap(reader.push(part))) {
        if (block.kind === BackupKind.Manifest) manifest = unwrap(readManifest(packing, block.content));
        if (block.kind === BackupKind.Failed) throw new FailureError(readFailed(packing, block.content));
      }
      write(file, part);
      bytes += part.length;
      progress.update(() => `${formatBytes(bytes)} written`);
    }
  } finally {
    progress.clear();
  }
  const trailer = reader.ended();
  if (!trailer.ok || manifest === undefined)
    throw new FailureError(
      failure("unreachable", `the gateway ended before the backup was whole (${trailer.ok ? "no manifest" : trailer.message})`),
    );
  return { manifest, trailer: trailer.value };
}

function write(file: WholeFileWriter, bytes: Uint8Array): void {
  try {
    file.write(bytes);
  } catch (error) {
    const isFull = error instanceof Error && "code" in error && error.code === "ENOSPC";
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(
      failure(isFull ? "disk-full" : "usage", isFull ? "the disk is full; the part that was written is removed" : reason),
    );
  }
}

interface Summary extends Readonly<Record<string, unknown>> {
  readonly file: string;
  readonly site: string;
  readonly started: string;
  readonly version: string;
  readonly bytes: number;
  readonly counts: BackupTrailer["counts"];
  readonly missing: BackupTrailer["missing"];
}

function summaryOf(file: string, { manifest, trailer }: Taken): Summary {
  const { site, gateway, version, startedMs } = manifest;
  return {
    file,
    site,
    gateway,
    version,
    started: formatTime(startedMs),
    bytes: trailer.bytes,
    counts: trailer.counts,
    missing: trailer.missing,
  };
}

function printSummary(world: World, what: string, { file, site, started, bytes, counts }: Summary): void {
  world.out.write(`${plain(file)}: ${what}, ${formatBytes(bytes)}\n`);
  world.out.write(`  site ${plain(site)}, as of ${started}\n`);
  world.out.write(
    `  ${counts.readings} readings of ${counts.series} series, ${counts.devices} devices, ${counts.kv} keys, ${counts.results} results of ${counts.jobs} jobs\n`,
  );
}

export function warnOfMissing(world: World, { missing }: Pick<BackupTrailer, "missing">): void {
  const { partitions, results } = missing;
  if (partitions.length > 0)
    printWarning(
      world,
      `incomplete: ${partitions.length} of 1024 partitions could not be read completely, readings of their devices may be missing`,
    );
  if (results > 0) printWarning(world, `incomplete: the rows of ${results} committed results were not found`);
}

/** `20260131T120000Z`: sorts by time, and every file system takes it. */
function stamp(ms: number): string {
  return `${formatTime(Math.floor(ms / 1_000) * 1_000)
    .slice(0, 19)
    .replaceAll(/[-:]/g, "")}Z`;
}
