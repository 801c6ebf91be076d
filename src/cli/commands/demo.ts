import type { JobResult } from "../../client/schema.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { print, reportFailure } from "../command.ts";
import { SimulatedDevices } from "../demo/devices.ts";
import { awaitReady, type DemoGateway, demoHost, describeEnd } from "../demo/gateways.ts";
import { type DemoSite, onDemoSite } from "../demo/site.ts";
import { type Verdict, verify } from "../demo/verify.ts";
import { DemoView } from "../demo/view.ts";
import { formatElapsed, plain, printError, printWarning } from "../terminal.ts";
import type { Output, World } from "../world.ts";

export interface DemoOptions {
  readonly gateways: number;
  readonly portBase: number;
  readonly data?: string;
  /** Milliseconds. */
  readonly for?: number;
  readonly store: "level" | "lowdb";
  /** `json`: the summary alone goes to standard output, everything else to standard error. */
  readonly output: string;
}

const shownOn = (world: World, { output }: DemoOptions): Output => (output === "json" ? world.err : world.out);

const everyMs = 2_000;
const resultsBackMs = 120_000;

/** `fogbank demo`: a site of real processes, and at the end the proof that what was acknowledged is there. */
export async function demo(world: World, options: DemoOptions): Promise<ExitStatus> {
  const out = shownOn(world, options);
  return await onDemoSite(world, { ...options, out, name: "demo" }, (site) => new Demo(world, options, site).run());
}

class Demo {
  readonly #world: World;
  readonly #out: Output;
  readonly #options: DemoOptions;
  readonly #folder: string;
  readonly #gateways: readonly DemoGateway[];
  readonly #interrupt: AbortSignal;
  readonly #view: DemoView;
  readonly #reported = new Set<DemoGateway>();
  #crashed = false;
  /** Revision by id of recent results. */
  readonly #results = new Map<string, JobResult>();
  #resultCount = 0;

  constructor(world: World, options: DemoOptions, { folder, gateways, interrupt }: DemoSite) {
    this.#world = world;
    this.#out = shownOn(world, options);
    this.#options = options;
    this.#folder = folder;
    this.#gateways = gateways;
    this.#interrupt = interrupt;
    this.#view = new DemoView(world, this.#out);
  }

  async run(): Promise<ExitStatus> {
    const { clock } = this.#world;
    const out = this.#out;
    const startMs = clock.monotonicMs();
    out.write(`starting ${this.#gateways.length} gateways in ${plain(this.#folder)} …\n`);
    const ready = await awaitReady(this.#world, this.#gateways, this.#interrupt);
    if (!ready.ok) return reportFailure(this.#world, ready);
    if (this.#interrupt.aborted) return 0;
    out.write(`ready after ${formatElapsed(clock.monotonicMs() - startMs)}\n\n`);
    this.#printWhere();
    const devices = new SimulatedDevices(this.#world, this.#gateways);
    await this.#watch(devices);
    this.#view.note("stopping the devices …");
    await devices.stop();
    await this.#newResults();
    return this.#summarise(
      devices,
      await verify(
        this.#world,
        this.#alive().map((gateway) => gateway.client),
        devices.ledger.series,
      ),
    );
  }

  #printWhere(): void {
    const out = this.#out;
    for (const { id, ports, child } of this.#gateways)
      out.write(`${id}  mqtt ${demoHost}:${ports.mqtt}  http http://${demoHost}:${ports.http}  process ${child.pid}\n`);
    const url = `--url http://${demoHost}:${this.#gateways[0]?.ports.http ?? 0}`;
    const last = this.#gateways.at(-1);
    out.write(`data  ${plain(this.#folder)}  (logs: ${this.#gateways[0]?.id}.log, …)\n\nTry in another terminal:\n`);
    const commands = [
      `fogbank status ${url}`,
      `fogbank query temperature --device 'room-1-*' --from -1m ${url}`,
      `fogbank tail ${url}`,
      `fogbank job results room-climate --from -1m ${url}`,
    ];
    if (last !== undefined && this.#gateways.length > 2)
      commands.push(`kill -9 ${last.child.pid}    # ${last.id}: the others carry on, nothing acknowledged is lost`);
    out.write(`${commands.map((command) => `  ${command}`).join("\n")}\n\n`);
  }

  /** Until Ctrl-C, the end of --for, or the end of all gateways. */
  async #watch(devices: SimulatedDevices): Promise<void> {
    const { clock } = this.#world;
    const startMs = clock.monotonicMs();
    const endMs = startMs + (this.#options.for ?? Number.POSITIVE_INFINITY);
    for (;;) {
      await clock.sleep(Math.min(everyMs, Math.max(endMs - clock.monotonicMs(), 0)), this.#interrupt);
      this.#reportEnds();
      if (this.#interrupt.aborted || clock.monotonicMs() >= endMs || this.#alive().length === 0) return;
      const statuses = await Promise.all(
        this.#gateways.map(async (gateway) => (gateway.ended === undefined ? await gateway.client.status() : undefined)),
      );
      this.#view.show({
        elapsedMs: clock.monotonicMs() - startMs,
        published: devices.published,
        acknowledged: devices.ledger.acknowledged,
        gateways: this.#gateways.map((gateway, index) => {
          const status = statuses[index];
          return { id: gateway.id, status: status?.ok === true ? status.value : undefined };
        }),
        newResults: await this.#newResults(),
        resultCount: this.#resultCount,
      });
    }
  }

  #alive(): readonly DemoGateway[] {
    return this.#gateways.filter((gateway) => gateway.ended === undefined);
  }

  /** A gateway that somebody kills is what Fogbank is for; one that ends by itself is a failure. */
  #reportEnds(): void {
    for (const gateway of this.#gateways) {
      if (gateway.ended === undefined || this.#reported.has(gateway)) continue;
      this.#reported.add(gateway);
      if (gateway.ended.signal === undefined) this.#crashed = true;
      this.#view.note("");
      printWarning(this.#world, describeEnd(this.#world, gateway));
    }
  }

  async #newResults(): Promise<readonly JobResult[]> {
    const fromMs = this.#world.clock.wallMs() - resultsBackMs;
    for (const gateway of this.#alive()) {
      const answer = await gateway.client.results({ from: String(Math.max(fromMs, 0)) });
      if (!answer.ok) continue;
      const fresh = answer.value.results.filter((row) => (this.#results.get(row.id)?.revision ?? -1) < row.revision);
      for (const row of fresh) {
        if (!this.#results.has(row.id)) this.#resultCount++;
        this.#results.set(row.id, row);
      }
      // What has left the range is not answered again.
      for (const [id, row] of this.#results) if (row.to < fromMs - resultsBackMs) this.#results.delete(id);
      return fresh;
    }
    return [];
  }

  #summarise(devices: SimulatedDevices, { checked, lost, unproven }: Verdict): ExitStatus {
    const { ledger, published, unacknowledged } = devices;
    this.#reportEnds();
    const summary = {
      published,
      acknowledged: ledger.acknowledged,
      unacknowledged,
      checked,
      lost,
      unproven,
      results: this.#resultCount,
      crashed: this.#crashed,
    };
    print(this.#world, this.#options, summary, (all) => {
      this.#out.write(`\npublished ${all.published} readings, acknowledged ${all.acknowledged}, job results ${all.results}\n`);
      const forgotten = ledger.forgotten === 0 ? "" : ` (the newest; ${ledger.forgotten} older ones were not kept for the check)`;
      this.#out.write(`asked back from the gateways: ${all.checked} acknowledged readings${forgotten}, lost=${all.lost}\n`);
    });
    for (const reason of unproven) printError(this.#world, `could not be asked back: ${reason}`);
    if (unacknowledged > 0) printError(this.#world, `${unacknowledged} readings were not acknowledged in time`);
    return lost > 0 || unproven.length > 0 || unacknowledged > 0 || this.#crashed ? 1 : 0;
  }
}
