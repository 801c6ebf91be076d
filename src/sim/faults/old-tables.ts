/**
 * Gateways that act under an owner table that is past, while a partition moves away under the eyes of all others: what Raft says is
 * held back from whoever has one of the partition's devices, an owner and another one with it, or a gateway that owns nothing of it. What
 * such gateways get acknowledged meanwhile must be in every complete answer under the new table, also when one of its owners is lost.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { isOwner, ownersOf } from "../../core/ring/owner-table.ts";
import { placesPlannedLevel } from "../../core/site/features.ts";
import { deviceId, type GatewayId, type Partition, partitionOf } from "../../lib/ids.ts";
import type { SimulatedGateway } from "../simulated-gateway.ts";
import type { SimulatedDevice } from "../workload.ts";
import type { Fault, Strike } from "./strike.ts";

const family = "old-table";
const idleMs = 3_000;
const leaderMs = 3_000;
const againMs = 500;
const moveMs = 8_000;
const heardMs = 4_000;

interface Story {
  readonly device: SimulatedDevice;
  readonly partition: Partition;
  /** They hear late of what is agreed on; the first one has the device. A minority: the others go on agreeing. */
  readonly late: readonly SimulatedGateway[];
  readonly from: SimulatedGateway;
  readonly to: SimulatedGateway;
  /** Stays an owner, and rounds of the first late one reach it late. */
  readonly missed: SimulatedGateway | undefined;
}

function servingOf(gateway: SimulatedGateway | undefined) {
  return gateway?.running()?.gateway.serving();
}

function shuffled<T>(strike: Strike, items: readonly T[]): T[] {
  const left = [...items];
  return items.map(() => left.splice(strike.random.below(left.length), 1)[0] as T);
}

/** A device of a gateway that does not lead: half of the time of an owner of its partition, if there is one. */
function deviceOf(
  strike: Strike,
  { table }: RingState,
): (Pick<Story, "device" | "partition"> & { readonly coordinator: SimulatedGateway }) | undefined {
  const { random, site, workload } = strike;
  const leader = site.leader();
  const connected = shuffled(strike, workload.devices).flatMap((device) => {
    const coordinator = device.connectedTo();
    const partition = partitionOf(deviceId(device.id), site.hash64);
    return coordinator === undefined || coordinator === leader ? [] : [{ device, coordinator, partition }];
  });
  const byOwner = random.chance(0.5);
  return connected.find(({ coordinator, partition }) => isOwner(table, partition, coordinator.id) === byOwner) ?? connected[0];
}

/** `undefined` where no partition can move, or nobody publishes. */
function storyOf(strike: Strike): Story | undefined {
  const { random, site, gateways } = strike;
  const leader = site.leader();
  const serving = servingOf(leader);
  const ring = serving?.state.ring();
  if (serving === undefined || ring === undefined || serving.state.featureLevel() < placesPlannedLevel) return undefined;
  const found = deviceOf(strike, ring);
  if (found === undefined || ring.filling.has(found.partition)) return undefined;
  const { device, partition, coordinator } = found;
  const named = (ids: readonly GatewayId[]) => ids.flatMap((id) => gateways.filter((gateway) => gateway.id === id));
  const owners = named(ownersOf(ring.table, partition));
  const others = shuffled(strike, owners).filter((owner) => owner !== coordinator && owner !== leader);
  const late = owners.includes(coordinator) ? [coordinator, ...others.slice(0, 1)] : [coordinator];
  const lateOwners = late.filter((gateway) => owners.includes(gateway));
  const from = random.pick(lateOwners.length > 0 && random.chance(0.8) ? lateOwners : owners);
  const takers = named(serving.roster.gateways()).filter((taker) => !owners.includes(taker) && !late.includes(taker));
  if (takers.length === 0) return undefined;
  // Whoever comes first in the list is asked first.
  const missed = random.chance(0.8) ? owners.find((owner) => owner !== from && owner !== coordinator) : undefined;
  return { device, partition, late, from, to: random.pick(takers), missed };
}

/** The owners of the newest table that any gateway acts under. */
function newestOwners({ gateways }: Strike, at: Partition): readonly GatewayId[] {
  const rings = gateways.flatMap((gateway) => servingOf(gateway)?.replication.ring() ?? []);
  const newest = rings.reduce<RingState | undefined>(
    (one, other) => (one !== undefined && one.table.epoch >= other.table.epoch ? one : other),
    undefined,
  );
  return newest === undefined ? [] : ownersOf(newest.table, at);
}

/** Asks for the move until somebody acts under a table without the one that goes, for a while. */
async function move(strike: Strike, { partition, from, to }: Story): Promise<boolean> {
  const hasLeft = () => !newestOwners(strike, partition).includes(from.id);
  for (let leftMs = moveMs; leftMs > 0; leftMs -= againMs) {
    strike.operator.movePlace(partition, { from, to });
    if (await strike.reaches(hasLeft, againMs)) return true;
  }
  return false;
}

/** One of the owners that are left may have it all. */
function loseOne(strike: Strike, owners: readonly SimulatedGateway[]): void {
  const { random } = strike;
  const lost = owners.length === 0 ? undefined : strike.claim(random.pick(owners));
  if (lost !== undefined) strike.crash(lost, { power: random.chance(0.5) });
}

async function actUnderOldTable(strike: Strike): Promise<void> {
  const { random, site, gateways } = strike;
  await strike.reaches(() => site.leader() !== undefined, leaderMs);
  const story = storyOf(strike);
  if (story === undefined) return strike.wait(random.below(idleMs));
  const { device, partition, late, from, to, missed } = story;
  const delayMs = 4_000 + random.below(16_000);
  const names = late.map(({ id }) => id).join(" ");
  strike.note(`${names} hear ${delayMs} ms late that ${device.id} goes from ${from.id} to ${to.id}; ${missed?.id ?? "nobody"} is missed`);
  const wise = gateways.filter((gateway) => !late.includes(gateway));
  for (const one of late) for (const { id } of wise) strike.mendLater(site.network.slow(id, one.id, delayMs, "raft"));
  const [coordinator] = late;
  if (missed !== undefined && coordinator !== undefined) strike.mendLater(site.network.slow(coordinator.id, missed.id, delayMs, "replica"));
  if (!(await move(strike, story))) return strike.note(`${from.id} is not gone in time`);
  const before = device.acknowledged.length;
  const isHeard = await strike.reaches(() => device.acknowledged.length > before, heardMs);
  strike.note(`${from.id} is gone${isHeard ? ", and more is acknowledged" : ""}`);
  if (random.chance(0.6))
    loseOne(
      strike,
      wise.filter((one) => one !== missed && one !== to && newestOwners(strike, partition).includes(one.id)),
    );
  for (let questions = 2 + random.below(5); questions > 0; questions--) {
    strike.workload.ask(random.pick(wise), device);
    await strike.wait(100 + random.below(1_000));
  }
}

export const oldTables: readonly Fault[] = [{ name: "old-table", family, carryOut: actUnderOldTable }];
