/** Faults that wait for the worst moment of an election or a commit. */

import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "election";
/** By then every follower that hears of no leader is due to stand. */
const electionMs = 2_500;
const voteMs = 3_000;
const handOnMs = 500;

/** Term and choice of a gateway's last vote. */
function voteOf(gateway: SimulatedGateway): string | undefined {
  const view = gateway.running()?.gateway.serving()?.consensus.view();
  return view?.votedFor === undefined ? undefined : `${view.term} ${view.votedFor}`;
}

/** By what name Raft knows the gateway's folder. */
function memberOf(gateway: SimulatedGateway): string {
  return gateway.running()?.gateway.serving()?.consensus.view().self ?? gateway.id;
}

/** Two groups, without the voter, that do not hear each other. */
function cutSides(strike: Strike, sides: readonly [readonly SimulatedGateway[], readonly SimulatedGateway[]]): (() => void)[] {
  return sides[0].flatMap((one) => sides[1].map((other) => strike.cutBoth(one, other)));
}

/**
 * Two candidates for one term, and one voter that loses power just after its vote and is back before the election is
 * over. The candidates hear nothing of each other, or they would not use one term; they stand still until both are due,
 * and with slow disks one of them asks late.
 */
async function voterRestarts(strike: Strike): Promise<void> {
  const { gateways, random } = strike;
  if (!(await strike.everybody())) return;
  const voter = strike.site.leader() ?? random.pick(gateways);
  const others = gateways.filter((gateway) => gateway !== voter);
  const sides = [others.filter((_, at) => at % 2 === 0), others.filter((_, at) => at % 2 === 1)] as const;
  for (const other of others) strike.slowDisk(other);
  for (let turn = 0; turn < 2; turn++) {
    const heals = cutSides(strike, sides);
    const cutVoter = others.map((other) => strike.cutBoth(voter, other));
    const resumes = others.map((other) => strike.pause(other));
    await strike.wait(electionMs);
    for (const heal of cutVoter) heal();
    for (const resume of resumes) resume();
    const before = voteOf(voter);
    await strike.reaches(() => voteOf(voter) !== before && voteOf(voter)?.endsWith(` ${memberOf(voter)}`) === false, voteMs);
    // Its vote reaches the disk, and the candidate.
    await strike.wait(random.below(20));
    const vote = voteOf(voter) ?? "";
    strike.crash(voter, { power: true });
    // The other side asks first.
    const favoured = sides.find((side) => side.some((gateway) => vote.endsWith(` ${memberOf(gateway)}`))) ?? [];
    heals.push(...favoured.map((gateway) => strike.cutBoth(voter, gateway)));
    await strike.wait(random.below(20));
    strike.start(voter);
    await strike.wait(random.below(2_000));
    for (const heal of heals) heal();
  }
}

/** Cuts one off from all others; what comes back heals it. */
function alone(strike: Strike, one: SimulatedGateway): () => void {
  const heals = strike.gateways.filter((other) => other !== one).map((other) => strike.cutBoth(one, other));
  return () => {
    for (const heal of heals) heal();
  };
}

function leads(gateway: SimulatedGateway): boolean {
  return gateway.running()?.gateway.serving()?.consensus.isLeader() === true;
}

function lastIndexOf(gateway: SimulatedGateway): number {
  return gateway.running()?.gateway.serving()?.consensus.view().lastIndex ?? 0;
}

/** How far the log of a follower is known to be the leader's: what the leader counts. */
function handedOn(leader: SimulatedGateway): number {
  const view = leader.running()?.gateway.serving()?.consensus.view();
  return Math.max(0, ...(view?.followers ?? []).map((follower) => follower.matchIndex));
}

/**
 * Figure 8 of the Raft paper: a leader keeps an entry to itself; a second one leads, and keeps its own; the first leads
 * again and hands its old entry on, which a majority then has; it is lost before it hands on more; the second may win.
 */
async function figure8(strike: Strike): Promise<void> {
  const { random, site } = strike;
  if (!(await strike.everybody())) return;
  const first = site.leader();
  if (first === undefined) return;
  const before = lastIndexOf(first);
  const healFirst = alone(strike, first);
  await strike.reaches(() => lastIndexOf(first) > before, electionMs);
  const others = strike.gateways.filter((gateway) => gateway !== first);
  if (!(await strike.reaches(() => others.some(leads), 2 * electionMs))) return;
  const second = others.find(leads);
  if (second === undefined) return;
  const healSecond = alone(strike, second);
  healFirst();
  if (!(await strike.reaches(() => leads(first), 3 * electionMs))) return;
  // Its last entry is the one with which it began to lead: what a majority is to have is the one before.
  const old = lastIndexOf(first) - 1;
  if (random.chance(0.7)) await strike.reaches(() => handedOn(first) >= old, handOnMs);
  else await strike.wait(random.real() * random.pick([5, 20, 80]));
  if (random.chance(0.5)) alone(strike, first);
  else strike.crash(first, { power: random.chance(0.5) });
  healSecond();
  await strike.reaches(() => leads(second), 2 * electionMs);
  await strike.wait(random.below(1_000));
}

export const elections: readonly Fault[] = [
  { name: "figure-8", family, carryOut: figure8 },
  { name: "voter-restarts", family, carryOut: voterRestarts },
  {
    // Just after something was committed or acknowledged, for long enough that another takes over.
    name: "leader-lost-after-commit",
    family,
    async carryOut(strike) {
      await strike.afterPromise();
      const leader = strike.site.leader();
      if (leader === undefined) return;
      if (strike.random.chance(0.3)) {
        alone(strike, leader);
        await strike.wait(2_000 + strike.durationMs());
        return;
      }
      if (strike.claim(leader) === undefined) return;
      strike.crash(leader, { power: strike.random.chance(0.7) });
      await strike.wait(2_000 + strike.durationMs());
    },
  },
  {
    // The leader stands still, is deposed, and goes on as if nothing had happened: what it believes is old.
    name: "leader-stands-still",
    family,
    async carryOut(strike) {
      const leader = strike.site.leader();
      if (leader === undefined || strike.claim(leader) === undefined) return;
      const resume = strike.pause(leader);
      await strike.wait(electionMs + strike.random.below(3_000));
      // It hears of its successor late.
      const heals = strike.gateways.filter((other) => other !== leader).map((other) => strike.site.network.cut(other.id, leader.id));
      for (const heal of heals) strike.mendLater(heal);
      resume();
      await strike.wait(strike.random.below(2_000));
    },
  },
  {
    // The leader's clocks nearly stand still, and nobody hears it: it goes on leading long after the others have elected another.
    name: "leader-in-slow-time",
    family,
    async carryOut(strike) {
      const leader = strike.site.leader();
      if (leader === undefined || strike.claim(leader) === undefined) return;
      leader.clock.run(strike.random.pick([0.05, 0.2, 0.5]));
      strike.mendLater(() => leader.clock.set());
      alone(strike, leader);
      await strike.wait(electionMs + strike.random.below(4_000));
    },
  },
  {
    // One leader after the other is gone as soon as it leads: terms go by, logs differ.
    name: "leaders-fall",
    family,
    async carryOut(strike) {
      for (let turns = 3 + strike.random.below(3); turns > 0; turns--) {
        await strike.reaches(() => strike.site.leader() !== undefined, 5_000);
        const leader = strike.site.leader();
        if (leader === undefined) return;
        await strike.wait(strike.random.below(strike.random.pick([10, 200, 1_000])));
        if (strike.random.chance(0.5) && strike.claim(leader) !== undefined) {
          strike.crash(leader, { power: strike.random.chance(0.5) });
          await strike.wait(strike.random.below(3_000));
          strike.start(leader);
          continue;
        }
        const heal = alone(strike, leader);
        await strike.wait(electionMs + strike.random.below(1_500));
        heal();
      }
    },
  },
];
