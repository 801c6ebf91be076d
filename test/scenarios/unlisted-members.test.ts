// Goal: a gateway that came after the founding is reached by gateways whose YAML never heard of it: after their restart, and by one
// that was away when it came. Method: real gateways of three, and a fourth one that is listed in its own YAML only.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import { defaultTuning, type GatewayTuning } from "../../src/gateway/context.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { SimulatedSite } from "../../src/sim/site.ts";
import { isServing } from "./harness.ts";

const d = gatewayId("gw-d");
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const address = { host: "127.0.0.1", mqtt: 1_030, mesh: 1_031, http: 1_032 };

const servingOf = (gateway: SimulatedGateway) => {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving;
};

const isReady = (gateway: SimulatedGateway): boolean => gateway.running()?.service.readiness().ready === true;
const links = (gateway: SimulatedGateway, to: SimulatedGateway): boolean =>
  gateway.running()?.gateway.options.ports.transport.isUp(to.id) === true;

/** Three gateways serve; the fourth one is made, and not started. */
async function siteOfThree(seed: number, tuning: GatewayTuning = defaultTuning) {
  const world = await simulatorWorld();
  const site = new SimulatedSite({ seed, gateways: 3, world, tuning });
  site.startAll();
  await site.until(() => site.gateways.every(isReady) && featureLevel(site) === 2, { withinMs: 30_000, what: "the site is founded" });
  const fourth = new SimulatedGateway({
    id: d,
    settings: world.settings.of({ gateways: 4, preset: "lan" }),
    scheduler: site.scheduler,
    network: site.network,
    random: new SeededRandom(seed),
    epochMs: site.wallMs(),
    hash64: world.hash64,
    cron: world.cron,
    diagnostics: quiet,
    rules: {},
    tuning,
    upgradedAtStart: 1,
    wrapDisk: (ports) => ports,
  });
  return { site, fourth };
}

const featureLevel = (site: SimulatedSite): number => Math.min(...site.gateways.map((gateway) => servingOf(gateway).state.featureLevel()));

async function add(site: SimulatedSite, fourth: SimulatedGateway, at = site.gateway("gw-a")): Promise<void> {
  const request = { id: fourth.id, role: "full" as const, zone: undefined, weight: 1, address };
  const added = await site.answer(at.running()?.service.addGateway(request) ?? Promise.reject(new Error("gone")));
  assert.ok(added.ok, added.ok ? "" : added.message);
  fourth.start();
  await site.until(() => isServing(fourth), { withinMs: 20_000, what: "gw-d serves" });
}

const test = suite("members that are not in the YAML");

test("after a restart a gateway still calls the members of which only the site's state tells", async () => {
  const { site, fourth } = await siteOfThree(1);
  await add(site, fourth);
  const a = site.gateway("gw-a");
  assert.ok(links(a, fourth));
  await site.runFor(2_000);
  a.crash({ power: false });
  a.start();
  await site.until(() => isReady(a), { withinMs: 20_000 });
  await site.until(() => links(a, fourth), { withinMs: 5_000, what: "gw-a calls gw-d" });
});

test.run();
