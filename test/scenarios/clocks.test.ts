// Goal: while most of the gateways' clocks are right and heard, readings without device time get the right time, whatever the clock of the
// gateway that stamps them does; and no device's stamps go back. Method: stories of a simulated site whose clocks are set by hand.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { Device, foundedSite, isServing, readingsAt } from "./harness.ts";

const test = suite("clocks of a site");

const boundMs = 1_500;
const in2038 = Date.UTC(2038, 0, 19);

/** Says a value and waits for its acknowledgement; answers when it was said. */
async function say(site: SimulatedSite, device: Device, value: number): Promise<number> {
  const saidMs = site.wallMs();
  device.say(value);
  await site.until(() => device.acknowledged.has(value), { withinMs: 10_000, what: `the acknowledgement of ${value}` });
  return saidMs;
}

async function assertStamps(site: SimulatedSite, device: string, saidMs: readonly number[], at = "gw-a"): Promise<void> {
  const { points } = await readingsAt(site, site.gateway(at), device);
  assert.equal(
    points.map(([, value]) => value),
    saidMs.map((_, index) => index),
    "in the order in which they were said",
  );
  for (const [index, [ms]] of points.entries())
    assert.ok(Math.abs(ms - (saidMs[index] as number)) < boundMs, `${index}: ${new Date(ms).toISOString()}`);
}

const clockOf = (gateway: SimulatedGateway) => gateway.running()?.service.status().clock;

test("a clock jumps to 2038 and back, several times: the stamps stay right", async () => {
  const site = await foundedSite(21);
  const near = site.gateway("gw-b");
  const device = new Device(near, "d1");
  const said = [await say(site, device, 0)];
  await site.runFor(2_000);
  for (let turn = 0; turn < 3; turn++) {
    near.clock.jump(in2038 - site.wallMs());
    said.push(await say(site, device, said.length));
    await site.runFor(3_000);
    said.push(await say(site, device, said.length));
    assert.equal([clockOf(near)?.source, clockOf(near)?.synchronised], ["peers", true]);
    assert.match(near.running()?.service.status().warnings.join() ?? "", "the system clock is wrong");
    near.clock.set();
    said.push(await say(site, device, said.length));
  }
  await site.runFor(2_000);
  assert.is(clockOf(near)?.source, "own");
  await assertStamps(site, "d1", said);
});

test("a board without a clock of its own starts in 1970: undated readings get the site's time, device times are taken as they are", async () => {
  const site = await foundedSite(22);
  const board = site.gateway("gw-c");
  board.crash({ power: true });
  board.clock.jump(60_000 - site.wallMs());
  board.clock.synchronised = false;
  board.start();
  await site.until(() => isServing(board), { withinMs: 20_000 });
  const device = new Device(board, "d1");
  const said: number[] = [];
  for (let value = 0; value < 3; value++) said.push(await say(site, device, value));
  assert.equal([clockOf(board)?.source, clockOf(board)?.by], ["peers", "peers"]);
  board.clock.set();
  board.clock.synchronised = true;
  await site.runFor(31_000);
  said.push(await say(site, device, said.length));
  assert.equal([clockOf(board)?.source, clockOf(board)?.by], ["own", "ntp"]);
  await assertStamps(site, "d1", said);
  const dated = new Device(board, "d2");
  dated.publish(site.wallMs(), 7);
  await site.until(() => dated.acknowledged.has(7), { withinMs: 5_000 });
  assert.equal(
    (await readingsAt(site, site.gateway("gw-a"), "d2")).points.map(([, value]) => value),
    [7],
  );
});

test("a peer that says 2038 moves nobody, also while one of three is gone", async () => {
  const site = await foundedSite(23);
  const [near, liar, third] = [site.gateway("gw-a"), site.gateway("gw-b"), site.gateway("gw-c")];
  liar.clock.jump(in2038 - site.wallMs());
  const device = new Device(near, "d1");
  const said = [await say(site, device, 0)];
  await site.runFor(2_000);
  said.push(await say(site, device, 1));
  third.crash({ power: true });
  await site.runFor(5_000);
  said.push(await say(site, device, 2));
  assert.is(clockOf(near)?.source, "own");
  await assertStamps(site, "d1", said);
});

test("with one of three gone and no majority to tell, a clock that jumps is not followed", async () => {
  const site = await foundedSite(24);
  await site.runFor(2_000);
  site.gateway("gw-c").crash({ power: true });
  const near = site.gateway("gw-a");
  near.clock.jump(in2038 - site.wallMs());
  await site.runFor(5_000);
  const device = new Device(near, "d1");
  const said = [await say(site, device, 0)];
  assert.equal([clockOf(near)?.source, clockOf(near)?.synchronised], ["held", false]);
  await assertStamps(site, "d1", said);
});

/** Times of the points that are flagged, and of those that are not. */
async function flagged(site: SimulatedSite, device: string): Promise<{ readonly yes: number[]; readonly no: number[] }> {
  const service = site.gateway("gw-b").running()?.service;
  assert.ok(service !== undefined);
  const query = { metric: "value", device, fromMs: undefined, toMs: undefined, consistency: undefined, everyMs: undefined };
  const answer = await site.answer(service.readings({ ...query, aggregate: undefined, limit: 100, cursor: undefined, clockFlags: true }));
  assert.ok(answer.ok);
  const series = answer.value.series[0];
  const ranges = series?.flags?.unsynchronised ?? [];
  const isIn = (ms: number): boolean => ranges.some(([first, last]) => ms >= first && ms <= last);
  const values = (series?.points ?? []).map(([ms, value]) => [isIn(ms), Number(value)] as const);
  return { yes: values.filter(([is]) => is).map(([, value]) => value), no: values.filter(([is]) => !is).map(([, value]) => value) };
}

test("what was stamped while nothing confirmed the clock is flagged, at every gateway, and after restarts; a device's own time is not", async () => {
  const site = await foundedSite(25);
  await site.runFor(5_000);
  const near = site.gateway("gw-a");
  let device = new Device(near, "d1");
  await say(site, device, 0);
  // Nobody keeps any clock: they agree, and that says nothing.
  for (const gateway of site.gateways) gateway.clock.synchronised = false;
  await site.runFor(2_000);
  await say(site, device, 1);
  await say(site, device, 2);
  await site.runFor(3_000);
  assert.equal(await flagged(site, "d1"), { yes: [1, 2], no: [0] });
  near.crash({ power: true });
  near.start();
  await site.until(() => isServing(near), { withinMs: 20_000 });
  device = new Device(near, "d1");
  await say(site, device, 3);
  for (const gateway of site.gateways) gateway.clock.synchronised = true;
  await site.runFor(2_000);
  await say(site, device, 4);
  const dated = new Device(near, "d2");
  dated.publish(site.wallMs(), 7);
  await site.runFor(3_000);
  assert.equal(await flagged(site, "d1"), { yes: [1, 2, 3], no: [0, 4] });
  assert.equal(await flagged(site, "d2"), { yes: [], no: [7] });
  const slot = near.running()?.gateway.context()?.slot ?? -1;
  for (const gateway of site.gateways)
    assert.equal(gateway.running()?.gateway.serving()?.state.clockFlags().openOf(slot), [], `${gateway.id} knows the end`);
});

test.run();
