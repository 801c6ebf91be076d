// What befalls the gateways of a kv history: SIGKILL, SIGSTOP and cut links, of the leader by preference, one fault after the other
// and never more gateways at a time than the site can do without.
import { MeshLinks } from "../../../src/adapters/host/mesh-proxy.ts";
import type { Random } from "../../../src/lib/random.ts";
import { must, siteYaml, type TestGateway, TestSite } from "./site.ts";
import { pause } from "./until.ts";

export const faultKinds = ["kill", "freeze", "isolate", "cut-one-way"] as const;
export type FaultKind = (typeof faultKinds)[number];

/** A running site whose links can be cut. */
export interface FaultySite {
  readonly site: TestSite;
  readonly links: MeshLinks;
  end(): Promise<void>;
}

/** Where gateways listen themselves; their address in the YAML is their proxy's. All of 127/8 is loopback on Linux. */
const behindHost = "127.0.0.2";

export async function startFaultySite(gateways: number): Promise<FaultySite> {
  const site = await TestSite.create({ gateways, files: {} });
  const links = new MeshLinks();
  const end = async (): Promise<void> => {
    await site.end();
    await links.close();
  };
  try {
    let yaml = siteYaml("e2e", site.portsById);
    for (const { id, ports } of site.gateways) {
      yaml = yaml.replace(`mesh: "127.0.0.1:${ports.mesh}"`, `mesh: "${behindHost}:${ports.mesh}"`);
      must(await links.add({ to: id, host: "127.0.0.1", port: ports.mesh, behind: { host: behindHost, port: ports.mesh } }));
    }
    site.write("site.yaml", yaml);
    for (const gateway of site.gateways) gateway.start();
    await Promise.all(site.gateways.map((gateway) => gateway.ready()));
    return { site, links, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Longer than the preset's election timeout, so that the others have another leader when it is over. */
const awayMsMin = 1_800;
const awayMsMax = 2_600;
const downMsMax = 500;

/** Carries out one fault and mends it: when this resolves, all gateways run, linked, and the fault's victims are ready. */
export async function befall({ site, links }: FaultySite, kind: FaultKind, random: Random): Promise<string> {
  const leader = await site.leader();
  const mayLose = Math.floor((site.gateways.length - 1) / 2);
  const others = shuffled(
    site.gateways.filter((gateway) => gateway !== leader),
    random,
  );
  // Two times in three the leader is among them.
  const victims = [...(random.below(3) < 2 ? [leader] : []), ...others].slice(0, 1 + random.below(mayLose));
  await strike(victims, site.gateways, kind, { links, random });
  await Promise.all(victims.map((gateway) => gateway.ready()));
  return `${kind} ${victims.map((gateway) => (gateway === leader ? `${gateway.id} (leader)` : gateway.id)).join(", ")}`;
}

async function strike(
  victims: readonly TestGateway[],
  gateways: readonly TestGateway[],
  kind: FaultKind,
  { links, random }: { readonly links: MeshLinks; readonly random: Random },
): Promise<void> {
  const rest = gateways.filter((gateway) => !victims.includes(gateway));
  const away = (): Promise<void> => pause(awayMsMin + random.below(awayMsMax - awayMsMin));
  const outward = victims.flatMap((from) => rest.map((to) => [from.id, to.id] as const));
  const inward = outward.map(([from, to]) => [to, from] as const);
  switch (kind) {
    case "kill":
      await Promise.all(victims.map((gateway) => gateway.kill()));
      await pause(random.below(downMsMax));
      for (const gateway of victims) gateway.start();
      return;
    case "freeze":
      for (const gateway of victims) gateway.process.signal("SIGSTOP");
      await away();
      for (const gateway of victims) gateway.process.signal("SIGCONT");
      return;
    case "isolate":
      links.cut([...outward, ...inward]);
      await away();
      return links.mend();
    case "cut-one-way":
      links.cut(random.chance(0.5) ? outward : inward);
      await away();
      return links.mend();
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(random.below(left.length), 1));
  return order;
}
