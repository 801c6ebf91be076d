/**
 * What becomes of the ring when somebody insists on giving up a data folder that readings may be lost with. The rule of the
 * ring, that each partition keeps an owner that has all of its readings, is met by what is left: the others of a partition
 * count as whole, because nobody has more; a partition that loses its only owner is given to another gateway.
 */

import { assert } from "../../lib/assert.ts";
import { type GatewayId, partition, partitionCount } from "../../lib/ids.ts";
import { type RingState, removeOwner, renumbered } from "../ring/owner-changes.ts";
import { type OwnerTable, ownersOf } from "../ring/owner-table.ts";

/** Takes the gateway out of all owner lists; `heirs` get its partitions that nobody else owns. */
export function removeOwnerByForce(ring: RingState, gateway: GatewayId, heirs: readonly GatewayId[]): RingState {
  const filling = new Map(ring.filling);
  const ownerSets = [...ring.table.ownerSets];
  const partitionSets = Uint16Array.from(ring.table.partitionSets);
  const setOfHeir = new Map<GatewayId, number>();
  for (let at = 0; at < partitionCount; at++) {
    const owners = ownersOf(ring.table, partition(at));
    if (!owners.includes(gateway)) continue;
    if (owners.length === 1) {
      const heir = heirs[at % heirs.length];
      assert(heir !== undefined && heir !== gateway, "a site keeps a gateway that takes over");
      const set = setOfHeir.get(heir) ?? ownerSets.push([heir]) - 1;
      setOfHeir.set(heir, set);
      partitionSets[at] = set;
      filling.delete(at);
    } else if (isOnlyWhole(ring, at, gateway)) filling.delete(at);
  }
  const table: OwnerTable = { ...ring.table, ownerSets, partitionSets };
  return removeOwner({ table, filling, moves: standing(ring, filling) }, gateway);
}

/** The gateway comes back empty: filling wherever somebody else can tell it more, but for the places that it was about to leave. */
export function replaceOwnerByForce(before: RingState, gateway: GatewayId): RingState {
  const ring = withMovesEnded(before, gateway);
  const filling = new Map<number, readonly GatewayId[]>();
  for (let at = 0; at < partitionCount; at++) {
    const before = ring.filling.get(at) ?? [];
    const owners = ownersOf(ring.table, partition(at));
    const lostWhole = owners.includes(gateway) && isOnlyWhole(ring, at, gateway);
    const isFilling = (owner: GatewayId) => (owner === gateway ? owners.length > 1 : !lostWhole && before.includes(owner));
    const after = owners.filter(isFilling);
    if (after.length > 0) filling.set(at, after);
  }
  return renumbered({ table: ring.table, filling, moves: standing(ring, filling) });
}

/** The places that the gateway was about to leave are left. */
function withMovesEnded(ring: RingState, gateway: GatewayId): RingState {
  const filling = new Map(ring.filling);
  const moves = new Map(ring.moves);
  const ownerSets = [...ring.table.ownerSets];
  const partitionSets = Uint16Array.from(ring.table.partitionSets);
  const setOf = new Map<string, number>();
  for (const [at, { from }] of ring.moves) {
    if (from !== gateway) continue;
    const owners = ownersOf(ring.table, partition(at)).filter((owner) => owner !== gateway);
    const key = owners.join(" ");
    const set = setOf.get(key) ?? ownerSets.push(owners) - 1;
    setOf.set(key, set);
    partitionSets[at] = set;
    moves.delete(at);
    if (isOnlyWhole(ring, at, gateway)) filling.delete(at);
  }
  return { table: { ...ring.table, ownerSets, partitionSets }, filling, moves };
}

/** The moves that still are: from an owner that has all readings, to one that fills. The others end where they stand. */
function standing(ring: RingState, filling: RingState["filling"]): RingState["moves"] {
  return new Map(
    [...ring.moves].filter(([at, { from, to }]) => filling.get(at)?.includes(to) === true && !filling.get(at)?.includes(from)),
  );
}

function isOnlyWhole(ring: RingState, at: number, gateway: GatewayId): boolean {
  const filling = ring.filling.get(at) ?? [];
  return ownersOf(ring.table, partition(at)).every((owner) => owner === gateway || filling.includes(owner));
}
