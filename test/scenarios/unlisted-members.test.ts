// Goal: a gateway that came after the founding is reached by gateways whose YAML never heard of it: after their restart, and by one
// that was away when it came. Method: real gateways of three, and a fourth one that is listed in its own YAML only.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { simulatorWorld } from "../../scripts/sim-world.ts";
import type { GatewaySettings } from "../../src/config/settings.ts";
import { featureLevels } from "../../src/core/site/features.ts";
import { defaultTuning, type GatewayTuning } from "../../src/gateway/context.ts";
import { deviceId, gatewayId } from "../../src/lib/ids.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { type RunningGateway, SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
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
async function siteOfThree(
  seed: number,
  tuning: GatewayTuning = defaultTuning,
  order: (list: readonly GatewaySettings[]) => GatewaySettings[] = (list) => [...list],
) {
  const world = await simulatorWorld();
  const site = new SimulatedSite({ seed, gateways: 3, world, tuning });
  site.startAll();
  await site.until(() => site.gateways.every(isReady) && featureLevel(site) === featureLevels.max, {
    withinMs: 30_000,
    what: "the site is founded",
  });
  const settings = world.settings.of({ gateways: 4, preset: "lan", witness: false, retention: undefined });
  const fourth = new SimulatedGateway({
    id: d,
    settings: { ...settings, gateways: order(settings.gateways) },
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

const isVoter = (gateway: SimulatedGateway, other: SimulatedGateway): boolean =>
  servingOf(gateway).consensus.view().configuration.voters.includes(servingOf(other).roster.selfMember);

async function add(
  site: SimulatedSite,
  fourth: SimulatedGateway,
  at = site.gateway("gw-a"),
  look: (running: RunningGateway) => void = () => undefined,
): Promise<void> {
  const request = { id: fourth.id, role: "full" as const, zone: undefined, weight: 1, address };
  const added = await site.answer(at.running()?.service.addGateway(request) ?? Promise.reject(new Error("gone")));
  assert.ok(added.ok, added.ok ? "" : added.message);
  fourth.start();
  const served = (): boolean => {
    const running = fourth.running();
    if (running !== undefined) look(running);
    return isServing(fourth);
  };
  await site.until(served, { withinMs: 20_000, what: "gw-d serves" });
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

test("a new member says what it waits for: to know itself", async () => {
  const { site, fourth } = await siteOfThree(3);
  const said = new Set<string>();
  await add(site, fourth, site.gateway("gw-b"), ({ service, gateway }) => {
    const { ready, reasons } = service.readiness();
    if (gateway.serving() === undefined || gateway.phase() === "serving") return;
    assert.not(ready);
    said.add(reasons.join("; "));
  });
  assert.ok(isReady(fourth));
  assert.ok(
    [...said].some((text) => text.includes("gw-d has not caught up with the site's log")),
    [...said].join("\n"),
  );
  assert.not([...said].some((text) => text.includes("first start")));
});

test("one that was away fetches the snapshot of a leader that it has never heard of", async () => {
  const limits = { trailingEntriesMax: 4, trailingBytesMax: 2_000 };
  const { site, fourth } = await siteOfThree(2, { ...defaultTuning, raftSnapshotBytes: 20_000, raftLimits: limits });
  const [a, b, c] = [site.gateway("gw-a"), site.gateway("gw-b"), site.gateway("gw-c")];
  b.crash({ power: false });
  await site.until(() => [a, c].some((gateway) => gateway === site.leader()), { withinMs: 20_000 });
  await add(site, fourth);
  const put = (key: string) => a.running()?.service.kvPut(key, new Uint8Array(4_000), { kind: "any" }) ?? Promise.reject(new Error("gone"));
  for (let i = 0; i < 30; i++) assert.ok((await site.answer(put(`key-${i}`))).ok);
  await site.until(() => servingOf(a).consensus.view().configuration.voters.length === 3 && isVoter(a, fourth), {
    withinMs: 120_000,
    what: "gw-d votes in the place of gw-b",
  });
  assert.ok((await site.answer(a.running()?.service.transferLeadership("gw-d") ?? Promise.reject(new Error("gone")))).ok);
  b.start();
  await site.until(() => isReady(b) && servingOf(b).state.kv("key-29") !== undefined, { withinMs: 20_000, what: "gw-b has caught up" });
  assert.ok(servingOf(b).consensus.snapshotter.stats().installed > 0);
  assert.ok(links(b, fourth));
  assert.ok(servingOf(fourth).consensus.isLeader());
});

test("its stamps end in the slot that the site gave it from its first start on, whatever the order of its YAML", async () => {
  const { site, fourth } = await siteOfThree(5, defaultTuning, (list) => list.toReversed());
  await add(site, fourth);
  const { state } = servingOf(fourth);
  const slots = [...state.members().values()].map(({ slot }) => slot);
  assert.is(new Set(slots).size, 4);
  assert.is(fourth.running()?.gateway.context()?.slot, state.members().get(d)?.slot);
  assert.is(servingOf(fourth).stamper.stamp(deviceId("d1"), 1_000) % 1_000, state.members().get(d)?.slot);
});

test.run();
