/** Branded ids: a device id is never passed where a gateway id belongs. Casts to them happen in codecs and here only. */

export type GatewayId = string & { readonly __brand: "GatewayId" };
export type DeviceId = string & { readonly __brand: "DeviceId" };
export type ClusterId = string & { readonly __brand: "ClusterId" };
/** Random id of one data folder (32 hex digits), minted when the folder is first used and registered in Raft. */
export type Incarnation = string & { readonly __brand: "Incarnation" };
/**
 * A gateway's data folder as a member of the Raft group: the gateway's id for the folder with which it was founded, with a
 * part of the incarnation behind it for a later one. So a new folder is a new member, and no vote of the old one is its.
 */
export type MemberId = string & { readonly __brand: "MemberId" };
/** Random id of one process start (32 hex digits). */
export type SessionId = string & { readonly __brand: "SessionId" };
/** 0 … 1,023: xxhash64(device id) mod 1,024, for ever. */
export type Partition = number & { readonly __brand: "Partition" };

export const partitionCount = 1024;

export const gatewayId = (text: string): GatewayId => text as GatewayId;
export const memberId = (text: string): MemberId => text as MemberId;
export const deviceId = (text: string): DeviceId => text as DeviceId;
export const clusterId = (text: string): ClusterId => text as ClusterId;
export const incarnation = (text: string): Incarnation => text as Incarnation;
export const sessionId = (text: string): SessionId => text as SessionId;
export const partition = (index: number): Partition => index as Partition;

/** Hash of a UTF-8 string as an unsigned 64-bit integer (xxhash64, seed 0). Loaded asynchronously, so it is injected. */
export type Hash64 = (text: string) => bigint;

export function partitionOf(device: DeviceId, hash64: Hash64): Partition {
  return partition(Number(hash64(device) % BigInt(partitionCount)));
}
