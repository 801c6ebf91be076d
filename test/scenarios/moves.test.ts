// Goal: partitions move between gateways while devices publish, whoever dies meanwhile, and no acknowledged reading is lost, missing from
// a complete answer, or kept where it does not belong any more. Method: four real gateways with factor 3 on the simulator; shares are
// changed as an operator changes them, and the leader plans the rest.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { isOwner, ownersOf, partitionsOf } from "../../src/core/ring/owner-table.ts";
import { defaultTuning } from "../../src/gateway/context.ts";
import type { Serving } from "../../src/gateway/serving.ts";
import { gatewayId, type Partition } from "../../src/lib/ids.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, isServing, readingsAt } from "./harness.ts";

const startMs = Date.UTC(2026, 0, 1);
const everybody = ["gw-a", "gw-b", "gw-c", "gw-d"];
const tuning = { ...defaultTuning, retentionEveryMs: 5_000, voterDeadMs: 10_000 };
const names = Array.from({ length: 6 }, (_, i) => `d${i}`);

function servingOf(site: SimulatedSite, id: string): Serving {
  const serving = site.gateway(id).running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${id} does not serve`);
  return serving;
}

const owned = (site: SimulatedSite, via: string, id: string) =>
  partitionsOf(servingOf(site, via).replication.table(), gatewayId(id)).length;

function isSettled(site: SimulatedSite, via: string): boolean {
  const ring = servingOf(site, via).state.ring();
  return ring?.moves.size === 0 && ring.filling.size === 0;
}

async function setWeight(site: SimulatedSite, via: string, id: string, weight: number): Promise<void> {
  const service = site.gateway(via).running()?.service;
  const changed = service && (await site.answer(service.updateGateway(id, { weight, zone: undefined })));
  assert.ok(changed?.ok, changed?.ok === false ? changed.message : "");
}

const movesBegin = (site: SimulatedSite) =>
  site.until(() => servingOf(site, "gw-b").state.ring()?.moves.size !== 0, { withinMs: 10_000, what: "moves begin" });

/** Devices at gateways that stay, each of which publishes in every turn. */
class Publishers {
  readonly #site: SimulatedSite;
  readonly #devices: readonly { readonly name: string; readonly device: Device }[];
  #value = 0;

  constructor(site: SimulatedSite, at: readonly string[]) {
    this.#site = site;
    this.#devices = names.map((name, i) => ({ name, device: new Device(site.gateway(at[i % at.length] as string), name) }));
  }

  async turn(): Promise<void> {
    for (const { device } of this.#devices) device.publish(startMs + ++this.#value, this.#value);
    await this.#site.runFor(50 + this.#site.random.below(100));
  }

  async until(condition: () => boolean, turnsMax: number, what: string): Promise<void> {
    for (let turns = 0; !condition(); turns++) {
      assert.ok(turns < turnsMax, `not within ${turnsMax} turns: ${what}`);
      await this.turn();
    }
  }

  /** Everything that was published is acknowledged, and in a complete answer of each of these gateways once. */
  async check(at: readonly string[]): Promise<void> {
    const published = this.#value;
    const acknowledged = () => this.#devices.reduce((sum, { device }) => sum + device.acknowledged.size, 0);
    await this.#site.until(() => acknowledged() === published, { withinMs: 10_000, what: "all is acknowledged" });
    for (const id of at) {
      for (const { name, device } of this.#devices) {
        const { points, answer } = await readingsAt(this.#site, this.#site.gateway(id), name);
        assert.ok(answer.complete, `${id} knows everything of ${name}`);
        assert.equal(
          points.map(([, value]) => value),
          [...device.acknowledged].toSorted((a, b) => a - b),
          `${id} on ${name}`,
        );
      }
    }
  }
}

const test = suite("partitions move");

test("a gateway gives away all that it has, and gets its share again, while devices publish", async () => {
  const site = await foundedSite(1, 4, { tuning });
  const share = owned(site, "gw-a", "gw-d");
  const publishers = new Publishers(site, everybody);
  await publishers.turn();
  await setWeight(site, "gw-b", "gw-d", 0);
  await publishers.until(() => owned(site, "gw-a", "gw-d") === 0 && isSettled(site, "gw-a"), 400, "gw-d owns nothing");
  for (const id of ["gw-a", "gw-b", "gw-c"]) assert.is(owned(site, "gw-a", id), 1024);
  await publishers.check(everybody);
  const left = servingOf(site, "gw-d").seriesStore;
  // What it does not own any more it does not keep: in memory until the next checkpoint, on disk until retention's next look.
  await site.answer(left.checkpoint());
  await site.runFor(2 * tuning.retentionEveryMs);
  assert.equal([left.stats().readings, left.stats().headReadings], [0, 0]);
  await setWeight(site, "gw-b", "gw-d", 1);
  await publishers.until(() => owned(site, "gw-a", "gw-d") >= share / 1.15 && isSettled(site, "gw-a"), 400, "gw-d has its share");
  await publishers.check(everybody);
});

test("digests that were asked for while a partition was elsewhere are not those of what is there when it comes back", async () => {
  const site = await foundedSite(6, 4, { tuning });
  const publishers = new Publishers(site, everybody);
  for (let turn = 0; turn < 5; turn++) await publishers.turn();
  const before = partitionsOf(servingOf(site, "gw-a").replication.table(), gatewayId("gw-d"));
  await setWeight(site, "gw-b", "gw-d", 0);
  await site.until(() => owned(site, "gw-d", "gw-d") === 0 && isSettled(site, "gw-d"), { withinMs: 60_000, what: "gw-d owns nothing" });
  const rootOf = (id: string, at: Partition) => site.answer(servingOf(site, id).healing.digests.root(at, Number.MIN_SAFE_INTEGER));
  await setWeight(site, "gw-b", "gw-d", 100);
  for (let turn = 0; owned(site, "gw-d", "gw-d") <= 1_024 / 1.15 || !isSettled(site, "gw-d"); turn++) {
    assert.ok(turn < 1_000, "gw-d has most");
    // As a pass does that compares its list of partitions one after the other.
    const now = servingOf(site, "gw-d").replication.table();
    for (const at of before) if (!isOwner(now, at, gatewayId("gw-d"))) await rootOf("gw-d", at);
    await site.runFor(50);
  }
  const { table } = servingOf(site, "gw-d").replication.ring();
  for (const at of before.filter((each) => isOwner(table, each, gatewayId("gw-d")))) {
    const other = ownersOf(table, at).find((id) => id !== "gw-d") as string;
    assert.equal(await rootOf("gw-d", at), await rootOf(other, at), `partition ${at}`);
  }
});

test("with an owner away, and with the leader and the gateway itself killed on the way, moves go through", async () => {
  for (const seed of [2]) {
    const site = await foundedSite(seed, 4, { tuning: { ...tuning, voterDeadMs: 60_000 } });
    const publishers = new Publishers(site, ["gw-b", "gw-c"]);
    for (let turn = 0; turn < 10; turn++) await publishers.turn();
    site.gateway("gw-a").crash({ power: true });
    await site.until(() => site.leader() !== undefined, { withinMs: 20_000 });
    await setWeight(site, "gw-b", "gw-d", 3);
    const before = owned(site, "gw-b", "gw-d");
    await movesBegin(site);
    // Not from gw-a, which is away; from the others, of which two of three owners are enough.
    for (const { from } of servingOf(site, "gw-b").state.ring()?.moves.values() ?? []) assert.is.not(from, "gw-a");
    await site.runFor(site.random.below(10));
    site.gateway("gw-d").crash({ power: true });
    for (let turn = 0; turn < 3; turn++) await publishers.turn();
    site.gateway("gw-a").start();
    site.gateway("gw-d").start();
    await site.until(() => isServing(site.gateway("gw-a")) && isServing(site.gateway("gw-d")), { withinMs: 20_000 });
    const leader = site.leader();
    if (leader !== undefined && leader.id !== "gw-b" && leader.id !== "gw-c") {
      leader.crash({ power: false });
      leader.start();
    }
    await publishers.until(() => isServing(site.gateway("gw-d")) && isSettled(site, "gw-d"), 400, "it is settled");
    await publishers.until(() => owned(site, "gw-d", "gw-d") > before && isSettled(site, "gw-d"), 400, "gw-d has more");
    await publishers.check(everybody);
  }
});

test("moves to a gateway that does not come back are taken back", async () => {
  const site = await foundedSite(5, 4, { tuning });
  const publishers = new Publishers(site, ["gw-a", "gw-b", "gw-c"]);
  await publishers.turn();
  await setWeight(site, "gw-b", "gw-d", 4);
  await movesBegin(site);
  site.gateway("gw-d").crash({ power: true });
  await publishers.until(() => isSettled(site, "gw-b"), 400, "the moves are taken back");
  await publishers.check(["gw-a", "gw-b", "gw-c"]);
});

test.run();
