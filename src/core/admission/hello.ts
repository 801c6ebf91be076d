/**
 * What gateways tell each other when a link comes up, before any other word counts. Carried as MessagePack in frames of
 * kind `hello`, `welcome` and `refusal`; fields are append-only.
 */

import type { ClusterId, GatewayId, Incarnation, SessionId } from "../../lib/ids.ts";
import type { BootstrapCommand } from "../site/commands.ts";
import { fields, host, port } from "../site/shapes.ts";

/** Protocol versions that this build speaks. Version N speaks N−1. */
export const protocolRange = { min: 1, max: 1 } as const;

export interface Hello {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly site: string;
  readonly from: GatewayId;
  /** `undefined` while the data folder belongs to no cluster yet. */
  readonly clusterId: ClusterId | undefined;
  readonly incarnation: Incarnation;
  readonly startCount: number;
  readonly session: SessionId;
  /** Digest of the gateway list in the sender's YAML: bootstrap needs the same everywhere. */
  readonly listDigest: string;
  /** Digest of all settings: a difference is a warning. */
  readonly settingsDigest: string;
  /** Asks for a hello in return. */
  readonly reply: boolean;
  /** The highest feature level that the sender can apply; 1 where it is not said. */
  readonly featureMax?: number;
  /** How much of the site's log the sender has applied: who has less cannot judge whether it is a member. */
  readonly appliedIndex?: number;
  /** Where the sender's mesh is reached, for who has it neither from the site's state nor from its own YAML. */
  readonly mesh?: MeshAddress;
}

export interface MeshAddress {
  readonly host: string;
  readonly port: number;
}

/** Shape of a `MeshAddress`: it comes from another process, and a socket throws at a port that is none. */
export const meshAddress = fields({ host, port });

export type RefusalCode =
  /** The folder is empty or new, but the site knows another incarnation of this gateway. */
  | "folder-unknown"
  /** The site has given this folder up: its gateway was removed, or goes on with another one. */
  | "folder-retired"
  /** A later start of this folder has been registered: this is an older copy of it. */
  | "folder-older"
  /** The folder belongs to another cluster. */
  | "cluster-foreign"
  /** The site's gateway list has no such gateway. */
  | "not-a-member"
  /** The site runs at a feature level that this version cannot apply. */
  | "feature-unsupported"
  | "protocol-unsupported";

export interface Refusal {
  readonly code: RefusalCode;
  /** The session that is refused: an answer to an earlier start is ignored. */
  readonly session: SessionId;
  readonly explanation: string;
}

/** Hands a gateway that reported an empty folder the site's first entry, which lists its incarnation, or its later admission. */
export interface Welcome {
  readonly session: SessionId;
  readonly bootstrap: BootstrapCommand;
  /** Of a gateway that was admitted after the founding. */
  readonly admitted?: { readonly incarnation: Incarnation; readonly slot: number };
}

export type AdmissionMessage =
  | { readonly t: "hello"; readonly hello: Hello }
  | { readonly t: "refusal"; readonly refusal: Refusal }
  | { readonly t: "welcome"; readonly welcome: Welcome };
