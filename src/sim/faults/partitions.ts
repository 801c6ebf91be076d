/** The network falls into parts that do not hear each other, or hear each other in one direction only. */

import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

/** A direction that is to be cut. */
type Direction = readonly [from: SimulatedGateway, to: SimulatedGateway];

const family = "partition";
/** Links go, and come back, within this time of each other. */
const staggerMs = 1_500;

const both = (a: SimulatedGateway, b: SimulatedGateway): Direction[] => [
  [a, b],
  [b, a],
];

/** Cuts, stays, heals: all at once, or one after the other. */
async function cutFor(strike: Strike, directions: readonly Direction[], ms = strike.durationMs()): Promise<void> {
  const { random, site } = strike;
  const heals: (() => void)[] = [];
  const slowly = random.chance(0.3);
  for (const [from, to] of shuffled(strike, directions)) {
    heals.push(strike.mendLater(site.network.cut(from.id, to.id)));
    if (slowly) await strike.wait(random.below(staggerMs / directions.length));
  }
  await strike.wait(ms);
  const oneByOne = random.chance(0.5);
  for (const heal of shuffled(strike, heals)) {
    heal();
    if (oneByOne) await strike.wait(random.below(staggerMs));
  }
}

function shuffled<T>(strike: Strike, items: readonly T[]): T[] {
  const result = [...items];
  for (let at = result.length - 1; at > 0; at--) {
    const other = strike.random.below(at + 1);
    [result[at], result[other]] = [result[other] as T, result[at] as T];
  }
  return result;
}

/** All directions between the members of different groups. */
function between(groups: readonly (readonly SimulatedGateway[])[]): Direction[] {
  const directions: Direction[] = [];
  for (const [at, group] of groups.entries())
    for (const other of groups.slice(at + 1)) for (const a of group) for (const b of other) directions.push(...both(a, b));
  return directions;
}

export const partitions: readonly Fault[] = [
  {
    name: "isolate",
    family,
    async carryOut(strike) {
      const [alone, ...others] = shuffled(strike, strike.gateways);
      if (alone !== undefined) await cutFor(strike, between([[alone], others]));
    },
  },
  {
    // Hears all and is not heard, or the reverse: the one that troubles leaders most.
    name: "one-way",
    family,
    async carryOut(strike) {
      const victim = strike.random.chance(0.5) ? (strike.site.leader() ?? strike.gateways[0]) : strike.random.pick(strike.gateways);
      const deaf = strike.random.chance(0.5);
      const others = strike.gateways.filter((other) => other !== victim);
      if (victim === undefined) return;
      await cutFor(
        strike,
        others.map((other): Direction => (deaf ? [other, victim] : [victim, other])),
      );
    },
  },
  {
    name: "pair",
    family,
    async carryOut(strike) {
      const [a, b] = shuffled(strike, strike.gateways) as [SimulatedGateway, SimulatedGateway];
      await cutFor(strike, strike.random.chance(0.5) ? [[a, b]] : both(a, b));
    },
  },
  {
    // Any subset of all directions.
    name: "random-links",
    family,
    async carryOut(strike) {
      const all = strike.gateways.flatMap((a) => strike.gateways.filter((b) => b !== a).map((b): Direction => [a, b]));
      await cutFor(
        strike,
        all.filter(() => strike.random.chance(0.4)),
      );
    },
  },
  {
    name: "split",
    family,
    async carryOut(strike) {
      const order = shuffled(strike, strike.gateways);
      const majority = Math.floor(order.length / 2) + 1;
      await cutFor(strike, between([order.slice(0, majority), order.slice(majority)]));
    },
  },
  {
    // Each hears its two neighbours; of three gateways two do not hear each other.
    name: "ring",
    family,
    async carryOut(strike) {
      const order = shuffled(strike, strike.gateways);
      const directions: Direction[] = [];
      for (const [at, a] of order.entries()) {
        for (const [apart, b] of order.slice(at + 1).entries()) {
          const neighbours = apart === 0 || (order.length > 3 && at === 0 && apart === order.length - 2);
          if (!neighbours) directions.push(...both(a, b));
        }
      }
      await cutFor(strike, directions);
    },
  },
  {
    // One gateway hears both halves, which do not hear each other: now and then it is the leader.
    name: "bridge",
    family,
    async carryOut(strike) {
      const [bridge, ...others] = shuffled(strike, strike.gateways);
      if (bridge === undefined) return;
      const half = Math.ceil(others.length / 2);
      await cutFor(strike, between([others.slice(0, half), others.slice(half)]));
    },
  },
  {
    name: "everybody-alone",
    family,
    async carryOut(strike) {
      await cutFor(strike, between(strike.gateways.map((gateway) => [gateway])));
    },
  },
  {
    // Longer than keep-alives bear: links break on either side, and are made anew.
    name: "long-cut",
    family,
    async carryOut(strike) {
      const [alone, ...others] = shuffled(strike, strike.gateways);
      if (alone !== undefined) await cutFor(strike, between([[alone], others]), 8_000 + strike.random.below(8_000));
    },
  },
];
