/**
 * Disks that are slow, full, or fail now and then; and disks on which a bit has turned. What was synced stays, so that
 * the slow and the failing ones may be all of them.
 */

import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "disk";

/** One disk, or now and then all that are free. */
function victims(strike: Strike): SimulatedGateway[] {
  if (strike.random.chance(0.2)) return strike.gateways.filter((gateway) => strike.claim(gateway) !== undefined);
  const victim = strike.victim();
  return victim === undefined ? [] : [victim];
}

export const disks: readonly Fault[] = [
  {
    name: "slow-fsync",
    family,
    async carryOut(strike) {
      for (const victim of victims(strike)) {
        victim.disk.setFsync(strike.random.chance(0.8) ? { minMs: 5, maxMs: 400 } : { minMs: 400, maxMs: 3_000 });
        strike.mendLater(() => victim.disk.setFsync(undefined));
      }
      await strike.wait(strike.durationMs());
    },
  },
  {
    // Half of the changes that report an error have happened nevertheless.
    name: "io-errors",
    family,
    async carryOut(strike) {
      for (const victim of victims(strike)) {
        victim.disk.setIoErrors(strike.random.pick([0.02, 0.2, 0.8]));
        strike.mendLater(() => victim.disk.setIoErrors(0));
        if (strike.random.chance(0.3)) strike.slowDisk(victim);
      }
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "full-disk",
    family,
    async carryOut(strike) {
      for (const victim of victims(strike)) {
        victim.disk.setFull(true);
        strike.mendLater(() => victim.disk.setFull(false));
      }
      await strike.wait(strike.durationMs());
    },
  },
  {
    // Power fails while the disk fails: pages of failed fsyncs count as clean and are not there.
    name: "io-errors-then-power",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      const healthy = strike.mendLater(() => victim.disk.setIoErrors(0));
      victim.disk.setIoErrors(0.3);
      await strike.wait(strike.random.below(3_000));
      await strike.afterPromise();
      strike.crash(victim, { power: true });
      healthy();
      await strike.wait(strike.random.below(1_000));
    },
  },
];
