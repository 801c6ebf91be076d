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
  | RunCommitCommand;

/** Log entry 1: who the site is. */
export interface BootstrapCommand {
  readonly t: "bootstrap";
  readonly clusterId: ClusterId;
  readonly site: string;
  readonly gateways: readonly BootstrapGateway[];
  readonly factor: number;
  readonly owners: OwnerTableRecord;
}

export interface BootstrapGateway {
  readonly id: GatewayId;
  readonly incarnation: Incarnation;
  /** 0 … 999: the last three digits of this gateway's timestamps. */
  readonly slot: number;
}

/** A process start, so that an older copy of a data folder is recognised. */
export interface GatewayStartedCommand {
  readonly t: "gateway-started";
  readonly gateway: GatewayId;
  readonly startCount: number;
  readonly session: SessionId;
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
