/**
 * Clocks that are years away: one that jumps to 2038, a board that wakes up in 1970. Never those of half of the gateways or more: while
 * most clocks are right, and heard, the site knows the time.
 */

import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

export const farClockFamily = "far-clock";
/** Where 32 bits of seconds end. */
const in2038Ms = Date.UTC(2038, 0, 19, 3, 14, 8);
/** A clock that is further off is wrong. */
const rightWithinMs = 250;

export const farClocks: readonly Fault[] = [
  {
    name: "clock-in-2038",
    family: farClockFamily,
    async carryOut(strike) {
      const victim = victimOf(strike);
      if (victim === undefined) return;
      const setRight = strike.mendLater(() => victim.clock.set());
      for (let turns = 1 + strike.random.below(3); turns > 0 && mayBeWrong(strike, victim); turns--) {
        victim.clock.jump(in2038Ms - victim.clock.wallMs());
        await strike.wait(strike.durationMs());
        victim.clock.set();
        await strike.wait(strike.random.below(3_000));
      }
      setRight();
    },
  },
  {
    name: "boots-in-1970",
    family: farClockFamily,
    async carryOut(strike) {
      const victim = victimOf(strike);
      if (victim === undefined) return;
      strike.crash(victim, { power: true });
      victim.clock.jump(strike.random.below(100_000) - victim.clock.wallMs());
      victim.clock.synchronised = false;
      strike.mendLater(() => {
        victim.clock.set();
        victim.clock.synchronised = true;
      });
      await strike.wait(strike.random.below(2_000));
      strike.start(victim);
      await strike.wait(strike.durationMs() * 2);
    },
  },
];

function victimOf(strike: Strike): SimulatedGateway | undefined {
  const victim = strike.victim();
  return victim !== undefined && mayBeWrong(strike, victim) ? victim : undefined;
}

/** As far as the others' clocks are concerned. */
function mayBeWrong({ gateways, site }: Strike, victim: SimulatedGateway): boolean {
  const wrong = gateways.filter((one) => one !== victim && Math.abs(one.clock.wallMs() - site.wallMs()) > rightWithinMs).length;
  return wrong + 1 < gateways.length / 2;
}
