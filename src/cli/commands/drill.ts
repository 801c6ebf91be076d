import { demoGatewayId } from "../../config/demo-site.ts";
import { formatDuration } from "../../lib/duration.ts";
import { type ExitStatus, type Failure, failure, type Result, success } from "../../lib/errors.ts";
import { print, reportFailure, usageError } from "../command.ts";
import { SimulatedDevices } from "../demo/devices.ts";
import { awaitReady, type DemoGateway, describeEnd } from "../demo/gateways.ts";
import { type DemoSite, onDemoSite } from "../demo/site.ts";
import { type Verdict, verify } from "../demo/verify.ts";
import { IngestWatch } from "../drill/ingest-watch.ts";
import { behindHost, type Mishap, mishaps, openProxies } from "../drill/mishaps.ts";
import { formatElapsed, plain, printError } from "../terminal.ts";
import type { MeshLinks, Output, World } from "../world.ts";
import type { DrillOptions } from "./drill-options.ts";

/** Before it, and after it is healed. */
const calmMs = 2_000;
const healWithinMs = 120_000;
const pollMs = 50;
/** A dozen devices: some hundred messages a second, so that a pause shows. */
const intervalMs = { min: 60, max: 180 };

interface Moment {
  /** Since the gateways were ready. */
  readonly atMs: number;
  readonly what: string;
}

/** `fogbank drill`: a site of real processes loses a gateway under load; what was acknowledged is asked back from every gateway. */
export async function drill(world: World, options: DrillOptions): Promise<ExitStatus> {
  const ids = Array.from({ length: options.gateways }, (_, index) => demoGatewayId(index));
  if (!ids.includes(options.gateway)) throw usageError(`there is no gateway "${options.gateway}": the drill's site has ${ids.join(", ")}`);
  const out = options.output === "json" ? world.err : world.out;
  const links = await world.openMeshLinks();
  try {
    const site = { ...options, out, name: "drill", store: "level" } as const;
    return await onDemoSite(world, options.what === "cut" ? { ...site, meshHost: behindHost } : site, (started) =>
      new Drill(world, options, started, links, out).run(),
    );
  } finally {
    await links.close();
  }
}

class Drill {
  readonly #world: World;
  readonly #options: DrillOptions;
  readonly #site: DemoSite;
  readonly #links: MeshLinks;
  readonly #out: Output;
  readonly #mishap: Mishap;
  readonly #victim: DemoGateway;
  readonly #watch: IngestWatch;
  readonly #timeline: Moment[] = [];
  #readyMs = 0;
  /** The victim's process may end now. */
  #away = false;

  constructor(world: World, options: DrillOptions, site: DemoSite, links: MeshLinks, out: Output) {
    this.#world = world;
    this.#options = options;
    this.#site = site;
    this.#links = links;
    this.#out = out;
    this.#mishap = mishaps[options.what];
    this.#victim = site.gateways.find(({ id }) => id === options.gateway) as DemoGateway;
    this.#watch = new IngestWatch(world.clock);
  }

  async run(): Promise<ExitStatus> {
    const { gateways, folder, interrupt } = this.#site;
    this.#out.write(`starting ${gateways.length} gateways in ${plain(folder)} …\n`);
    const proxied = this.#options.what === "cut" ? await openProxies(this.#links, gateways) : success(undefined);
    const ready = proxied.ok ? await awaitReady(this.#world, gateways, interrupt) : proxied;
    if (!ready.ok) return reportFailure(this.#world, ready);
    this.#readyMs = this.#world.clock.monotonicMs();
    const devices = new SimulatedDevices(this.#world, gateways, {
      intervalMs,
      acknowledged: (publishedMs) => this.#watch.acknowledged(publishedMs),
    });
    this.#note(`${gateways.length} gateways are ready, a dozen devices publish at QoS 1`);
    const over = await this.#carryOut();
    if (!over.ok || interrupt.aborted) {
      await devices.abandon();
      return reportFailure(this.#world, interrupt.aborted ? failure("internal", "interrupted: nothing was shown") : (over as Failure));
    }
    this.#watch.stop();
    await devices.stop();
    this.#note("the devices have stopped; every gateway is asked for every acknowledged reading");
    const verdicts = new Map<string, Verdict>();
    for (const { id, client } of gateways) verdicts.set(id, await verify(this.#world, [client], devices.ledger.series));
    return this.#summarise(devices, verdicts);
  }

  async #carryOut(): Promise<Result<void>> {
    const { clock } = this.#world;
    const { gateways, folder, interrupt } = this.#site;
    const victim = this.#victim;
    const others = gateways.filter((gateway) => gateway !== victim);
    const site = {
      world: this.#world,
      folder,
      victim,
      others,
      links: this.#links,
      interrupt,
      note: (what: string) => this.#note(what),
    };
    await clock.sleep(calmMs, interrupt);
    const status = await victim.client.status();
    if (status.ok) this.#note(`${victim.id} in the Raft group: ${plain(status.value.raft.role)}`);
    const struckMs = clock.monotonicMs();
    this.#away = true;
    await this.#mishap.strike(site);
    const awayUntilMs = clock.monotonicMs() + this.#options.for;
    const wentOn = await this.#until(() => this.#watch.hasGoneOnSince(struckMs), { untilMs: awayUntilMs });
    if (wentOn) this.#note("ingest goes on: what was published after that is acknowledged");
    await clock.sleep(Math.max(0, awayUntilMs - clock.monotonicMs()), interrupt);
    if (interrupt.aborted) return success(undefined);
    const mended = await this.#mishap.mend(site);
    if (!mended.ok || interrupt.aborted) return mended;
    this.#away = false;
    const healed = await this.#healed();
    if (!healed.ok) return healed;
    this.#note("healed: every gateway is ready, a member, up, and has all of its partitions");
    await clock.sleep(calmMs, interrupt);
    return this.#crashed();
  }

  async #healed(): Promise<Result<void>> {
    const untilMs = this.#world.clock.monotonicMs() + healWithinMs;
    let trouble: string | undefined;
    let crashed: Result<void> = success(undefined);
    const healed = await this.#until(
      async () => {
        crashed = this.#crashed();
        trouble = crashed.ok ? await this.#trouble() : undefined;
        return trouble === undefined;
      },
      { untilMs },
    );
    if (!crashed.ok || this.#site.interrupt.aborted) return crashed;
    return healed ? success(undefined) : failure("not-ready", `not healed within ${formatDuration(healWithinMs)}: ${trouble ?? ""}`);
  }

  /** Of all gateways, as each of them sees it. */
  async #trouble(): Promise<string | undefined> {
    for (const { id, client } of this.#site.gateways) {
      const [readiness, listed] = await Promise.all([client.readiness(), client.gateways()]);
      if (!readiness.ok) return `${id}: ${readiness.message}`;
      if (!readiness.value.ready) return `${id}: ${readiness.value.reasons.join("; ")}`;
      if (!listed.ok) return `${id}: ${listed.message}`;
      for (const { id: other, up, membership, filling } of listed.value.gateways) {
        if (!up) return `${id} does not hear ${other}`;
        if (membership !== "voter" && membership !== "learner") return `${id}: ${other} is ${membership ?? "no member"}`;
        if (filling !== undefined && filling > 0) return `${id}: ${other} has ${filling} partitions to fill`;
      }
    }
    return undefined;
  }

  /** A gateway that ended, and not by the drill's hand. */
  #crashed(): Result<void> {
    const dead = this.#site.gateways.find((gateway) => gateway.ended !== undefined && !(this.#away && gateway === this.#victim));
    return dead === undefined ? success(undefined) : failure("internal", describeEnd(this.#world, dead));
  }

  async #until(condition: () => boolean | Promise<boolean>, { untilMs }: { readonly untilMs: number }): Promise<boolean> {
    const { clock } = this.#world;
    while (!this.#site.interrupt.aborted) {
      if (await condition()) return true;
      if (clock.monotonicMs() >= untilMs) return false;
      await clock.sleep(pollMs, this.#site.interrupt);
    }
    return false;
  }

  #note(what: string): void {
    const atMs = Math.round(this.#world.clock.monotonicMs() - this.#readyMs);
    this.#timeline.push({ atMs, what });
    this.#out.write(`${formatElapsed(atMs).padStart(7)}  ${what}\n`);
  }

  #summarise({ ledger, published, unacknowledged }: SimulatedDevices, verdicts: ReadonlyMap<string, Verdict>): ExitStatus {
    const total = (count: (verdict: Verdict) => number) => [...verdicts.values()].reduce((sum, verdict) => sum + count(verdict), 0);
    const unproven = [...verdicts].flatMap(([id, verdict]) => verdict.unproven.map((reason) => `${id}: ${reason}`));
    const summary = {
      drill: this.#options.what,
      gateway: this.#victim.id,
      gateways: this.#site.gateways.length,
      awayMs: this.#options.for,
      timeline: this.#timeline,
      ingestPausedMs: Math.round(this.#watch.pausedMs()),
      slowestAcknowledgementMs: Math.round(this.#watch.slowestMs()),
      published,
      acknowledged: ledger.acknowledged,
      unacknowledged,
      checked: Object.fromEntries([...verdicts].map(([id, { checked }]) => [id, checked])),
      lost: total(({ lost }) => lost),
      duplicated: total(({ duplicated }) => duplicated),
      unproven,
    };
    const isProven = summary.lost + summary.duplicated + unacknowledged === 0 && unproven.length === 0 && ledger.acknowledged > 0;
    print(this.#world, this.#options, summary, (all) => {
      const forgotten = ledger.forgotten === 0 ? "" : `; ${ledger.forgotten} older ones were not kept for the check`;
      this.#out.write(
        [
          "",
          `longest time without any acknowledgement: ${formatElapsed(all.ingestPausedMs)}; slowest single one: ${formatElapsed(all.slowestAcknowledgementMs)}`,
          `published=${all.published} acknowledged=${all.acknowledged}${forgotten}`,
          `answered by ${[...verdicts].map(([id, { checked }]) => `${id}: ${checked}`).join(", ")}  lost=${all.lost} duplicated=${all.duplicated}`,
          isProven
            ? `${all.gateway} ${this.#mishap.story}; each of ${all.gateways} gateways answers every acknowledged reading, once and with its value`
            : `the drill FAILED`,
          "",
        ].join("\n"),
      );
    });
    if (summary.lost + summary.duplicated > 0)
      printError(this.#world, `${summary.lost} acknowledged readings were lost, ${summary.duplicated} came twice`);
    for (const reason of unproven) printError(this.#world, `could not be asked back: ${reason}`);
    if (unacknowledged > 0) printError(this.#world, `${unacknowledged} readings were not acknowledged in time`);
    return isProven ? 0 : 1;
  }
}
