// Goal: whatever gateways come and go, every partition keeps distinct owners and one that has its readings, no reading that a
// write quorum stored is without a whole owner, and the ring survives its way through a snapshot. Method: histories of changes
// (fast-check) with a model of single readings' copies beside the ring, and pinned sites.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { copiesRequired, readQuorum, writeQuorum } from "../../../src/core/replica/rules.ts";
import {
  addOwner,
  cancelMoves,
  changePlaces,
  decodeRing,
  encodeRing,
  fillSources,
  foundRing,
  mayLose,
  ownerCounts,
  ownerFilled,
  type RingState,
  removeOwner,
  replaceOwner,
  wholeOwnersOf,
} from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable, ownersOf, partitionsOf } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import { FillProgress } from "../../../src/gateway/fill-progress.ts";
import { type GatewayId, gatewayId, partition, partitionCount } from "../../../src/lib/ids.ts";
import { testHash64 } from "./test-hash.ts";

const names = ["gw-a", "gw-b", "gw-c", "gw-d", "gw-e"].map(gatewayId);
const [a, b, c, d] = names as [GatewayId, GatewayId, GatewayId, GatewayId];
const everywhere = Array.from({ length: partitionCount }, (_, at) => at);

function founded(gateways: number, factor: number): RingState {
  const plan = names.slice(0, gateways).map((id) => ({ id, weight: 1, zone: undefined }));
  const ring = foundRing(encodeOwnerTable(planOwners({ gateways: plan, factor, epoch: 1, hash64: testHash64 })));
  assert.ok(ring.ok);
  return ring.value;
}

const owners = (ring: RingState, at: number) => ownersOf(ring.table, partition(at));

function isWhole(ring: RingState, at: number): boolean {
  const counts = ownerCounts(ring, at);
  return counts.whole === counts.planned;
}

type Step =
  | { readonly kind: "remove" | "replace"; readonly gateway: GatewayId }
  | { readonly kind: "add"; readonly gateway: GatewayId; readonly factor: number }
  | { readonly kind: "filled"; readonly gateway: GatewayId; readonly upTo: number }
  | { readonly kind: "cancel"; readonly gateway: GatewayId }
  | { readonly kind: "move"; readonly from: GatewayId | undefined; readonly to: GatewayId; readonly upTo: number };

const upTo = fc.constantFrom(0, 1, 500, partitionCount);

const gateway = fc.constantFrom(...names);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("remove" as const, "replace" as const), gateway }),
  fc.record({ kind: fc.constant("add" as const), gateway, factor: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant("cancel" as const), gateway }),
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("move" as const), from: fc.constantFrom(undefined, ...names), to: gateway, upTo }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("filled" as const), gateway, upTo }) },
);
const history = fc.record({
  gateways: fc.integer({ min: 1, max: 5 }),
  factor: fc.integer({ min: 1, max: 5 }),
  steps: fc.array(step, { maxLength: 14 }),
});

function take(ring: RingState, next: Step): RingState {
  switch (next.kind) {
    case "remove":
      return mayLose(ring, next.gateway).ok ? removeOwner(ring, next.gateway) : ring;
    case "replace":
      return mayLose(ring, next.gateway).ok ? replaceOwner(ring, next.gateway) : ring;
    case "add":
      return addOwner(ring, next);
    case "filled":
      return ownerFilled(ring, { gateway: next.gateway, partitions: everywhere.slice(0, next.upTo) });
    case "cancel":
      return cancelMoves(ring, next.gateway);
    case "move": {
      const { from, to } = next;
      const changes = everywhere.slice(0, next.upTo).map((at) => ({ partition: at, from, to }));
      return changePlaces(ring, { changes, factor: ring.table.factor });
    }
  }
}

const changes = suite("owner changes");

changes("in any history that mayLose allows: distinct owners, one of them whole, growing epochs, and a faithful snapshot", () => {
  fc.assert(
    fc.property(history, ({ gateways, factor, steps }) => {
      let ring = founded(gateways, factor);
      for (const next of steps) {
        const before = ring;
        ring = take(ring, next);
        if (ring !== before) assert.is(ring.table.epoch, before.table.epoch + 1);
        for (const at of everywhere) {
          const list = owners(ring, at);
          assert.is(new Set(list).size, list.length);
          const move = ring.moves.get(at);
          assert.ok(list.length <= ring.table.factor + (move === undefined ? 0 : 1));
          if (move !== undefined)
            assert.ok(wholeOwnersOf(ring, at).includes(move.from) && ring.filling.get(at)?.includes(move.to) === true);
          const filling = ring.filling.get(at) ?? [];
          assert.ok(filling.every((id) => list.includes(id)));
          assert.ok(wholeOwnersOf(ring, at).length >= 1);
          assert.is(wholeOwnersOf(ring, at).length + filling.length, list.length);
        }
        assert.equal(decodeRing(encodeRing(ring)), { ok: true, value: ring });
      }
    }),
    { numRuns: 30 },
  );
});

changes("equal rings have equal encodings, whatever way a gateway of them took", () => {
  const one = encodeRing(addOwner(removeOwner(founded(3, 3), c), { gateway: d, factor: 3 }));
  const other = decodeRing(encodeRing(removeOwner(founded(3, 3), c)));
  assert.ok(other.ok);
  assert.equal(encodeRing(addOwner(other.value, { gateway: d, factor: 3 })), one);
});

changes("a removed gateway owns nothing, and the lists are shorter", () => {
  const ring = removeOwner(founded(4, 3), b);
  assert.is(ring.table.epoch, 2);
  assert.is(ring.table.factor, 3);
  assert.equal(partitionsOf(ring.table, b), []);
  const short = everywhere.filter((at) => owners(ring, at).length === 2);
  assert.equal(short, partitionsOf(founded(4, 3).table, b));
  for (const at of everywhere) assert.is(isWhole(ring, at), !short.includes(at));
});

changes("a new gateway takes the places that are free, as the last choice, filling", () => {
  const removed = removeOwner(founded(4, 3), b);
  const ring = addOwner(removed, { gateway: b, factor: 3 });
  assert.is(ring.table.epoch, 3);
  for (const at of everywhere) {
    if (owners(removed, at).length === 3) assert.equal(owners(ring, at), owners(removed, at));
    else {
      assert.equal(owners(ring, at), [...owners(removed, at), b]);
      assert.equal(ring.filling.get(at), [b]);
      assert.equal(wholeOwnersOf(ring, at), owners(removed, at));
    }
  }
  const site = founded(3, 3);
  assert.is(addOwner(site, { gateway: d, factor: 3 }), site, "no place is free: nothing changes");
  const grown = addOwner(founded(2, 3), { gateway: c, factor: 3 });
  assert.is(grown.table.factor, 3, "the effective factor grows with the site");
  assert.ok(everywhere.every((at) => owners(grown, at).length === 3 && !isWhole(grown, at)));
});

changes("a replaced gateway keeps its places and is filling in all of them; again replaced, the epoch still grows", () => {
  const ring = replaceOwner(founded(4, 3), a);
  assert.equal([...ring.filling.keys()], partitionsOf(founded(4, 3).table, a));
  for (const at of everywhere) assert.equal(owners(ring, at), owners(founded(4, 3), at));
  assert.is(replaceOwner(ring, a).table.epoch, 3);
});

changes("filled partition by partition, and a repeated report changes nothing", () => {
  let ring = replaceOwner(founded(3, 3), a);
  ring = ownerFilled(ring, { gateway: a, partitions: [1, 2, 3] });
  assert.is(ring.table.epoch, 3);
  assert.ok(isWhole(ring, 2) && !isWhole(ring, 4));
  assert.is(ownerFilled(ring, { gateway: a, partitions: [1, 2, 3] }), ring);
  assert.is(ownerFilled(ring, { gateway: b, partitions: everywhere }), ring);
  ring = ownerFilled(ring, { gateway: a, partitions: [...everywhere, 5_000] });
  assert.is(ring.filling.size, 0);
});

changes("mayLose: not the only owner, not beside a filling one, not after a loss; whoever is filling itself may go", () => {
  assert.equal(mayLose(founded(1, 3), a), { ok: false, why: "partition 0: gw-a is its only owner" });
  assert.ok(mayLose(founded(3, 3), a).ok);
  assert.ok(mayLose(founded(3, 3), d).ok, "it owns nothing");
  const replaced = replaceOwner(founded(3, 3), c);
  assert.not(mayLose(replaced, a).ok);
  assert.ok(mayLose(replaced, c).ok);
  const removed = removeOwner(founded(3, 3), c);
  assert.not(mayLose(removed, a).ok);
  assert.ok(mayLose(ownerFilled(addOwner(removed, { gateway: d, factor: 3 }), { gateway: d, partitions: everywhere }), a).ok);
});

changes("a partition moves: the new owner joins filling, and the old one goes in the step in which it is filled", () => {
  const site = founded(3, 3);
  const moving = changePlaces(site, { changes: [{ partition: 7, from: b, to: d }], factor: 3 });
  assert.is(moving.table.epoch, 2);
  assert.equal([...moving.moves], [[7, { from: b, to: d }]]);
  assert.equal(owners(moving, 7), [...owners(site, 7), d]);
  assert.equal(ownerCounts(moving, 7), { owners: 4, whole: 3, leaving: 1, planned: 3 });
  assert.equal(fillSources(moving, 7), { owners: owners(site, 7), needed: 2, always: b });
  assert.is(changePlaces(moving, { changes: [{ partition: 7, from: a, to: d }], factor: 3 }), moving, "one move at a time");
  assert.is(changePlaces(site, { changes: [{ partition: 7, from: d, to: a }], factor: 3 }), site, "not from who does not own it");
  const moved = ownerFilled(moving, { gateway: d, partitions: [7] });
  assert.equal(owners(moved, 7), [...owners(site, 7).filter((id) => id !== b), d]);
  assert.equal([moved.moves.size, moved.filling.size, moved.table.factor], [0, 0, 3]);
  assert.equal(owners(cancelMoves(moving, d), 7), owners(site, 7));
  assert.is(cancelMoves(site, d), site);
});

changes("P3: what is written while a partition moves outlives the move and the loss of any disk that may be lost behind it", () => {
  for (const factor of [1, 2, 3, 4]) {
    const site = founded(factor, factor);
    const from = owners(site, 7)[0] as GatewayId;
    const to = names[factor] as GatewayId;
    const moving = changePlaces(site, { changes: [{ partition: 7, from, to }], factor });
    const moved = ownerFilled(moving, { gateway: to, partitions: [7] });
    const wanted = writeQuorum("quorum", ownerCounts(moving, 7), copiesRequired);
    const list = owners(moving, 7);
    for (let bits = 1; bits < 1 << list.length; bits++) {
      // Behind the last page that the new owner fetched: it has it as an owner, or not at all.
      const stored = list.filter((_, i) => ((bits >>> i) & 1) === 1);
      if (stored.length < wanted.any || stored.filter((id) => id !== to).length < wanted.whole) continue;
      for (const lost of owners(moved, 7)) {
        if (!mayLose(moved, lost).ok) continue;
        const left = owners(removeOwner(moved, lost), 7);
        assert.ok(
          left.some((id) => stored.includes(id)),
          `of ${list.join(" ")} it is on ${stored.join(" ")}; ${from} goes, ${lost} is lost, ${left.join(" ")} are left`,
        );
      }
    }
  }
});

changes("a move whose one end is lost: the other end stays, or fills the place that is free", () => {
  const site = founded(3, 3);
  const moving = changePlaces(site, { changes: [{ partition: 7, from: b, to: d }], factor: 3 });
  assert.ok(mayLose(moving, a).ok && mayLose(moving, b).ok && mayLose(moving, d).ok, "the old list has lost nothing");
  for (const without of [removeOwner(moving, b), replaceOwner(moving, b)]) {
    assert.equal(owners(without, 7), [...owners(site, 7).filter((id) => id !== b), d]);
    assert.equal([without.moves.size, without.filling.get(7)], [0, [d]]);
    assert.equal(fillSources(without, 7).needed, 2, "all that are left");
    assert.not(mayLose(without, a).ok);
  }
  assert.equal(owners(removeOwner(moving, d), 7), owners(site, 7));
  assert.equal([...replaceOwner(moving, d).moves], [...moving.moves]);
  const other = replaceOwner(moving, a);
  assert.equal([...other.moves], [...moving.moves]);
  assert.equal(fillSources(other, 7).needed, 2, "all whole ones");
  assert.not(mayLose(other, b).ok);
  assert.equal(ownerFilled(other, { gateway: a, partitions: [7] }).moves.size, 1, "another one that is filled ends no move");
});

changes("an owner is removed while another one of the partition moves: who came takes its place, and nobody goes", () => {
  const site = founded(3, 3);
  const moving = changePlaces(site, { changes: [{ partition: 7, from: b, to: d }], factor: 3 });
  const without = removeOwner(moving, a);
  assert.equal(owners(without, 7), [...owners(site, 7).filter((id) => id !== a), d]);
  assert.equal([without.moves.size, without.filling.get(7)], [0, [d]]);
  assert.equal(ownerCounts(without, 7), { owners: 3, whole: 2, leaving: 0, planned: 3 });
  const filled = ownerFilled(without, { gateway: d, partitions: [7] });
  assert.equal(owners(filled, 7), owners(without, 7), "three copies, as before the loss");
  // Of two owners the one that stays has what it and the stand-in acknowledge behind the last page that the new one fetched.
  const pair = changePlaces(founded(2, 2), { changes: [{ partition: 7, from: b, to: c }], factor: 2 });
  const left = ownerFilled(removeOwner(pair, a), { gateway: c, partitions: [7] });
  assert.equal(owners(left, 7), [b, c]);
});

changes("a free place is given away where the settings want it", () => {
  const short = removeOwner(founded(4, 3), d);
  const at = everywhere.find((each) => owners(short, each).length === 2) as number;
  const whole = everywhere.find((each) => owners(short, each).length === 3) as number;
  const to = [a, b, c].find((id) => !owners(short, at).includes(id)) as GatewayId;
  const given = changePlaces(short, { changes: [at, whole].map((each) => ({ partition: each, from: undefined, to })), factor: 3 });
  assert.equal(owners(given, at), [...owners(short, at), to]);
  assert.equal([given.filling.get(at), given.moves.size, given.filling.size], [[to], 0, 1]);
});

changes("the last whole owner of a partition cannot be removed or replaced", () => {
  assert.throws(() => removeOwner(founded(1, 1), a), /keeps an owner/);
  assert.throws(() => replaceOwner(founded(1, 1), a), /keeps an owner/);
  const grown = addOwner(founded(1, 3), { gateway: b, factor: 3 });
  assert.throws(() => removeOwner(grown, a), /keeps an owner/);
});

interface ModelRing {
  readonly ring: RingState;
  readonly list: readonly string[];
  readonly whole: readonly string[];
}

/**
 * Readings of one partition, stored with as few copies as the rule of `replica/rules.ts` allows. A disk is a gateway's
 * incarnation; one that was removed or replaced may live on where the change is not known. A disk knows the epoch
 * of the last ring under which it took a round or served a filling gateway, and nothing older can be asked of it.
 */
class ModelPartition {
  readonly at = 7;
  readonly #incarnations = new Map<GatewayId, number>();
  readonly #knownEpoch = new Map<string, number>();
  readonly #readings: Set<string>[] = [];
  readonly #rings: ModelRing[] = [];
  readonly #progress = new Map<GatewayId, FillProgress>();

  ringIs(ring: RingState): void {
    for (const id of names) {
      const progress = this.#progress.get(id) ?? new FillProgress(id);
      this.#progress.set(id, progress);
      progress.follow(ring);
    }
    this.#rings.push({ ring, list: this.#disks(owners(ring, this.at)), whole: this.#disks(wholeOwnersOf(ring, this.at)) });
  }

  replaced(id: GatewayId): void {
    this.#incarnations.set(id, (this.#incarnations.get(id) ?? 0) + 1);
    this.#progress.delete(id);
  }

  /** A filling gateway gets all that one of its sources has, and is not done. */
  fetched(id: GatewayId, ring: RingState, seed: number): void {
    if (ring.filling.get(this.at)?.includes(id) !== true) return;
    const { owners: sources } = fillSources(ring, this.at);
    this.#fetch(id, sources[seed % sources.length] as GatewayId, ring);
  }

  #fetch(id: GatewayId, source: GatewayId, ring: RingState): void {
    const [from, disk] = [this.#disk(source), this.#disk(id)];
    for (const one of [from, disk]) this.#knownEpoch.set(one, ring.table.epoch);
    for (const copies of this.#readings) if (copies.has(from)) copies.add(disk);
    this.#fetchedBy(id).add(source);
  }

  #fetchedBy(id: GatewayId): Set<GatewayId> {
    return this.#progress.get(id)?.of([partition(this.at)])[0] as Set<GatewayId>;
  }

  /** The filling gateway has the union of as few whole owners as it may: those that it has asked already, and others that know of the ring. */
  filled(id: GatewayId, ring: RingState, seed: number): void {
    const { owners: sources, needed, always } = fillSources(ring, this.at);
    const known = this.#fetchedBy(id);
    const inTurn = sources.map((_, i) => sources[(i + seed) % sources.length] as GatewayId);
    const asked = inTurn.toSorted((one, other) => Number(known.has(other)) - Number(known.has(one))).slice(0, needed);
    for (const source of new Set(always === undefined ? asked : [...asked, always])) if (!known.has(source)) this.#fetch(id, source, ring);
  }

  /** A coordinator that is `behind` rings late writes; without enough owners that know no newer ring, nothing is acknowledged. */
  store(seed: number, behind: number): void {
    const { ring, list, whole } = this.#rings[Math.max(0, this.#rings.length - 1 - behind)] as ModelRing;
    const taking = (of: readonly string[]) =>
      of.map((_, i) => of[(i + seed) % of.length] as string).filter((disk) => (this.#knownEpoch.get(disk) ?? 0) <= ring.table.epoch);
    const wanted = writeQuorum("quorum", ownerCounts(ring, this.at), copiesRequired);
    const copies = new Set(taking(whole).slice(0, wanted.whole));
    if (copies.size < wanted.whole) return;
    for (const disk of taking(list)) if (copies.size < wanted.any) copies.add(disk);
    if (copies.size < wanted.any) return;
    for (const disk of copies) this.#knownEpoch.set(disk, ring.table.epoch);
    this.#readings.push(copies);
  }

  /** On a disk of an owner, whoever was lost that might be lost. */
  checkKept(): void {
    const { ring, list } = this.#rings.at(-1) as ModelRing;
    for (const copies of this.#readings)
      assert.ok(
        list.some((disk) => copies.has(disk)),
        `at epoch ${ring.table.epoch} owners ${list.join(" ")}, of which none has what ${[...copies].join(" ")} stored`,
      );
  }

  /** No question of any epoch finds as many answers as it wants and misses a reading. */
  check(): void {
    for (const { ring, list, whole } of this.#rings) {
      const wanted = readQuorum("quorum", ownerCounts(ring, this.at), copiesRequired);
      const answering = list.filter((disk) => (this.#knownEpoch.get(disk) ?? 0) <= ring.table.epoch);
      for (const copies of this.#readings) {
        const without = answering.filter((disk) => whole.includes(disk) && !copies.has(disk)).length;
        const filling = answering.filter((disk) => !whole.includes(disk)).length;
        assert.not(
          without >= wanted.whole && without + filling >= wanted.any,
          `at epoch ${ring.table.epoch} owners ${list.join(" ")}, and only ${[...copies].join(" ")} have it`,
        );
      }
    }
  }

  #disks(gateways: readonly GatewayId[]): string[] {
    return gateways.map((id) => this.#disk(id));
  }

  #disk(id: GatewayId): string {
    return `${id}#${this.#incarnations.get(id) ?? 0}`;
  }
}

const fetches = fc.array(fc.record({ id: gateway, seed: fc.nat(), after: fc.integer({ min: 0, max: 9 }) }), { maxLength: 24 });

/** Of what changes owners while others fill: most of it elsewhere, some of it in the partition that the model looks at. */
const busyHistory = fc.record({
  gateways: fc.integer({ min: 2, max: 5 }),
  factor: fc.integer({ min: 2, max: 3 }),
  steps: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("replace" as const, "replace" as const, "remove" as const), gateway }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("filled" as const), gateway, upTo: fc.constantFrom(1, 500, 500) }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("move" as const),
          from: fc.constantFrom(undefined, ...names),
          to: gateway,
          upTo: fc.constantFrom(1, 500, 500),
        }),
      },
    ),
    { minLength: 5, maxLength: 10 },
  ),
});

changes("P3: a reading that a write quorum stored is in every complete answer, whatever rings its writer and its asker know", () => {
  fc.assert(
    fc.property(
      fc.oneof(history, busyHistory),
      fc.array(fc.record({ seed: fc.nat(), after: fc.integer({ min: 0, max: 14 }), behind: fc.constantFrom(0, 0, 1, 2, 5) }), {
        maxLength: 8,
      }),
      fetches,
      (site, writes, asked) => {
        let ring = founded(site.gateways, site.factor);
        const model = new ModelPartition();
        const storeAfter = (index: number) => {
          for (const { seed, behind } of writes.filter((each) => each.after === index)) model.store(seed, behind);
          model.check();
          model.checkKept();
        };
        model.ringIs(ring);
        storeAfter(0);
        site.steps.forEach((next, index) => {
          const before = ring;
          ring = take(ring, next);
          if (ring !== before) {
            if (next.kind === "remove" || next.kind === "replace") model.replaced(next.gateway);
            if (next.kind === "filled" && ring.filling.get(model.at)?.length !== before.filling.get(model.at)?.length)
              model.filled(next.gateway, before, index);
            model.ringIs(ring);
          }
          for (const { id, seed } of asked.filter((each) => each.after === index)) model.fetched(id, ring, seed);
          storeAfter(index + 1);
        });
      },
    ),
    { numRuns: 300 },
  );
});

changes("P3: who asks under the table of a move misses nothing that was written after it and the loss of another owner", () => {
  for (const factor of [1, 2, 3, 4]) {
    const site = founded(factor, factor);
    const at = 7;
    const [from, ...stay] = owners(site, at) as [GatewayId, ...GatewayId[]];
    const to = names[factor] as GatewayId;
    for (const lost of stay) {
      for (let seed = 0; seed < 24; seed++) {
        const model = new ModelPartition();
        model.ringIs(site);
        const moving = changePlaces(site, { changes: [{ partition: at, from, to }], factor });
        model.ringIs(moving);
        model.filled(to, moving, seed);
        const moved = ownerFilled(moving, { gateway: to, partitions: [at] });
        model.ringIs(moved);
        // Its folder lives on where neither is known, and so does the one that went.
        model.replaced(lost);
        model.ringIs(replaceOwner(moved, lost));
        model.store(seed, 0);
        model.check();
      }
    }
  }
});

const record = encodeRing(replaceOwner(founded(3, 3), a));
const bits = record.filling[0]?.partitions as Uint8Array;
const spoiled: readonly [string, unknown][] = [
  ["nothing", undefined],
  ["another version", { ...record, version: 3 }],
  ["a damaged table", { ...record, table: { ...record.table, epoch: 0 } }],
  ["an empty owner list", { ...record, table: { ...record.table, sets: record.table.sets.map(() => []) } }],
  ["an owner list longer than the factor", { ...record, table: { ...record.table, factor: 2 } }],
  ["no list of filling owners", { version: 1, table: record.table }],
  ["too few bits", { ...record, filling: [{ gateway: "gw-a", partitions: bits.subarray(1) }] }],
  ["a filling gateway twice", { ...record, filling: [...record.filling, ...record.filling] }],
  ["a filling gateway that is no owner", { ...record, filling: [{ gateway: "gw-x", partitions: bits }] }],
  ["moves that are none", { ...record, version: 2, moves: [] }],
  ["a move of which one end is no owner", { ...record, version: 2, moves: [{ from: "gw-b", to: "gw-x", partitions: bits }] }],
  ["a move from who is filling", { ...record, version: 2, moves: [{ from: "gw-a", to: "gw-b", partitions: bits }] }],
  ["a filling gateway without a name", { ...record, filling: [{ gateway: "", partitions: bits }] }],
  ["only filling owners", { ...record, filling: names.slice(0, 3).map((gateway) => ({ gateway, partitions: bits })) }],
];

for (const [what, value] of spoiled) {
  changes(`refuses ${what}`, () => {
    const decoded = decodeRing(value);
    assert.is(decoded.ok, false);
    if (!decoded.ok) assert.is(decoded.code, "data-damaged");
  });
}

changes.run();
