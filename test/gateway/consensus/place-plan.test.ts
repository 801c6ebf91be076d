// Goal: the leader begins no move that cannot end, takes back those that cannot end any more, and then rests: no step undoes the one
// before for ever. Method: the plan beside a ring to which its commands are applied, with gateways that are there or gone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  cancelMoves,
  changePlaces,
  foundRing,
  ownerFilled,
  type PlaceChange,
  type RingState,
} from "../../../src/core/ring/owner-changes.ts";
import { encodeOwnerTable, partitionsOf } from "../../../src/core/ring/owner-table.ts";
import { planOwners } from "../../../src/core/ring/planner.ts";
import type { Member } from "../../../src/core/site/membership.ts";
import { partitionsIn } from "../../../src/core/site/retention.ts";
import { PlacePlan, plannedPlaces } from "../../../src/gateway/consensus/place-plan.ts";
import { type GatewayId, gatewayId, incarnation, memberId } from "../../../src/lib/ids.ts";
import { testHash64 } from "../../core/ring/test-hash.ts";

const test = suite("gateway/consensus: the next change of places");

const [a, b, c] = ["gw-a", "gw-b", "gw-c"].map(gatewayId) as [GatewayId, GatewayId, GatewayId];

/** A pair keeps everything; gw-c has just come. */
class Site {
  ring: RingState;
  readonly away = new Set<GatewayId>();
  readonly #plan = new PlacePlan();
  readonly #members = [a, b, c].map(
    (id, slot): Member => ({
      id,
      memberId: memberId(id),
      incarnation: incarnation(`folder of ${id}`),
      slot,
      role: "full",
      zone: undefined,
      weight: 1,
      address: undefined,
    }),
  );

  constructor() {
    const gateways = [a, b].map((id) => ({ id, weight: 1, zone: undefined }));
    const ring = foundRing(encodeOwnerTable(planOwners({ gateways, factor: 2, epoch: 1, hash64: testHash64 })));
    if (!ring.ok) throw new Error(ring.message);
    this.ring = ring.value;
  }

  /** Partitions that are to move yet. */
  planned(): number {
    const places = plannedPlaces({ ring: this.ring, members: this.#members, factor: 2, isThere: (id) => !this.away.has(id) });
    return [...places.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The leader looks once, and the site does what it says. */
  step(): string | undefined {
    const command = this.#plan.next({
      ring: this.ring,
      members: this.#members,
      factor: 2,
      movesMax: 64,
      isThere: (id) => !this.away.has(id),
      isGone: (id) => this.away.has(id),
    });
    if (command?.t === "moves-cancel") this.ring = cancelMoves(this.ring, command.gateway);
    if (command?.t === "owner-places") {
      const changes = command.changes.flatMap(({ from, to, partitions }) =>
        partitionsIn(partitions).map((at): PlaceChange => ({ partition: at, from: from ?? undefined, to })),
      );
      this.ring = changePlaces(this.ring, { changes, factor: 2 });
    }
    return command?.t;
  }
}

test("moves of a pair's partitions are taken back when one of the two is gone, and not begun again before it is back", () => {
  const site = new Site();
  assert.is(site.step(), "owner-places");
  assert.is(site.ring.moves.size, 64);
  const [first] = site.ring.moves.values();
  site.away.add(first?.from === a ? b : a);
  for (let steps = 0; steps < 10 && site.step() !== undefined; steps++) assert.ok(steps < 4, "it comes to rest");
  assert.is(site.ring.moves.size, 0);
  assert.is(partitionsOf(site.ring.table, c).length, 0);
  site.away.clear();
  assert.is(site.step(), "owner-places");
  assert.is(site.ring.moves.size, 64);
});

test("what is planned is told as long as it can be carried out, and nothing when all is done", () => {
  const site = new Site();
  const share = site.planned();
  assert.ok(share > 600, `${share}`);
  assert.is(site.step(), "owner-places");
  assert.is(site.planned(), share - 64);
  site.away.add(a);
  assert.is(site.planned(), 0, "of a pair that has lost one nothing moves: nobody has to wait for it");
  site.away.clear();
  for (let steps = 0; steps < 100; steps++) {
    site.ring = ownerFilled(site.ring, { gateway: c, partitions: [...site.ring.moves.keys()] });
    if (site.planned() === 0) break;
    site.step();
  }
  assert.equal([site.planned(), site.ring.moves.size, site.step()], [0, 0, undefined]);
});

test("the next wave of moves begins when the one before is nearly over, not with each partition that has arrived", () => {
  const site = new Site();
  assert.is(site.step(), "owner-places");
  const [first = -1, ...others] = site.ring.moves.keys();
  site.ring = ownerFilled(site.ring, { gateway: c, partitions: [first] });
  assert.is(site.step(), undefined);
  site.ring = ownerFilled(site.ring, { gateway: c, partitions: others.slice(0, 47) });
  assert.is(site.ring.moves.size, 16);
  assert.is(site.step(), "owner-places");
  assert.is(site.ring.moves.size, 64);
});

test.run();
