// Goal: owners are different gateways, in different zones where possible, nobody above its bound, the same everywhere, and
// a change of the gateways moves little. Method: fast-check over sites of 1 to 50 gateways, and pinned sites.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  isOwner,
  type OwnerTable,
  ownersOf,
  partitionsOf,
  primaryPartitionsOf,
  replicaGroups,
} from "../../../src/core/ring/owner-table.ts";
import { loadBounds, planOwners, type RingGateway } from "../../../src/core/ring/planner.ts";
import { gatewayId, type Partition, partition, partitionCount } from "../../../src/lib/ids.ts";
import { testHash64 } from "./test-hash.ts";

const gateway = (name: string, weight = 1, zone?: string): RingGateway => ({ id: gatewayId(name), weight, zone });
const plan = (gateways: readonly RingGateway[], factor: number) => planOwners({ gateways, factor, epoch: 1, hash64: testHash64 });
const allPartitions: readonly Partition[] = Array.from({ length: partitionCount }, (_, i) => partition(i));

const anySite = fc.record({
  gateways: fc
    .array(fc.record({ weight: fc.constantFrom(0.5, 1, 1, 1, 2, 4), zone: fc.constantFrom(undefined, "north", "south", "cellar") }), {
      minLength: 1,
      maxLength: 50,
    })
    .map((entries) => entries.map((entry, i) => gateway(`gw-${i}`, entry.weight, entry.zone))),
  factor: fc.integer({ min: 1, max: 5 }),
});

function movedCopies(before: OwnerTable, after: OwnerTable): number {
  let moved = 0;
  for (const each of allPartitions) moved += ownersOf(after, each).filter((owner) => !isOwner(before, each, owner)).length;
  return moved;
}

const planner = suite("ring planner");

planner("every partition has min(factor, gateways) different owners and nobody is above its bound", () => {
  fc.assert(
    fc.property(anySite, ({ gateways, factor }) => {
      const table = plan(gateways, factor);
      const effective = Math.min(factor, gateways.length);
      assert.is(table.factor, effective);
      for (const each of allPartitions) {
        assert.is(ownersOf(table, each).length, effective);
        assert.is(new Set(ownersOf(table, each)).size, effective);
      }
      const total = gateways.reduce((sum, each) => sum + each.weight, 0);
      const bounds = loadBounds(gateways, effective);
      for (const each of gateways) {
        const bound = bounds.get(each.id) as number;
        assert.ok(partitionsOf(table, each.id).length <= bound);
        // The bound itself is the promised one wherever no gateway's share is cut off at all partitions.
        const shares = gateways.map((other) => (partitionCount * effective * other.weight) / total);
        if (shares.every((share) => share < partitionCount)) {
          assert.is(bound, Math.min(partitionCount, Math.ceil((1.15 * partitionCount * effective * each.weight) / total)));
        }
      }
    }),
    { numRuns: 60 },
  );
});

planner("does not depend on the order of the list", () => {
  fc.assert(
    fc.property(anySite, ({ gateways, factor }) => {
      assert.equal(plan(gateways.toReversed(), factor), plan(gateways, factor));
    }),
    { numRuns: 15 },
  );
});

planner("uses different zones wherever zones and bounds allow", () => {
  for (const [zones, factor] of [
    [["a", "b"], 2],
    [["a", "b", "c"], 2],
    [["a", "b", "c"], 3],
  ] as const) {
    for (let perZone = 1; perZone <= 4; perZone++) {
      const gateways = zones.flatMap((zone) => Array.from({ length: perZone }, (_, i) => gateway(`${zone}${i}`, 1, zone)));
      const table = plan(gateways, factor);
      const zoneOf = new Map(gateways.map((each) => [each.id, each.zone]));
      for (const each of allPartitions) assert.is(new Set(ownersOf(table, each).map((owner) => zoneOf.get(owner))).size, factor);
    }
  }
});

planner("where one zone is too small, it is used up to its bound", () => {
  const gateways = [gateway("a1", 1, "a"), gateway("a2", 1, "a"), gateway("b1", 1, "b")];
  const table = plan(gateways, 2);
  assert.is(partitionsOf(table, gatewayId("b1")).length, Math.ceil((1.15 * 2048) / 3));
});

planner("one gateway owns all, and three with factor 3 each own all", () => {
  assert.is(partitionsOf(plan([gateway("gw-a")], 3), gatewayId("gw-a")).length, partitionCount);
  const three = plan([gateway("gw-a"), gateway("gw-b"), gateway("gw-c")], 3);
  for (const id of ["gw-a", "gw-b", "gw-c"]) {
    assert.is(partitionsOf(three, gatewayId(id)).length, partitionCount);
    assert.ok(primaryPartitionsOf(three, gatewayId(id)).length > 200, `${id} is first somewhere`);
  }
  const { groups, groupOf } = replicaGroups(three);
  assert.equal(groups, [["gw-a", "gw-b", "gw-c"]]);
  assert.ok(groupOf.every((group) => group === 0) && groupOf.length === partitionCount);
});

planner("weight 2 owns about twice as much", () => {
  const table = plan([gateway("a", 2), gateway("b"), gateway("c"), gateway("d"), gateway("e")], 2);
  const owned = ["a", "b", "c", "d", "e"].map((id) => partitionsOf(table, gatewayId(id)).length);
  assert.ok((owned[0] as number) > 1.5 * ((2048 - (owned[0] as number)) / 4), owned.join());
});

planner("a gateway more or less moves little more than its share", () => {
  for (const count of [3, 4, 6, 10, 20, 49]) {
    const gateways = Array.from({ length: count + 1 }, (_, i) => gateway(`gw-${i}`));
    const few = plan(gateways.slice(0, count), 3);
    const many = plan(gateways, 3);
    const share = (3 * partitionCount) / (count + 1);
    for (const [what, moved] of [
      ["added", movedCopies(few, many)],
      ["removed", movedCopies(many, few)],
    ] as const) {
      assert.ok(moved < 2 * share, `${count} gateways, one ${what}: ${moved} copies moved, its share is ${share}`);
    }
  }
});

planner.run();
