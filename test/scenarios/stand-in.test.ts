// Goal: with two owners and a witness ingest and complete answers go on while one of the two is away, and the loss of any one of
// the three, disk included, loses nothing that was acknowledged. Method: simulated sites of two and a witness; each of the three is
// lost in turn after readings were acknowledged by another one and the witness alone.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ownersOf } from "../../src/core/ring/owner-table.ts";
import { deviceId, type GatewayId, partitionOf } from "../../src/lib/ids.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { completeValues, Device, foundedSite, localValues, readingsAt, servingOf } from "./harness.ts";

const test = suite("scenario: the witness stands in");

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const copiesAt = (witness: SimulatedGateway) => servingOf(witness).hints.view().copies;

interface Story {
  readonly site: SimulatedSite;
  readonly a: SimulatedGateway;
  readonly b: SimulatedGateway;
  readonly witness: SimulatedGateway;
}

async function pairAndWitness(seed: number): Promise<Story> {
  const site = await foundedSite(seed, 3, { witness: true });
  return { site, a: site.gateway("gw-a"), b: site.gateway("gw-b"), witness: site.gateway("gw-c") };
}

async function publish(site: SimulatedSite, device: Device, values: readonly number[]): Promise<void> {
  for (const value of values) {
    device.publish(site.wallMs(), value);
    await site.runFor(50);
  }
  await site.until(() => values.every((value) => device.acknowledged.has(value)), { withinMs: 8_000, what: "all are acknowledged" });
}

async function isServing(site: SimulatedSite, gateway: SimulatedGateway): Promise<void> {
  await site.until(() => gateway.running()?.gateway.phase() === "serving", { withinMs: 120_000, what: `${gateway.id} serves` });
}

/** An answer that says that it is complete is; and one is, soon, whoever is asked. */
async function answersAre(site: SimulatedSite, gateways: readonly SimulatedGateway[], values: readonly number[]): Promise<void> {
  for (const gateway of gateways) assert.equal(await completeValues(site, gateway, "d1"), values);
}

async function replaced(site: SimulatedSite, gateway: SimulatedGateway, by: SimulatedGateway): Promise<void> {
  gateway.crash({ power: true });
  gateway.disk.wipe();
  const answer = await site.answer(by.running()?.service.replaceGateway(gateway.id, { force: false }) ?? Promise.resolve(undefined));
  assert.ok(answer?.ok, JSON.stringify(answer));
  gateway.start();
  await isServing(site, gateway);
}

const isWhole = (gateway: SimulatedGateway) => servingOf(gateway).healing.filling.partitionsLeft() === 0;

/** Readings 1 to 3 are everywhere, 4 to 8 were acknowledged by gw-a and the witness, while gw-b was away. */
async function withoutB(seed: number): Promise<Story> {
  const story = await pairAndWitness(seed);
  const { site, a, b, witness } = story;
  const device = new Device(a, "d1");
  await publish(site, device, numbers(1, 3));
  b.crash({ power: true });
  await publish(site, device, numbers(4, 8));
  await site.until(() => copiesAt(witness).length === 1, { withinMs: 3_000, what: "copies for gw-b alone" });
  assert.equal(
    copiesAt(witness).map(({ target }) => target),
    ["gw-b"],
  );
  return story;
}

test("ingest and complete answers go on while an owner is away; it gets all, and then the witness keeps nothing", async () => {
  const { site, a, b, witness } = await withoutB(51);
  await answersAre(site, [a, witness], numbers(1, 8));
  await publish(site, new Device(witness, "d1"), numbers(9, 10));
  await answersAre(site, [a, witness], numbers(1, 10));
  b.start();
  await isServing(site, b);
  await site.until(() => copiesAt(witness).length === 0, { withinMs: 20_000, what: "all copies are delivered" });
  assert.equal(await localValues(site, b, "d1"), numbers(1, 10));
});

test("the other owner goes as soon as the one that lacked readings is back: its answers are complete once the witness has drained", async () => {
  const { site, a, b, witness } = await withoutB(52);
  b.start();
  await site.until(() => witness.running()?.gateway.router()?.isAdmitted(b.id) === true && b.running()?.gateway.serving() !== undefined, {
    withinMs: 120_000,
  });
  a.crash({ power: true });
  await isServing(site, b);
  await site.until(() => site.leader() !== undefined, { withinMs: 30_000, what: "gw-b and the witness agree" });
  await answersAre(site, [b, witness], numbers(1, 8));
  await publish(site, new Device(b, "d1"), numbers(9, 11));
  await answersAre(site, [b, witness], numbers(1, 11));
});

test("copies outlive the witness's process", async () => {
  const { site, b, witness } = await withoutB(53);
  witness.crash({ power: true });
  witness.start();
  await isServing(site, witness);
  // What it was relieved of in the last second may be there again.
  assert.ok(copiesAt(witness).some(({ target }) => target === "gw-b"));
  b.start();
  await isServing(site, b);
  await site.until(() => copiesAt(witness).length === 0, { withinMs: 20_000, what: "all copies are delivered" });
  assert.equal(await localValues(site, b, "d1"), numbers(1, 8));
});

test("the owner that was away has lost its disk: replaced, it has all", async () => {
  const { site, a, b, witness } = await withoutB(54);
  await replaced(site, b, a);
  await site.until(() => isWhole(b), { withinMs: 120_000, what: "gw-b is filled" });
  await site.until(() => copiesAt(witness).length === 0, { withinMs: 20_000, what: "all copies are delivered" });
  await answersAre(site, [a, b, witness], numbers(1, 8));
  assert.equal(await localValues(site, b, "d1"), numbers(1, 8));
});

test("the only owner with the readings loses its disk: the witness has them, and the other owner gets them", async () => {
  const { site, a, b, witness } = await withoutB(55);
  a.crash({ power: true });
  b.start();
  await isServing(site, b);
  await site.until(() => site.leader() !== undefined, { withinMs: 30_000, what: "gw-b and the witness agree" });
  await replaced(site, a, b);
  await answersAre(site, [b, witness], numbers(1, 8));
  await site.until(() => isWhole(a), { withinMs: 120_000, what: "gw-a is filled" });
  await answersAre(site, [a, b, witness], numbers(1, 8));
  assert.equal(await localValues(site, a, "d1"), numbers(1, 8));
});

test("the witness loses its disk with its copies: nothing is missing, and hints make two copies of it again", async () => {
  const { site, a, b, witness } = await withoutB(56);
  witness.crash({ power: true });
  b.start();
  await isServing(site, b);
  await site.until(() => site.leader() !== undefined, { withinMs: 30_000, what: "gw-a and gw-b agree" });
  await replaced(site, witness, a);
  await answersAre(site, [a, b, witness], numbers(1, 8));
  // gw-a has hints for what the witness kept for gw-b.
  await site.until(() => servingOf(witness).priming.isPrimed(), { withinMs: 60_000, what: "the witness has seen them hold the same" });
  assert.equal(await localValues(site, b, "d1"), numbers(1, 8));
});

test("a witness with a new disk stands in again once it has seen the owners hold the same", async () => {
  const { site, a, b, witness } = await pairAndWitness(57);
  await publish(site, new Device(a, "d1"), numbers(1, 3));
  await replaced(site, witness, a);
  await site.until(() => servingOf(witness).priming.isPrimed(), { withinMs: 60_000, what: "the witness is primed" });
  const votes = () => servingOf(a).consensus.view().configuration.voters.length;
  await site.until(() => votes() === 3, { withinMs: 60_000, what: "its new folder has a vote" });
  b.crash({ power: true });
  await publish(site, new Device(a, "d1"), numbers(4, 6));
  await answersAre(site, [a, witness], numbers(1, 6));
});

test("a witness and an owner that are cut off together: what the owners after it acknowledge makes their answers incomplete", async () => {
  const site = await foundedSite(58, 4, { witness: true, factor: 2 });
  const witness = site.gateway("gw-d");
  const [cutOff, other] = ownersOfD1(site).map((id) => site.gateway(id)) as [SimulatedGateway, SimulatedGateway];
  await publish(site, new Device(other, "d1"), numbers(1, 3));
  // A process of the folder that is about to be retired goes on, with the witness at its side and no word of the others.
  for (const here of [cutOff, witness])
    for (const there of site.gateways)
      if (there !== cutOff && there !== witness) {
        site.network.cut(here.id, there.id);
        site.network.cut(there.id, here.id);
      }
  await site.until(() => site.leader() !== undefined && site.leader() !== cutOff && site.leader() !== witness, { withinMs: 30_000 });
  await site.runFor(5_000);
  const removal = await site.answer(other.running()?.service.removeGateway(cutOff.id, { force: true }) ?? Promise.resolve(undefined));
  assert.ok(removal?.ok, JSON.stringify(removal));
  await publish(site, new Device(other, "d1"), numbers(4, 6));
  for (const gateway of [cutOff, witness]) {
    const found = await readingsAt(site, gateway, "d1").catch(() => undefined);
    if (found?.answer.complete === true)
      assert.equal(
        found.points.map(([, value]) => value),
        numbers(1, 6),
        gateway.id,
      );
  }
});

test("the owner that was away is removed for good: the witness keeps nothing for it, and others have it", async () => {
  const site = await foundedSite(59, 4, { witness: true, factor: 2 });
  const witness = site.gateway("gw-d");
  const [gone, other] = ownersOfD1(site).map((id) => site.gateway(id)) as [SimulatedGateway, SimulatedGateway];
  await publish(site, new Device(other, "d1"), numbers(1, 3));
  gone.crash({ power: true });
  await publish(site, new Device(other, "d1"), numbers(4, 6));
  await site.until(() => copiesAt(witness).some(({ target }) => target === gone.id), { withinMs: 3_000, what: "copies for it" });
  const removal = await site.answer(other.running()?.service.removeGateway(gone.id, { force: false }) ?? Promise.resolve(undefined));
  assert.ok(removal?.ok, JSON.stringify(removal));
  await site.until(() => copiesAt(witness).length === 0, { withinMs: 60_000, what: "nothing is kept for it any more" });
  await answersAre(site, [other, witness], numbers(1, 6));
});

function ownersOfD1(site: SimulatedSite): readonly GatewayId[] {
  const table = servingOf(site.gateways[0] as SimulatedGateway).replication.table();
  return ownersOf(table, partitionOf(deviceId("d1"), site.hash64));
}

test.run();
