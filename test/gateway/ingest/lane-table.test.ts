// Goal: readings that go to the same gateways for the same acknowledgement travel together, others never. Method: the lanes of
// partitions under tables in which owners differ in order, in who is filling, and in whether one goes.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../../src/core/ring/owner-changes.ts";
import { LaneTable } from "../../../src/gateway/ingest/lane-table.ts";
import { gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";

const [a, b, c] = [gatewayId("gw-a"), gatewayId("gw-b"), gatewayId("gw-c")];

/** Partitions 0 and 1 have the same owners in another order, 2 others; in 3 one of 0's is filling, in 4 one goes. */
function ring(): RingState {
  const partitionSets = new Uint16Array(partitionCount);
  partitionSets.set([0, 1, 2, 0, 0]);
  const ownerSets = [
    [a, b],
    [b, a],
    [b, c],
  ];
  return {
    table: { epoch: 2, factor: 2, ownerSets, partitionSets },
    filling: new Map([[partition(3), [b]]]),
    moves: new Map([[partition(4), { from: a, to: b }]]),
  };
}

const nameOf = () => {
  throw new Error("nobody asked for a name");
};

const test = suite("gateway/ingest/lane-table");

test("the same owners share a lane, whoever comes first", () => {
  const lanes = new LaneTable(ring(), nameOf);
  const lane = lanes.laneOf(partition(0), "quorum");
  assert.is(lanes.laneOf(partition(0), "quorum"), lane);
  assert.is(lanes.laneOf(partition(1), "quorum"), lane);
  assert.equal([lane.owners, lane.filling, lane.leaving], [[a, b], [], 0]);
});

test("other owners, another level, a filling owner and one that goes have lanes of their own", () => {
  const lanes = new LaneTable(ring(), nameOf);
  const all = [
    lanes.laneOf(partition(0), "quorum"),
    lanes.laneOf(partition(0), "one"),
    lanes.laneOf(partition(2), "quorum"),
    lanes.laneOf(partition(3), "quorum"),
    lanes.laneOf(partition(4), "quorum"),
  ];
  assert.is(new Set(all).size, all.length);
  assert.equal([...lanes.all()], all);
  assert.equal(all[3]?.filling, [b]);
  assert.is(all[4]?.leaving, 1);
  assert.is(lanes.openReadings(), 0);
});

test.run();
