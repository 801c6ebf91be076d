/** Clocks that jump, drift, stand still, and are set right again. Both clocks of a machine drift; only the wall clock does the rest. */

import type { Fault } from "./strike.ts";

const family = "clock";

export const clocks: readonly Fault[] = [
  {
    name: "clock-jump",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      const { random } = strike;
      const reach = random.pick([1_000, 20_000, 20_000_000]);
      for (let jumps = 1 + random.below(3); jumps > 0; jumps--) {
        victim.clock.jump(random.below(reach) - Math.floor(reach / 2));
        await strike.wait(random.below(2_000));
      }
      // Otherwise it stays wrong until something else sets it.
      if (random.chance(0.5)) victim.clock.set();
    },
  },
  {
    name: "clock-drift",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      victim.clock.run(1 + strike.random.pick([0.001, 0.02, 0.1]) * (strike.random.chance(0.5) ? 1 : -1));
      const set = strike.random.chance(0.5);
      if (!set) return;
      strike.mendLater(() => victim.clock.set());
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "clock-stuck",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      victim.clock.stick();
      strike.mendLater(() => victim.clock.unstick());
      await strike.wait(strike.durationMs() * 2);
    },
  },
  {
    name: "clock-unsynchronised",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      victim.clock.synchronised = false;
      strike.mendLater(() => {
        victim.clock.synchronised = true;
      });
      await strike.wait(strike.durationMs());
    },
  },
];
