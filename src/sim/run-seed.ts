/**
 * One seed: a site under devices, kv clients and a job, with gateways that crash, pause and are cut off, on a network
 * that loses frames; then the faults end, and everything that was promised is looked up.
 */

import { isOwner } from "../core/ring/owner-table.ts";
import type { GatewayTuning } from "../gateway/context.ts";
import type { GatewayRules } from "../gateway/rules.ts";
import type { GatewayService, ResultRow } from "../gateway/service.ts";
import type { Serving } from "../gateway/serving.ts";
import { deviceId, partitionOf } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { readBackup } from "./backup-check.ts";
import { faultsOf } from "./faults/families.ts";
import { farClockFamily } from "./faults/far-clocks.ts";
import { highestHorizons, horizonsOf } from "./horizons.ts";
import { type HistoryEntry, judgeKeys } from "./linearizability.ts";
import { Nemesis } from "./nemesis.ts";
import { ownReadings } from "./own-readings.ts";
import { ReadingClient } from "./reading-client.ts";
import type { SettingsChoice } from "./settings.ts";
import type { SimulatedGateway, WrapDisk } from "./simulated-gateway.ts";
import { SimulatedSite, type SimulatorWorld } from "./site.ts";
import { checkSayers } from "./stamp-check.ts";
import { drawTunables } from "./tunables.ts";
import { LivenessViolation, SafetyViolation, Undecided } from "./violations.ts";
import { KvClient, type PublishedReading, SimulatedDevice, SimulatedSayer } from "./workload.ts";

export interface SeedOptions {
  readonly seed: number;
  readonly world: SimulatorWorld;
  readonly rules?: GatewayRules;
  readonly wrapDisk?: WrapDisk;
  /** What else goes on at the site, from its first moment: called before anything has started. */
  readonly prepare?: (site: SimulatedSite) => void;
  /** Size of the site; drawn when it is left out. */
  readonly gateways?: number;
  /** What of the site's settings is not drawn. */
  readonly settings?: Partial<Pick<SettingsChoice, "write" | "witness" | "retention">>;
  /** Which of the gateways' bounds are not drawn. */
  readonly tuning?: Partial<GatewayTuning>;
  /** Virtual time under faults; the calm phases come on top. */
  readonly faultsMs?: number;
  /** Numbers of the nemesis's strikes (from 1) that do nothing. */
  readonly skipFaults?: ReadonlySet<number>;
  /** Families or names of faults (`faults/families.ts`), instead of those that the seed draws. */
  readonly only?: readonly string[];
  /** How often devices say another value for the same time. */
  readonly againProbability?: number;
}

export interface SeedReport {
  readonly seed: number;
  readonly ok: boolean;
  readonly problem: string | undefined;
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly acknowledged: number;
  readonly committed: number;
  readonly faults: number;
  /** The last events, for a failure's report. */
  readonly recent: readonly string[];
}

/** With the start before and the calm behind it, a run is some 60 virtual seconds long. */
export const faultsMsDefault = 55_000;
const tunablesSalt = 0x5eed;
const compareEveryMs = 5_000;
const devices = 6;
const sayers = 2;
const kvClients = 3;
const startMs = 30_000;
const healMs = 40_000;
const sinkMs = 5_000;
const calmMs = 2_000;
const settledMs = 10_000;
/** Until all results are there, where a message in ten is lost. */
const resultsMs = 30_000;
const writeMs = 10_000;
const writeAgainMs = 200;
/** Until all owners hold the same: a damaged chunk waits for a pass, what was behind it for another. */
const convergeMs = 120_000;
const convergeStepMs = 500;
const repairLevel = 4;

export async function runSeed(options: SeedOptions): Promise<SeedReport> {
  const drawn = drawTunables(new SeededRandom(options.seed ^ tunablesSalt));
  const site = new SimulatedSite({
    seed: options.seed,
    ...drawn,
    ...options.settings,
    tuning: { ...drawn.tuning, ...options.tuning },
    ...(options.gateways === undefined ? {} : { gateways: options.gateways }),
    world: options.world,
    rules: options.rules ?? {},
    ...(options.wrapDisk === undefined ? {} : { wrapDisk: options.wrapDisk }),
  });
  options.prepare?.(site);
  const run = new SeedRun(site, options);
  let problem: string | undefined;
  try {
    await run.all();
  } catch (error) {
    problem = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return {
    seed: options.seed,
    ok: problem === undefined,
    problem,
    traceHash: site.scheduler.traceHash(),
    virtualMs: site.nowMs(),
    events: site.scheduler.steps(),
    acknowledged: run.acknowledged(),
    committed: site.checker.committed(),
    faults: run.faults(),
    recent: site.scheduler.recent(50),
  };
}

class SeedRun {
  readonly devices: SimulatedDevice[] = [];
  readonly #nemesis: Nemesis;
  readonly #site: SimulatedSite;
  readonly #faultsMs: number;
  readonly #kv: KvClient[] = [];
  readonly #sayers: SimulatedSayer[] = [];
  readonly #readers: ReadingClient[] = [];
  readonly #onlyFarClocks: boolean;

  constructor(site: SimulatedSite, options: Pick<SeedOptions, "faultsMs" | "skipFaults" | "only" | "againProbability">) {
    this.#site = site;
    this.#faultsMs = options.faultsMs ?? faultsMsDefault;
    this.#nemesis = new Nemesis({
      site,
      random: site.random.fork(),
      acknowledged: () => this.acknowledged(),
      workload: {
        devices: this.devices,
        ask: (gateway, device) => {
          for (const reader of this.#readers) reader.ask(gateway, device, { isCounted: false });
        },
      },
      ...(options.skipFaults === undefined ? {} : { skipFaults: options.skipFaults }),
      ...(options.only === undefined ? {} : { only: options.only }),
    });
    this.#onlyFarClocks = options.only !== undefined && faultsOf(options.only).every(({ family }) => family === farClockFamily);
    const values = new Map<number, string>();
    const { againProbability } = options;
    for (let i = 0; i < devices; i++)
      this.devices.push(new SimulatedDevice({ site, id: `device-${i}`, random: site.random.fork(), againProbability }));
    for (let i = 0; i < kvClients; i++)
      this.#kv.push(new KvClient({ site, name: `client-${i}`, random: site.random.fork(), keys: ["x", "y"], values }));
    // What is held on one disk alone is in no answer yet.
    if (site.settings.replication.write !== "any")
      this.#readers.push(new ReadingClient({ site, random: site.random.fork(), devices: this.devices }));
    const listening = site.gateways.filter(({ id }) => site.settings.gateways.some((one) => one.id === id && one.role === "full"));
    for (const gateway of listening.slice(0, sayers)) this.#sayers.push(new SimulatedSayer({ site, gateway, random: site.random.fork() }));
  }

  acknowledged(): number {
    return this.devices.reduce((sum, device) => sum + device.acknowledged.length, 0);
  }

  faults(): number {
    return this.#nemesis.faults;
  }

  async all(): Promise<void> {
    const site = this.#site;
    site.startAll();
    const isFounded = (): boolean =>
      site.leader() !== undefined && site.gateways.every((gateway) => gateway.running()?.gateway.phase() === "serving");
    if (!(await site.reaches(isFounded, startMs))) throw new LivenessViolation(`the site is not founded within ${startMs} ms`);
    for (const device of this.devices) device.start();
    for (const client of this.#kv) client.start();
    for (const sayer of this.#sayers) sayer.start();
    for (const reader of this.#readers) reader.start();
    const faultsEndMs = site.nowMs() + this.#faultsMs;
    while (site.nowMs() < faultsEndMs) {
      await this.#nemesis.during(Math.min(compareEveryMs, faultsEndMs - site.nowMs()));
      site.checker.compareStates(site.gateways);
    }
    await this.#heal();
    await this.#converge();
    await this.#check();
  }

  /**
   * Faults stop; the site must come back by itself, within a bounded time: a leader, everything published acknowledged,
   * the kv space written through every gateway, and all gateways at one position of the log.
   */
  async #heal(): Promise<void> {
    const site = this.#site;
    await this.#nemesis.calm();
    for (const device of this.devices) device.stop();
    for (const client of this.#kv) client.stop();
    for (const sayer of this.#sayers) sayer.stop();
    for (const reader of this.#readers) reader.stop();
    const isBack = (): boolean => site.leader() !== undefined && [...this.devices, ...this.#sayers].every((device) => device.idle());
    const isDelivered = (): boolean =>
      site.gateways.every((gateway) => gateway.running()?.gateway.serving()?.hints.view().held.rounds === 0);
    if (!(await site.reaches(isBack, healMs))) throw new LivenessViolation(`${healMs} ms after the faults ${this.#whatIsMissing()}`);
    if (!(await site.reaches(isDelivered, healMs)))
      throw new LivenessViolation(`${healMs} ms after that some gateway still holds rounds alone`);
    for (const gateway of site.gateways) {
      const stopped = gateway.stoppedItself();
      if (stopped !== undefined) throw new SafetyViolation(`${gateway.id} stopped by itself: ${stopped.message}`);
    }
    for (const gateway of site.gateways) await this.#writeThrough(gateway);
    const applied = () => site.gateways.map((gateway) => gateway.running()?.gateway.serving()?.state.appliedIndex() ?? -1);
    await site.runFor(calmMs);
    if (!(await site.reaches(() => new Set(applied()).size === 1, settledMs)))
      throw new LivenessViolation(`long after the last fault the gateways have applied ${applied().join(", ")} entries`);
    site.checker.compareStates(site.gateways);
  }

  /**
   * Every owner comes to hold what any of them holds, by itself: the digests of all partitions with readings are equal, and each
   * owner's own store has every acknowledged reading. Where not all gateways have the version that repairs there is nothing to wait for.
   */
  async #converge(): Promise<void> {
    const site = this.#site;
    const isOn = (): boolean => site.gateways.every((gateway) => (servingOf(gateway)?.state.featureLevel() ?? 0) >= repairLevel);
    if (!isOn()) return;
    const endMs = site.nowMs() + convergeMs;
    for (let problem = await this.#divergence(); problem !== undefined; problem = await this.#divergence()) {
      if (site.nowMs() > endMs) throw new LivenessViolation(`${convergeMs} ms after the site was back ${problem}`);
      await site.runFor(convergeStepMs);
    }
    for (const gateway of site.gateways) {
      const before = horizonsOf(gateway);
      const own = await ownReadings(site, gateway);
      if (!own.ok) throw new SafetyViolation(`${gateway.id} cannot read its own store: ${own.message}`);
      const owned = servingOf(gateway)?.replication.table();
      const horizons = { before, after: highestHorizons(site) };
      for (const device of this.devices) {
        const at = partitionOf(deviceId(device.id), site.hash64);
        if (owned === undefined || !isOwner(owned, at, gateway.id)) continue;
        this.#compareDevice(gateway, device, own.value.get(device.id) ?? new Map(), horizons);
      }
    }
  }

  /** Two owners that do not hold the same, or cannot say; `undefined` when there are none. */
  async #divergence(): Promise<string | undefined> {
    const site = this.#site;
    const horizons = highestHorizons(site);
    const partitions = new Set(this.devices.map((device) => partitionOf(deviceId(device.id), site.hash64)));
    for (const at of partitions) {
      let first: { readonly id: string; readonly text: string } | undefined;
      for (const gateway of site.gateways) {
        const serving = servingOf(gateway);
        if (serving === undefined) return `${gateway.id} does not serve`;
        const ring = serving.replication.ring();
        if (!isOwner(ring.table, at, gateway.id)) continue;
        if (ring.filling.get(at)?.includes(gateway.id) === true) return `${gateway.id} is still filling partition ${at}`;
        const root = await site.answer(serving.healing.digests.root(at, horizons[at] ?? 0));
        if (!root.ok) return `${gateway.id} has no digest of partition ${at}: ${root.message}`;
        if (root.value.digest === undefined) return `${gateway.id} has a damaged chunk in partition ${at}`;
        const text = JSON.stringify(root.value.digest);
        first ??= { id: gateway.id, text };
        if (text !== first.text) return `${first.id} and ${gateway.id} hold different readings of partition ${at}: ${first.text}, ${text}`;
      }
    }
    return undefined;
  }

  #whatIsMissing(): string {
    const waiting = [...this.devices, ...this.#sayers].filter((device) => !device.idle()).map((device) => device.id);
    const leader = this.#site.leader();
    return `${leader === undefined ? "nobody leads" : `${leader.id} leads`}, and ${waiting.length === 0 ? "no device waits" : `${waiting.join(", ")} wait for acknowledgements`}`;
  }

  /** A write of the kv space is committed, at the latest after a few tries. */
  async #writeThrough(gateway: SimulatedGateway): Promise<void> {
    const endMs = this.#site.nowMs() + writeMs;
    for (;;) {
      const service = gateway.running()?.service;
      if (service === undefined) throw new LivenessViolation(`${gateway.id} is not running after the faults`);
      const answer = await this.#site.answer(service.kvPut(`written-by-${gateway.id}`, new TextEncoder().encode("yes"), { kind: "any" }));
      if (answer.ok) return;
      if (this.#site.nowMs() > endMs)
        throw new LivenessViolation(`${gateway.id} gets no write committed within ${writeMs} ms after the faults: ${answer.message}`);
      await this.#site.runFor(writeAgainMs);
    }
  }

  async #check(): Promise<void> {
    for (const gateway of this.#site.gateways) await this.#checkReadings(gateway);
    // What a horizon has passed by now nobody can tell of a reading whose time only the gateway knew.
    if (this.#site.settings.retention.rawMs === undefined)
      for (const gateway of this.#site.gateways) await checkSayers(this.#site, gateway, this.#sayers, { timely: this.#onlyFarClocks });
    await this.#checkResults();
    await this.#checkBackup();
    this.#checkKv();
  }

  /** A backup has every acknowledged reading that is kept, and every result that was committed before it. */
  async #checkBackup(): Promise<void> {
    const gateway = this.#site.gateways.find(({ id }) => this.#site.settings.gateways.some((one) => one.id === id && one.role === "full"));
    if (gateway === undefined) return;
    const rows = await this.#resultsOf(gateway);
    const before = horizonsOf(gateway);
    const backup = await readBackup(this.#site, gateway);
    const horizons = { before, after: highestHorizons(this.#site) };
    for (const device of this.devices) this.#compareDevice(gateway, device, backup.readings.get(device.id) ?? new Map(), horizons);
    for (const { id, revision } of rows)
      if ((backup.results.get(id) ?? 0) < revision)
        throw new SafetyViolation(`the backup of ${gateway.id} lacks ${id} revision ${revision}`);
  }

  /** Every acknowledged reading is there, once, with the value that its identity must have; none was invented. */
  async #checkReadings(gateway: SimulatedGateway): Promise<void> {
    const service = gateway.running()?.service;
    if (service === undefined) throw new SafetyViolation(`${gateway.id} is not running`);
    const givenUpBefore = horizonsOf(gateway);
    const found = new Map<string, Map<number, number>>();
    let cursor: string | undefined;
    do {
      const query = {
        metric: "value",
        device: "device-*",
        fromMs: undefined,
        toMs: undefined,
        consistency: undefined,
        everyMs: undefined,
        aggregate: undefined,
        limit: 500,
        cursor,
      };
      const answer = await this.#site.answer(service.readings(query));
      if (!answer.ok) throw new SafetyViolation(`${gateway.id} cannot answer: ${answer.message}`);
      if (!answer.value.complete) throw new SafetyViolation(`${gateway.id} says that its answer is not complete`);
      for (const { device, points } of answer.value.series) {
        const known = found.get(device) ?? new Map<number, number>();
        found.set(device, known);
        for (const [ms, value] of points) {
          if (known.has(ms)) throw new SafetyViolation(`${gateway.id} answers ${device} at ${ms} twice`);
          known.set(ms, Number(value));
        }
      }
      cursor = answer.value.cursor;
    } while (cursor !== undefined);
    const horizons = { before: givenUpBefore, after: highestHorizons(this.#site) };
    for (const device of this.devices) this.#compareDevice(gateway, device, found.get(device.id) ?? new Map(), horizons);
    await this.#checkCounts(service, gateway);
  }

  /**
   * By the hour each reading counts once at most, whether it is still there or its rollup is, and what is kept counts. Owners make
   * rollups of what they have: of what is given up one of them may have less.
   */
  async #checkCounts(service: GatewayService, gateway: SimulatedGateway): Promise<void> {
    const query = { metric: "value", device: "device-*", fromMs: undefined, toMs: undefined, consistency: undefined, limit: 500 };
    const answer = await this.#site.answer(
      service.readings({ ...query, everyMs: 3_600_000, aggregate: { kind: "count" }, cursor: undefined }),
    );
    if (!answer.ok) throw new SafetyViolation(`${gateway.id} cannot count: ${answer.message}`);
    const horizons = highestHorizons(this.#site);
    for (const device of this.devices) {
      const points = answer.value.series.find((series) => series.device === device.id)?.points ?? [];
      const counted = points.reduce((sum, [, count]) => sum + Number(count), 0);
      const horizonUs = horizons[partitionOf(deviceId(device.id), this.#site.hash64)] ?? 0;
      const kept = new Set(device.acknowledged.filter(({ ms }) => ms * 1_000 >= horizonUs).map(({ ms }) => ms)).size;
      if (counted < kept || counted > device.published.size)
        throw new SafetyViolation(
          `${gateway.id} counts ${counted} readings of ${device.id}: ${kept} were acknowledged and are kept, ${device.published.size} were published`,
        );
    }
  }

  /** What lay below the horizon when the question was put is not in the answer; what is not below it afterwards must be. */
  #compareDevice(
    gateway: SimulatedGateway,
    device: SimulatedDevice,
    found: ReadonlyMap<number, number>,
    horizons: { readonly before: readonly number[]; readonly after: readonly number[] },
  ): void {
    const at = partitionOf(deviceId(device.id), this.#site.hash64);
    const before = horizons.before[at] ?? 0;
    const after = horizons.after[at] ?? 0;
    for (const ms of found.keys())
      if (ms * 1_000 < before) throw new SafetyViolation(`${gateway.id} answers ${device.id} at ${ms}, below the horizon ${before} µs`);
    const expected = new Map<number, PublishedReading>();
    for (const reading of device.acknowledged) {
      const known = expected.get(reading.ms);
      if (known === undefined || known.value < reading.value) expected.set(reading.ms, reading);
    }
    for (const reading of expected.values()) {
      if (reading.ms * 1_000 < after) continue;
      if (found.get(reading.ms) !== reading.value)
        throw new SafetyViolation(
          `${gateway.id} lost ${device.id} at ${reading.ms}: ${reading.value} was acknowledged, ${String(found.get(reading.ms))} is there`,
        );
    }
    for (const [ms, value] of found) {
      if (device.published.get(ms)?.value !== value)
        throw new SafetyViolation(`${gateway.id} has ${device.id} at ${ms} as ${value}, which was never published last`);
    }
  }

  /** The same rows everywhere, each id once, and each sink's file holds exactly the committed rows. */
  async #checkResults(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const commits = this.#commits();
      const pictures: string[] = [];
      for (const gateway of this.#site.gateways) {
        const rows = await this.#resultsOf(gateway);
        pictures.push(JSON.stringify(rows));
        await this.#checkSink(gateway, rows);
      }
      // The job goes on: answers count when nothing was committed between them.
      if (this.#commits() !== commits && tries < 10) continue;
      const other = pictures.findIndex((picture) => picture !== pictures[0]);
      if (other < 0) return;
      throw new SafetyViolation(`${this.#site.gateways[other]?.id ?? ""} has other results than ${this.#site.gateways[0]?.id ?? ""}`);
    }
  }

  #commits(): string {
    return this.#site.gateways.map((gateway) => gateway.running()?.gateway.serving()?.state.job("mean")?.commits ?? 0).join(" ");
  }

  async #resultsOf(gateway: SimulatedGateway): Promise<readonly ResultRow[]> {
    const service = gateway.running()?.service;
    if (service === undefined) throw new SafetyViolation(`${gateway.id} is not running`);
    const endMs = this.#site.nowMs() + resultsMs;
    for (;;) {
      const answer = await this.#site.answer(service.results({ job: "mean", fromMs: undefined, toMs: undefined }));
      if (answer.ok) return answer.value;
      // It may say that it is not there yet, while the network goes on losing what it fetches; but not for ever.
      if (answer.code !== "not-ready") throw new SafetyViolation(`${gateway.id} cannot answer results: ${answer.message}`);
      if (this.#site.nowMs() > endMs)
        throw new LivenessViolation(`${gateway.id} has no results ${resultsMs} ms after the faults: ${answer.message}`);
    }
  }

  async #checkSink(gateway: SimulatedGateway, rows: readonly ResultRow[]): Promise<void> {
    const standing = (): Set<string> => {
      const lines = (gateway.disk.resultText("archive.ndjson") ?? "").split("\n").filter((line) => line !== "");
      const seen = lines.map((line) => JSON.parse(line) as { id: string; revision: number }).map((row) => `${row.id}#${row.revision}`);
      const unique = new Set(seen);
      if (unique.size !== seen.length) throw new SafetyViolation(`${gateway.id}'s file sink holds a row twice`);
      return unique;
    };
    const missing = (): ResultRow | undefined => {
      const found = standing();
      return rows.find((row) => !found.has(`${row.id}#${row.revision}`));
    };
    // A row is stored first, and appended to the file soon after.
    if (!(await this.#site.reaches(() => missing() === undefined, sinkMs)))
      throw new SafetyViolation(`${gateway.id}'s file sink lacks ${missing()?.id ?? ""}`);
  }

  #checkKv(): void {
    const byKey = new Map<string, HistoryEntry[]>();
    for (const client of this.#kv) for (const [key, entries] of client.history) byKey.set(key, [...(byKey.get(key) ?? []), ...entries]);
    const verdict = judgeKeys(byKey);
    if (verdict.kind === "not-linearizable") throw new SafetyViolation(`the kv space is not linearizable: ${verdict.problem}`);
    if (verdict.kind === "undecided") throw new Undecided(`whether the kv space is linearizable: ${verdict.problem}`);
  }
}

function servingOf(gateway: SimulatedGateway): Serving | undefined {
  return gateway.running()?.gateway.serving();
}
