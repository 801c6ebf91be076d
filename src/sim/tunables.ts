/**
 * What a seed draws before it begins: how large the site is, how its network behaves on a good day, and bounds so small
 * that what is rare on a site happens within a minute.
 */

import { raftLimits } from "../core/raft/options.ts";
import { sessionEntriesMax } from "../core/site/sessions.ts";
import { defaultTuning, type GatewayTuning } from "../gateway/context.ts";
import type { Random } from "../lib/random.ts";
import type { NetworkTuning } from "./network.ts";
import type { SettingsChoice } from "./settings.ts";

export interface Tunables extends SettingsChoice {
  readonly tuning: GatewayTuning;
  readonly network: NetworkTuning;
  /** How many gateways run the version before this one at first, and at which of their starts they are upgraded. */
  readonly olderVersions: { readonly gateways: number; readonly upgradedAtStart: number };
}

export function drawTunables(random: Random): Tunables {
  const site = drawSite(random);
  // Each of these behind the ones before, so that what a seed drew before there was one stays what it was.
  const upkeep = drawUpkeep(random);
  const { retention, ...kept } = drawRetention(random);
  const repair = drawRepair(random);
  const { write, ...hints } = drawHints(random);
  const tuning = { ...site.tuning, ...upkeep, ...kept, ...repair, ...hints };
  return { ...site, retention, ...(write === undefined ? {} : { write }), tuning };
}

function drawSite(random: Random): Omit<Tunables, "retention"> {
  return {
    gateways: random.chance(0.2) ? 5 : 3,
    witness: random.chance(0.15),
    preset: random.chance(0.1) ? "slow-disk" : "lan",
    tuning: {
      ...defaultTuning,
      checkpointLogBytes: random.pick([1 << 14, 1 << 20]),
      checkpointReadings: random.pick([50, 300, 1_000_000]),
      rollups: true,
      raftSnapshotBytes: random.pick([1_000, 10_000, 1 << 20]),
      raftSegmentBytes: random.pick([2_000, 20_000, 4 << 20]),
      sessionEntriesMax: random.pick([25, 250, sessionEntriesMax]),
      voterDeadMs: random.pick([4_000, 15_000, 60_000]),
      raftLimits: {
        // One entry to a message, or all of them.
        batchBytesMax: random.pick([1, 1_000, raftLimits.batchBytesMax]),
        inflightMessagesMax: random.pick([1, 4, raftLimits.inflightMessagesMax]),
        trailingEntriesMax: random.pick([0, 5, raftLimits.trailingEntriesMax]),
      },
    },
    olderVersions: { gateways: random.chance(0.2) ? 1 + random.below(5) : 0, upgradedAtStart: 2 + random.below(3) },
    network: {
      delayMinMs: 0.1,
      delayMaxMs: random.pick([1, 5, 30]),
      dropProbability: random.pick([0, 0.01, 0.1]),
      duplicateProbability: random.pick([0, 0.02]),
      reorderProbability: random.pick([0, 0.02, 0.1]),
    },
    commitDelayMs: random.pick([0, 0, 0, 0, 10, 200]),
  };
}

const retentions = [undefined, undefined, undefined, "{ raw: 20s }", "{ raw: 20s, rollup: 1d }"];

function drawRetention(random: Random): Partial<GatewayTuning> & Pick<Tunables, "retention"> {
  const retention = random.pick(retentions);
  if (retention === undefined) return { retention };
  return {
    retention,
    // What is dropped are chunks.
    checkpointReadings: random.pick([10, 50]),
    retentionEveryMs: random.pick([500, 3_000]),
    keepNewestMs: random.pick([1_000, 15_000]),
    retentionHoldMs: random.pick([20_000, 7 * 86_400_000]),
  };
}

function drawRepair(random: Random): Partial<GatewayTuning> {
  return {
    repairPauseMinMs: random.pick([1_000, 4_000, 10_000]),
    repairSettleMs: random.pick([200, 2_000]),
    repairBytesPerSecond: random.pick([20_000, 4 << 20]),
  };
}

function drawHints(random: Random): Partial<GatewayTuning> & Pick<SettingsChoice, "write"> {
  return {
    ...(random.chance(0.12) ? { write: "any" as const } : {}),
    hintBytesMax: random.pick([5_000, 64 << 20]),
    hintBytesPerSecond: random.pick([5_000, 1 << 20]),
    heldBytesMax: random.pick([13_000, 64 << 20]),
    holdAfterMs: random.pick([50, 1_000]),
    ownerAwayMs: random.pick([500, 3_000, 10_000]),
  };
}

function drawUpkeep(random: Random): Partial<GatewayTuning> {
  return {
    // A run has a few hundred readings: in most of them there shall be something to merge.
    ...(random.chance(0.8) ? { checkpointReadings: random.pick([20, 60]) } : {}),
    checkpointSeriesReadings: random.pick([1, 20]),
    chunkCacheBytes: random.pick([0, 20_000, 1 << 20]),
    compactionBytesPerSecond: random.pick([2_000, 1 << 20]),
    compactionReadingsMax: random.pick([1, 200, 65_536]),
    compactionFanIn: random.pick([2, 4]),
    compactionQuietMs: random.pick([500, 5_000, 20_000]),
    scrubPassMs: random.pick([5_000, 86_400_000]),
  };
}
