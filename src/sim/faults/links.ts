/** Links that carry, but badly: clogged and unclogged one by one, slow in one direction, lossy for a while. */

import type { Fault, Strike } from "./strike.ts";

const family = "link";

function anyLink(strike: Strike): readonly [from: (typeof strike.gateways)[number], to: (typeof strike.gateways)[number]] {
  const { gateways, random } = strike;
  const from = random.below(gateways.length);
  const to = (from + 1 + random.below(gateways.length - 1)) % gateways.length;
  return [gateways[from] as (typeof gateways)[number], gateways[to] as (typeof gateways)[number]];
}

export const links: readonly Fault[] = [
  {
    // What waited comes in a burst: old requests, answers and heartbeats together.
    name: "clog",
    family,
    async carryOut(strike) {
      const { random, site } = strike;
      const unclog: (() => void)[] = [];
      for (let count = 1 + random.below(4); count > 0; count--) {
        const [from, to] = anyLink(strike);
        unclog.push(strike.mendLater(site.network.clog(from.id, to.id)));
        await strike.wait(random.below(1_000));
      }
      await strike.wait(strike.durationMs() / 2);
      for (const free of unclog) {
        free();
        await strike.wait(random.below(1_500));
      }
    },
  },
  {
    name: "clog-in-fits",
    family,
    async carryOut(strike) {
      const { random, site } = strike;
      const [from, to] = anyLink(strike);
      for (let turns = 2 + random.below(8); turns > 0; turns--) {
        const free = strike.mendLater(site.network.clog(from.id, to.id));
        await strike.wait(random.below(1_200));
        free();
        await strike.wait(random.below(300));
      }
    },
  },
  {
    name: "slow-link",
    family,
    async carryOut(strike) {
      const { random, site } = strike;
      for (let count = 1 + random.below(3); count > 0; count--) {
        const [from, to] = anyLink(strike);
        strike.mendLater(site.network.slow(from.id, to.id, random.pick([20, 200, 1_000, 3_000])));
      }
      await strike.wait(strike.durationMs());
    },
  },
  {
    // What the site agrees on reaches one gateway late, while all else goes on: it acts under a table that is past.
    name: "late-news",
    family,
    async carryOut(strike) {
      const { random, site, gateways } = strike;
      const late = random.pick(gateways);
      const delayMs = random.pick([500, 2_000, 6_000]);
      strike.note(`what Raft says reaches ${late.id} ${delayMs} ms later`);
      for (const { id } of gateways) if (id !== late.id) strike.mendLater(site.network.slow(id, late.id, delayMs, "raft"));
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "bad-weather",
    family,
    async carryOut(strike) {
      const { random, site } = strike;
      if (!strike.budget.claimWeather(strike)) return;
      const { tuning } = site.network;
      const { dropProbability, duplicateProbability, reorderProbability } = tuning;
      strike.mendLater(() => Object.assign(tuning, { dropProbability, duplicateProbability, reorderProbability }));
      tuning.dropProbability = random.pick([0, 0.1, 0.4]);
      tuning.duplicateProbability = random.pick([0, 0.1, 0.5]);
      tuning.reorderProbability = random.pick([0, 0.2, 0.5]);
      await strike.wait(strike.durationMs());
    },
  },
];
