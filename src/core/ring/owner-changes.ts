/**
 * What happens to the owner table when gateways come, go, or come back with an empty disk, and when partitions move. Every change
 * is a pure function of the ring before it, so that all gateways that apply the same commands have the same ring, byte for
 * byte. A partition always keeps one owner that has all of its readings (a *whole* owner); one that has not yet is *filling*.
 *
 * A partition *moves* in two steps. First the gateway that it goes to joins its owners, filling, while the one that it leaves
 * stays a whole owner: `replica/rules.ts` says which quorums hold meanwhile. When it is filled, the other one goes in the same
 * step. A partition makes one move at a time, and none while it has a free place.
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
  /** By partition, ascending: the owner list is longer by one until `to` is filled. */
  readonly moves: ReadonlyMap<number, OwnerMove>;
}

export interface OwnerMove {
  /** A whole owner, until the move ends. */
  readonly from: GatewayId;
  /** A filling owner. */
  readonly to: GatewayId;
}

/** Where a gateway that fills gets a partition's readings from. */
export interface FillSources {
  /** In order of preference. */
  readonly owners: readonly GatewayId[];
  /** So many of them must have given all that they hold. */
  readonly needed: number;
  /** This one among them. */
  readonly always: GatewayId | undefined;
}

/** A place in an owner list to be given away. */
export interface PlaceChange {
  readonly partition: number;
  /** Who has it; `undefined` where the list is shorter than it should be. */
  readonly from: GatewayId | undefined;
  readonly to: GatewayId;
}

/**
 * The ring as a snapshot carries it: plain, for msgpack. Version 1; version 2 has moves. `partitions` has a bit for each
 * partition, lowest first.
 */
export interface RingRecord {
  readonly version: 1 | 2;
  readonly table: OwnerTableRecord;
  /** Ascending by gateway. */
  readonly filling: readonly { readonly gateway: string; readonly partitions: Uint8Array }[];
  /** Ascending by gateways. */
  readonly moves?: readonly { readonly from: string; readonly to: string; readonly partitions: Uint8Array }[];
}

const bitmapBytes = partitionCount / 8;

/** The ring of a site that has just been founded: nothing was stored yet, so everybody has everything. */
export function foundRing(record: OwnerTableRecord): Result<RingState> {
  const table = decodeOwnerTable(record);
  return table.ok ? success({ table: table.value, filling: new Map(), moves: new Map() }) : failure("data-damaged", table.message);
}

/**
 * Takes a gateway out of all owner lists, which stay shorter until `addOwner`. Throws where that would leave a partition
 * without a whole owner: `mayLose` says so before.
 */
export function removeOwner(ring: RingState, gateway: GatewayId): RingState {
  return changed(ring, everywhereAlike, (owners) => owners.filter((owner) => owner.id !== gateway));
}

/**
 * Gives a gateway a place in every partition with fewer than `factor` owners that it does not own yet, at the end of the list,
 * filling. `factor` is what the settings want; the ring that this changes nothing in is returned as it is.
 */
export function addOwner(ring: RingState, options: { readonly gateway: GatewayId; readonly factor: number }): RingState {
  const { gateway, factor } = options;
  assert(factor >= 1, "a site keeps at least one copy");
  return changedIfAny(ring, everywhereAlike, (owners) => {
    if (placesIn(owners) >= factor || owners.some((owner) => owner.id === gateway)) return owners;
    return [...owners, newcomer(gateway)];
  });
}

/**
 * Begins moves, and gives away places that are free: those that are wrong by now (the owners of the partition are others, one of
 * them is filling) are left out. `factor` is what the settings want. The ring that this changes nothing in is returned as it is.
 */
export function changePlaces(ring: RingState, options: { readonly changes: readonly PlaceChange[]; readonly factor: number }): RingState {
  const { changes, factor } = options;
  const wanted = new Map(changes.map((change) => [change.partition, change]));
  const kindOf = (at: number) => `${wanted.get(at)?.from ?? ""} ${wanted.get(at)?.to ?? ""}`;
  return changedIfAny(ring, kindOf, (owners, at) => {
    const change = wanted.get(at);
    if (change === undefined || owners.some((owner) => owner.filling || owner.id === change.to)) return owners;
    const { from, to } = change;
    if (from === undefined) return owners.length < factor ? [...owners, newcomer(to)] : owners;
    if (!owners.some((owner) => owner.id === from)) return owners;
    return [...owners.map((owner) => (owner.id === from ? { ...owner, leavesTo: to } : owner)), newcomer(to)];
  });
}

/** Ends the moves to a gateway and from it, as if they had not begun: the owners that were to go have all readings. */
export function cancelMoves(ring: RingState, gateway: GatewayId): RingState {
  return changedIfAny(ring, everywhereAlike, (owners) => {
    const leaving = owners.find((owner) => owner.leavesTo !== undefined);
    if (leaving === undefined || (leaving.id !== gateway && leaving.leavesTo !== gateway)) return owners;
    return owners.flatMap(({ id, filling, leavesTo }) => {
      if (id === leaving.leavesTo) return [];
      return leavesTo === undefined ? { id, filling } : { id, filling: false };
    });
  });
}

/**
 * A gateway came back with an empty disk: it is filling wherever it is an owner, but for the places that it was about to leave. The
 * epoch grows also where it was filling before, because what the old disk had acknowledged counts no more. Throws like `removeOwner`.
 */
export function replaceOwner(ring: RingState, gateway: GatewayId): RingState {
  return changed(ring, everywhereAlike, (owners) =>
    owners.flatMap((owner) => {
      if (owner.id !== gateway) return owner;
      return owner.leavesTo === undefined ? { ...owner, filling: true } : [];
    }),
  );
}

/**
 * The gateway has all readings of these partitions: where it came to take a place, whoever had that goes. Where it is not filling
 * (any more) nothing changes.
 */
export function ownerFilled(ring: RingState, options: { readonly gateway: GatewayId; readonly partitions: readonly number[] }): RingState {
  const { gateway, partitions } = options;
  const filled = new Set(partitions.filter((at) => ring.filling.get(at)?.includes(gateway) === true));
  if (filled.size === 0) return ring;
  const kindOf = (at: number) => (filled.has(at) ? "filled" : "");
  return changed(ring, kindOf, (owners, at) => {
    if (!filled.has(at)) return owners;
    const left = owners.filter((owner) => owner.leavesTo !== gateway);
    return left.map((owner) => (owner.id === gateway ? { ...owner, filling: false } : owner));
  });
}

/** The ring of the next epoch, with the same owners: lists that no partition has any more are left out, as a snapshot wants it. */
export function renumbered(ring: RingState): RingState {
  return changed(ring, everywhereAlike, (owners) => owners);
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
    const target = ring.moves.get(at)?.to;
    const filling = owners.find((owner) => owner.filling && owner.id !== target);
    if (filling !== undefined) return refusal(at, `${filling.id} has not all of its readings yet`);
    const whole = owners.filter((owner) => !owner.filling).length;
    if (whole === 1) return refusal(at, `${gateway} is its only owner`);
    if (whole < ring.table.factor)
      return refusal(at, `it has lost an owner already, ${whole} of ${ring.table.factor} are left, and perhaps one copy`);
  }
  return { ok: true };
}

/** Whether some partition has fewer places than it once had: of what its lost owner acknowledged there may be a single copy. */
export function lacksCopies({ table }: RingState): boolean {
  return table.partitionSets.some((index) => (table.ownerSets[index]?.length ?? 0) < table.factor);
}

const refusal = (at: number, why: string) => ({ ok: false as const, why: `partition ${at}: ${why}` });

/** Owners of a partition that have all of its readings, in order of preference: whom a question may be put to. */
export function wholeOwnersOf(ring: RingState, at: number): readonly GatewayId[] {
  const owners = ownersOf(ring.table, partition(at));
  const filling = ring.filling.get(at);
  return filling === undefined ? owners : owners.filter((owner) => !filling.includes(owner));
}

/** What the quorums of a partition are reckoned from (`replica/rules.ts`). */
export function ownerCounts(
  ring: RingState,
  at: number,
): { readonly owners: number; readonly whole: number; readonly leaving: number; readonly planned: number } {
  const owners = ownersOf(ring.table, partition(at)).length;
  const whole = owners - (ring.filling.get(at)?.length ?? 0);
  return { owners, whole, leaving: ring.moves.has(at) ? 1 : 0, planned: ring.table.factor };
}

/**
 * Whom a gateway that fills has to ask, and how many of them must answer. Where the partition has lost nothing, a majority has
 * every acknowledged reading, and with it no quorum of an older table is left that does not know of this one; the owner that is to
 * go is among them, so that nothing goes with it. After a loss only all of them together have everything.
 */
export function fillSources(ring: RingState, at: number): FillSources {
  const owners = wholeOwnersOf(ring, at);
  const isIntact = owners.length >= ring.table.factor;
  return { owners, needed: isIntact ? Math.floor(owners.length / 2) + 1 : owners.length, always: ring.moves.get(at)?.from };
}

export function encodeRing(ring: RingState): RingRecord {
  const fillingBits = new Map<string, Uint8Array>();
  for (const [at, gateways] of ring.filling) for (const gateway of gateways) mark(fillingBits, gateway, at);
  const filling = [...fillingBits]
    .map(([gateway, partitions]) => ({ gateway, partitions }))
    .sort((a, b) => (a.gateway < b.gateway ? -1 : 1));
  const table = encodeOwnerTable(ring.table);
  if (ring.moves.size === 0) return { version: 1, table, filling };
  const moveBits = new Map<string, Uint8Array>();
  for (const [at, { from, to }] of ring.moves) mark(moveBits, `${from} ${to}`, at);
  const moves = [...moveBits]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([pair, partitions]) => {
      const [from = "", to = ""] = pair.split(" ");
      return { from, to, partitions };
    });
  return { version: 2, table, filling, moves };
}

function mark(bitsOf: Map<string, Uint8Array>, name: string, at: number): void {
  const bits = bitsOf.get(name) ?? new Uint8Array(bitmapBytes);
  bitsOf.set(name, bits);
  bits[at >>> 3] = (bits[at >>> 3] as number) | (1 << (at & 7));
}

const isMarked = (bits: Uint8Array, at: number): boolean => ((bits[at >>> 3] as number) >>> (at & 7)) % 2 === 1;

/** Fails with `data-damaged`, also for a ring that no sequence of changes leads to. */
export function decodeRing(value: unknown): Result<RingState> {
  const decoded = decode(value);
  return decoded.ok ? decoded : failure("data-damaged", decoded.message);
}

function decode(value: unknown): Decoded<RingState> {
  if (typeof value !== "object" || value === null) return decodeError("damaged", "a ring is an object");
  const record = value as { readonly version?: unknown; readonly table?: unknown; readonly filling?: unknown; readonly moves?: unknown };
  if (record.version !== 1 && record.version !== 2)
    return decodeError("unsupported-version", `ring format ${String(record.version)}; this version reads 1 and 2`);
  const table = decodeChangedOwnerTable(record.table, { isMoving: record.version === 2 });
  if (!table.ok) return table;
  const byGateway = decodeFilling(record.filling);
  if (byGateway === undefined) return decodeError("damaged", "a ring's filling owners are a bit for each partition, by ascending gateway");
  const moves = record.version === 1 ? new Map<number, OwnerMove>() : decodeMoves(record.moves);
  if (moves === undefined) return decodeError("damaged", "a ring's moves are a bit for each partition, by ascending gateways");
  const filling = new Map<number, readonly GatewayId[]>();
  for (let at = 0; at < partitionCount; at++) {
    const owners = ownersOf(table.value, partition(at));
    const marked = [...byGateway].filter(([, bits]) => isMarked(bits, at)).map(([gateway]) => gateway);
    const problem = problemAt(at, { owners, marked, move: moves.get(at), factor: table.value.factor });
    if (problem !== undefined) return decodeError("damaged", problem);
    if (marked.length > 0)
      filling.set(
        at,
        owners.filter((owner) => marked.includes(owner)),
      );
  }
  return success({ table: table.value, filling, moves });
}

/** What no sequence of changes leads to. */
function problemAt(
  at: number,
  found: {
    readonly owners: readonly GatewayId[];
    readonly marked: readonly GatewayId[];
    readonly move: OwnerMove | undefined;
    readonly factor: number;
  },
): string | undefined {
  const { owners, marked, move, factor } = found;
  if (!marked.every((gateway) => owners.includes(gateway))) return `partition ${at} is filled by a gateway that does not own it`;
  if (marked.length === owners.length) return `no owner of partition ${at} has its readings`;
  if (move === undefined) return owners.length > factor ? `partition ${at} has ${owners.length} owners, which is one too many` : undefined;
  if (!owners.includes(move.from) || marked.includes(move.from) || !marked.includes(move.to))
    return `partition ${at} moves from ${move.from} to ${move.to}, which are not its owners`;
  return undefined;
}

function decodeMoves(value: unknown): Map<number, OwnerMove> | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const found: [number, OwnerMove][] = [];
  let last = "";
  for (const item of value as ({ readonly from?: unknown; readonly to?: unknown; readonly partitions?: unknown } | null)[]) {
    const { from, to, partitions } = item ?? {};
    if (typeof from !== "string" || typeof to !== "string" || !(partitions instanceof Uint8Array) || partitions.length !== bitmapBytes)
      return undefined;
    const pair = `${from} ${to}`;
    if (pair <= last) return undefined;
    last = pair;
    const move = { from: gatewayId(from), to: gatewayId(to) };
    for (let at = 0; at < partitionCount; at++) if (isMarked(partitions, at)) found.push([at, move]);
  }
  const moves = new Map(found.sort(([a], [b]) => a - b));
  return moves.size === found.length ? moves : undefined;
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
  /** Goes when that one is filled. */
  readonly leavesTo?: GatewayId;
}

const newcomer = (id: GatewayId): Owner => ({ id, filling: true });

/** Who is about to leave shares its place with who takes it. */
const placesIn = (owners: readonly Owner[]): number => owners.filter((owner) => owner.leavesTo === undefined).length;

function ownersAt(ring: RingState, at: number): readonly Owner[] {
  const filling = ring.filling.get(at);
  const move = ring.moves.get(at);
  return ownersOf(ring.table, partition(at)).map((id) => {
    const owner = { id, filling: filling?.includes(id) === true };
    return id === move?.from ? { ...owner, leavesTo: move.to } : owner;
  });
}

/** Returns the same list where nothing changes. The same for all partitions with the same owners and of one kind. */
type Change = (owners: readonly Owner[], at: number) => readonly Owner[];
type KindOf = (at: number) => string;

const everywhereAlike: KindOf = () => "";

/** Partitions share few owner lists: `work` is done once for each of them and each kind. */
function onceForEachList<T>(ring: RingState, kindOf: KindOf, work: (at: number) => T): (at: number) => T {
  const known = new Map<string, T>();
  return (at) => {
    const move = ring.moves.get(at);
    // No id has a space in it.
    const key = `${kindOf(at)}/${ring.table.partitionSets[at] as number} ${ring.filling.get(at)?.join(" ") ?? ""}/${move?.from ?? ""} ${move?.to ?? ""}`;
    if (known.has(key)) return known.get(key) as T;
    const done = work(at);
    known.set(key, done);
    return done;
  };
}

function changedIfAny(ring: RingState, kindOf: KindOf, change: Change): RingState {
  const changes = onceForEachList(ring, kindOf, (at) => {
    const owners = ownersAt(ring, at);
    return change(owners, at) !== owners;
  });
  for (let at = 0; at < partitionCount; at++) if (changes(at)) return changed(ring, kindOf, change);
  return ring;
}

/** The ring of the next epoch. Owner lists are numbered in the order of the partitions: equal rings have equal encodings. */
function changed(ring: RingState, kindOf: KindOf, change: Change): RingState {
  const setIndex = new Map<string, number>();
  const ownerSets: GatewayId[][] = [];
  const partitionSets = new Uint16Array(partitionCount);
  const filling = new Map<number, readonly GatewayId[]>();
  const moves = new Map<number, OwnerMove>();
  const place = onceForEachList(ring, kindOf, (at) => {
    const owners = change(ownersAt(ring, at), at);
    assert(
      owners.some((owner) => !owner.filling),
      `partition ${at} keeps an owner that has all of its readings`,
    );
    const ids = owners.map((owner) => owner.id);
    const key = JSON.stringify(ids);
    const index = setIndex.get(key) ?? ownerSets.push(ids) - 1;
    setIndex.set(key, index);
    const unfilled = owners.filter((owner) => owner.filling).map((owner) => owner.id);
    return { index, length: ids.length, unfilled, move: moveOf(owners, ring.table.factor) };
  });
  let { factor } = ring.table;
  for (let at = 0; at < partitionCount; at++) {
    const { index, length, unfilled, move } = place(at);
    partitionSets[at] = index;
    if (unfilled.length > 0) filling.set(at, unfilled);
    if (move !== undefined) moves.set(at, move);
    factor = Math.max(factor, move === undefined ? length : length - 1);
  }
  return { table: { epoch: ring.table.epoch + 1, factor, ownerSets, partitionSets }, filling, moves };
}

/**
 * A move whose one end is gone is none any more: the other owner stays, or fills a place that is free. Where another owner is gone,
 * whoever came takes that place: a copy less is no time to give one up.
 */
function moveOf(owners: readonly Owner[], factor: number): OwnerMove | undefined {
  if (owners.length <= factor) return undefined;
  const leaving = owners.find((owner) => owner.leavesTo !== undefined);
  const to = leaving?.leavesTo;
  if (leaving === undefined || to === undefined || !owners.some((owner) => owner.id === to && owner.filling)) return undefined;
  return { from: leaving.id, to };
}
