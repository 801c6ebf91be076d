/** What the stories in this folder share: a founded site, and a person's view of devices and answers. */
import { simulatorWorld } from "../../scripts/sim-world.ts";
import type { ReadingsAnswer } from "../../src/gateway/service.ts";
import { deviceId, partitionOf } from "../../src/lib/ids.ts";
import type { DeviceLink } from "../../src/sim/broker.ts";
import { ownReadings } from "../../src/sim/own-readings.ts";
import type { SimulatedGateway } from "../../src/sim/simulated-gateway.ts";
import { SimulatedSite, type SiteOptions } from "../../src/sim/site.ts";

export async function foundedSite(
  seed = 1,
  gateways = 3,
  more: Pick<SiteOptions, "factor" | "retention" | "tuning" | "witness" | "write"> = {},
): Promise<SimulatedSite> {
  const site = new SimulatedSite({ seed, gateways, world: await simulatorWorld(), ...more });
  site.startAll();
  await site.until(() => site.leader() !== undefined && site.gateways.every(isServing), { withinMs: 30_000, what: "the site is founded" });
  return site;
}

export function isServing(gateway: SimulatedGateway): boolean {
  return gateway.running()?.gateway.phase() === "serving";
}

/** A device that publishes what the story says, when it says so. */
export class Device {
  readonly acknowledged = new Set<number>();
  closed = false;
  readonly #id: string;
  readonly #link: DeviceLink;

  constructor(gateway: SimulatedGateway, id: string) {
    this.#id = id;
    const link = gateway.running()?.broker.connect({ clientId: `${id}-client` }, () => {
      this.closed = true;
    });
    if (link === undefined) throw new Error(`${gateway.id} does not listen`);
    this.#link = link;
  }

  /** With its own time. */
  publish(ms: number, value: number): void {
    this.#send(`sensors/${this.#id}/data`, JSON.stringify({ ts: ms, v: value }), value);
  }

  /** Without a time: the gateway stamps it. */
  say(value: number): void {
    this.#send(`plain/${this.#id}`, String(value), value);
  }

  #send(topic: string, payload: string, value: number): void {
    this.#link.publish(topic, new TextEncoder().encode(payload), 1, () => this.acknowledged.add(value));
  }
}

export async function readingsAt(
  site: SimulatedSite,
  gateway: SimulatedGateway,
  device: string,
): Promise<{ readonly points: readonly (readonly [number, unknown])[]; readonly answer: ReadingsAnswer }> {
  const service = gateway.running()?.service;
  if (service === undefined) throw new Error(`${gateway.id} is not running`);
  const answer = await site.answer(
    service.readings({
      metric: "value",
      device,
      fromMs: undefined,
      toMs: undefined,
      consistency: undefined,
      everyMs: undefined,
      aggregate: undefined,
      limit: 10_000,
      cursor: undefined,
    }),
  );
  if (!answer.ok) throw new Error(`${gateway.id}: ${answer.message}`);
  return { points: answer.value.series.flatMap((series) => series.points), answer: answer.value };
}

/** How many readings each gateway has by itself, of all devices. */
export async function ownCounts(site: SimulatedSite): Promise<number[]> {
  const found: number[] = [];
  for (const gateway of site.gateways) {
    const own = await ownReadings(site, gateway);
    if (!own.ok) throw new Error(own.message);
    found.push([...own.value.values()].reduce((sum, readings) => sum + readings.size, 0));
  }
  return found;
}

export function servingOf(gateway: SimulatedGateway) {
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) throw new Error(`${gateway.id} does not serve`);
  return serving;
}

/** What this gateway has of the device on its own disk, ascending by time. */
export async function localValues(site: SimulatedSite, gateway: SimulatedGateway, device: string): Promise<unknown[]> {
  // At its start it does not serve, and then may not act under a ring yet.
  const serving = gateway.running()?.gateway.serving();
  if (serving === undefined) return [];
  const { localReader, replication } = serving;
  const at = partitionOf(deviceId(device), site.hash64);
  const page = await site.answer(
    localReader.page({
      epoch: replication.table().epoch,
      partitions: [at],
      selector: { metric: "value", device, labels: {} },
      fromUs: 0,
      toUs: Number.MAX_SAFE_INTEGER,
      after: undefined,
      limit: 10_000,
    }),
  );
  return page.ok ? page.value.series.flatMap(({ run }) => Array.from(run.numbers.subarray(0, run.count))) : [];
}

/** The values of the first answer that says that it is complete. */
export async function completeValues(
  site: SimulatedSite,
  gateway: SimulatedGateway,
  device: string,
  withinMs = 20_000,
): Promise<unknown[]> {
  const deadline = site.nowMs() + withinMs;
  for (;;) {
    const found = await readingsAt(site, gateway, device).catch((cause: unknown) => String(cause));
    if (typeof found !== "string" && found.answer.complete) return found.points.map(([, value]) => value);
    if (site.nowMs() >= deadline)
      throw new Error(`${gateway.id} has no complete answer: ${typeof found === "string" ? found : "it says that it is not"}`);
    await site.runFor(200);
  }
}
