// Goal: a gateway gives up what others keep, and only that, and never answers from it again under an older table. Method: the two
// questions, before and after tables in which a partition goes and comes back.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foundRing, type RingState } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable, type OwnerTable } from "../../src/core/ring/owner-table.ts";
import { GivenAway } from "../../src/gateway/given-away.ts";
import { type GatewayId, gatewayId, partitionCount } from "../../src/lib/ids.ts";

const self = gatewayId("gw-a");
const other = gatewayId("gw-b");
const horizonUs = 5_000;

/** Everything belongs to `keeper`, but partition 7 to `ofSeven`. */
function ringOf(epoch: number, keeper: GatewayId, ofSeven: GatewayId): RingState {
  const partitionSets = new Uint16Array(partitionCount);
  partitionSets[7] = 1;
  const table: OwnerTable = { epoch, factor: 1, ownerSets: [[keeper], [ofSeven]], partitionSets };
  const founded = foundRing(encodeOwnerTable(table));
  if (!founded.ok) throw new Error(founded.message);
  return founded.value;
}

const test = suite("gateway/given-away");

test("what this gateway owns has its horizon, what others own none that anything is above", () => {
  const { table } = ringOf(3, self, other);
  const given = new GivenAway(self);
  assert.is(given.keptFromUs(table, 6, horizonUs), horizonUs);
  assert.is(given.keptFromUs(table, 7, horizonUs), Number.POSITIVE_INFINITY);
});

test("before a gateway acts under a table it gives up nothing", () => {
  const ring = ringOf(1, other, other);
  assert.is(new GivenAway(self).keptFromUs({ ...ring.table, epoch: 0 }, 7, horizonUs), horizonUs);
});

test("a partition that goes and comes back: both times nothing that was asked for meanwhile counts, and the epoch stays known", () => {
  const [here, gone, back] = [ringOf(3, self, self), ringOf(4, self, other), ringOf(5, self, self)];
  const given = new GivenAway(self);
  assert.is(given.keptFromUs(here.table, 7, horizonUs), horizonUs);
  assert.is(given.leftAtEpoch(7), 0);
  assert.equal(given.passed(here.table, gone), [7]);
  assert.is(given.leftAtEpoch(7), 4);
  assert.is(given.leftAtEpoch(6), 0);
  assert.equal(given.passed(gone.table, back), [7]);
  assert.is(given.leftAtEpoch(7), 4, "a question under epoch 3 may still be on its way");
  assert.is(given.keptFromUs(back.table, 7, horizonUs), horizonUs);
  assert.equal(given.passed(back.table, { ...back, table: { ...back.table, epoch: 6 } }), []);
});

test.run();
