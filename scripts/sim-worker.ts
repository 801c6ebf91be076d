// A process that runs one seed after the other for `scripts/sim.ts`: a task comes in, a report goes out. It ends with its parent.
import { runSeed } from "../src/sim/run-seed.ts";
import type { SeedTask } from "./sim-workers.ts";
import { simulatorWorld } from "./sim-world.ts";

const world = await simulatorWorld();

process.on("message", (message) => {
  const { seed, faultsMs, skip, gateways, only } = message as SeedTask;
  const drawn = { ...(gateways === undefined ? {} : { gateways }), ...(only === undefined ? {} : { only }) };
  runSeed({ seed, world, faultsMs, skipFaults: new Set(skip), ...drawn }).then(
    (report) => process.send?.(report),
    (cause: unknown) => {
      console.error(cause);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
