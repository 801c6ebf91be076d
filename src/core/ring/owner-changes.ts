/**
 * What happens to the owner table when gateways come, go, or come back with an empty disk. Every change is a pure function of
 * the ring before it, so that all gateways that apply the same commands have the same ring, byte for byte. A partition
 * always keeps one owner that has all of its readings (a *whole* owner); one that has not yet is *filling*.
 */

import { assert } from "../../lib/assert.ts";
import { type Decoded, decodeError } from "../../lib/byte-reader.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../lib/ids.ts";
import {
  decodeChangedOwnerTable,
  decodeOwnerTable,
  encodeOwnerTable,
  type OwnerTable,
  type OwnerTableRecord,
  ownersOf,
} from "./owner-table.ts";

export interface RingState {
  readonly table: OwnerTable;
  /** By partition, ascending: owners that have not all of its readings yet, in the order of the owner list. */
  readonly filling: ReadonlyMap<number, readonly GatewayId[]>;
}

/** The ring as a snapshot carries it: plain, for msgpack. Version 1; `partitions` has a bit for each partition, lowest first. */
export interface RingRecord {
  readonly version: 1;
  readonly table: OwnerTableRecord;
  /** Ascending by gateway. */
  readonly filling: readonly { readonly gateway: string; readonly partitions: Uint8Array }[];
}

const bitmapBytes = partitionCount / 8;

/** The ring of a site that has just been founded: nothing was stored yet, so everybody has everything. */
export function foundRing(record: OwnerTableRecord): Result<RingState> {
  const table = decodeOwnerTable(record);
  return table.ok ? success({ table: table.value, filling: new Map() }) : failure("data-damaged", table.message);
}

/**
 * Takes a gateway out of all owner lists, which stay shorter until `addOwner`. Throws where that would leave a partition
 * without a whole owner: `mayLose` says so before.
 */
export function removeOwner(ring: RingState, gateway: GatewayId): RingState {
  return changed(ring, (owners) => owners.filter((owner) => owner.id !== gateway));
}

/**
 * Gives a gateway a place in every partition with fewer than `factor` owners that it does not own yet, at the end of the list,
 * filling. `factor` is what the settings want; the ring that this changes nothing in is returned as it is.
 */
export function addOwner(ring: RingState, options: { readonly gateway: GatewayId; readonly factor: number }): RingState {
  const { gateway, factor } = options;
  assert(factor >= 1, "a site keeps at least one copy");
  return changedIfAny(ring, (owners) => {
    if (owners.length >= factor || owners.some((owner) => owner.id === gateway)) return owners;
    return [...owners, { id: gateway, filling: true }];
  });
}

/**
 * A gateway came back with an empty disk: it is filling wherever it is an owner. The epoch grows also where it was filling
 * before, because what the old disk had acknowledged counts no more. Throws like `removeOwner`.
 */
export function replaceOwner(ring: RingState, gateway: GatewayId): RingState {
  return changed(ring, (owners) => owners.map((owner) => (owner.id === gateway ? { ...owner, filling: true } : owner)));
}

/** The gateway has all readings of these partitions. Where it is not filling (any more) nothing changes. */
export function ownerFilled(ring: RingState, options: { readonly gateway: GatewayId; readonly partitions: readonly number[] }): RingState {
  const filled = options.partitions.filter((at) => ring.filling.get(at)?.includes(options.gateway) === true);
  if (filled.length === 0) return ring;
  // The owner lists stay as they are: only who of them is whole changes.
  const filling = new Map(ring.filling);
  for (const at of filled) {
    const others = filling.get(at)?.filter((owner) => owner !== options.gateway) ?? [];
    if (others.length === 0) filling.delete(at);
    else filling.set(at, others);
  }
  return { table: { ...ring.table, epoch: ring.table.epoch + 1 }, filling };
}

/**
 * Whether no acknowledged reading can be lost with this gateway's disk. A write quorum of a list without losses has a
 * second whole owner wherever there are two; after one loss it may have come down to a single copy, until the place
 * is taken and filled. A gateway that is filling itself takes nothing away that no other has.
 */
export function mayLose(ring: RingState, gateway: GatewayId): { readonly ok: true } | { readonly ok: false; readonly why: string } {
  for (let at = 0; at < partitionCount; at++) {
    const owners = ownersAt(ring, at);
    const self = owners.find((owner) => owner.id === gateway);
    if (self === undefined || self.filling) continue;
    const filling = owners.find((owner) => owner.filling);
    if (filling !== undefined) return refusal(at, `${filling.id} has not all of its readings yet`);
    if (owners.length === 1) return refusal(at, `${gateway} is its only owner`);
    if (owners.length < ring.table.factor)
      return refusal(at, `it has lost an owner already, ${owners.length} of ${ring.table.factor} are left, and perhaps one copy`);
  }
  return { ok: true };
}

const refusal = (at: number, why: string) => ({ ok: false as const, why: `partition ${at}: ${why}` });

/** Owners of a partition that have all of its readings, in order of preference: whom a question may be put to. */
export function wholeOwnersOf(ring: RingState, at: number): readonly GatewayId[] {
  const owners = ownersOf(ring.table, partition(at));
  const filling = ring.filling.get(at);
  return filling === undefined ? owners : owners.filter((owner) => !filling.includes(owner));
}

/** What the quorums of a partition are reckoned from (`replica/rules.ts`). */
export function ownerCounts(ring: RingState, at: number): { readonly owners: number; readonly whole: number; readonly planned: number } {
  const owners = ownersOf(ring.table, partition(at)).length;
  return { owners, whole: owners - (ring.filling.get(at)?.length ?? 0), planned: ring.table.factor };
}

export function encodeRing(ring: RingState): RingRecord {
  const byGateway = new Map<GatewayId, Uint8Array>();
  for (const [at, gateways] of ring.filling) {
    for (const gateway of gateways) {
      const bits = byGateway.get(gateway) ?? new Uint8Array(bitmapBytes);
      byGateway.set(gateway, bits);
      bits[at >>> 3] = (bits[at >>> 3] as number) | (1 << (at & 7));
    }
  }
  const filling = [...byGateway].map(([gateway, partitions]) => ({ gateway, partitions })).sort((a, b) => (a.gateway < b.gateway ? -1 : 1));
  return { version: 1, table: encodeOwnerTable(ring.table), filling };
}

/** Fails with `data-damaged`, also for a ring that no sequence of changes leads to. */
export function decodeRing(value: unknown): Result<RingState> {
  const decoded = decode(value);
  return decoded.ok ? decoded : failure("data-damaged", decoded.message);
}

function decode(value: unknown): Decoded<RingState> {
  if (typeof value !== "object" || value === null) return decodeError("damaged", "a ring is an object");
  const record = value as { readonly version?: unknown; readonly table?: unknown; readonly filling?: unknown };
  if (record.version !== 1) return decodeError("unsupported-version", `ring format ${String(record.version)}; this version reads 1`);
  const table = decodeChangedOwnerTable(record.table);
  if (!table.ok) return table;
  const byGateway = decodeFilling(record.filling);
  if (byGateway === undefined) return decodeError("damaged", "a ring's filling owners are a bit for each partition, by ascending gateway");
  const filling = new Map<number, readonly GatewayId[]>();
  for (let at = 0; at < partitionCount; at++) {
    const marked = markedAt(byGateway, at);
    if (marked.length === 0) continue;
    const owners = ownersOf(table.value, partition(at));
    if (!marked.every((gateway) => owners.includes(gateway)))
      return decodeError("damaged", `partition ${at} is filled by a gateway that does not own it`);
    if (marked.length === owners.length) return decodeError("damaged", `no owner of partition ${at} has its readings`);
    filling.set(
      at,
      owners.filter((owner) => marked.includes(owner)),
    );
  }
  return success({ table: table.value, filling });
}

function markedAt(byGateway: ReadonlyMap<GatewayId, Uint8Array>, at: number): readonly GatewayId[] {
  const marked: GatewayId[] = [];
  for (const [gateway, bits] of byGateway) if (((bits[at >>> 3] as number) >>> (at & 7)) % 2 === 1) marked.push(gateway);
  return marked;
}

function decodeFilling(value: unknown): Map<GatewayId, Uint8Array> | undefined {
  if (!Array.isArray(value)) return undefined;
  const byGateway = new Map<GatewayId, Uint8Array>();
  let last = "";
  for (const item of value as ({ readonly gateway?: unknown; readonly partitions?: unknown } | null)[]) {
    const { gateway, partitions } = item ?? {};
    if (typeof gateway !== "string" || gateway <= last || !(partitions instanceof Uint8Array) || partitions.length !== bitmapBytes)
      return undefined;
    byGateway.set(gatewayId(gateway), partitions);
    last = gateway;
  }
  return byGateway;
}

interface Owner {
  readonly id: GatewayId;
  readonly filling: boolean;
}

function ownersAt(ring: RingState, at: number): readonly Owner[] {
  const filling = ring.filling.get(at);
  return ownersOf(ring.table, partition(at)).map((id) => ({ id, filling: filling?.includes(id) === true }));
}

/** The same for all partitions with the same owners, of which the same are filling. */
type Change = (owners: readonly Owner[]) => readonly Owner[];

/** Partitions share few owner lists; `work` is done once for each of them, and once more where other owners of it are filling. */
function onceForEachList<T>(ring: RingState, work: (at: number) => T): (at: number) => T {
  const known = new Map<number | string, T>();
  return (at) => {
    const set = ring.table.partitionSets[at] as number;
    const filling = ring.filling.get(at);
    // No id has a space in it.
    const key = filling === undefined ? set : `${set} ${filling.join(" ")}`;
    let done = known.get(key);
    if (done === undefined) {
      done = work(at);
      known.set(key, done);
    }
    return done;
  };
}

function changedIfAny(ring: RingState, change: Change): RingState {
  const changes = onceForEachList(ring, (at) => {
    const owners = ownersAt(ring, at);
    return change(owners) !== owners;
  });
  for (let at = 0; at < partitionCount; at++) if (changes(at)) return changed(ring, change);
  return ring;
}

/** The ring of the next epoch. Owner lists are numbered in the order of the partitions: equal rings have equal encodings. */
function changed(ring: RingState, change: Change): RingState {
  const setIndex = new Map<string, number>();
  const ownerSets: GatewayId[][] = [];
  const partitionSets = new Uint16Array(partitionCount);
  const filling = new Map<number, readonly GatewayId[]>();
  let factor = ring.table.factor;
  const place = onceForEachList(ring, (at) => {
    const owners = change(ownersAt(ring, at));
    assert(
      owners.some((owner) => !owner.filling),
      `partition ${at} keeps an owner that has all of its readings`,
    );
    const ids = owners.map((owner) => owner.id);
    const key = JSON.stringify(ids);
    const index = setIndex.get(key) ?? ownerSets.push(ids) - 1;
    setIndex.set(key, index);
    factor = Math.max(factor, ids.length);
    return { index, unfilled: owners.filter((owner) => owner.filling).map((owner) => owner.id) };
  });
  for (let at = 0; at < partitionCount; at++) {
    const { index, unfilled } = place(at);
    partitionSets[at] = index;
    if (unfilled.length > 0) filling.set(at, unfilled);
  }
  return { table: { epoch: ring.table.epoch + 1, factor, ownerSets, partitionSets }, filling };
}
