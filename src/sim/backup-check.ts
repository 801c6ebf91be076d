/** A backup of a simulated site, read as its restore would read it: what the checks at the end of a seed compare. */

import { readingsOfBlock } from "../gateway/backup/readings-block.ts";
import { decodeRows } from "../gateway/jobs/result-row.ts";
import { type BackupBlock, BackupKind, BackupReader, readFailed } from "../lib/backup-file.ts";
import { resultItems } from "../lib/backup-items.ts";
import type { Result } from "../lib/errors.ts";
import { Packing } from "../lib/packing.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";
import { SafetyViolation } from "./violations.ts";

export interface BackupContents {
  /** Values of the metric `value`, by device and millisecond. */
  readonly readings: ReadonlyMap<string, ReadonlyMap<number, number>>;
  /** The newest revision of each row. */
  readonly results: ReadonlyMap<string, number>;
}

const withinMs = 300_000;

/** Throws when the gateway cannot make it, or it is not whole. */
export async function readBackup(site: SimulatedSite, gateway: SimulatedGateway): Promise<BackupContents> {
  const service = gateway.running()?.service;
  if (service === undefined) throw new SafetyViolation(`${gateway.id} is not running`);
  const must = <T>(result: Result<T>): T => {
    if (!result.ok) throw new SafetyViolation(`the backup of ${gateway.id}: ${result.message}`);
    return result.value;
  };
  const packing = new Packing();
  const contents = { readings: new Map<string, Map<number, number>>(), results: new Map<string, number>() };
  const reader = new BackupReader(packing);
  const pieces = must(await site.answer(service.backup({ allowIncomplete: false }), withinMs));
  for (let next = await site.answer(pieces.next(), withinMs); next.done !== true; next = await site.answer(pieces.next(), withinMs))
    for (const block of must(reader.push(next.value))) take(block);
  must(reader.ended());
  return contents;

  function take(block: BackupBlock): void {
    if (block.kind === BackupKind.Failed) must(readFailed(packing, block.content));
    if (block.kind === BackupKind.Readings) for (const series of must(readingsOfBlock(packing, block))) takeReadings(series);
    if (block.kind !== BackupKind.Results) return;
    for (const { rows } of must(resultItems(packing, block)))
      for (const row of must(decodeRows(packing, rows)))
        contents.results.set(row.id, Math.max(row.revision, contents.results.get(row.id) ?? 0));
  }

  function takeReadings({
    device,
    metric,
    run,
  }: {
    device: string;
    metric: string;
    run: { count: number; times: Float64Array; numbers: Float64Array };
  }): void {
    if (metric !== "value") return;
    const known = contents.readings.get(device) ?? new Map<number, number>();
    contents.readings.set(device, known);
    for (let row = 0; row < run.count; row++) known.set((run.times[row] as number) / 1_000, run.numbers[row] as number);
  }
}
