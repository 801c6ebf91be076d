/** The first entry of a new site's log, from its YAML and from what all gateways of the list reported. */

import type { SiteSettings } from "../config/settings.ts";
import { encodeOwnerTable } from "../core/ring/owner-table.ts";
import { foundOwners } from "../core/ring/rebalance.ts";
import type { BootstrapCommand } from "../core/site/commands.ts";
import { defined } from "../lib/assert.ts";
import { clusterId, type GatewayId, type Hash64, type Incarnation } from "../lib/ids.ts";

export interface Founding {
  readonly settings: SiteSettings;
  /** Of each gateway's empty data folder. */
  readonly incarnations: ReadonlyMap<GatewayId, Incarnation>;
  /** The highest feature level that the versions of all gateways can apply. */
  readonly featureLevel: number;
  /** 32 random hex digits. */
  readonly cluster: string;
  readonly hash64: Hash64;
}

export function mintBootstrap({ settings, incarnations, featureLevel, cluster, hash64 }: Founding): BootstrapCommand {
  const { gateways, replication } = settings;
  const full = gateways.filter((gateway) => gateway.role === "full");
  const owners = foundOwners({ gateways: full, factor: replication.factor, epoch: 1, hash64 });
  return {
    t: "bootstrap",
    clusterId: clusterId(cluster),
    site: settings.site,
    // An older version among the founders does not know the field.
    ...(featureLevel > 1 ? { featureLevel } : {}),
    gateways: gateways.map(({ id, role, zone, weight }, slot) => ({
      id,
      incarnation: defined(incarnations.get(id), `the incarnation of ${id}`),
      slot,
      role,
      weight,
      ...(zone === undefined ? {} : { zone }),
    })),
    factor: replication.factor,
    owners: encodeOwnerTable(owners),
  };
}
