/** What has been given up, as gateways of a simulated site know it. */

import { partitionCount } from "../lib/ids.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";

/** As of the gateway that knows most: owners that are ahead of the one that is asked have given up more than it knows of. */
export function highestHorizons(site: SimulatedSite): readonly number[] {
  const all = site.gateways.map(horizonsOf);
  return Array.from({ length: partitionCount }, (_, at) => Math.max(...all.map((horizons) => horizons[at] ?? 0)));
}

/** By partition, as this gateway has applied them. */
export function horizonsOf(gateway: SimulatedGateway): readonly number[] {
  return Array.from(gateway.running()?.gateway.serving()?.state.horizons("raw") ?? []);
}
