/**
 * The leader's next change of the owner table, if there is one to make: places that are free are given away at once, partitions
 * move in waves of a bounded number, and moves that cannot end because somebody has been gone for long are taken back. What is under way is in the
 * ring, so that another leader goes on from there.
 */

import { changePlaces, fillSources, type PlaceChange, type RingState } from "../../core/ring/owner-changes.ts";
import { type PlannedGateway, planChanges } from "../../core/ring/rebalance.ts";
import type { SiteCommand } from "../../core/site/commands.ts";
import type { Member } from "../../core/site/membership.ts";
import { partitionSet } from "../../core/site/retention.ts";
import type { GatewayId } from "../../lib/ids.ts";

export interface PlaceSituation {
  readonly ring: RingState;
  readonly members: Iterable<Member>;
  /** Copies that the settings want. */
  readonly factor: number;
  /** Partitions that move at a time. */
  readonly movesMax: number;
  /** Connected and not silent, the leader itself included. */
  readonly isThere: (gateway: GatewayId) => boolean;
  /** Not heard of for so long that nobody waits for it. */
  readonly isGone: (gateway: GatewayId) => boolean;
}

/** The next wave begins when this part of one is left. */
const waveRest = 4;

export class PlacePlan {
  /** Of the last look: nothing new comes of the same situation. */
  #seen: { readonly table: RingState["table"]; readonly situation: string } | undefined;

  next(situation: PlaceSituation): SiteCommand | undefined {
    const { ring, factor, movesMax, isThere } = situation;
    const { epoch } = ring.table;
    const gone = goneOf(situation);
    if (gone !== undefined) return { t: "moves-cancel", epoch, gateway: gone };
    const gateways = gatewaysOf(situation);
    const picture = JSON.stringify([gateways, factor]);
    if (this.#seen?.table === ring.table && this.#seen.situation === picture) return undefined;
    this.#seen = { table: ring.table, situation: picture };
    const planned = planChanges(ring, { gateways, factor });
    const free = planned.filter(({ from }) => from === undefined);
    // A wave when the one before is nearly over: each change of the table interrupts all who fill, and a few at a time would be many.
    const room = ring.moves.size > movesMax / waveRest ? 0 : movesMax - ring.moves.size;
    const moving = planned.filter(({ from, partition }) => from !== undefined && canFill(ring, partition, isThere)).slice(0, room);
    const changes = [...free, ...moving];
    // As the site will do it: what changes nothing is no command.
    if (changes.length === 0 || changePlaces(ring, { changes, factor }) === ring) return undefined;
    return { t: "owner-places", epoch, changes: grouped(changes) };
  }

  /** The last plan came to nothing: it is made again. */
  forget(): void {
    this.#seen = undefined;
  }
}

/** How many partitions are still to move to each gateway, or to be given to it, beyond those that do so already. */
export function plannedPlaces(situation: Pick<PlaceSituation, "ring" | "members" | "factor" | "isThere">): ReadonlyMap<GatewayId, number> {
  const { ring, factor, isThere } = situation;
  const places = new Map<GatewayId, number>();
  for (const { from, to, partition } of planChanges(ring, { gateways: gatewaysOf(situation), factor }))
    if (from === undefined || canFill(ring, partition, isThere)) places.set(to, (places.get(to) ?? 0) + 1);
  return places;
}

function goneOf({ ring, isGone }: PlaceSituation): GatewayId | undefined {
  for (const [at, { from, to }] of ring.moves) {
    if (isGone(to)) return to;
    if (isGone(from)) return from;
    // The others cannot give all readings. Of two owners the one that is left takes no writes with a stand-in while the partition moves.
    if (!canFill(ring, at, (owner) => !isGone(owner))) return to;
  }
  return undefined;
}

/** Whether so many of the whole owners are there that a gateway that comes to the partition can be filled. */
function canFill(ring: RingState, at: number, isThere: (gateway: GatewayId) => boolean): boolean {
  const { owners, needed } = fillSources(ring, at);
  return owners.filter(isThere).length >= needed;
}

/** Members that keep readings. One whose folder is still expected has a share, and takes nothing yet. */
function gatewaysOf({ members, isThere }: Pick<PlaceSituation, "members" | "isThere">): PlannedGateway[] {
  return [...members]
    .filter(({ role }) => role === "full")
    .map(({ id, weight, zone, memberId }) => ({ id, weight, zone, isThere: memberId !== undefined && isThere(id) }));
}

function grouped(changes: readonly PlaceChange[]): Extract<SiteCommand, { t: "owner-places" }>["changes"] {
  const groups = new Map<string, { readonly from: GatewayId | null; readonly to: GatewayId; readonly partitions: number[] }>();
  for (const { partition, from, to } of changes) {
    const key = `${from ?? ""} ${to}`;
    const group = groups.get(key) ?? { from: from ?? null, to, partitions: [] };
    groups.set(key, group);
    group.partitions.push(partition);
  }
  return [...groups.values()].map(({ from, to, partitions }) => ({ from, to, partitions: partitionSet(partitions) }));
}
