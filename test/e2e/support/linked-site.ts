// A site whose links between gateways pass through proxies, so that they can be cut.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MeshLinks } from "../../../src/adapters/host/mesh-proxy.ts";
import { must, type SiteOptions, TestSite } from "./site.ts";

export interface LinkedSite {
  readonly site: TestSite;
  readonly links: MeshLinks;
  end(): Promise<void>;
}

/** Where gateways listen themselves; their address in the YAML is their proxy's. All of 127/8 is loopback on Linux. */
const behindHost = "127.0.0.2";

/** Resolves when all gateways are ready. */
export async function startLinkedSite(options: SiteOptions): Promise<LinkedSite> {
  const site = await TestSite.create(options);
  const links = new MeshLinks();
  const end = async (): Promise<void> => {
    await site.end();
    await links.close();
  };
  try {
    let yaml = readFileSync(join(site.folder, "site.yaml"), "utf8");
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
