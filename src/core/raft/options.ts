/** Tunables of a Raft node: the two timing presets, and the bound of everything that could grow. */

export interface RaftTimings {
  /** An election timeout is drawn anew from [min, max) each time; the minimum is also the time that a leader is trusted. */
  readonly electionTimeoutMinMs: number;
  readonly electionTimeoutMaxMs: number;
  readonly heartbeatMs: number;
}

export type RaftPreset = "lan" | "slow-disk";

export const raftPresets: Readonly<Record<RaftPreset, RaftTimings>> = {
  lan: { electionTimeoutMinMs: 1_000, electionTimeoutMaxMs: 2_000, heartbeatMs: 150 },
  /** For SD cards whose fsync takes seconds now and then. */
  "slow-disk": { electionTimeoutMinMs: 5_000, electionTimeoutMaxMs: 10_000, heartbeatMs: 500 },
};

export interface RaftLimits {
  /** A longer command is refused as `too-large`. */
  readonly commandBytesMax: number;
  /** Bytes of commands in one append message; one entry always fits. */
  readonly batchBytesMax: number;
  /** Append messages with entries, and their bytes, under way to one follower. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Bytes of entries that are not committed, or not yet on this leader's disk; above it proposals are refused as `busy`. */
  readonly backlogBytesMax: number;
  /** Accepted proposals whose fate is open; above it proposals are refused as `busy`. */
  readonly openProposalsMax: number;
  /** Entries, and bytes of them, that stay in memory behind a snapshot, for followers that are a little late. */
  readonly trailingEntriesMax: number;
  readonly trailingBytesMax: number;
  /** Reads that wait for a round; above it they are refused as `busy`. */
  readonly openReadsMax: number;
}

export const raftLimits: RaftLimits = {
  commandBytesMax: 1 << 20,
  batchBytesMax: 256 << 10,
  inflightMessagesMax: 64,
  inflightBytesMax: 4 << 20,
  backlogBytesMax: 32 << 20,
  openProposalsMax: 65_536,
  trailingEntriesMax: 5_000,
  trailingBytesMax: 1 << 20,
  openReadsMax: 65_536,
};
