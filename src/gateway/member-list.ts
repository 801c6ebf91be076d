/** The gateways of this host's YAML against the site's own list: a difference is worth a warning, and never an outage. */

import type { GatewaySettings } from "../config/settings.ts";
import type { MemberState } from "./service.ts";

/** Sentences for the operator, in the order of the members, then of the file. */
export function listDifferences(listed: readonly GatewaySettings[], members: readonly MemberState[]): readonly string[] {
  const inFile = new Map(listed.map((gateway) => [gateway.id, gateway]));
  const known = new Set(members.map((member) => member.id));
  const differences: string[] = [];
  for (const member of members) {
    const settings = inFile.get(member.id);
    if (settings === undefined) {
      // One that is leaving is rightly gone from the file.
      if (member.membership !== "leaving")
        differences.push(`${member.id} is a gateway of the site, and not in this gateway's YAML: add it there`);
      continue;
    }
    const say = (aspects: readonly Aspect[], counts: string): void => {
      const [file, site] = [aspects.map(({ name, file }) => `${name} ${file}`), aspects.map((aspect) => aspect.site)];
      if (aspects.length > 0)
        differences.push(`this gateway's YAML gives ${member.id} ${file.join(", ")}; the site knows ${site.join(", ")}${counts}`);
    };
    say(addresses(settings, member), ". This gateway calls it by its own YAML");
    say(differing(settings, member), ", which counts");
  }
  for (const { id } of listed) {
    if (!known.has(id))
      differences.push(`this gateway's YAML lists ${id}, which is no gateway of the site: take it out there, or fogbank gateway add ${id}`);
  }
  return differences;
}

interface Aspect {
  readonly name: string;
  readonly file: string;
  readonly site: string;
}

function addresses({ host, listen }: GatewaySettings, { address }: MemberState): Aspect[] {
  const aspects: Aspect[] = [
    { name: "the host", file: host, site: address.host },
    { name: "the mesh port", file: String(listen.mesh.port), site: String(address.mesh) },
  ];
  return aspects.filter(({ file, site }) => file !== site);
}

function differing(settings: GatewaySettings, { kind, zone, weight }: MemberState): Aspect[] {
  const aspects: Aspect[] = [
    { name: "the role", file: settings.role, site: kind },
    { name: "the zone", file: settings.zone ?? "none", site: zone ?? "none" },
    { name: "the weight", file: String(settings.weight), site: String(weight) },
  ];
  return aspects.filter(({ file, site }) => file !== site);
}
