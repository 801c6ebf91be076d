/**
 * Data folders that are not the ones that they should be: an older copy, an empty disk, a log in which a bit has turned.
 * Such a gateway must be refused, by its peers or by itself, and must not have any say until it has its newest folder back.
 */

import type { DiskContents } from "../disk.ts";
import type { SimulatedGateway } from "../simulated-gateway.ts";
import { SafetyViolation } from "../violations.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "folder";
/** A gateway that is linked to its peers hears within this time that its folder is not wanted. */
const refusedMs = 8_000;
const rememberedMs = 10_000;
const openedMs = 3_000;

/** How often each of the others, by what its disk holds, has seen this gateway start. */
function startsRemembered(strike: Strike, victim: SimulatedGateway): number[] {
  return strike.gateways
    .filter((other) => other !== victim)
    .map((other) => {
      const peers = other.disk.document("peers") as Record<string, { readonly startCount: number }> | undefined;
      return peers?.[victim.id]?.startCount ?? 0;
    });
}

/** Whether the gateway hears its peers, and they it, and they are there to refuse it. */
function hearsAll(strike: Strike, victim: SimulatedGateway): boolean {
  const { network } = strike.site;
  return strike.gateways.every((other) => {
    if (other === victim) return true;
    const running = other.running();
    if (running?.gateway.phase() !== "serving" || running.process.paused()) return false;
    return network.passes(other.id, victim.id) && network.passes(victim.id, other.id);
  });
}

/** The folder that the gateway has is put away; it comes back when the strike mends, and the gateway with it. */
function putAway(strike: Strike, victim: SimulatedGateway): void {
  strike.crash(victim, { power: strike.random.chance(0.5) });
  const newest: DiskContents = victim.disk.image();
  strike.mendLater(() => {
    victim.crash({ power: false });
    victim.disk.restore(newest);
    strike.budget.diskMended(victim.id);
    strike.start(victim);
  });
}

/** Starts the gateway on what it has now, which must end with one of these codes: at the latest when all its peers hear it. */
async function mustBeRefused(strike: Strike, victim: SimulatedGateway, what: string, codes: readonly string[]): Promise<void> {
  strike.start(victim);
  const endMs = strike.site.nowMs() + strike.durationMs() + refusedMs;
  let hearingSinceMs: number | undefined;
  while (strike.site.nowMs() < endMs) {
    const running = victim.running();
    if (running === undefined) {
      const why = victim.stoppedItself();
      if (why !== undefined && !codes.includes(why.code))
        throw new SafetyViolation(`${victim.id}, started with ${what}, stopped for another reason: ${why.message}`);
      // Whoever looks after it starts it once more, in vain.
      await strike.wait(strike.random.below(3_000));
      return;
    }
    if (running.gateway.serving()?.consensus.isLeader() === true) throw new SafetyViolation(`${victim.id} leads with ${what}`);
    hearingSinceMs = hearsAll(strike, victim) ? (hearingSinceMs ?? strike.site.nowMs()) : undefined;
    if (hearingSinceMs !== undefined && strike.site.nowMs() - hearingSinceMs > refusedMs)
      throw new SafetyViolation(`${victim.id} goes on with ${what}, though its peers have heard it for ${refusedMs} ms`);
    await strike.wait(100);
  }
}

export const folders: readonly Fault[] = [
  {
    name: "old-copy",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim?.running()?.gateway.phase() !== "serving" || !strike.budget.breakDisk(victim.id)) return;
      const mended = strike.mendLater(() => strike.budget.diskMended(victim.id));
      const copy = victim.disk.image();
      const before = startsOf(copy);
      await strike.wait(strike.durationMs());
      // A copy is known to be older by a later start that the peers remember: one that no majority has seen is not.
      strike.crash(victim, { power: strike.random.chance(0.5) });
      await strike.wait(strike.random.below(500));
      strike.start(victim);
      const known = (): boolean => startsRemembered(strike, victim).every((count) => count > before);
      if (!(await strike.reaches(known, rememberedMs))) {
        mended();
        return;
      }
      await strike.wait(strike.random.below(3_000));
      putAway(strike, victim);
      victim.disk.restore(copy);
      await mustBeRefused(strike, victim, "an older copy of its folder", ["identity-refused"]);
    },
  },
  {
    name: "wiped-disk",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined || !strike.budget.breakDisk(victim.id)) return;
      putAway(strike, victim);
      victim.disk.wipe();
      await mustBeRefused(strike, victim, "an empty folder", ["identity-refused"]);
    },
  },
  {
    // The readings log refuses to open; Raft's opens, and the gateway decides nothing until it has got back what it lost.
    name: "bit-flip",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined) return;
      const damage: Damage = { begun: false };
      if (!strike.budget.breakDisk(victim.id, () => damage.begun && isHealed(victim))) return;
      strike.crash(victim, { power: strike.random.chance(0.5) });
      await flipAndStart(strike, victim, { log: strike.random.pick(["raft", "readings"]), damage });
      await strike.wait(strike.durationMs());
    },
  },
  {
    // Whoever reads the chunk, or the scrub, finds it; other owners answer. In the end it is as if it had been fetched again.
    name: "chunk-rot",
    family,
    async carryOut(strike) {
      const victim = strike.victim();
      if (victim === undefined || !strike.budget.breakDisk(victim.id)) return;
      const mend = victim.disk.rotChunk("store", strike.random);
      if (mend === undefined) {
        strike.budget.diskMended(victim.id);
        return;
      }
      strike.mendLater(() => {
        victim.crash({ power: false });
        mend();
        strike.budget.diskMended(victim.id);
        strike.start(victim);
      });
      await strike.wait(strike.durationMs());
    },
  },
  { name: "damaged-voter", family, carryOut: damagedVoter },
];

/** Has all of its log, and a say again. */
function isHealed(gateway: SimulatedGateway): boolean {
  const serving = gateway.running()?.gateway.serving();
  return serving !== undefined && serving.consensus.view().impairedUntil === undefined;
}

/** Whether a gateway runs on its damaged log: from then on it may be healed, and not before. */
interface Damage {
  begun: boolean;
}

/** A bit of the log turns while the gateway is down. One that does not start any more gets its folder back in the end. */
async function flipAndStart(
  strike: Strike,
  victim: SimulatedGateway,
  { log, damage }: { readonly log: string; readonly damage: Damage },
): Promise<void> {
  const intact = victim.disk.image();
  if (!victim.disk.flipLogBit(log)) {
    strike.budget.diskMended(victim.id);
    return;
  }
  strike.note(`a bit of the ${log} log of ${victim.id} turns`);
  strike.start(victim);
  damage.begun = true;
  await strike.reaches(() => victim.running() === undefined || isHealed(victim), openedMs);
  if (victim.running() !== undefined) return;
  const why = victim.stoppedItself();
  if (why !== undefined && why.code !== "log-damaged")
    throw new SafetyViolation(`${victim.id}, started with a damaged ${log} log, stopped for another reason: ${why.message}`);
  strike.mendLater(() => {
    victim.disk.restore(intact);
    strike.budget.diskMended(victim.id);
    strike.start(victim);
  });
}

/**
 * An entry is committed by a leader and one other; that one's log is damaged, and the leader cut off, so that the damaged
 * one and one that never had the entry are a majority by number.
 */
async function damagedVoter(strike: Strike): Promise<void> {
  if (!(await strike.everybody())) return;
  const { gateways, random, site } = strike;
  const leader = site.leader();
  if (leader === undefined) return;
  const others = gateways.filter((gateway) => gateway !== leader);
  const victim = random.pick(others);
  const behind = others.filter((gateway) => gateway !== victim).slice(0, Math.floor(gateways.length / 2));
  const damage: Damage = { begun: false };
  if (!strike.budget.breakDisk(victim.id, () => damage.begun && isHealed(victim))) return;
  const healBehind = behind.flatMap((gateway) =>
    gateways.filter((other) => !behind.includes(other)).map((other) => strike.cutBoth(gateway, other)),
  );
  for (let promises = 1 + random.below(3); promises > 0; promises--) await strike.afterPromise();
  strike.crash(victim, { power: random.chance(0.5) });
  for (const other of others) strike.cutBoth(leader, other);
  for (const heal of healBehind) heal();
  await flipAndStart(strike, victim, { log: "raft", damage });
  await strike.wait(4_000 + strike.durationMs());
}

/** How often the gateway of this folder has been started. */
function startsOf(folder: DiskContents): number {
  const identity = folder.document("identity") as { readonly startCount: number } | undefined;
  return identity?.startCount ?? 0;
}
