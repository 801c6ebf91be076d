import type { JobResult } from "../../client/schema.ts";
import { formatDuration } from "../../lib/duration.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { formatTime, plain, plainValue, printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export interface RangeOptions extends RemoteOptions {
  readonly from?: string;
  readonly to?: string;
}

export async function jobList(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).jobs());
  return print(world, options, value, ({ jobs }) => {
    const rows = jobs.map((job) => [
      job.name,
      job.schedule,
      formatDuration(job.windowMs),
      `${job.metric} of ${job.devices}`,
      job.lastWindow === undefined ? "–" : formatTime(job.lastWindow.toMs),
      job.nextFireMs === undefined ? "–" : formatTime(job.nextFireMs),
      job.runs,
    ]);
    printTable(world, ["JOB", "SCHEDULE", "WINDOW", "SOURCE", "RUN UP TO", "NEXT", "RUNS"], rows);
  });
}

export async function jobRun(world: World, name: string, options: RangeOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).runJob(name, { from: options.from, to: options.to }));
  return print(world, options, value, (run) => {
    world.out.write(`${plain(run.job)}: ${run.windows} windows computed, ${run.committed} new or changed\n`);
    if (run.rows.length > 0) printRows(world, run.rows);
  });
}

export async function jobResults(world: World, name: string, options: RangeOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).results({ job: name, from: options.from, to: options.to }));
  return print(world, options, value, ({ results }) => printRows(world, results));
}

function printRows(world: World, results: readonly JobResult[]): void {
  const names = [...new Set(results.flatMap((row) => Object.keys(row.values)))];
  const rows = results.map((row) => [
    formatTime(row.from),
    formatDuration(row.to - row.from),
    groupText(row),
    ...names.map((name) => plainValue(row.values[name] ?? null)),
    row.count,
    `${row.revision}${row.complete ? "" : " (incomplete)"}`,
  ]);
  printTable(world, ["WINDOW", "LENGTH", "GROUP", ...names, "READINGS", "REVISION"], rows);
}

export function groupText(row: JobResult): string {
  const keys = Object.entries(row.group).map(([name, value]) => `${name}=${value}`);
  return keys.length === 0 ? "–" : keys.join(" ");
}
