/** What the command line is handed of the series engine, loaded only when it reads a backup. */

import { digestsOfBlock } from "./gateway/backup/readings-block.ts";
import type { BackupBlock, SeriesDigest } from "./lib/backup-file.ts";
import type { Result } from "./lib/errors.ts";
import { Packing } from "./lib/packing.ts";

const packing = new Packing();

export async function digestsOfReadings(block: BackupBlock): Promise<Result<readonly SeriesDigest[]>> {
  return digestsOfBlock(packing, block);
}
