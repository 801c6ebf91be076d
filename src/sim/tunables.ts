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
  const drawn = drawnBefore(random);
  // Behind the others, so that what a seed drew before there was retention stays what it was.
  const retention = random.pick(retentions);
  if (retention === undefined) return { ...drawn, retention };
  const tuning = {
    ...drawn.tuning,
    // What is dropped are chunks.
    checkpointReadings: random.pick([10, 50]),
    retentionEveryMs: random.pick([500, 3_000]),
    keepNewestMs: random.pick([1_000, 15_000]),
    retentionHoldMs: random.pick([20_000, 7 * 86_400_000]),
  };
  return { ...drawn, retention, tuning };
}

const retentions = [undefined, undefined, undefined, "{ raw: 20s, rollup: 30s }", "{ raw: 2m }"];

function drawnBefore(random: Random): Omit<Tunables, "retention"> {
  return {
    gateways: random.chance(0.2) ? 5 : 3,
    witness: random.chance(0.15),
    preset: random.chance(0.1) ? "slow-disk" : "lan",
    tuning: {
      ...defaultTuning,
      checkpointLogBytes: random.pick([1 << 14, 1 << 20]),
      checkpointReadings: random.pick([50, 300, 1_000_000]),
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
  };
}
