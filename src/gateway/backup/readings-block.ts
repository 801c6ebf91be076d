/** The readings of a backup's block, with every chunk verified against the series that it is said to be of. */

import { type BackupBlock, damaged, type SeriesDigest } from "../../lib/backup-file.ts";
import { readingsItems } from "../../lib/backup-items.ts";
import { type Result, success } from "../../lib/errors.ts";
import { deviceId } from "../../lib/ids.ts";
import type { Packing } from "../../lib/packing.ts";
import { decodeChunk } from "../../series/chunk.ts";
import { addDigests, digestRun, emptyDigest, seriesHashOf } from "../../series/digest.ts";
import type { SeriesReadings } from "./readings-writer.ts";

export function readingsOfBlock(packing: Packing, block: BackupBlock): Result<SeriesReadings[]> {
  const items = readingsItems(packing, block);
  if (!items.ok) return items;
  const found: SeriesReadings[] = [];
  for (const { device, metric, chunks } of items.value) {
    const hash = seriesHashOf(device, metric);
    for (const bytes of chunks) {
      const chunk = decodeChunk(hash, bytes);
      if (!chunk.ok) return damaged(`block ${block.ordinal}: readings of ${device} ${metric}: ${chunk.message}`);
      found.push({ device: deviceId(device), metric, run: chunk.value.run });
    }
  }
  return success(found);
}

/** How many readings of which series the block has, and their digests, from the readings themselves. */
export function digestsOfBlock(packing: Packing, block: BackupBlock): Result<SeriesDigest[]> {
  const readings = readingsOfBlock(packing, block);
  if (!readings.ok) return readings;
  const digests: SeriesDigest[] = [];
  for (const { device, metric, run } of readings.value) {
    const last = digests.at(-1);
    const known = last?.device === device && last.metric === metric ? digests.pop() : undefined;
    digests.push({ device, metric, ...addDigests(known ?? emptyDigest, digestRun(seriesHashOf(device, metric), run)) });
  }
  return success(digests);
}
