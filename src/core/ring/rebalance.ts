/**
 * Which places change hands so that a table fits the gateways that there are: those that are free are given away, those of
 * gateways that are to own nothing are taken over, whoever is above ⌈1.15 × its share⌉ gives, whoever is far below its share
 * gets, and copies go to different zones. Each partition changes once in a plan. Nothing moves without such a reason, and no more than
 * the reason asks for: a gateway that joins gets its share, and nobody else gets anything.
 *
 * Not every gateway plans: the leader does, and Raft stores what comes of it, so that versions may plan differently.
 */

import { defined } from "../../lib/assert.ts";
import { type GatewayId, partition, partitionCount } from "../../lib/ids.ts";
import { changePlaces, ownerFilled, type PlaceChange, type RingState } from "./owner-changes.ts";
import { type OwnerTable, ownersOf } from "./owner-table.ts";
import { boundOf, type OwnerPlan, planOwners, type RingGateway, sharesOf } from "./planner.ts";

export interface PlannedGateway extends RingGateway {
  /** It is there: places can be given to it and taken from it. */
  readonly isThere: boolean;
}

/** A gateway below this part of its share gets places, up to its share. */
const lowest = 1 / 1.15;
const turnsMax = 8;

interface Load {
  readonly gateway: PlannedGateway;
  readonly zone: string;
  readonly share: number;
  readonly bound: number;
  readonly partitions: Set<number>;
}

/** `gateways`: all that may own readings; one of weight 0 is to own nothing that others can take. `factor`: copies that the settings want. */
export function planChanges(
  ring: RingState,
  options: { readonly gateways: readonly PlannedGateway[]; readonly factor: number },
): PlaceChange[] {
  return new Rebalance(ring, options).plan();
}

/** The first table of a site, of which nothing has to move: it differs from `planOwners` where that leaves somebody short. */
export function foundOwners(plan: OwnerPlan): OwnerTable {
  const { gateways, factor, epoch } = plan;
  let ring: RingState = { table: planOwners(plan), filling: new Map(), moves: new Map() };
  const options = { gateways: gateways.map((gateway) => ({ ...gateway, isThere: true })), factor };
  // Some changes make room for others: a few turns, and the rest is left as it is.
  for (let turns = 0; turns < turnsMax; turns++) {
    const changes = planChanges(ring, options);
    if (changes.length === 0) break;
    ring = changePlaces(ring, { changes, factor });
    for (const { id } of gateways) ring = ownerFilled(ring, { gateway: id, partitions: [...ring.filling.keys()] });
  }
  return { ...ring.table, epoch };
}

class Rebalance {
  readonly #lists: GatewayId[][];
  readonly #loads = new Map<GatewayId, Load>();
  readonly #factor: number;
  /** Copies that partitions have had: one that has fewer has lost one. */
  readonly #hadCopies: number;
  /** Partitions that change already, in this plan or by one before. */
  readonly #busy: Set<number>;
  readonly #changes: PlaceChange[] = [];

  constructor(ring: RingState, { gateways, factor }: { readonly gateways: readonly PlannedGateway[]; readonly factor: number }) {
    const taking = gateways.filter((gateway) => gateway.weight > 0);
    this.#factor = Math.min(factor, taking.length);
    this.#hadCopies = Math.min(factor, ring.table.factor);
    const shares = sharesOf(taking, this.#factor);
    this.#lists = Array.from({ length: partitionCount }, (_, at) => ownersAfterMoves(ring, at));
    this.#busy = new Set(ring.filling.keys());
    for (const gateway of gateways.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      const share = shares.get(gateway.id) ?? 0;
      const zone = gateway.zone === undefined ? `gateway/${gateway.id}` : `zone/${gateway.zone}`;
      this.#loads.set(gateway.id, { gateway, zone, share, bound: boundOf(share), partitions: new Set() });
    }
    for (const [at, owners] of this.#lists.entries()) for (const owner of owners) this.#loads.get(owner)?.partitions.add(at);
  }

  plan(): PlaceChange[] {
    if (this.#factor === 0) return [];
    this.#fillFreePlaces();
    this.#takeOver();
    this.#relieve();
    this.#supply();
    this.#spreadZones();
    return this.#changes;
  }

  #fillFreePlaces(): void {
    for (const [at, owners] of this.#lists.entries()) {
      if (this.#busy.has(at)) continue;
      const to = owners.length < this.#factor ? this.#takerOf(at, undefined) : this.#lastResortOf(at);
      if (to !== undefined) this.#change(at, undefined, to);
    }
  }

  /**
   * A partition has lost a copy, and all that are to own anything own it already. A copy is worth more than that a gateway owns nothing:
   * without it the next loss could not be told from the loss of readings.
   */
  #lastResortOf(at: number): Load | undefined {
    if (this.#ownersAt(at).length >= this.#hadCopies) return undefined;
    return [...this.#loads.values()]
      .filter((load) => load.share === 0 && load.gateway.isThere && !load.partitions.has(at))
      .reduce<Load | undefined>(
        (best, load) => (best === undefined || load.partitions.size < best.partitions.size ? load : best),
        undefined,
      );
  }

  /** Of gateways that are to own nothing. */
  #takeOver(): void {
    for (const from of this.#loads.values()) {
      if (from.share > 0 || !from.gateway.isThere) continue;
      for (const at of [...from.partitions]) {
        const to = this.#busy.has(at) ? undefined : this.#takerOf(at, from.gateway.id);
        if (to !== undefined) this.#change(at, from.gateway.id, to);
      }
    }
  }

  /** Whoever has more than its bound gives to those who have least of their share. */
  #relieve(): void {
    for (const from of this.#byLoad().toReversed()) {
      if (from.share === 0 || !from.gateway.isThere) continue;
      for (const mayLoseZone of [false, true]) {
        for (const at of [...from.partitions]) {
          if (from.partitions.size <= from.bound) break;
          if (this.#busy.has(at)) continue;
          const to = this.#takerOf(at, from.gateway.id);
          if (to === undefined || to.partitions.size >= to.bound) continue;
          if (mayLoseZone || this.#zonesWith(at, from, to) >= this.#zonesOf(at)) this.#change(at, from.gateway.id, to);
        }
      }
    }
  }

  /** Whoever has far less than its share gets it from those who have most of theirs. */
  #supply(): void {
    for (const to of this.#byLoad()) {
      if (!to.gateway.isThere || to.share === 0 || to.partitions.size >= to.share * lowest) continue;
      for (let from = this.#giverTo(to); from !== undefined && to.partitions.size < Math.floor(to.share); from = this.#giverTo(to))
        this.#change(from.at, from.giver.gateway.id, to);
    }
  }

  /** Of those with more than their share the one with most of it that has a partition to give without a loss of zones. */
  #giverTo(to: Load): { readonly giver: Load; readonly at: number } | undefined {
    for (const giver of this.#byLoad().toReversed()) {
      if (giver === to || !giver.gateway.isThere || giver.partitions.size <= giver.share) continue;
      let found: number | undefined;
      for (const at of giver.partitions) {
        if (this.#busy.has(at) || to.partitions.has(at)) continue;
        const gain = this.#zonesWith(at, giver, to) - this.#zonesOf(at);
        if (gain < 0) continue;
        found ??= at;
        if (gain === 0) continue;
        found = at;
        break;
      }
      if (found !== undefined) return { giver, at: found };
    }
    return undefined;
  }

  /** Two copies of a partition in one zone, and a zone without one: one of them goes there where there is room. */
  #spreadZones(): void {
    const zones = new Set([...this.#loads.values()].filter((load) => load.share > 0 && load.gateway.isThere).map((load) => load.zone));
    for (const [at, owners] of this.#lists.entries()) {
      if (this.#busy.has(at) || this.#zonesOf(at) >= Math.min(owners.length, zones.size)) continue;
      const giving = owners
        .map((owner) => this.#loads.get(owner))
        .filter((load) => load?.gateway.isThere === true)
        .map((load) => load as Load)
        .sort((a, b) => relative(b) - relative(a));
      for (const from of giving) {
        const to = this.#takerOf(at, from.gateway.id);
        if (to === undefined || to.partitions.size >= to.bound || this.#zonesWith(at, from, to) <= this.#zonesOf(at)) continue;
        this.#change(at, from.gateway.id, to);
        break;
      }
    }
  }

  /** Who would take a place of the partition: below its bound if anybody is, from a zone of its own if anybody is, with least of its share. */
  #takerOf(at: number, from: GatewayId | undefined): Load | undefined {
    const left = this.#ownersAt(at).filter((owner) => owner !== from);
    const zones = new Set(left.map((owner) => this.#loads.get(owner)?.zone));
    const rank = (load: Load): number => (load.partitions.size < load.bound ? 0 : 2) + (zones.has(load.zone) ? 1 : 0);
    let best: Load | undefined;
    for (const load of this.#loads.values()) {
      if (!load.gateway.isThere || load.share === 0 || load.gateway.id === from || load.partitions.has(at)) continue;
      if (best === undefined || rank(load) < rank(best) || (rank(load) === rank(best) && relative(load) < relative(best))) best = load;
    }
    return best;
  }

  #zonesOf(at: number): number {
    return new Set(this.#ownersAt(at).map((owner) => this.#loads.get(owner)?.zone)).size;
  }

  #zonesWith(at: number, from: Load, to: Load): number {
    const owners = this.#ownersAt(at).filter((owner) => owner !== from.gateway.id);
    return new Set([...owners.map((owner) => this.#loads.get(owner)?.zone), to.zone]).size;
  }

  #byLoad(): Load[] {
    return [...this.#loads.values()].filter((load) => load.share > 0).sort((a, b) => relative(a) - relative(b));
  }

  #ownersAt(at: number): GatewayId[] {
    return defined(this.#lists[at], `the owners of partition ${at}`);
  }

  #change(at: number, from: GatewayId | undefined, to: Load): void {
    const owners = this.#ownersAt(at);
    if (from !== undefined) owners.splice(owners.indexOf(from), 1);
    owners.push(to.gateway.id);
    if (from !== undefined) this.#loads.get(from)?.partitions.delete(at);
    to.partitions.add(at);
    this.#busy.add(at);
    this.#changes.push({ partition: at, from, to: to.gateway.id });
  }
}

const relative = (load: Load): number => load.partitions.size / load.share;

/** As they will be when what is under way has ended. */
function ownersAfterMoves(ring: RingState, at: number): GatewayId[] {
  const move = ring.moves.get(at);
  return ownersOf(ring.table, partition(at)).filter((owner) => owner !== move?.from);
}
