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

test.run();
