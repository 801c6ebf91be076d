// Goal: no change of the members that is let through leaves the site without a quorum for the rest of it. Method: three real gateways,
// of which one is down, and an operator who takes the wrong one.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { featureLevels } from "../../src/core/site/features.ts";
import type { GatewayService } from "../../src/gateway/service.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import type { SimulatedSite } from "../../src/sim/site.ts";
import { foundedSite } from "./harness.ts";

function serviceOf(gateway: SimulatedGateway): GatewayService {
  const service = gateway.running()?.service;
  if (service === undefined) throw new Error(`${gateway.id} does not run`);
  return service;
}

const put = (site: SimulatedSite, gateway: SimulatedGateway, key: string) =>
  site.answer(serviceOf(gateway).kvPut(key, new Uint8Array([1]), { kind: "any" }));

async function siteWithOneDown(seed: number): Promise<SimulatedSite> {
  const site = await foundedSite(seed);
  await site.until(
    () => site.gateways.every((gateway) => gateway.running()?.gateway.serving()?.state.featureLevel() === featureLevels.max),
    {
      withinMs: 20_000,
    },
  );
  site.gateway("gw-b").crash({ power: false });
  await site.until(() => site.leader() !== undefined && site.leader() !== site.gateway("gw-b"), { withinMs: 20_000 });
  await site.runFor(3_000);
  return site;
}

const test = suite("changes of the members");

for (const change of ["removeGateway", "replaceGateway"] as const) {
  test(`${change}: with one of three down, the other one that answers is not given up, and the site goes on`, async () => {
    const site = await siteWithOneDown(1);
    const near = site.gateway("gw-a");
    const refused = await site.answer(serviceOf(near)[change]("gw-c", { force: false }));
    assert.is(refused.ok ? "" : refused.code, "quorum-unavailable");
    assert.match(refused.ok ? "" : refused.message, /gw-b cannot be reached/);
    await site.runFor(5_000);
    assert.ok((await put(site, near, "k")).ok);
    const dead = await site.answer(serviceOf(near)[change]("gw-b", { force: false }));
    assert.ok(dead.ok, dead.ok ? "" : dead.message);
    const voters = () => near.running()?.gateway.serving()?.consensus.view().configuration.voters.length;
    await site.until(() => voters() === 3, { withinMs: 20_000, what: "gw-b has no vote any more" });
    assert.ok((await put(site, near, "k")).ok);
  });
}

test.run();
