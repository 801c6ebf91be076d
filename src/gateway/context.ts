import type { SiteSettings } from "../config/settings.ts";
import type { RaftLimits } from "../core/raft/options.ts";
import { featureLevels } from "../core/site/features.ts";
import { sessionEntriesMax } from "../core/site/sessions.ts";
import type { GatewayId, Hash64, Incarnation, SessionId } from "../lib/ids.ts";
import type { Packing } from "../lib/packing.ts";
import type { Random } from "../lib/random.ts";
import type { Broker } from "../ports/broker.ts";
import type { Clock } from "../ports/clock.ts";
import type { Cron } from "../ports/cron.ts";
import type { Diagnostics } from "../ports/diagnostics.ts";
import type { DiskSpace } from "../ports/disk-space.ts";
import type { Documents } from "../ports/documents.ts";
import type { Entropy } from "../ports/entropy.ts";
import type { LogDirectory } from "../ports/log.ts";
import type { ResultFiles } from "../ports/result-file.ts";
import type { SnapshotFiles } from "../ports/snapshot-files.ts";
import type { StoreDirectory } from "../ports/store.ts";
import type { Transport } from "../ports/transport.ts";
import type { Inbox } from "./inbox.ts";

/** The world as a gateway gets it: every clock, disk, link and dice comes in here. */
export interface GatewayPorts {
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logs: LogDirectory;
  readonly stores: StoreDirectory;
  readonly documents: Documents;
  readonly resultFiles: ResultFiles;
  readonly snapshots: SnapshotFiles;
  readonly space: DiskSpace;
  readonly transport: Transport;
  readonly broker: Broker;
  readonly cron: Cron;
  readonly diagnostics: Diagnostics;
  readonly hash64: Hash64;
  /** Resident memory of the process in bytes, for status and metrics. */
  readonly memoryBytes: () => number;
}

/** Bounds that the simulator draws anew for each seed, so that what is rare on a site happens in a minute. */
export interface GatewayTuning {
  /** Bytes of the readings log after which a checkpoint is due, and readings in the heads. */
  readonly checkpointLogBytes: number;
  readonly checkpointReadings: number;
  /** While heads hold fewer readings than this on average, the log may grow to four times `checkpointLogBytes`. */
  readonly checkpointSeriesReadings: number;
  /** Of decoded chunks that are kept for the next question. */
  readonly chunkCacheBytes: number;
  /** Compaction: bytes read and written, readings merged at once, neighbours of one size that are merged, and the time without new chunks after which the rest of a series is. */
  readonly compactionBytesPerSecond: number;
  readonly compactionReadingsMax: number;
  readonly compactionFanIn: number;
  readonly compactionQuietMs: number;
  /** Scrub: the time in which all chunks are to be looked at once, and a bound that goes before it. */
  readonly scrubPassMs: number;
  readonly scrubBytesPerSecond: number;
  /** Whether chunks are rolled up as they are sealed, and questions answered from rollups. */
  readonly rollups: boolean;
  /** Bytes of the disk that readings leave free, for Raft, documents and checkpoints. */
  readonly reserveBytes: number;
  /** Rounds that owners lack: bytes kept, and for how long; bytes a second that they are brought with. */
  readonly hintBytesMax: number;
  readonly hintAgeMaxMs: number;
  readonly hintBytesPerSecond: number;
  /** Bytes of rounds that are on this disk alone, and of those that a witness keeps. */
  readonly heldBytesMax: number;
  /** So long a round of level `any` waits for its quorum. */
  readonly holdAfterMs: number;
  /** An owner that cannot be reached for so long gets hints at once. */
  readonly ownerAwayMs: number;
  /** Bytes of applied log entries after which a snapshot of the site's state is due, so that the Raft log can be cut. */
  readonly raftSnapshotBytes: number;
  /** Bytes of a segment of the Raft log: whole segments go when the log is cut. */
  readonly raftSegmentBytes: number;
  /** How often retention is looked after. */
  readonly retentionEveryMs: number;
  /** Readings so young are not dropped for want of space. */
  readonly keepNewestMs: number;
  /** How long a window that is not committed keeps readings beyond their time, unless the retention itself is longer. */
  readonly retentionHoldMs: number;
  /** Repair: the pause between two passes, which is ten times as long as the last one took where that is more, and at most so long. */
  readonly repairPauseMinMs: number;
  readonly repairPauseMaxMs: number;
  /** What differs between two owners is looked at again after so long, to tell it from what is on its way. */
  readonly repairSettleMs: number;
  readonly repairBytesPerSecond: number;
  /** A voter that has not answered for so long may lose its vote to a healthy gateway. */
  readonly voterDeadMs: number;
  /** Partitions that move from one gateway to another at a time. */
  readonly movesMax: number;
  /** Bounds of the Raft node that differ from its own. */
  readonly raftLimits: Partial<RaftLimits>;
  /** Log entries without a command after which a session expires. It decides what applying does: the same on all gateways. */
  readonly sessionEntriesMax: number;
  /** The highest feature level that this version can apply; the simulator mixes in older versions. */
  readonly featureMax: number;
}

export const defaultTuning: GatewayTuning = {
  checkpointLogBytes: 32 << 20,
  checkpointReadings: 1_000_000,
  checkpointSeriesReadings: 256,
  chunkCacheBytes: 32 << 20,
  compactionBytesPerSecond: 4 << 20,
  compactionReadingsMax: 65_536,
  compactionFanIn: 16,
  compactionQuietMs: 3_600_000,
  scrubPassMs: 86_400_000,
  scrubBytesPerSecond: 4 << 20,
  rollups: true,
  reserveBytes: 64 << 20,
  hintBytesMax: 64 << 20,
  hintAgeMaxMs: 3 * 3_600_000,
  hintBytesPerSecond: 1 << 20,
  heldBytesMax: 64 << 20,
  holdAfterMs: 1_000,
  ownerAwayMs: 10_000,
  raftSnapshotBytes: 8 << 20,
  raftSegmentBytes: 4 << 20,
  retentionEveryMs: 60_000,
  keepNewestMs: 3_600_000,
  retentionHoldMs: 7 * 86_400_000,
  repairPauseMinMs: 10_000,
  repairPauseMaxMs: 600_000,
  repairSettleMs: 2_000,
  repairBytesPerSecond: 4 << 20,
  voterDeadMs: 60_000,
  movesMax: 128,
  raftLimits: {},
  sessionEntriesMax,
  featureMax: featureLevels.max,
};

/** What the parts of one gateway share. */
export interface GatewayContext {
  readonly self: GatewayId;
  readonly slot: number;
  readonly settings: SiteSettings;
  readonly ports: GatewayPorts;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly inbox: Inbox;
  readonly packing: Packing;
  readonly random: Random;
  readonly incarnation: Incarnation;
  readonly startCount: number;
  readonly session: SessionId;
  readonly sessionTag: number;
  readonly tuning: GatewayTuning;
}
