// What befalls the gateways of a kv history: SIGKILL, SIGSTOP and cut links, of the leader by preference, one fault after the other
// and never more gateways at a time than the site can do without.
import type { MeshLinks } from "../../../src/adapters/host/mesh-proxy.ts";
import type { Random } from "../../../src/lib/random.ts";
import type { LinkedSite } from "./linked-site.ts";
import type { TestGateway } from "./site.ts";
import { pause } from "./until.ts";

export const faultKinds = ["kill", "freeze", "isolate", "cut-one-way"] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Longer than the preset's election timeout, so that the others have another leader when it is over. */
const awayMsMin = 1_800;
const awayMsMax = 2_600;
const downMsMax = 500;

/** Carries out one fault and mends it: when this resolves, all gateways run, linked, and the fault's victims are ready. */
export async function befall({ site, links }: LinkedSite, kind: FaultKind, random: Random): Promise<string> {
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
