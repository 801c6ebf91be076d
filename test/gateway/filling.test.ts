// Goal: a gateway that gives up while it fills lets go of the event loop, and what cannot be filled holds up nothing else. Method: a
// filling whose gateway's inbox closes while a page is asked for, and which is not told to stop yet: what it looks at is counted; owners
// that cannot give a few partitions. How it fills stands in `test/scenarios/filling.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../src/core/ring/owner-changes.ts";
import { addOwner, foundRing, ownerFilled } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../src/core/ring/owner-table.ts";
import { planOwners } from "../../src/core/ring/planner.ts";
import { Filling, type FillingOptions, type OwnerFilled } from "../../src/gateway/filling.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { gatewayId, partitionCount } from "../../src/lib/ids.ts";

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

/** Fills for a while from owners that fail as the story says; the partitions that are left. */
async function leftAfter(ring: RingState, pull: FillingOptions["pull"]): Promise<{ readonly left: number[]; readonly commands: number }> {
  let current = ring;
  let commands = 0;
  const used = {
    self,
    inbox: { closed: () => false },
    diagnostics: { info: () => undefined },
    clock: { schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
  };
  const done = () => Promise.resolve(success(undefined));
  const filling = new Filling({
    context: used,
    prepared: done,
    counted: done,
    stream: done,
    fetchRolled: done,
    canPull: () => true,
    rawHorizonUs: () => 0,
    ring: () => current,
    pull,
    propose: ({ epoch, gateway, partitions }: OwnerFilled) => {
      if (epoch !== current.table.epoch) return Promise.resolve(failure("ring-changed", "the owners are others by now"));
      commands++;
      current = ownerFilled(current, { gateway, partitions });
      return done();
    },
  } as unknown as FillingOptions);
  filling.look();
  for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve));
  filling.stop();
  return { left: [...current.filling.keys()], commands };
}

test("partitions whose readings are damaged at their owner wait alone, and all others are filled", async () => {
  const damaged = [5, 6, 700, 1_023];
  const { left, commands } = await leftAfter(ringToFill(), async (_owner, { partitions }) =>
    partitions.some((at) => damaged.includes(at)) ? failure("data-damaged", "a chunk is damaged") : success({}),
  );
  assert.equal(left, damaged);
  assert.ok(commands < 60, `${commands} commands`);
});

test("partitions of which an owner is away wait, and those that others have are filled", async () => {
  const [a, away] = [gatewayId("gw-a"), gatewayId("gw-c")];
  const partitionSets = Uint16Array.from({ length: partitionCount }, (_, at) => at % 2);
  const table = { epoch: 1, factor: 2, ownerSets: [[away], [a]], partitionSets };
  const ring = addOwner({ table, filling: new Map(), moves: new Map() }, { gateway: self, factor: 2 });
  const { left } = await leftAfter(ring, async (owner) => (owner === away ? failure("unreachable", "it is away") : success({})));
  assert.equal(
    left,
    Array.from({ length: partitionCount / 2 }, (_, i) => i * 2),
  );
});

test.run();
