import type { FogbankClient } from "../../client/fogbank-client.ts";
import type { Readings } from "../../client/schema.ts";
import { type ExitStatus, FailureError, failure } from "../../lib/errors.ts";
import { connect, type RemoteOptions, unwrap, usageError } from "../command.ts";
import { type ExportSink, type ReadingsEncoder, textEncoder } from "../export/encoders.ts";
import { formatBytes, ProgressLine, plain, printJson, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

export interface ExportOptions extends RemoteOptions {
  readonly format: "csv" | "ndjson" | "parquet";
  readonly metric?: string;
  readonly device?: string;
  readonly from?: string;
  readonly to?: string;
  readonly file?: string;
  readonly force?: boolean;
  readonly allowIncomplete?: boolean;
}

const pagePoints = 10_000;
const pageTries = 5;
const retryMs = 2_000;

/** `fogbank export`: raw readings in the order of device, metric and time, page by page; a file is there only once it is whole. */
export async function exportReadings(world: World, options: ExportOptions): Promise<ExitStatus> {
  const { file: path } = options;
  if (path === undefined && options.format === "parquet" && world.out.isTTY)
    throw usageError("parquet is no text: name a file with --file, or redirect the output");
  if (path === undefined && options.output === "json") throw usageError("-o json is about a file: name one with --file");
  if (path !== undefined && options.force !== true && world.files.exists(path))
    throw usageError(`${path} exists already; --force replaces it`);
  const file = path === undefined ? undefined : unwrap(world.files.createWhole(path));
  let bytes = 0;
  const sink: ExportSink = (part) => {
    bytes += part.length;
    if (file === undefined) world.out.write(part);
    else writeTo(file, part);
  };
  let done: Exported;
  try {
    done = await exportAll(world, options, sink);
  } catch (error) {
    file?.abandon();
    throw error;
  }
  if (file !== undefined) unwrap(file.finish({ replace: options.force === true }));
  if (!done.complete) printWarning(world, "the export is not complete: too few gateways answered for some of the readings");
  if (path !== undefined) {
    if (options.output === "json") printJson(world, { file: path, format: options.format, bytes, ...done });
    else world.out.write(`${plain(path)}: ${done.readings} readings of ${done.series} series, ${formatBytes(bytes)}\n`);
  }
  return 0;
}

interface Exported {
  readonly readings: number;
  readonly series: number;
  readonly complete: boolean;
}

async function exportAll(world: World, options: ExportOptions, sink: ExportSink): Promise<Exported> {
  const encoder = await encoderFor(options.format, sink);
  const client = connect(world, options);
  const progress = new ProgressLine(world);
  let readings = 0;
  let series = 0;
  let complete = true;
  let last: { readonly device: string; readonly metric: string } | undefined;
  let cursor: string | undefined;
  try {
    do {
      const page = await nextPage(world, client, options, cursor);
      complete &&= page.complete;
      for (const one of page.series) {
        if (one.device !== last?.device || one.metric !== last.metric) series++;
        last = one;
        readings += one.points.length;
        await encoder.add(one);
      }
      cursor = page.cursor;
      // Not into the output that a terminal shows.
      if (options.file !== undefined || !world.out.isTTY) progress.update(() => `${readings} readings exported`);
    } while (cursor !== undefined);
  } finally {
    progress.clear();
  }
  await encoder.finish();
  return { readings, series, complete };
}

/** A page that is not complete is asked for again; then it ends the export, unless what can be had is wanted. */
async function nextPage(world: World, client: FogbankClient, options: ExportOptions, cursor: string | undefined): Promise<Readings> {
  const { metric, device, from, to } = options;
  for (let attempt = 1; ; attempt++) {
    const page = unwrap(await client.readings({ metric, device, from, to, limit: pagePoints, cursor }));
    if (page.complete || (options.allowIncomplete === true && attempt === pageTries)) return page;
    if (attempt === pageTries)
      throw new FailureError(
        failure(
          "under-replicated",
          "the export would not be complete: too few gateways answer; try again later, or take what there is with --allow-incomplete",
        ),
      );
    await world.clock.sleep(retryMs);
  }
}

async function encoderFor(format: ExportOptions["format"], sink: ExportSink): Promise<ReadingsEncoder> {
  // Loaded only where it is wanted.
  return format === "parquet" ? (await import("../export/parquet.ts")).parquetEncoder(sink) : textEncoder(format, sink);
}

function writeTo(file: { write(bytes: string | Uint8Array): void }, part: string | Uint8Array): void {
  try {
    file.write(part);
  } catch (error) {
    const isFull = error instanceof Error && "code" in error && error.code === "ENOSPC";
    const reason = isFull ? "the disk is full" : error instanceof Error ? error.message : String(error);
    throw new FailureError(failure(isFull ? "disk-full" : "usage", `the export cannot be written: ${reason}`));
  }
}
