// What the simulator takes from the real world: the hash, the cron matcher, and Node's way of letting promises go on.
import { NodeCron } from "../src/adapters/node-cron.ts";
import { loadHash64 } from "../src/adapters/xxhash.ts";
import { SimulatedSettings } from "../src/sim/settings.ts";
import type { SimulatorWorld } from "../src/sim/site.ts";

/** One world serves any number of seeds of a process, one after the other. */
export async function simulatorWorld(): Promise<SimulatorWorld> {
  return { hash64: await loadHash64(), cron: new NodeCron(), settings: new SimulatedSettings(), drive: driveByImmediates };
}

/** Immediates of one turn of the event loop. */
const batchMax = 256;

/**
 * Node lets all promises go on between one immediate and the next, also between those of one turn of the event loop. So
 * one immediate is one step, and many are queued at once: a turn of the event loop costs more than a simulated event.
 */
function driveByImmediates(step: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let going = true;
    let queued = 0;
    let batch = 1;
    const fill = (): void => {
      queued = batch;
      for (let i = 0; i < batch; i++) setImmediate(turn);
      batch = Math.min(2 * batch, batchMax);
    };
    const turn = (): void => {
      queued--;
      if (!going) return;
      try {
        going = step();
      } catch (error) {
        going = false;
        reject(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      if (!going) resolve();
      else if (queued === 0) fill();
    };
    fill();
  });
}
