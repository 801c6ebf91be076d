import { type LoadResult, loadSite } from "../config/load-site.ts";
import { formatProblem } from "../config/problem.ts";
import type { GatewaySettings, SiteSettings } from "../config/settings.ts";
import { suggest } from "../lib/suggest.ts";
import { usageError } from "./command.ts";
import { plain, printWarning } from "./terminal.ts";
import type { World } from "./world.ts";

export const defaultSiteFile = "site.yaml";

export function readSite(world: World, path: string): LoadResult {
  return loadSite(world.files, path, world.env);
}

/** The settings, or every problem on standard error and `undefined`: exit status 2. Warnings are for who runs the site by it. */
export function readSiteOrReport(
  world: World,
  path: string,
  options: { readonly warn: boolean } = { warn: true },
): SiteSettings | undefined {
  const loaded = readSite(world, path);
  if (!loaded.ok) {
    for (const problem of loaded.problems) world.err.write(`${plain(formatProblem(problem))}\n`);
    return undefined;
  }
  if (options.warn) for (const warning of loaded.warnings) printWarning(world, formatProblem(warning));
  return loaded.settings;
}

/** The entry named, else the one whose host is this machine. */
export function pickGateway(world: World, settings: SiteSettings, named: string | undefined): GatewaySettings {
  const { gateways } = settings;
  const list = gateways.map((gateway) => `${gateway.id} (${gateway.host})`).join(", ");
  if (named !== undefined) {
    const found = gateways.find((gateway) => gateway.id === named);
    if (found !== undefined) return found;
    const near = suggest(
      named,
      gateways.map((gateway) => gateway.id),
    );
    throw usageError(`there is no gateway "${named}" in the site${near === undefined ? "" : `, did you mean "${near}"?`}; it has ${list}`);
  }
  const here = gateways.filter((gateway) => isThisHost(world, gateway.host));
  const [only] = here;
  if (only !== undefined && here.length === 1) return only;
  const what =
    here.length === 0
      ? `no gateway of the site has a host that is this machine (${world.host.name})`
      : `${here.length} gateways of the site are on this machine`;
  throw usageError(`${what}; say which with --gateway: ${here.length === 0 ? list : here.map((gateway) => gateway.id).join(", ")}`);
}

function isThisHost(world: World, host: string): boolean {
  const wanted = host.toLowerCase();
  const own = world.host.name.toLowerCase();
  if (wanted === "localhost" || wanted === "::1" || /^127\.\d+\.\d+\.\d+$/.test(wanted)) return true;
  const short = own.split(".")[0];
  return wanted === own || wanted === short || wanted === `${short}.local` || world.host.addresses.includes(wanted);
}
