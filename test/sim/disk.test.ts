// Goal: the simulated disk keeps the contracts of the ports, and its faults do what they say.
// Method: the contract suites in virtual time, then scenarios and a sweep of seeded crashes with a model beside it.
import { SeededRandom } from "../../src/lib/random.ts";
import { SimulatedDisk } from "../../src/sim/disk.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { logContract } from "../contracts/log.ts";
import { settle } from "./virtual-time.ts";

function simulated(seed: number) {
  const scheduler = new Scheduler();
  const disk = new SimulatedDisk({
    schedule: (delayMs, fire) => scheduler.schedule(delayMs, "disk", fire),
    random: new SeededRandom(seed),
  });
  return { scheduler, disk };
}

for (const power of [true, false]) {
  logContract(`sim/disk: log, ${power ? "power cut" : "process killed"}`, async () => {
    const { scheduler, disk } = simulated(1);
    return {
      open: (options) => disk.ports().logs.open("readings", options),
      crash: async () => disk.crash({ power }),
      settle: (promise) => settle(scheduler, promise),
      dispose: async () => undefined,
    };
  });
}
