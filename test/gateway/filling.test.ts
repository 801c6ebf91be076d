// Goal: a gateway that gives up while it fills lets go of the event loop. Method: a filling whose gateway's inbox closes while a page
// is asked for, and which is not told to stop yet: what it looks at is counted. How it fills stands in `test/scenarios/filling.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../src/core/ring/owner-changes.ts";
import { addOwner, foundRing } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../src/core/ring/owner-table.ts";
import { planOwners } from "../../src/core/ring/planner.ts";
import { Filling, type FillingOptions } from "../../src/gateway/filling.ts";
import { failure } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";

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

test.run();
