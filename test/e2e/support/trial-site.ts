// The site of a trial: real processes whose links can be cut, more gateways than it has members, and the command line by which they become
// members and cease to be. Each process is started with a site.yaml that lists the members of that moment, as an operator would have it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MeshLinks } from "../../../src/adapters/host/mesh-proxy.ts";
import type { Gateway } from "../../../src/client/schema.ts";
import { type CommandResult, runFogbank } from "./fogbank.ts";
import { must, siteYaml, type TestGateway, TestSite } from "./site.ts";
import { pause, until } from "./until.ts";

/** Where gateways listen themselves; their address in the YAML is their proxy's. All of 127/8 is loopback on Linux. */
const behindHost = "127.0.0.2";
const asksMax = 10;
const askAgainMs = 500;
/** Filling has no bound of its own: on a busy machine a gateway with everything to fill takes minutes. */
const fillWithinSeconds = 600;
const commandWithinMs = (fillWithinSeconds + 60) * 1_000;
const endWithinMs = 60_000;
const wholeWithinMs = 60_000;

export class TrialSite {
  readonly site: TestSite;
  readonly links: MeshLinks;
  /** In the order in which they came. */
  readonly members: TestGateway[];
  readonly spares: TestGateway[];

  private constructor(site: TestSite, links: MeshLinks, members: number) {
    this.site = site;
    this.links = links;
    this.members = site.gateways.slice(0, members);
    this.spares = site.gateways.slice(members);
  }

  /** Resolves when all members are ready. */
  static async start(options: {
    readonly members: number;
    readonly spares: number;
    readonly files: Readonly<Record<string, string>>;
  }): Promise<TrialSite> {
    const site = await TestSite.create({ gateways: options.members + options.spares, files: options.files });
    const links = new MeshLinks();
    const trial = new TrialSite(site, links, options.members);
    try {
      for (const { id, ports } of site.gateways)
        must(await links.add({ to: id, host: "127.0.0.1", port: ports.mesh, behind: { host: behindHost, port: ports.mesh } }));
      for (const gateway of trial.members) trial.start(gateway);
      await Promise.all(trial.members.map((gateway) => gateway.ready()));
      return trial;
    } catch (error) {
      await trial.end({ keep: false });
      throw error;
    }
  }

  /** With a site.yaml of the members and itself. */
  start(gateway: TestGateway): void {
    const listed = this.members.includes(gateway) ? this.members : [...this.members, gateway];
    let yaml = siteYaml("e2e", new Map(listed.map(({ id, ports }) => [id, ports])));
    for (const { ports } of listed) yaml = yaml.replace(`mesh: "127.0.0.1:${ports.mesh}"`, `mesh: "${behindHost}:${ports.mesh}"`);
    gateway.start(this.site.write(`${gateway.id}.yaml`, yaml));
  }

  wipe(gateway: TestGateway): void {
    rmSync(gateway.dataFolder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A member that runs, and is none of these. */
  other(...not: readonly TestGateway[]): TestGateway {
    const found = this.members.find((gateway) => gateway.isRunning && !not.includes(gateway));
    if (found === undefined) throw new Error("no other gateway runs");
    return found;
  }

  /** `fogbank …` by way of this gateway. */
  fogbank(via: TestGateway, args: readonly string[]): Promise<CommandResult> {
    return runFogbank([...args, "--url", via.url], { cwd: this.site.folder, withinMs: commandWithinMs });
  }

  /**
   * A change that must come about: as the manual says, it is said again after an answer of status 3 (no leader, or an unknown outcome),
   * after which what `done` matches says that it was the first one's doing.
   */
  async insist(via: TestGateway, args: readonly string[], done?: RegExp): Promise<void> {
    let result: CommandResult | undefined;
    for (let asked = 0; asked < asksMax; asked++) {
      result = await this.fogbank(via, args);
      if (result.code === 0 || (asked > 0 && done?.test(result.stderr) === true)) return;
      if (result.code !== 3) break;
      await pause(askAgainMs);
    }
    throw new Error(`fogbank ${args.join(" ")} by way of ${via.id}: exit ${result?.code}: ${result?.stdout}${result?.stderr}`);
  }

  /** A gateway that left the site is told so, and ends with status 1; then it is a spare one. */
  async left(gateway: TestGateway): Promise<void> {
    const exit = await gateway.process.ended(endWithinMs);
    if (exit.code !== 1) throw new Error(`${gateway.id} left the site with ${JSON.stringify(exit)}:\n${gateway.process.tail()}`);
    this.wipe(gateway);
    this.spares.push(gateway);
  }

  /** Resolves when nothing moves any more, and every member says that all members run and have all readings of their partitions. */
  async whole(): Promise<void> {
    const [via] = this.members as [TestGateway];
    await this.insist(via, ["gateway", "progress", "--wait", `${fillWithinSeconds}s`]);
    const ids = this.members.map(({ id }) => id).toSorted();
    let last = "";
    await until(
      `all members are whole: ${ids.join()}`,
      async () => {
        const views = await Promise.all(this.members.map((gateway) => gateway.client.gateways()));
        last = JSON.stringify(views);
        const isWhole = views.every((view) => view.ok && view.value.gateways.every(isWholeMember) && sameIds(view.value.gateways, ids));
        return isWhole || undefined;
      },
      { withinMs: wholeWithinMs, explain: () => last, everyMs: 250 },
    );
  }

  /** Kills what runs. `keep`: leaves the folder, with what each gateway printed. */
  async end({ keep }: { readonly keep: boolean }): Promise<void> {
    if (!keep) await this.site.end();
    else {
      await Promise.all(this.site.gateways.filter((gateway) => gateway.isRunning).map((gateway) => gateway.kill()));
      const folder = join(this.site.folder, "output");
      mkdirSync(folder, { recursive: true });
      for (const { id, output } of this.site.gateways) writeFileSync(join(folder, `${id}.log`), output);
    }
    await this.links.close();
  }
}

function isWholeMember({ up, membership, filling = 0, leaving = 0 }: Gateway): boolean {
  return up && filling === 0 && leaving === 0 && (membership === "voter" || membership === "learner");
}

function sameIds(gateways: readonly Gateway[], ids: readonly string[]): boolean {
  return (
    gateways
      .map(({ id }) => id)
      .toSorted()
      .join() === ids.join()
  );
}
