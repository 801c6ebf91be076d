// Goal: after any change of the gateways the plan comes to an end, with as many copies as wanted, nobody above its bound or far below
// its share, copies in different zones, and little more moved than had to. Method: fast-check over sites of 3 to 50 gateways; plans are
// carried out in waves, as the leader does it, until there is nothing left to plan.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  changePlaces,
  foundRing,
  lacksCopies,
  mayLose,
  ownerFilled,
  type RingState,
  removeOwner,
} from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable, ownersOf, partitionsOf } from "../../../src/core/ring/owner-table.ts";
import { loadBounds, type RingGateway, sharesOf } from "../../../src/core/ring/planner.ts";
import { foundOwners, type PlannedGateway, planChanges } from "../../../src/core/ring/rebalance.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";
import { testHash64 } from "./test-hash.ts";

const gateway = (name: string, weight = 1, zone?: string): RingGateway => ({ id: gatewayId(name), weight, zone });
const there = (gateways: readonly RingGateway[]): PlannedGateway[] => gateways.map((each) => ({ ...each, isThere: true }));
const everywhere = Array.from({ length: partitionCount }, (_, at) => at);
const ownersAt = (ring: RingState, at: number) => ownersOf(ring.table, partition(at));
const waveMax = 128;

function founded(gateways: readonly RingGateway[], factor: number): RingState {
  const ring = foundRing(encodeOwnerTable(foundOwners({ gateways, factor, epoch: 1, hash64: testHash64 })));
  assert.ok(ring.ok);
  assert.equal(planChanges(ring.value, { gateways: there(gateways), factor }), [], "a new site has nothing to move");
  return ring.value;
}

/** Carries out plans, each gateway being filled at once, until there is nothing left; `moved` counts copies that were made. */
function settled(
  start: RingState,
  gateways: readonly PlannedGateway[],
  factor: number,
): { readonly ring: RingState; readonly moved: number } {
  let ring = start;
  let moved = 0;
  for (let waves = 0; ; waves++) {
    assert.ok(waves < 100, "the plan comes to an end");
    const plan = planChanges(ring, { gateways, factor });
    if (plan.length === 0) return { ring, moved };
    const changes = [...plan.filter(({ from }) => from === undefined), ...plan.filter(({ from }) => from !== undefined).slice(0, waveMax)];
    assert.is(new Set(changes.map((change) => change.partition)).size, changes.length, "each partition changes once");
    ring = changePlaces(ring, { changes, factor });
    const places = new Map<GatewayId, number[]>();
    for (const [at, filling] of ring.filling) for (const id of filling) places.set(id, [...(places.get(id) ?? []), at]);
    for (const [id, partitions] of places) {
      moved += partitions.length;
      ring = ownerFilled(ring, { gateway: id, partitions });
    }
  }
}

function check(ring: RingState, gateways: readonly RingGateway[], factor: number): void {
  const taking = gateways.filter(({ weight }) => weight > 0);
  const effective = Math.min(factor, taking.length);
  assert.equal([ring.filling.size, ring.moves.size], [0, 0]);
  for (const at of everywhere) assert.is(ownersAt(ring, at).length, effective);
  const bounds = loadBounds(taking, effective);
  for (const { id, weight } of gateways) {
    const owned = partitionsOf(ring.table, id).length;
    assert.ok(owned <= (bounds.get(id) ?? 0), `${id} of weight ${weight} owns ${owned}, its bound is ${bounds.get(id)}`);
  }
}

/** Partitions whose copies are in as many zones as there could be. */
function spread(ring: RingState, gateways: readonly RingGateway[]): number {
  const zoneOf = new Map(gateways.map(({ id, zone }) => [id, zone ?? id]));
  const zones = new Set(gateways.filter(({ weight }) => weight > 0).map(({ id }) => zoneOf.get(id))).size;
  return everywhere.filter((at) => {
    const owners = ownersAt(ring, at);
    return new Set(owners.map((id) => zoneOf.get(id))).size === Math.min(owners.length, zones);
  }).length;
}

const anyGateways = fc
  .array(fc.record({ weight: fc.constantFrom(1, 1, 1, 2, 4), zone: fc.constantFrom(undefined, undefined, "north", "south", "cellar") }), {
    minLength: 3,
    maxLength: 50,
  })
  .map((entries) => entries.map((entry, i) => gateway(`gw-${i}`, entry.weight, entry.zone)));
const anySite = fc.record({ gateways: anyGateways, factor: fc.integer({ min: 1, max: 4 }), pick: fc.nat() });

const test = suite("ring rebalance");

test("whatever the gateways, a gateway that joins, leaves, is lost or gets another weight: all copies, nobody above its bound", () => {
  fc.assert(
    fc.property(anySite, fc.constantFrom("join", "leave", "lose", "weight"), ({ gateways, factor, pick }, change) => {
      // Where there is no other place for its copies a gateway keeps them, whatever its weight.
      if (change === "leave" && gateways.length <= factor) return;
      const one = gateways[pick % gateways.length] as RingGateway;
      const others = gateways.filter((each) => each !== one);
      const before = founded(change === "join" ? others : gateways, factor);
      check(before, change === "join" ? others : gateways, factor);
      const { weight } = one;
      const after = change === "join" ? gateways : [...others, { ...one, weight: change === "weight" ? (weight % 4) + 1 : 0 }];
      const left = change === "lose" ? others : after;
      const start = change === "lose" && factor > 1 ? removeOwner(before, one.id) : before;
      const { ring } = settled(start, there(left), factor);
      check(ring, left, factor);
    }),
    { numRuns: 8 },
  );
});

for (const [what, weightOf] of [
  ["equal weights", () => 1],
  ["weights of 1 and 2", (i: number) => 1 + (i % 2)],
] as const) {
  test(`a change moves at most twice what it must: ${what}, 3 to 50 gateways`, () => {
    for (const count of [3, 4, 7, 20, 49]) {
      const factor = 3;
      const gateways = Array.from({ length: count + 1 }, (_, i) => gateway(`gw-${i}`, weightOf(i)));
      const few = gateways.slice(0, count);
      const newcomer = gateways.at(-1) as RingGateway;
      const share = sharesOf(gateways, factor).get(newcomer.id) as number;
      const joined = settled(founded(few, factor), there(gateways), factor);
      assert.ok(joined.moved <= 2 * share, `${count} gateways and one more: ${joined.moved} moved, its share is ${share}`);
      assert.ok(partitionsOf(joined.ring.table, newcomer.id).length >= share / 1.15);
      const owned = partitionsOf(joined.ring.table, newcomer.id).length;
      const left = settled(joined.ring, there([...few, { ...newcomer, weight: 0 }]), factor);
      assert.ok(left.moved <= 2 * owned, `it leaves: ${left.moved} moved, it had ${owned}`);
      assert.is(partitionsOf(left.ring.table, newcomer.id).length, 0);
      check(left.ring, few, factor);
    }
  });
}

test("copies are in different zones wherever zones and bounds allow, also when a zone comes later", () => {
  for (const factor of [2, 3]) {
    const near = ["a0", "a1", "b0", "b1"].map((name) => gateway(name, 1, name[0]));
    const all = [...near, gateway("c0", 1, "c"), gateway("c1", 1, "c")];
    assert.is(spread(founded(all, factor), all), partitionCount);
    const before = founded(near, factor);
    assert.is(spread(before, near), partitionCount);
    const { ring } = settled(before, there(all), factor);
    check(ring, all, factor);
    assert.is(spread(ring, all), partitionCount, `factor ${factor}`);
  }
});

test("a copy that was lost goes to a gateway of weight 0 where nobody else is left, and leaves it again when somebody comes", () => {
  const few = [gateway("gw-a"), gateway("gw-b")];
  const spare = gateway("gw-c", 0);
  const lost = removeOwner(founded([...few, gateway("gw-x")], 3), gatewayId("gw-x"));
  const { ring } = settled(lost, there([...few, spare]), 3);
  assert.is(partitionsOf(ring.table, spare.id).length, partitionCount);
  assert.equal([lacksCopies(lost), lacksCopies(ring)], [true, false]);
  assert.equal(mayLose(ring, gatewayId("gw-a")), { ok: true });
  const newcomer = gateway("gw-d");
  const relieved = settled(ring, there([...few, spare, newcomer]), 3);
  assert.is(partitionsOf(relieved.ring.table, spare.id).length, 0);
  check(relieved.ring, [...few, newcomer], 3);
});

test("a gateway of weight 0 gets nothing where no copy is lost", () => {
  const two = [gateway("gw-a"), gateway("gw-b")];
  const ring = founded(two, 3);
  assert.is(ring.table.factor, 2);
  assert.equal(planChanges(ring, { gateways: there([...two, gateway("gw-c", 0)]), factor: 3 }), []);
});

test("nothing moves without a reason: not from or to a gateway that is not there, and not twice", () => {
  const gateways = ["gw-a", "gw-b", "gw-c", "gw-d"].map((name) => gateway(name));
  const ring = founded(gateways.slice(0, 3), 3);
  assert.equal(planChanges(ring, { gateways: there(gateways.slice(0, 3)), factor: 3 }), []);
  const away = (name: string) => there(gateways).map((each) => ({ ...each, isThere: each.id !== name }));
  assert.equal(planChanges(ring, { gateways: away("gw-d"), factor: 3 }), []);
  const without = planChanges(ring, { gateways: away("gw-b"), factor: 3 });
  assert.ok(without.length > 0 && without.every(({ from }) => from === "gw-a" || from === "gw-c"));
  const moving = changePlaces(ring, { changes: without, factor: 3 });
  const moved = new Set(without.map((change) => change.partition));
  assert.ok(planChanges(moving, { gateways: there(gateways), factor: 3 }).every((change) => !moved.has(change.partition)));
});

test.run();
