import type { ExitStatus } from "../../lib/errors.ts";
import { folderOf, resolveFrom } from "../../lib/file-path.ts";
import { reportFailure } from "../command.ts";
import { defaultSiteFile, pickGateway, readSiteOrReport } from "../site-file.ts";
import { plain, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

export interface StartOptions {
  readonly gateway?: string;
  readonly data?: string;
  readonly stopWithStdin?: boolean;
}

/** `fogbank start`: this host's gateway in the foreground, until a signal or its own failure ends it. */
export async function start(world: World, file: string | undefined, options: StartOptions): Promise<ExitStatus> {
  const path = file ?? defaultSiteFile;
  const settings = readSiteOrReport(world, path);
  if (settings === undefined) return 2;
  const gateway = pickGateway(world, settings, options.gateway);
  const dataFolder = options.data ?? resolveFrom(folderOf(path), `data/${gateway.id}`);
  // Signals that come while the gateway is starting end it as soon as it stands.
  let ask = () => {};
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const removals = [world.onInterrupt(ask), ...(options.stopWithStdin === true ? [world.onStdinEnd(ask)] : [])];
  try {
    const started = await world.startGateway({ settings, gateway: gateway.id, dataFolder });
    if (!started.ok) return reportFailure(world, started);
    const { mqtt, http } = gateway.listen;
    const host = plain(gateway.host);
    world.err.write(
      `gateway ${plain(gateway.id)} of site ${plain(settings.site)}: mqtt ${host}:${mqtt.port}, http ${host}:${http.port}, data in ${plain(dataFolder)}\n`,
    );
    if (settings.secret === undefined) printWarning(world, "the site has no secret: all listeners are bound to loopback");
    const running = started.value;
    const ended = await Promise.race([running.stopped, asked]);
    if (ended !== undefined) return ended.ok ? 0 : reportFailure(world, ended);
    await running.stop();
    const stopped = await running.stopped;
    return stopped.ok ? 0 : reportFailure(world, stopped);
  } finally {
    for (const remove of removals) remove();
  }
}
