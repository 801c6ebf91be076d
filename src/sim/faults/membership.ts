/** Members come, go and come back with empty disks, and the leadership moves, under everything else that goes wrong. */

import { votersWanted } from "../../lib/voters.ts";
import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "membership";
/** The feature level from which on members change (`core/site/features.ts`). */
const membersLevel = 2;

/**
 * All gateways are members, as many vote as should, and each has all readings that it should have, in the eyes of all of
 * them: before that, those that are left may be the only ones who vote.
 */
function isWhole(strike: Strike): boolean {
  const voters = votersWanted(strike.gateways.length);
  return strike.gateways.every((gateway) => {
    const serving = gateway.running()?.gateway.serving();
    if (serving === undefined) return false;
    // A witness without its copies, and one that still has some, count for a disk that is lost.
    if (serving.hints.standIn.witness() === gateway.id && (!serving.priming.isPrimed() || serving.hints.view().copies.length > 0))
      return false;
    const { configuration, configurationIndex, commitIndex } = serving.consensus.view();
    if (configuration.voters.length < voters || configurationIndex > commitIndex) return false;
    const members = strike.gateways.map((other) => serving.state.members().get(other.id));
    // Places that are still to be given away count as unfilled ones.
    const whole = serving.membership.members().every(({ filling }) => filling === 0);
    return whole && members.every((member) => member?.memberId !== undefined);
  });
}

/**
 * Has the operator do something to a gateway after which only the others have its readings: one at a time, until it has got
 * everything back. Meanwhile it is the operator's.
 */
function withOperator(strike: Strike, work: (victim: SimulatedGateway) => Promise<void>): void {
  const victim = strike.victim();
  const serving = victim?.running()?.gateway.serving();
  // Before all gateways have said that their versions can change members, none of them can.
  if (victim === undefined || serving === undefined || serving.state.featureLevel() < membersLevel) return;
  let done = false;
  if (!strike.budget.loseDisk(victim.id, () => done && isWhole(strike))) return;
  strike.budget.handOver(victim.id, strike.operator);
  void work(victim).then(() => {
    done = true;
    strike.budget.handOver(victim.id, undefined);
  });
}

export const membership: readonly Fault[] = [
  {
    // Just after something was promised.
    name: "replace-wiped",
    family,
    async carryOut(strike) {
      await strike.afterPromise();
      withOperator(strike, (victim) => {
        strike.note(`the disk of ${victim.id} is lost for good`);
        victim.crash({ power: true });
        victim.disk.wipe();
        return strike.operator.replace(victim);
      });
      await strike.wait(strike.durationMs());
    },
  },
  {
    name: "remove-and-add",
    family,
    async carryOut(strike) {
      withOperator(strike, (victim) => {
        strike.note(`${victim.id} is taken out`);
        return strike.operator.removeAndAdd(victim);
      });
      await strike.wait(strike.durationMs());
    },
  },
  {
    // Again and again, so that partitions are on their way most of the time.
    name: "re-weight",
    family,
    async carryOut(strike) {
      for (let changes = 1 + strike.random.below(4); changes > 0; changes--) {
        const gateway = strike.random.pick(strike.gateways);
        const weight = strike.random.pick([0, 1, 1, 2, 4]);
        strike.note(`${gateway.id} is to have a share of ${weight}`);
        strike.operator.reweigh(gateway, weight);
        await strike.wait(500 + strike.random.below(4_000));
      }
    },
  },
  {
    name: "transfer",
    family,
    async carryOut(strike) {
      const to = strike.random.chance(0.5) ? strike.random.pick(strike.gateways) : undefined;
      strike.note(`the leadership is to go to ${to?.id ?? "anybody"}`);
      strike.operator.transferLeadership(to);
      await strike.wait(strike.random.below(2_000));
    },
  },
];
