/** All that may go wrong at a simulated site, by family. */

import { clocks } from "./clocks.ts";
import { disks } from "./disks.ts";
import { elections } from "./elections.ts";
import { farClocks } from "./far-clocks.ts";
import { folders } from "./folders.ts";
import { links } from "./links.ts";
import { membership } from "./membership.ts";
import { oldTables } from "./old-tables.ts";
import { partitions } from "./partitions.ts";
import { processes } from "./processes.ts";
import type { Fault } from "./strike.ts";

export const faults: readonly Fault[] = [
  ...processes,
  ...elections,
  ...partitions,
  ...links,
  ...clocks,
  ...disks,
  ...folders,
  ...membership,
  ...farClocks,
  ...oldTables,
];

export const faultFamilies: readonly string[] = [...new Set(faults.map((fault) => fault.family))];

/** The faults of these families, or of these names; throws a `RangeError` for one that does not exist. */
export function faultsOf(only: readonly string[]): readonly Fault[] {
  for (const word of only) {
    if (!faults.some((fault) => fault.family === word || fault.name === word))
      throw new RangeError(`there is no fault or family "${word}"; the families: ${faultFamilies.join(", ")}`);
  }
  return faults.filter((fault) => only.includes(fault.family) || only.includes(fault.name));
}
