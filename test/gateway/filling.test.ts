// Goal: a gateway that gives up while it fills lets go of the event loop; an owner that cannot give its readings yet holds up no others'.
// Method: a filling whose gateway's inbox closes while a page is asked for, and which is not told to stop yet: what it looks at is
// counted; one that is filled from two owners, of which one refuses. How it fills stands in `test/scenarios/filling.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../src/core/ring/owner-changes.ts";
import { addOwner, foundRing, ownerFilled, removeOwner, wholeOwnersOf } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../src/core/ring/owner-table.ts";
import { planOwners } from "../../src/core/ring/planner.ts";
import { Filling, type FillingOptions } from "../../src/gateway/filling.ts";
import { failure } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { testHash64 } from "../core/ring/test-hash.ts";

const self = gatewayId("gw-b");

function ringToFill(): RingState {
  const gateways = [{ id: gatewayId("gw-a"), weight: 1, zone: undefined }];
  const table = planOwners({ gateways, factor: 2, epoch: 1, hash64: () => 1n });
  const founded = foundRing(encodeOwnerTable(table));
  if (!founded.ok) throw new Error(founded.message);
  return addOwner(founded.value, { gateway: self, factor: 2 });
}

const test = suite("gateway/filling");

test("once the inbox is closed it looks for nothing more", async () => {
  const ring = ringToFill();
  assert.ok(ring.filling.size > 0);
  let closed = false;
  let looks = 0;
  const used = {
    self,
    inbox: { closed: () => closed },
    diagnostics: { info: () => undefined },
    clock: { schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
  };
  const options = {
    // Of a gateway's world, a filling that gets no page uses no more than this.
    context: used as unknown as FillingOptions["context"],
    requests: {
      call: () => {
        closed = true;
        return Promise.resolve(failure("unreachable", "gw-a is not connected"));
      },
    },
    prepared: () => Promise.resolve(),
    counted: () => Promise.resolve({ ok: true, value: undefined }),
    canPull: () => false,
    rawHorizonUs: () => 0,
    // The end of a loop that would never let the test go on.
    ring: () => (++looks > 1_000 ? { ...ring, filling: new Map() } : ring),
  };
  const filling = new Filling(options as unknown as FillingOptions);
  filling.look();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(closed);
  assert.ok(looks < 20, `it looked ${looks} times`);
});

test("an owner that is behind holds up its own partitions only, and is asked again", async () => {
  const gateways = ["gw-a", "gw-c", "gw-d"].map((id) => ({ id: gatewayId(id), weight: 1, zone: undefined }));
  const founded = foundRing(encodeOwnerTable(planOwners({ gateways, factor: 2, epoch: 1, hash64: testHash64 })));
  if (!founded.ok) throw new Error(founded.message);
  let ring = addOwner(removeOwner(founded.value, gatewayId("gw-d")), { gateway: self, factor: 2 });
  const sourceOf = (at: number) => wholeOwnersOf(ring, at).join();
  assert.equal([...new Set([...ring.filling.keys()].map(sourceOf))].sort(), ["gw-a", "gw-c"]);
  const proposed: string[] = [];
  let refusals = 0;
  const done = { ok: true, value: undefined } as const;
  const options = {
    context: {
      self,
      inbox: { closed: () => false },
      diagnostics: { info: () => undefined },
      clock: { schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
    } as unknown as FillingOptions["context"],
    prepared: () => Promise.resolve(),
    counted: () => Promise.resolve(done),
    canPull: () => true,
    stream: () => Promise.resolve(done),
    // Until all that comes from the other one is there.
    pull: (owner: string) => {
      const isBehind = owner === "gw-a" && [...ring.filling.keys()].some((at) => sourceOf(at) === "gw-c");
      if (isBehind) refusals++;
      return Promise.resolve(isBehind ? failure("ring-changed", "gw-a is behind") : done);
    },
    fetchRolled: () => Promise.resolve(done),
    ring: () => ring,
    propose: ({ partitions }: { readonly partitions: readonly number[] }) => {
      proposed.push(...new Set(partitions.map(sourceOf)));
      ring = ownerFilled(ring, { gateway: self, partitions });
      return Promise.resolve(done);
    },
  };
  new Filling(options as unknown as FillingOptions).look();
  for (let turn = 0; turn < 20 && ring.filling.size > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.is(ring.filling.size, 0);
  assert.is(proposed[0], "gw-c");
  assert.is(proposed.at(-1), "gw-a");
  assert.ok(refusals >= 1);
});

test.run();
