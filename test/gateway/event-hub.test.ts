// Goal: who listens for readings hears those that peers acknowledge, from the first second, however many listen. Method: a
// simulated site; listeners on one gateway, devices on another.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { Device, foundedSite } from "../scenarios/harness.ts";

const test = suite("gateway: event hub");

function listen(gateway: SimulatedGateway, glob: string): string[] {
  const heard: string[] = [];
  gateway.running()?.service.subscribe({ readingsOf: glob }, (event) => {
    if (event.type === "reading") heard.push(`${event.device}=${event.value} at ${event.gateway}`);
  });
  return heard;
}

test("a listener that comes while others listen hears peers' readings at once", async () => {
  const site = await foundedSite();
  const [near, far] = [site.gateway("gw-a"), site.gateway("gw-b")];
  const first = listen(near, "d1");
  await site.runFor(1_000);
  const second = listen(near, "d2");
  await site.runFor(100);
  // Before the next renewal.
  const device = new Device(far, "d2");
  device.say(7);
  await site.until(() => second.length > 0, { withinMs: 1_000, what: "the reading at the second listener" });
  assert.equal(second, ["d2=7 at gw-b"]);
  assert.equal(first, []);
});

test("beyond the globs of one request nobody is deaf, and nobody hears what was not asked for", async () => {
  const site = await foundedSite();
  const listeners = Array.from({ length: 60 }, (_, i) => listen(site.gateway("gw-a"), `d${i}`));
  await site.runFor(100);
  for (const i of [0, 59]) new Device(site.gateway("gw-b"), `d${i}`).say(i);
  await site.until(() => listeners[0]?.length === 1 && listeners[59]?.length === 1, {
    withinMs: 1_000,
    what: "the first and the last hear",
  });
  assert.equal(listeners[59], ["d59=59 at gw-b"]);
  assert.is(
    listeners.reduce((sum, heard) => sum + heard.length, 0),
    2,
  );
});

test.run();
