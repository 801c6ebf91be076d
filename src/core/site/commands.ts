/**
 * The commands that the site's gateways agree on through Raft. Written to disk and sent between versions: types are
 * append-only, fields are never renamed. Encoded as MessagePack maps `{ t: <type>, … }` by `command-codec.ts`.
 */

import type { ClusterId, DeviceId, GatewayId, Incarnation, SessionId } from "../../lib/ids.ts";
import type { OwnerTableRecord } from "../ring/owner-table.ts";

export type SiteCommand =
  | BootstrapCommand
  | GatewayStartedCommand
  | RegisterDevicesCommand
  | KvPutCommand
  | KvDeleteCommand
  | JobSeenCommand
  | RunClaimCommand
  | RunCommitCommand
  | FeatureLevelCommand
  | SessionOpenCommand
  | OnceCommand
  | GatewayAddCommand
  | GatewayAdmitCommand
  | GatewayReplaceCommand
  | GatewayRemoveCommand
  | ResultsStoredCommand
  | OwnerFilledCommand
  | OwnerPlacesCommand
  | MovesCancelCommand
  | GatewayUpdateCommand
  | RetentionAdvanceCommand
  | ClockUnconfirmedCommand;

/** Log entry 1: who the site is. */
export interface BootstrapCommand {
  readonly t: "bootstrap";
  readonly clusterId: ClusterId;
  readonly site: string;
  readonly gateways: readonly BootstrapGateway[];
  readonly factor: number;
  readonly owners: OwnerTableRecord;
  /** The feature level at which the site begins, since level 2: what the versions of all founders can apply. 1 where it is not said. */
  readonly featureLevel?: number;
}

export interface BootstrapGateway {
  readonly id: GatewayId;
  readonly incarnation: Incarnation;
  /** 0 … 999: the last three digits of this gateway's timestamps. */
  readonly slot: number;
  /** `full` where it is not said. */
  readonly role?: MemberRole;
  readonly zone?: string;
  /** 1 where it is not said. */
  readonly weight?: number;
  readonly address?: MemberAddress;
}

/** A witness votes and keeps log and state, but owns no readings. */
export type MemberRole = "full" | "witness";

/** Where a gateway's listeners are reached. */
export interface MemberAddress {
  readonly host: string;
  readonly mqtt: number;
  readonly mesh: number;
  readonly http: number;
}

/** A process start, so that an older copy of a data folder is recognised. */
export interface GatewayStartedCommand {
  readonly t: "gateway-started";
  readonly gateway: GatewayId;
  readonly startCount: number;
  readonly session: SessionId;
  /** Since level 2: whose start it is. One of an incarnation that is not the gateway's any more is ignored. */
  readonly incarnation?: Incarnation;
}

export interface RegisterDevicesCommand {
  readonly t: "register-devices";
  readonly devices: readonly {
    readonly id: DeviceId;
    readonly profile: string;
    readonly metrics: readonly string[];
    readonly firstSeenMs: number;
  }[];
}

export interface KvPutCommand {
  readonly t: "kv-put";
  readonly key: string;
  readonly value: Uint8Array;
  readonly expect: KvExpect;
}

export interface KvDeleteCommand {
  readonly t: "kv-delete";
  readonly key: string;
  readonly expect: KvExpect;
}

/** -1: anything; -2: any revision, but there must be one; 0: absent; otherwise that revision. */
export type KvExpect = number;

/** A job exists since `sinceMs`: scheduled firings go back no further. */
export interface JobSeenCommand {
  readonly t: "job-seen";
  readonly job: string;
  readonly sinceMs: number;
}

/** A gateway takes on runs of a job's windows, and gets an attempt number for each. */
export interface RunClaimCommand {
  readonly t: "run-claim";
  readonly job: string;
  readonly windows: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly gateway: GatewayId;
}

/** Publishes the rows of attempts. A window is refused unless its `baseRevision` still stands: the first commit wins. */
export interface RunCommitCommand {
  readonly t: "run-commit";
  readonly job: string;
  readonly windows: readonly RunCommitWindow[];
  readonly sinks: readonly string[];
}

export interface RunCommitWindow {
  readonly fromMs: number;
  readonly toMs: number;
  readonly attempt: number;
  readonly baseRevision: number;
  readonly rows: number;
  /** Digest of the rows' encoding. */
  readonly digest: string;
}

/** Level 2. All gateways can apply commands up to `level`: from here on they may be proposed. */
export interface FeatureLevelCommand {
  readonly t: "feature-level";
  readonly level: number;
}

/** Level 2. A process begins a session of commands that are applied once (dissertation §6.3); its gateway's older one ends. */
export interface SessionOpenCommand {
  readonly t: "session-open";
  readonly gateway: GatewayId;
  readonly session: SessionId;
}

/** Level 2. A command that is applied once, however often it is committed; later copies get the first one's result. */
export interface OnceCommand {
  readonly t: "once";
  readonly session: SessionId;
  /** Counts up within the session. */
  readonly sequence: number;
  /** Whoever proposed it asks for no result below this any more. */
  readonly floor: number;
  readonly command: PlainCommand;
}

/** What may be wrapped in `once`. */
export type PlainCommand = Exclude<SiteCommand, { readonly t: "once" | "session-open" }>;

/** Level 2. A gateway is expected: whichever empty data folder comes under this id is admitted. */
export interface GatewayAddCommand {
  readonly t: "gateway-add";
  readonly gateway: GatewayId;
  readonly role: MemberRole;
  readonly zone?: string;
  readonly weight: number;
  readonly address: MemberAddress;
}

/** Level 2. A data folder becomes that of an expected gateway. */
export interface GatewayAdmitCommand {
  readonly t: "gateway-admit";
  readonly gateway: GatewayId;
  readonly incarnation: Incarnation;
}

/** Level 2. A gateway's data folder is given up, and another one is expected. */
export interface GatewayReplaceCommand {
  readonly t: "gateway-replace";
  readonly gateway: GatewayId;
  /** The folder that is meant: asked twice, because an answer was lost, it must not take the next one. */
  readonly incarnation?: Incarnation;
  /** Although readings may be lost with it. */
  readonly force: boolean;
}

/** Level 2. A gateway leaves the site. */
export interface GatewayRemoveCommand {
  readonly t: "gateway-remove";
  readonly gateway: GatewayId;
  /** The folder that is meant: asked twice, because an answer was lost, it must not take the next one. */
  readonly incarnation?: Incarnation;
  /** Although readings may be lost with it. */
  readonly force: boolean;
}

/** Level 2. A gateway has stored the rows of all committed runs below this ordinal. */
export interface ResultsStoredCommand {
  readonly t: "results-stored";
  readonly gateway: GatewayId;
  readonly ordinal: number;
}

/** Level 2. An owner has all readings of these partitions that its fellow owners had, as of this epoch of the owner table. */
export interface OwnerFilledCommand {
  readonly t: "owner-filled";
  readonly gateway: GatewayId;
  /** Of the folder that was filled: another one is not. */
  readonly incarnation: Incarnation;
  readonly epoch: number;
  readonly partitions: readonly number[];
}

/** Level 4. Places in owner lists change hands, as planned under this epoch; what does not fit the table is left out. */
export interface OwnerPlacesCommand {
  readonly t: "owner-places";
  readonly epoch: number;
  readonly changes: readonly {
    /** `null`: the place is free. */
    readonly from: GatewayId | null;
    readonly to: GatewayId;
    /** A bit for each partition, lowest first: 128 bytes. */
    readonly partitions: Uint8Array;
  }[];
}

/** Level 4. The moves of partitions to a gateway, and from it, end as if they had not begun. */
export interface MovesCancelCommand {
  readonly t: "moves-cancel";
  readonly epoch: number;
  readonly gateway: GatewayId;
}

/** Level 4. Another share, or another zone; what is absent stays as it is. */
export interface GatewayUpdateCommand {
  readonly t: "gateway-update";
  readonly gateway: GatewayId;
  /** 0: it is to own nothing. */
  readonly weight?: number;
  /** `null`: it has none of its own. */
  readonly zone?: string | null;
}

/** Raw readings and rollups are given up apart: a rollup outlives what it was made of. */
export type RetentionLevel = "raw" | "rollup";

/** Level 3. What is below the horizon in these partitions is given up. A horizon never goes back: a lower one changes nothing. */
export interface RetentionAdvanceCommand {
  readonly t: "retention-advance";
  readonly level: RetentionLevel;
  /** A bit for each partition, lowest first: 128 bytes. */
  readonly partitions: Uint8Array;
  /** Whole µs since the epoch. */
  readonly horizonUs: number;
  /** Windows of jobs with sinks that are not committed and whose readings go: told for ever. */
  readonly unprocessedWindows: number;
}

/** Level 4. Timestamps that the gateway of this slot gave from `fromUs` on were given by a clock that nobody confirmed. */
export interface ClockUnconfirmedCommand {
  readonly t: "clock-unconfirmed";
  readonly slot: number;
  /** Whole µs since the epoch; also the name of the range. */
  readonly fromUs: number;
  /** Exclusive; absent while the range goes on. */
  readonly toUs?: number;
}
