import { failure, type Result, success } from "../../lib/errors.ts";
import type { DrillOptions } from "../commands/drill-options.ts";
import { type DemoGateway, demoHost, restartGateway } from "../demo/gateways.ts";
import type { MeshLinks, World } from "../world.ts";

/** What befalls a gateway in a drill, and how it comes back. The processes, their disks and their links are real. */

/** Where gateways of a drill listen for each other when proxies stand in between: all of 127/8 is loopback on Linux. */
export const behindHost = "127.0.0.2";

const pollMs = 100;
const replaceWithinMs = 60_000;

export interface DrillSite {
  readonly world: World;
  readonly folder: string;
  readonly victim: DemoGateway;
  readonly others: readonly DemoGateway[];
  readonly links: MeshLinks;
  readonly interrupt: AbortSignal;
  /** A line of the timeline. */
  readonly note: (what: string) => void;
}

export interface Mishap {
  /** What the drill shows when nothing was lost. */
  readonly story: string;
  /** The gateway is gone when it resolves. */
  strike(site: DrillSite): Promise<void>;
  /** Everything is done for its return, which is not waited for. */
  mend(site: DrillSite): Promise<Result<void>>;
}

export const mishaps: Readonly<Record<DrillOptions["what"], Mishap>> = {
  "power-off": {
    story: "lost its power in the middle of its work, and was started again",
    strike: (site) => kill(site, "loses its power"),
    async mend({ world, folder, victim, note }) {
      restartGateway(world, folder, victim);
      note(`${victim.id} is started again, process ${victim.child.pid}`);
      return success(undefined);
    },
  },
  cut: {
    story: "was cut off from the other gateways, and joined them again",
    async strike({ victim, others, links, note }) {
      links.cut(others.flatMap(({ id }) => [[victim.id, id] as const, [id, victim.id] as const]));
      note(`${victim.id} is cut off: nothing passes between it and the other gateways; its devices keep publishing to it`);
    },
    async mend({ victim, links, note }) {
      links.mend();
      note(`${victim.id}'s links are mended`);
      return success(undefined);
    },
  },
  wipe: {
    story: "lost its disk, was given an empty one, and was filled from the others",
    async strike(site) {
      await kill(site, "loses its power and its disk");
      site.world.files.removeFolder(site.victim.dataFolder);
    },
    async mend(site) {
      const replaced = await replace(site);
      if (!replaced.ok) return replaced;
      const { world, folder, victim, note } = site;
      note(`gateway replace ${victim.id}: a new, empty data folder is expected`);
      restartGateway(world, folder, victim);
      note(`${victim.id} is started with an empty data folder, process ${victim.child.pid}`);
      return success(undefined);
    },
  },
};

/** Links that pass through proxies; the gateways listen behind them. */
export async function openProxies(links: MeshLinks, gateways: readonly DemoGateway[]): Promise<Result<void>> {
  for (const { id, ports } of gateways) {
    const proxy = { to: id, host: demoHost, port: ports.mesh, behind: { host: behindHost, port: ports.mesh } };
    const added = await links.add(proxy);
    if (!added.ok) return added;
  }
  return success(undefined);
}

async function kill({ victim, note }: DrillSite, what: string): Promise<void> {
  const { child } = victim;
  child.kill("SIGKILL");
  await child.exited;
  note(`${victim.id} ${what}: SIGKILL of process ${child.pid}`);
}

/** By one of the others, for as long as a new leader takes: asked twice it changes nothing. */
async function replace({ world, victim, others, interrupt }: DrillSite): Promise<Result<void>> {
  const deadlineMs = world.clock.monotonicMs() + replaceWithinMs;
  let last: Result<unknown> = failure("unreachable", "there is no other gateway");
  for (let turn = 0; !interrupt.aborted && world.clock.monotonicMs() < deadlineMs; turn++) {
    const other = others[turn % others.length];
    if (other !== undefined) last = await other.client.replaceGateway(victim.id, { force: false });
    if (last.ok) return success(undefined);
    await world.clock.sleep(pollMs, interrupt);
  }
  return last.ok ? success(undefined) : last;
}
