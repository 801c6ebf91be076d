import { demoSite } from "../../config/demo-site.ts";
import { type ExitStatus, failure, type Result, success } from "../../lib/errors.ts";
import { reportFailure, unwrap } from "../command.ts";
import { plain, printWarning } from "../terminal.ts";
import type { Output, World } from "../world.ts";
import { writeTemplate } from "../write-template.ts";
import { checkPorts, type DemoGateway, demoHost, startGateways, stopGateways } from "./gateways.ts";

/** The demo's site from its files to the end of its processes, however what goes on at it ends. */

export interface DemoSiteOptions {
  /** Of the temporary folder, after `fogbank-`. */
  readonly name: string;
  readonly gateways: number;
  readonly portBase: number;
  readonly data?: string;
  readonly store: "level" | "lowdb";
  /** Where gateways listen for each other behind proxies. */
  readonly meshHost?: string;
  readonly out: Output;
}

export interface DemoSite {
  readonly folder: string;
  readonly gateways: readonly DemoGateway[];
  /** Ctrl-C. */
  readonly interrupt: AbortSignal;
}

/** A temporary folder goes when `run` answers 0, and is kept otherwise. */
export async function onDemoSite(
  world: World,
  options: DemoSiteOptions,
  run: (site: DemoSite) => Promise<ExitStatus>,
): Promise<ExitStatus> {
  const ports = await checkPorts(world, options.gateways, options.portBase);
  if (!ports.ok) return reportFailure(world, ports);
  const folder = options.data ?? unwrap(world.files.temporaryFolder(`fogbank-${options.name}-`));
  const prepared = prepareFolder(world, folder, options);
  if (!prepared.ok) return reportFailure(world, prepared);
  const interrupt = new AbortController();
  const remove = world.onInterrupt(() => interrupt.abort());
  const gateways = startGateways(world, folder, options);
  let status: ExitStatus = 1;
  try {
    status = await run({ folder, gateways, interrupt: interrupt.signal });
  } finally {
    const stuck = await stopGateways(world, gateways);
    for (const gateway of stuck) printWarning(world, `${gateway.id} did not end on SIGTERM and was killed`);
    remove();
    if (options.data !== undefined) options.out.write(`data and logs are in ${plain(folder)}\n`);
    else if (status === 0) world.files.removeFolder(folder);
    else world.err.write(`data and logs are kept in ${plain(folder)}\n`);
  }
  return status;
}

/** Writes the site, or takes the same site that an earlier run left there. */
function prepareFolder(world: World, folder: string, { gateways, portBase, store, meshHost }: DemoSiteOptions): Result<void> {
  const text = (path: string) => {
    const read = world.files.readFile(`${folder}/${path}`);
    return read.ok ? new TextDecoder().decode(read.value) : undefined;
  };
  const present = text("site.yaml");
  const files = demoSite({
    gateways,
    portBase,
    store,
    host: demoHost,
    secret: text("secret")?.trim() ?? world.secret(32),
    ...(meshHost === undefined ? {} : { meshHost }),
  });
  if (present === undefined) return writeTemplate(world, folder, files);
  if (files.every((file) => text(file.path) === file.text)) return success(undefined);
  return failure(
    "usage",
    `${plain(folder)} holds another site; choose an empty folder, or the --gateways, --port-base and --store that it was made with`,
  );
}
