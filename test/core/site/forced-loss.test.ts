// Goal: whatever is given up by force, and in the middle of whatever moves, the ring that is left is one that a snapshot can carry:
// distinct owners, one of them whole, moves only from whole owners to filling ones. Method: random histories.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  cancelMoves,
  changePlaces,
  decodeRing,
  encodeRing,
  foundRing,
  ownerFilled,
  type RingState,
  wholeOwnersOf,
} from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable, ownersOf } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { removeOwnerByForce, replaceOwnerByForce } from "../../../src/core/site/forced-loss.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";
import { testHash64 } from "../ring/test-hash.ts";

const test = suite("core/site: what is given up by force");

const idsOf = (count: number) => Array.from({ length: count }, (_, i) => gatewayId(`gw-${String(i).padStart(3, "0")}`));
const names = idsOf(6);
const everywhere = Array.from({ length: partitionCount }, (_, at) => at);

function founded(gateways: readonly GatewayId[], factor: number): RingState {
  const plan = gateways.map((id) => ({ id, weight: 1, zone: undefined }));
  const ring = foundRing(encodeOwnerTable(planOwners({ gateways: plan, factor, epoch: 1, hash64: testHash64 })));
  assert.ok(ring.ok);
  return ring.value;
}

function assertSound(ring: RingState): void {
  for (const at of everywhere) {
    const owners = ownersOf(ring.table, partition(at));
    assert.is(new Set(owners).size, owners.length);
    assert.ok(wholeOwnersOf(ring, at).length >= 1);
    const move = ring.moves.get(at);
    assert.ok(owners.length <= ring.table.factor + (move === undefined ? 0 : 1), `partition ${at} has ${owners.join(" ")}`);
    if (move === undefined) continue;
    assert.ok(wholeOwnersOf(ring, at).includes(move.from) && ring.filling.get(at)?.includes(move.to) === true);
  }
  assert.equal(decodeRing(encodeRing(ring)), { ok: true, value: ring });
}

const gateway = fc.constantFrom(...names);
const upTo = fc.constantFrom(1, 500, partitionCount);
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom("remove" as const, "replace" as const, "cancel" as const), gateway, upTo, to: gateway }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("move" as const), gateway, upTo, to: gateway }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("filled" as const), gateway, upTo, to: gateway }) },
);

test("in any history of moves and losses the ring stays sound", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 12 }),
      (count, factor, steps) => {
        let ring = founded(names.slice(0, count), factor);
        for (const { kind, gateway: id, upTo: end, to } of steps) {
          const heirs = names.filter((other) => other !== id);
          if (kind === "remove") ring = removeOwnerByForce(ring, id, heirs);
          else if (kind === "replace") ring = replaceOwnerByForce(ring, id);
          else if (kind === "cancel") ring = cancelMoves(ring, id);
          else if (kind === "filled") ring = ownerFilled(ring, { gateway: id, partitions: everywhere.slice(0, end) });
          else {
            const changes = everywhere.slice(0, end).map((at) => ({ partition: at, from: id, to }));
            ring = changePlaces(ring, { changes, factor: ring.table.factor });
          }
          assertSound(ring);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("also where nearly every partition has other owners than the rest", () => {
  const gateways = idsOf(100);
  const site = founded(gateways, 3);
  const [from, to] = [gateways[0] as GatewayId, gateways[1] as GatewayId];
  const changes = everywhere.map((at) => ({ partition: at, from, to }));
  const moving = changePlaces(site, { changes, factor: 3 });
  assert.ok(moving.moves.size > 20);
  assertSound(replaceOwnerByForce(moving, from));
  assertSound(removeOwnerByForce(moving, from, gateways.slice(1)));
});

test.run();
