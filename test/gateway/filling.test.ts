// Goal: a gateway that gives up while it fills lets go of the event loop; one that goes on ends although the owner table changes all the
// while, and what cannot be filled holds up nothing else. Method: a filling whose gateway's inbox closes while a page is asked for, and
// which is not told to stop yet: what it looks at is counted; one for which the table changes with each answer; owners that are behind,
// away, or cannot give a few partitions. How it fills stands in `test/scenarios/filling.test.ts`.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RingState } from "../../src/core/ring/owner-changes.ts";
import { addOwner, foundRing, ownerFilled, removeOwner, replaceOwner, wholeOwnersOf } from "../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable } from "../../src/core/ring/owner-table.ts";
import { planOwners } from "../../src/core/ring/planner.ts";
import { Filling, type FillingOptions, type OwnerFilled } from "../../src/gateway/filling.ts";
import { failure, success } from "../../src/lib/errors.ts";
import { gatewayId, partitionCount } from "../../src/lib/ids.ts";
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

/** A site of three with one copy too few everywhere: all of gw-b's are to be filled from the two others. */
class Busy {
  ring: RingState;
  /** "gw-a 128": who was asked, for how many partitions. */
  readonly pulls: string[] = [];
  readonly filling: Filling;
  readonly #onPull: (site: Busy, count: number) => void;

  constructor(onPull: (site: Busy, count: number) => void) {
    const gateways = ["gw-a", self, "gw-c"].map((id) => ({ id: gatewayId(id), weight: 1, zone: undefined }));
    const founded = foundRing(encodeOwnerTable(planOwners({ gateways, factor: 3, epoch: 1, hash64: () => 1n })));
    if (!founded.ok) throw new Error(founded.message);
    this.ring = replaceOwner(founded.value, self);
    this.#onPull = onPull;
    const used = {
      self,
      inbox: { closed: () => false },
      diagnostics: { info: () => undefined },
      clock: { schedule: (_ms: number, fire: () => void) => setImmediate(fire) },
    };
    const options: Partial<FillingOptions> = {
      context: used as unknown as FillingOptions["context"],
      prepared: () => Promise.resolve(),
      counted: () => Promise.resolve(success(undefined)),
      canPull: () => true,
      ring: () => this.ring,
      stream: () => Promise.resolve(success(undefined)),
      fetchRolled: () => Promise.resolve(success(undefined)),
      pull: (owner, { epoch, partitions }) => {
        if (epoch !== this.ring.table.epoch) return Promise.resolve(failure("ring-changed", "another epoch"));
        this.pulls.push(`${owner} ${partitions.length}`);
        this.#onPull(this, this.pulls.length);
        return Promise.resolve(success(undefined));
      },
      propose: ({ epoch, partitions }) => {
        if (epoch !== this.ring.table.epoch) return Promise.resolve(failure("ring-changed", "another epoch"));
        this.ring = ownerFilled(this.ring, { gateway: self, partitions });
        return Promise.resolve(success(undefined));
      },
    };
    this.filling = new Filling(options as FillingOptions);
  }

  /** Something changes that is nothing to the partitions that are filled. */
  changeElsewhere(): void {
    this.ring = { ...this.ring, table: { ...this.ring.table, epoch: this.ring.table.epoch + 1 } };
    this.filling.look();
  }

  async filled(): Promise<void> {
    this.filling.look();
    for (let turn = 0; turn < 500 && this.ring.filling.size > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.is(this.ring.filling.size, 0, `after ${this.pulls.length} pulls`);
  }
}

test("what was fetched counts although the table changes meanwhile, where these partitions' owners stay the same", async () => {
  const site = new Busy((busy) => busy.changeElsewhere());
  await site.filled();
  const batches = Array.from({ length: 8 }, () => ["gw-a 128", "gw-c 128"]).flat();
  assert.equal(site.pulls, batches);
});

test("what was fetched before these partitions' owners changed is fetched again, and also when a table was missed", async () => {
  const another = new Busy((busy, count) => {
    if (count !== 1) return;
    // Somebody else lost its copies too, and got them back: meanwhile there were writes that did not need gw-b.
    busy.ring = replaceOwner(busy.ring, gatewayId("gw-c"));
    busy.filling.look();
    busy.ring = ownerFilled(busy.ring, { gateway: gatewayId("gw-c"), partitions: [...busy.ring.filling.keys()] });
    busy.filling.look();
  });
  await another.filled();
  assert.equal(another.pulls.slice(0, 3), ["gw-a 128", "gw-a 128", "gw-c 128"]);
  const missed = new Busy((busy, count) => {
    if (count === 1) busy.ring = { ...busy.ring, table: { ...busy.ring.table, epoch: busy.ring.table.epoch + 2 } };
  });
  await missed.filled();
  assert.equal(missed.pulls.slice(0, 3), ["gw-a 128", "gw-a 128", "gw-c 128"]);
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
