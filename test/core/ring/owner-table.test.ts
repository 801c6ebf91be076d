// Goal: a table survives its way through a Raft command, and a record that is no table is refused. Method: a round trip of
// planned tables, and one spoiled field at a time.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeOwnerTable, encodeOwnerTable, ownersOf, partitionsOf, replicaGroups } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";
import { testHash64 } from "./test-hash.ts";

const gateways = Array.from({ length: 7 }, (_, i) => ({ id: gatewayId(`gw-${i}`), weight: 1, zone: undefined }));
const table = planOwners({ gateways, factor: 3, epoch: 9, hash64: testHash64 });

const owners = suite("owner table");

owners("round trip", () => {
  assert.equal(decodeOwnerTable(encodeOwnerTable(table)), { ok: true, value: table });
});

owners("owners and partitions say the same", () => {
  for (const { id } of gateways) {
    const owned = new Set<number>(partitionsOf(table, id));
    for (let i = 0; i < partitionCount; i++) assert.is(ownersOf(table, partition(i)).includes(id), owned.has(i));
  }
});

owners("a replica group is an owner list without its order", () => {
  const { groups, groupOf } = replicaGroups(table);
  for (let i = 0; i < partitionCount; i++) assert.equal(groups[groupOf[i] as number], ownersOf(table, partition(i)).toSorted());
  assert.is(new Set(groups.map(String)).size, groups.length);
  assert.ok(groups.length < table.ownerSets.length);
});

const record = encodeOwnerTable(table);
const spoiled: readonly [string, unknown][] = [
  ["nothing", undefined],
  ["another version", { ...record, version: 2 }],
  ["epoch 0", { ...record, epoch: 0 }],
  ["a factor that does not fit the lists", { ...record, factor: 2 }],
  ["too few partitions", { ...record, partitions: record.partitions.subarray(2) }],
  ["partitions of another type", { ...record, partitions: [...record.partitions] }],
  ["a list that is not there", { ...record, sets: record.sets.slice(1) }],
  ["an owner twice", { ...record, sets: record.sets.map(() => ["gw-0", "gw-0", "gw-1"]) }],
  ["an owner that is no name", { ...record, sets: record.sets.map(() => ["gw-0", 1, "gw-1"]) }],
];

for (const [what, value] of spoiled) {
  owners(`refuses ${what}`, () => {
    assert.is(decodeOwnerTable(value).ok, false);
  });
}

owners.run();
