/** Below the horizon of its partition a reading is gone, whether it is still on disk or not. A horizon only grows. */

import { type Partition, partitionCount } from "../../lib/ids.ts";

export class Horizons {
  readonly #us = new Float64Array(partitionCount).fill(Number.NEGATIVE_INFINITY);

  of(partition: Partition): number {
    return this.#us[partition] as number;
  }

  raise(partition: Partition, us: number): void {
    if (us > this.of(partition)) this.#us[partition] = us;
  }
}
