/** Processes that are killed, machines that lose power, one or all of them, at any effect boundary; processes that stand still. */

import { effectKinds } from "../effect-boundary.ts";
import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "crash";
const pauses = "pause";
/** How long a gateway is given to reach the effect at which it dies. */
const sentenceMs = 6_000;

/** Draws at which of its effects a process dies: soon or late, of all kinds or of one. */
async function dieAtEffect(strike: Strike, victim: SimulatedGateway): Promise<void> {
  const { random } = strike;
  const process = victim.running()?.process;
  if (process === undefined) return;
  const kind = random.chance(0.5) ? random.pick(effectKinds) : undefined;
  const effects = random.below(random.pick(kind === undefined ? [5, 50, 500] : [2, 10, 40]));
  strike.crashAtEffect(victim, { effects, power: random.chance(0.5), ...(kind === undefined ? {} : { kinds: [kind] }) });
  strike.note(`${victim.id} dies after ${effects} effects${kind === undefined ? "" : ` of kind ${kind}`}`);
  await strike.reaches(() => !process.alive(), sentenceMs);
  // What it did not live to do any more must not strike when this strike is long over.
  if (process.alive()) victim.crash({ power: false });
}

export const processes: readonly Fault[] = [
  {
    name: "power-cut",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      strike.crash(victim, { power: true });
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "kill",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      strike.crash(victim, { power: false });
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "dies-at-effect",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      await dieAtEffect(strike, victim);
      await strike.wait(strike.random.below(3_000));
    },
  },
  {
    // Also while it recovers from the death before.
    name: "dies-again-and-again",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      for (let deaths = 2 + strike.random.below(4); deaths > 0; deaths--) {
        await dieAtEffect(strike, victim);
        await strike.wait(strike.random.below(300));
        strike.start(victim);
        await strike.wait(strike.random.below(20));
      }
    },
  },
  {
    // In the very moment in which something was promised, with slow disks, so that much is unsynced.
    name: "site-power-cut",
    family,
    async carryOut(strike) {
      const { random, gateways } = strike;
      if (!(await strike.everybody())) return;
      const healthy = random.chance(0.7) ? gateways.map((gateway) => strike.slowDisk(gateway)) : [];
      await strike.wait(random.below(1_500));
      await strike.afterPromise();
      for (const gateway of gateways) strike.crash(gateway, { power: true });
      for (const mend of healthy) mend();
      await strike.wait(random.below(500));
      for (const gateway of gateways) {
        strike.start(gateway);
        await strike.wait(random.below(2_000));
      }
    },
  },
  {
    // Of one gateway after the other, each just after a promise: no disk but the synced ones may be relied on.
    name: "power-cuts-in-turn",
    family,
    async carryOut(strike) {
      for (const gateway of strike.gateways) {
        if (strike.claim(gateway) === undefined) continue;
        await strike.afterPromise();
        strike.crash(gateway, { power: true });
        await strike.wait(strike.random.below(300));
        strike.start(gateway);
      }
    },
  },
  {
    name: "pause",
    family: pauses,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      strike.pause(victim);
      await strike.wait(strike.durationMs());
    },
  },
  {
    // As a machine that swaps: moments of work between moments of nothing.
    name: "pauses-in-fits",
    family: pauses,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      for (let fits = 2 + strike.random.below(10); fits > 0; fits--) {
        const resume = strike.pause(victim);
        await strike.wait(strike.random.below(1_500));
        resume();
        await strike.wait(strike.random.below(200));
      }
    },
  },
];
