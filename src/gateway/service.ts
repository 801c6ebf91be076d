import type { AggregateFunction } from "../lib/aggregate-function.ts";
import type { SeriesDigest } from "../lib/backup-file.ts";
import type { Result } from "../lib/errors.ts";
import type { GatewayId } from "../lib/ids.ts";
import type { ReadingValue } from "../lib/reading.ts";
import type { HintsView } from "./hints/hints.ts";
import type { RepairView } from "./repair/repair.ts";
import type { SiteRepairReport } from "./repair/site-repair.ts";
import type { DiskState } from "./retention/policy.ts";
import type { RetentionView } from "./retention/retention.ts";
import type { SiteClockView } from "./site-clock.ts";

/**
 * What a gateway offers to the HTTP layer (and to anything else in its process). Times are epoch milliseconds, with a
 * fraction where a reading has one. Expected failures are values; a promise rejects only on a bug.
 */
export interface GatewayService {
  /** Alive: the inbox is served. */
  healthy(): boolean;
  /** Ready to accept readings and answer questions, or why not. */
  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] };
  status(): GatewayStatus;
  /** Flat numbers for /metrics; monotonic ones end in `_total`. */
  metrics(): readonly MetricSample[];
  gateways(): readonly GatewayView[];
  /** Registers a gateway that the site does not know, as *expected*; see `MembershipOperations.add`. */
  addGateway(request: GatewayMemberRequest): Promise<Result<void>>;
  /** Gives a gateway another share or zone; partitions move by and by. */
  updateGateway(id: string, change: MemberChange): Promise<Result<void>>;
  /** Retires a member's present data folder and expects a new, empty one. */
  replaceGateway(id: string, options: ForceOption): Promise<Result<void>>;
  /** Takes a gateway out of the site for good. */
  removeGateway(id: string, options: ForceOption): Promise<Result<void>>;
  /** Moves the Raft leadership, to `to` or to whichever voter is closest to the end of the log. Answers who leads now. */
  transferLeadership(to: string | undefined): Promise<Result<{ readonly leader: string }>>;
  /**
   * Has every gateway compare all that it holds with the other owners, and fetch what it lacks; resolves when all have. Fails with
   * `not-ready` below the feature level that it needs.
   */
  repair(): Promise<Result<SiteRepairReport>>;
  ring(device: string | undefined): RingView;
  devices(): Promise<Result<readonly DeviceView[]>>;
  device(id: string): Promise<Result<DeviceView>>;
  /** Of all gateways that answer. */
  deadLetters(): Promise<Result<DeadLettersView>>;
  readings(query: ReadingsQuery): Promise<Result<ReadingsAnswer>>;
  jobs(): readonly JobView[];
  runJob(name: string, range: { readonly fromMs: number | undefined; readonly toMs: number | undefined }): Promise<Result<JobRunView>>;
  results(query: {
    readonly job: string;
    readonly fromMs: number | undefined;
    readonly toMs: number | undefined;
  }): Promise<Result<readonly ResultRow[]>>;
  sync(): readonly SinkView[];
  kvGet(key: string): Promise<Result<KvEntry | undefined>>;
  /** Fails with `precondition-failed`, `not-applied` or `outcome-unknown`. */
  kvPut(key: string, value: Uint8Array, expect: KvExpectation): Promise<Result<{ readonly revision: number }>>;
  kvDelete(key: string, expect: KvExpectation): Promise<Result<{ readonly existed: boolean }>>;
  /**
   * A backup of the site, made as it is read: whoever does not want the rest has to call `return`. What fails on the way is said by
   * the file itself (`lib/backup-file.ts`). One at a time: `busy`.
   */
  backup(options: { readonly allowIncomplete: boolean }): Promise<Result<AsyncIterableIterator<Uint8Array>>>;
  /** What the site has already that a restore could be in the way of. */
  siteContents(): Promise<Result<SiteContents>>;
  /** Puts what one block of a backup holds into the site, durably; `check`: only compares. The same block again is harmless. */
  restoreBlock(bytes: Uint8Array, options: { readonly check: boolean }): Promise<Result<RestoredBlock>>;
  /** Readings by series, by a quorum read: how many, and their digest. */
  digests(cursor: string | undefined): Promise<Result<DigestsPage>>;
  /** Site-wide events and (on request) readings as they are acknowledged, best effort. Returns the unsubscribe. */
  subscribe(filter: EventFilter, listener: (event: GatewayEvent) => void): () => void;
}

export interface SiteContents {
  /** Keys, but for the restore's own. */
  readonly kv: number;
  readonly devices: number;
  /** Whether there is any reading; any result with rows. */
  readonly readings: boolean;
  readonly results: boolean;
  /** Enough owners answered to know that there are no readings. */
  readonly complete: boolean;
}

/** What became of the items of a backup's block. */
export interface RestoredBlock {
  readonly kind: string;
  readonly items: number;
  /** Stored now. */
  readonly applied: number;
  /** Here already, as the backup has it. */
  readonly present: number;
  /** Only when asked to compare: neither here nor stored. */
  readonly missing: number;
  /** Here in another form, and left as it is. */
  readonly conflicts: number;
  /** The first of what is missing or in conflict, for a person. */
  readonly examples: readonly string[];
}

export interface DigestsPage {
  /** In order; the last may go on in the next page: digests and counts of its parts add up. */
  readonly series: readonly SeriesDigest[];
  readonly cursor: string | undefined;
}

/** A gateway as the operator describes it. */
export interface GatewayMemberRequest {
  readonly id: string;
  /** A witness votes and keeps the log and the state, and owns no readings. */
  readonly role: MemberKind;
  readonly zone: string | undefined;
  /** 1 … 64. */
  readonly weight: number;
  readonly address: MemberAddress;
}

/** What is `undefined` stays as it is. */
export interface MemberChange {
  /** 0 … 64; 0: it is to own nothing, and gives away what it has. */
  readonly weight: number | undefined;
  /** `null`: no zone but its own. */
  readonly zone: string | null | undefined;
}

/** Where the others reach it. */
export interface MemberAddress {
  readonly host: string;
  readonly mqtt: number;
  readonly mesh: number;
  readonly http: number;
}

export type MemberKind = "full" | "witness";

/**
 * `voter`, `learner`: as Raft's configuration has it. `expected`: registered, and its folder is not admitted yet (its first
 * start, or the one after `replace`). `leaving`: being taken out.
 */
export type Membership = "voter" | "learner" | "expected" | "leaving";

export interface ForceOption {
  /** Also when readings of another lost gateway are not restored yet: what only the retired folder has is lost then. */
  readonly force: boolean;
}

/**
 * Changes of the site's members, from whichever gateway is asked; each is done once it is committed. What becomes of it
 * afterwards (the folder's admission, log and readings moving) goes on by itself, and `members` tells how far it is.
 *
 * Beside the codes named, each may fail with `not-applied`, `outcome-unknown` or `quorum-unavailable`.
 */
export interface MembershipOperations {
  /** Fails with `member-exists` and `bad-request`. The same request once more is a success. */
  add(request: GatewayMemberRequest): Promise<Result<void>>;
  /** Fails with `member-unknown`, and with `bad-request` for the share of a witness. */
  update(id: string, change: MemberChange): Promise<Result<void>>;
  /** Fails with `member-unknown`, `under-replicated` and `member-change-pending`. */
  replace(id: string, options: ForceOption): Promise<Result<void>>;
  /** Fails with `member-unknown`, `under-replicated`, `member-change-pending` and `member-needed`. */
  remove(id: string, options: ForceOption): Promise<Result<void>>;
  /** Fails with `member-unknown`, and `bad-request` when `to` is no voter. */
  transfer(to: string | undefined): Promise<Result<{ readonly leader: string }>>;
  /** The members as this gateway has applied them, by slot. */
  members(): readonly MemberState[];
}

export interface MemberState {
  readonly id: GatewayId;
  readonly kind: MemberKind;
  readonly membership: Membership;
  /** Of the admitted folder. */
  readonly incarnation: string | undefined;
  readonly zone: string | undefined;
  readonly weight: number;
  readonly address: MemberAddress;
  /** How far its log is known to agree with the leader's; only the leader knows. */
  readonly matchIndex: number | undefined;
  /** Partitions that it owns, or is to own, and has not filled yet. */
  readonly filling: number;
  /** Of the partitions that it owns, those that are on their way to another gateway. */
  readonly leaving: number;
  /** Partitions that are to move to it beyond those that do so already, as far as this gateway can tell. */
  readonly planned: number;
}

export type KvExpectation =
  | { readonly kind: "any" }
  | { readonly kind: "absent" }
  | { readonly kind: "exists" }
  | { readonly kind: "revision"; readonly revision: number };

export interface KvEntry {
  readonly value: Uint8Array;
  readonly revision: number;
}

export interface EventFilter {
  /** Glob of device ids; readings are sent only when given. */
  readonly readingsOf: string | undefined;
}

export type GatewayEvent =
  | { readonly type: "leadership"; readonly leader: GatewayId | undefined; readonly term: number }
  | { readonly type: "membership"; readonly gateway: GatewayId; readonly up: boolean; readonly reason: string }
  | { readonly type: "result"; readonly row: ResultRow }
  | {
      readonly type: "reading";
      readonly device: string;
      readonly metric: string;
      readonly ms: number;
      readonly value: ReadingValue;
      readonly gateway: GatewayId;
    };

export interface MetricSample {
  /** e.g. `fogbank_readings_acknowledged_total` */
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface GatewayStatus {
  readonly site: string;
  readonly clusterId: string | undefined;
  readonly gateway: GatewayId;
  readonly version: string;
  readonly uptimeMs: number;
  /** `starting` | `waiting-for-peers` | `serving` | `refused` | `stopping`. */
  readonly phase: string;
  /** Sentences for a person: what is wrong or degraded now. */
  readonly warnings: readonly string[];
  readonly raft: {
    readonly role: string;
    readonly term: number;
    readonly leader: GatewayId | undefined;
    readonly commitIndex: number;
    readonly lastIndex: number;
    /** What the versions of all gateways can apply, as the site agreed; 0 before it is known. */
    readonly featureLevel: number;
    /** The log begins behind a snapshot at this index. */
    readonly snapshotIndex: number;
  };
  readonly ring: {
    readonly epoch: number;
    readonly factor: number;
    readonly partitions: Readonly<Record<string, number>>;
    readonly survives: string;
  };
  readonly disk: {
    /** `ok`; `low`: the oldest readings go; `disk-full`: none are taken; `unknown` where the file system does not say. */
    readonly state: DiskState;
    readonly freeBytes: number | undefined;
    readonly totalBytes: number | undefined;
    /** Where less is free, the oldest readings go; 0: never. */
    readonly keepFreeBytes: number;
  };
  readonly retention: RetentionView;
  /** `undefined` until the gateway serves. */
  readonly clock: SiteClockView | undefined;
  readonly log: {
    readonly segments: number;
    readonly bytes: number;
    readonly bytesWritten: number;
    readonly fsyncs: number;
    readonly lastFsyncMs: number;
    readonly ok: boolean;
    readonly error: string | undefined;
  };
  readonly store: {
    readonly bytes: number;
    readonly series: number;
    readonly chunks: number;
    readonly headReadings: number;
    readonly checkpoints: number;
    readonly damagedChunks: number;
  };
  readonly repair: Omit<RepairView, "problems" | "passes"> & {
    /** Readings that questions wrote to owners which lacked them. */
    readonly readingsWritten: number;
  };
  readonly ingest: IngestStatus;
  /** Rounds on this disk that others lack; absent while the gateway does not serve. */
  readonly hints?: HintsView;
  readonly sync: readonly SinkView[];
  readonly process: { readonly memoryBytes: number };
}

export interface IngestStatus {
  readonly clients: number;
  /** Readings that were acknowledged by this gateway since its start. */
  readonly acknowledged: number;
  /** Of the last full ten seconds. */
  readonly perSecond: number;
  readonly pending: number;
  readonly qos0Dropped: number;
  readonly deadLetters: number;
  readonly conflicts: number;
  readonly suppressed: number;
  /** Connections closed by this gateway, by reason. */
  readonly closed: Readonly<Record<string, number>>;
  readonly unmatched: readonly { readonly topic: string; readonly perMinute: number; readonly total: number }[];
}

export interface GatewayView {
  readonly id: GatewayId;
  readonly host: string;
  readonly zone: string | undefined;
  readonly weight: number;
  readonly up: boolean;
  /** What it is to Raft at the moment, as far as this gateway knows: `leader`, `follower`, `unknown`, … */
  readonly role: string;
  readonly kind: MemberKind;
  readonly membership: Membership;
  readonly incarnation: string | undefined;
  readonly partitions: number;
  readonly filling: number;
  readonly leaving: number;
  readonly planned: number;
  readonly matchIndex?: number;
  /** What this gateway has to say about it, for a person: why its link is down, that its settings differ. */
  readonly note?: string;
  readonly mqtt: string;
  readonly http: string;
}

export interface RingView {
  readonly epoch: number;
  readonly partitions: number;
  readonly device?: { readonly id: string; readonly partition: number; readonly owners: readonly GatewayId[] };
  /** Number of partitions by gateway. */
  readonly owned: Readonly<Record<string, number>>;
}

export interface DeviceView {
  readonly id: string;
  readonly profile: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly metrics: readonly string[];
  readonly firstSeenMs: number | undefined;
  readonly partition: number;
  readonly owners: readonly GatewayId[];
  /** Latest reading per metric; only in `device(id)`. */
  readonly latest?: Readonly<Record<string, { readonly ms: number; readonly value: ReadingValue }>>;
}

export interface DeadLettersView {
  /** Since this gateway's start, by reason. */
  readonly counts: Readonly<Record<string, number>>;
  /** Newest first, bounded. */
  readonly letters: readonly DeadLetter[];
}

export interface DeadLetter {
  readonly ms: number;
  readonly gateway: GatewayId;
  readonly topic: string;
  readonly device: string;
  readonly metric: string | undefined;
  readonly reason: string;
  readonly detail: string;
  /** The payload's beginning, as text when it is UTF-8, otherwise hex with a `0x` prefix. */
  readonly payload: string;
}

export interface ReadingsQuery {
  /** All metrics when undefined. */
  readonly metric: string | undefined;
  /** Glob. */
  readonly device: string;
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
  readonly consistency: "one" | "quorum" | "all" | undefined;
  /** With `everyMs`: aggregated into windows aligned to the site's calendar; otherwise raw, in pages. */
  readonly everyMs: number | undefined;
  readonly aggregate: AggregateFunction | undefined;
  readonly limit: number;
  readonly cursor: string | undefined;
  /** Raw readings say whether the clock that gave them their time was confirmed. */
  readonly clockFlags?: boolean;
}

export interface ReadingsAnswer {
  readonly series: readonly {
    readonly device: string;
    readonly metric: string;
    readonly points: readonly (readonly [number, ReadingValue | null])[];
    /** When asked for: first and last of points next to each other whose time came from a clock that nobody confirmed. */
    readonly flags?: { readonly unsynchronised: readonly (readonly [number, number])[] };
  }[];
  readonly complete: boolean;
  readonly cursor?: string;
}

export interface JobView {
  readonly name: string;
  readonly schedule: string;
  readonly windowMs: number;
  readonly metric: string;
  readonly devices: string;
  readonly groupBy: readonly string[];
  readonly aggregate: Readonly<Record<string, string>>;
  readonly sinks: readonly string[];
  readonly lastWindow: { readonly fromMs: number; readonly toMs: number } | undefined;
  readonly nextFireMs: number | undefined;
  readonly runs: number;
}

export interface JobRunView {
  readonly job: string;
  readonly windows: number;
  /** Windows whose rows changed or are new. */
  readonly committed: number;
  readonly rows: readonly ResultRow[];
}

export interface ResultRow {
  /** job, window and group: the same id for ever. */
  readonly id: string;
  readonly revision: number;
  readonly job: string;
  readonly from: number;
  readonly to: number;
  readonly group: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, ReadingValue | null>>;
  readonly count: number;
  readonly complete: boolean;
}

export interface SinkView {
  readonly name: string;
  readonly type: string;
  readonly gateway: GatewayId;
  /** Committed runs that this gateway's copy holds, and how many wait. */
  readonly delivered: number;
  readonly pending: number;
  readonly rows: number;
  readonly error: string | undefined;
  /** For the `file` sink the absolute path on its gateway. */
  readonly location: string;
}
