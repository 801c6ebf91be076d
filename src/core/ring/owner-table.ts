/**
 * The owner table: which gateways keep each of the 1,024 partitions. Raft stores the table itself, so no two gateways and
 * no two versions can disagree on it. Immutable once made; every table has a higher epoch than the one before.
 */

import { assert } from "../../lib/assert.ts";
import { type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { success } from "../../lib/errors.ts";
import { type GatewayId, gatewayId, type Partition, partition, partitionCount } from "../../lib/ids.ts";

export interface OwnerTable {
  /** Counts up from 1. */
  readonly epoch: number;
  /**
   * The effective factor: the length of every owner list as planned. A list that is shorter has lost an owner and got none
   * in its place yet, one that is longer by one is of a partition that moves (`owner-changes.ts`); none is empty.
   */
  readonly factor: number;
  /** Distinct owner lists in order of preference: the first is the one to ask first. */
  readonly ownerSets: readonly (readonly GatewayId[])[];
  /** Partition -> index into `ownerSets`. */
  readonly partitionSets: Uint16Array;
}

/** Of no table: under it nothing is written, accepted or answered. */
export const noEpoch = 0;

/** The table as a Raft command carries it: plain, for msgpack. Version 1; `partitions` is 1,024 × u16 little-endian. */
export interface OwnerTableRecord {
  readonly version: 1;
  readonly epoch: number;
  readonly factor: number;
  readonly sets: readonly (readonly string[])[];
  readonly partitions: Uint8Array;
}

export function ownersOf(table: OwnerTable, of: Partition): readonly GatewayId[] {
  const owners = table.ownerSets[table.partitionSets[of] ?? -1];
  assert(owners !== undefined, `partition ${of} has owners`);
  return owners;
}

export function isOwner(table: OwnerTable, of: Partition, gateway: GatewayId): boolean {
  return ownersOf(table, of).includes(gateway);
}

/** Ascending. */
export function partitionsOf(table: OwnerTable, gateway: GatewayId): Partition[] {
  const owns = table.ownerSets.map((owners) => owners.includes(gateway));
  const found: Partition[] = [];
  for (let i = 0; i < partitionCount; i++) if (owns[table.partitionSets[i] as number] === true) found.push(partition(i));
  return found;
}

/** The partitions in which the gateway is the first choice, for work that one owner does for all. */
export function primaryPartitionsOf(table: OwnerTable, gateway: GatewayId): Partition[] {
  return partitionsOf(table, gateway).filter((candidate) => ownersOf(table, candidate)[0] === gateway);
}

/**
 * Owner lists without their order: what a round is encoded for. Partitions whose owners are the same gateways share a
 * group, whoever comes first in each. Each group's gateways are sorted by id.
 */
export function replicaGroups(table: OwnerTable): { readonly groups: readonly (readonly GatewayId[])[]; readonly groupOf: Uint16Array } {
  const indexByKey = new Map<string, number>();
  const groups: GatewayId[][] = [];
  const groupOfSet = table.ownerSets.map((owners) => {
    const sorted = owners.toSorted();
    const key = JSON.stringify(sorted);
    const index = indexByKey.get(key) ?? groups.push(sorted) - 1;
    indexByKey.set(key, index);
    return index;
  });
  return { groups, groupOf: table.partitionSets.map((set) => groupOfSet[set] as number) };
}

export function encodeOwnerTable(table: OwnerTable): OwnerTableRecord {
  const partitions = new Uint8Array(partitionCount * 2);
  for (let i = 0; i < partitionCount; i++) {
    const set = table.partitionSets[i] as number;
    partitions[2 * i] = set;
    partitions[2 * i + 1] = set >>> 8;
  }
  return { version: 1, epoch: table.epoch, factor: table.factor, sets: table.ownerSets, partitions };
}

/** A table as it was planned: every list is `factor` long. */
export function decodeOwnerTable(record: unknown): Decoded<OwnerTable> {
  return decodeTable(record, { shortest: "factor" });
}

/** A table that may have lost owners since: no list is empty, none is longer than `factor`, or by one while partitions move. */
export function decodeChangedOwnerTable(record: unknown, options: { readonly isMoving: boolean }): Decoded<OwnerTable> {
  return decodeTable(record, { shortest: 1, extra: options.isMoving ? 1 : 0 });
}

function decodeTable(record: unknown, length: { readonly shortest: 1 | "factor"; readonly extra?: number }): Decoded<OwnerTable> {
  if (!isObject(record)) return decodeError("damaged", "an owner table is an object");
  const { version, epoch, factor, sets, partitions } = record;
  if (version !== 1) return decodeError("unsupported-version", `owner table format ${String(version)}; this version reads 1`);
  if (!isCounter(epoch) || !isCounter(factor)) return decodeError("damaged", "an owner table's epoch and factor count from 1");
  if (!(partitions instanceof Uint8Array) || partitions.length !== partitionCount * 2) {
    return decodeError("damaged", `an owner table has ${partitionCount} partitions`);
  }
  const shortest = length.shortest === "factor" ? factor : length.shortest;
  const ownerSets = decodeSets(sets, { shortest, longest: factor + (length.extra ?? 0) });
  if (ownerSets === undefined)
    return decodeError("damaged", `an owner table's lists have ${shortest} to ${factor} different gateways each`);
  const partitionSets = new Uint16Array(partitionCount);
  for (let i = 0; i < partitionCount; i++) {
    const set = (partitions[2 * i] as number) | ((partitions[2 * i + 1] as number) << 8);
    if (set >= ownerSets.length) return decodeError("damaged", `partition ${i} has owner list ${set} of ${ownerSets.length}`);
    partitionSets[i] = set;
  }
  return success({ epoch, factor, ownerSets, partitionSets });
}

function decodeSets(sets: unknown, length: { readonly shortest: number; readonly longest: number }): GatewayId[][] | undefined {
  if (!Array.isArray(sets) || sets.length > partitionCount) return undefined;
  const ownerSets: GatewayId[][] = [];
  for (const owners of sets as unknown[]) {
    if (!Array.isArray(owners) || owners.length < length.shortest || owners.length > length.longest) return undefined;
    if (new Set(owners).size !== owners.length) return undefined;
    const ids: GatewayId[] = [];
    for (const owner of owners as unknown[]) {
      if (typeof owner !== "string" || owner === "") return undefined;
      ids.push(gatewayId(owner));
    }
    ownerSets.push(ids);
  }
  return ownerSets;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isCounter = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
