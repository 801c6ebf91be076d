/**
 * Plans who owns which partition: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018). The same
 * gateways give the same table everywhere; a gateway more or less moves little more than its share. Nobody is above
 * ⌈1.15 × its share⌉, and within that bound owners are in different zones wherever possible.
 */

import { assert } from "../../lib/assert.ts";
import { type GatewayId, type Hash64, partitionCount } from "../../lib/ids.ts";
import type { OwnerTable } from "./owner-table.ts";

export interface RingGateway {
  readonly id: GatewayId;
  /** > 0; 1 is the usual. */
  readonly weight: number;
  /** Gateways without a zone are each a zone of their own. */
  readonly zone: string | undefined;
}

export interface OwnerPlan {
  readonly gateways: readonly RingGateway[];
  /** Copies wanted; the effective factor is min(factor, gateways). */
  readonly factor: number;
  readonly epoch: number;
  readonly hash64: Hash64;
}

const virtualNodesPerWeight = 64;
const loadBound = 1.15;

/** What one gateway still takes while the plan is made. */
interface Candidate {
  readonly id: GatewayId;
  readonly zone: string;
  room: number;
}

interface VirtualNode {
  readonly position: number;
  readonly candidate: Candidate;
}

export function planOwners(plan: OwnerPlan): OwnerTable {
  const { gateways, hash64 } = plan;
  assert(gateways.length > 0 && plan.factor >= 1, "a site has at least one gateway and one copy");
  assert(new Set(gateways.map((gateway) => gateway.id)).size === gateways.length, "gateway ids differ");
  const factor = Math.min(plan.factor, gateways.length);
  const bounds = loadBounds(gateways, factor);
  const candidates = gateways
    .map((gateway): Candidate => {
      const zone = gateway.zone === undefined ? `gateway/${gateway.id}` : `zone/${gateway.zone}`;
      return { id: gateway.id, zone, room: bounds.get(gateway.id) as number };
    })
    // Not the order of the list, which may differ between files, but the ids decide.
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const ring = virtualNodes(candidates, gateways, hash64);
  const setIndex = new Map<string, number>();
  const ownerSets: GatewayId[][] = [];
  const partitionSets = new Uint16Array(partitionCount);
  for (let i = 0; i < partitionCount; i++) {
    const preferred = preferenceList(ring, positionOf(hash64(`partition/${i}`)), candidates.length);
    const owners = chooseOwners(preferred, { factor, partitionsLeft: partitionCount - i });
    for (const owner of owners) owner.room--;
    const ids = owners.map((owner) => owner.id);
    const key = JSON.stringify(ids);
    const index = setIndex.get(key) ?? ownerSets.push(ids) - 1;
    setIndex.set(key, index);
    partitionSets[i] = index;
  }
  return { epoch: plan.epoch, factor, ownerSets, partitionSets };
}

/** The most partitions that each gateway may get: ⌈1.15 × its share⌉. */
export function loadBounds(gateways: readonly RingGateway[], factor: number): Map<GatewayId, number> {
  return new Map([...sharesOf(gateways, factor)].map(([id, share]) => [id, boundOf(share)]));
}

export function boundOf(share: number): number {
  return Math.min(partitionCount, Math.ceil(loadBound * share));
}

/**
 * How many partitions each gateway should have, by weight. Nobody can hold a partition twice, so that what exceeds 1,024 is
 * shared out among the others.
 */
export function sharesOf(gateways: readonly RingGateway[], factor: number): Map<GatewayId, number> {
  const shares = new Map<GatewayId, number>();
  let open = gateways.toSorted((a, b) => b.weight - a.weight);
  let copies = partitionCount * factor;
  let weight = open.reduce((sum, gateway) => sum + gateway.weight, 0);
  // Heaviest first: whoever's share is all partitions is full, and the rest is shared among the others.
  for (let heaviest = open[0]; heaviest !== undefined && (copies * heaviest.weight) / weight >= partitionCount; heaviest = open[0]) {
    shares.set(heaviest.id, partitionCount);
    copies -= partitionCount;
    weight -= heaviest.weight;
    open = open.slice(1);
  }
  for (const gateway of open) shares.set(gateway.id, (copies * gateway.weight) / weight);
  return shares;
}

/** The upper 53 bits: exact as a double. */
const positionOf = (hash: bigint) => Number(hash >> 11n);

function virtualNodes(candidates: readonly Candidate[], gateways: readonly RingGateway[], hash64: Hash64): VirtualNode[] {
  const weights = new Map(gateways.map((gateway) => [gateway.id, gateway.weight]));
  const nodes: VirtualNode[] = [];
  for (const candidate of candidates) {
    const count = Math.max(1, Math.round(virtualNodesPerWeight * (weights.get(candidate.id) ?? 1)));
    for (let i = 0; i < count; i++) nodes.push({ position: positionOf(hash64(`${candidate.id}/${i}`)), candidate });
  }
  // The sort is stable and candidates come by id: a collision of positions is decided alike everywhere.
  return nodes.sort((a, b) => a.position - b.position);
}

/** All gateways in the order in which the ring meets them from `position` on. */
function preferenceList(ring: readonly VirtualNode[], position: number, gatewayCount: number): Candidate[] {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ring[middle] as VirtualNode).position < position) low = middle + 1;
    else high = middle;
  }
  const met = new Set<Candidate>();
  for (let i = 0; i < ring.length && met.size < gatewayCount; i++) met.add((ring[(low + i) % ring.length] as VirtualNode).candidate);
  return [...met];
}

/**
 * The first in order of preference that have room, new zones first, such that the partitions to come can be served too.
 * `left` partitions need `factor` different gateways each, which works exactly as long as
 * Σ min(room, left) >= factor × left (Gale–Ryser); the surplus is the slack. Passing over a gateway whose room is at least
 * `left` costs one of it, so at most `slack` of those may be passed over now.
 */
function chooseOwners(preferred: readonly Candidate[], need: { readonly factor: number; readonly partitionsLeft: number }): Candidate[] {
  const left = need.partitionsLeft;
  const usable = preferred.reduce((sum, candidate) => sum + Math.min(candidate.room, left), 0);
  const slack = usable - need.factor * left;
  assert(slack >= 0, "the bounds leave room for every partition");
  let mustTake = Math.max(0, preferred.filter((candidate) => candidate.room >= left).length - slack);
  const chosen: Candidate[] = [];
  const zones = new Set<string>();
  while (chosen.length < need.factor) {
    const onlyFull = mustTake >= need.factor - chosen.length;
    const open = preferred.filter(
      (candidate) => candidate.room > 0 && !chosen.includes(candidate) && (!onlyFull || candidate.room >= left),
    );
    const next = open.find((candidate) => !zones.has(candidate.zone)) ?? open[0];
    assert(next !== undefined, "somebody has room");
    if (next.room >= left) mustTake--;
    chosen.push(next);
    zones.add(next.zone);
  }
  return chosen;
}
