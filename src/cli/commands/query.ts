import { readingsCsv, readingsCsvHeader } from "../../client/csv.ts";
import type { FogbankClient } from "../../client/fogbank-client.ts";
import type { Readings, Series } from "../../client/schema.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { connect, type RemoteOptions, unwrap, usageError } from "../command.ts";
import { formatTime, plainLines, plainValue, printJson, printTable, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

export interface QueryOptions extends RemoteOptions {
  readonly device?: string;
  readonly from?: string;
  readonly to?: string;
  readonly every?: string;
  readonly agg?: string;
  readonly consistency?: string;
  readonly limit?: number;
  readonly flags?: boolean;
}

interface ShownSeries {
  readonly device: string;
  readonly metric: string;
  readonly points: Series["points"][number][];
  readonly flags?: { readonly unsynchronised: (readonly [number, number])[] };
}

const tablePointsMax = 1_000;
const pagePoints = 10_000;

/** `fogbank query`: all pages of an answer. A table stops at 1,000 points unless told otherwise; csv is streamed page by page. */
export async function query(world: World, metric: string, options: QueryOptions): Promise<ExitStatus> {
  const limit = options.limit ?? (options.output === "table" ? tablePointsMax : Number.POSITIVE_INFINITY);
  if (options.flags === true && options.output === "csv") throw usageError("--flags are shown by -o table and -o json");
  if (options.flags === true && options.every !== undefined) throw usageError("--flags are about raw readings: leave --every out");
  const series = new Map<string, ShownSeries>();
  let complete = true;
  let more = false;
  if (options.output === "csv") world.out.write(readingsCsvHeader);
  for await (const page of pages(connect(world, options), metric, options, limit)) {
    complete &&= page.complete;
    more = page.cursor !== undefined;
    if (options.output === "csv") {
      const text = readingsCsv(page.series);
      world.out.write(world.out.isTTY ? plainLines(text) : text);
      continue;
    }
    for (const { device, metric: name, points, flags } of page.series) {
      const key = JSON.stringify([device, name]);
      const fresh = { device, metric: name, points: [], ...(flags === undefined ? {} : { flags: { unsynchronised: [] } }) };
      const known: ShownSeries = series.get(key) ?? fresh;
      for (const point of points) known.points.push(point);
      known.flags?.unsynchronised.push(...(flags?.unsynchronised ?? []));
      series.set(key, known);
    }
  }
  if (options.output === "json") printJson(world, { series: [...series.values()], complete });
  if (options.output === "table") printPoints(world, [...series.values()], options.flags === true);
  if (more) printWarning(world, `only the first ${limit} points are shown; narrow the range, or use --limit or -o csv`);
  if (!complete) printWarning(world, "the answer is not complete: not every gateway that is needed answered");
  return 0;
}

/** Pages with at most `limit` points together. The last has a cursor when the limit, not the data, ended it. */
async function* pages(client: FogbankClient, metric: string, options: QueryOptions, limit: number): AsyncGenerator<Readings> {
  const { device, from, to, every, agg, consistency } = options;
  const flags = options.flags === true ? "clock" : undefined;
  let rest = limit;
  let cursor: string | undefined;
  do {
    const page = unwrap(
      await client.readings({ metric, device, from, to, every, agg, consistency, limit: Math.min(rest, pagePoints), cursor, flags }),
    );
    const series: Series[] = [];
    let cut = false;
    for (const one of page.series) {
      cut ||= one.points.length > rest;
      if (rest > 0) series.push({ ...one, points: one.points.slice(0, rest) });
      rest -= Math.min(rest, one.points.length);
    }
    cursor = page.cursor;
    yield { series, complete: page.complete, cursor: cut ? (cursor ?? "cut") : cursor };
    if (cut) return;
  } while (cursor !== undefined && rest > 0);
}

function printPoints(world: World, series: readonly ShownSeries[], withFlags: boolean): void {
  const rows = series.flatMap(({ device, metric, points, flags }) =>
    points.map(([ms, value]) => {
      const isFlagged = flags?.unsynchronised.some(([first, last]) => ms >= first && ms <= last) === true;
      return [formatTime(ms), device, metric, plainValue(value), ...(withFlags ? [isFlagged ? "unsynchronised" : ""] : [])];
    }),
  );
  printTable(world, ["TIME", "DEVICE", "METRIC", "VALUE", ...(withFlags ? ["CLOCK"] : [])], rows);
}
