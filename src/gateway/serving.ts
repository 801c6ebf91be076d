/**
 * Everything that a gateway does once it is a member of a cluster: built in one place, in the order in which the parts
 * need each other. `Gateway` decides when.
 */

import { compileProfiles, type ProfileSet } from "../config/profile-set.ts";
import { RaftNode } from "../core/raft/raft-node.ts";
import type { RestoredState } from "../core/raft/raft-state.ts";
import type { RaftRules } from "../core/raft/rules.ts";
import { copiesRequired } from "../core/replica/rules.ts";
import { decodeOwnerTable } from "../core/ring/owner-table.ts";
import type { ApplyResult } from "../core/site/apply-result.ts";
import type { BootstrapCommand, SiteCommand } from "../core/site/commands.ts";
import { SiteState } from "../core/site/site-state.ts";
import { type Calendar, createCalendar } from "../lib/calendar.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, type GatewayId, partitionOf } from "../lib/ids.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import { Consensus } from "./consensus.ts";
import type { GatewayContext } from "./context.ts";
import type { EventHub } from "./event-hub.ts";
import { IngestCounters } from "./ingest/counters.ts";
import { Ingest } from "./ingest/ingest.ts";
import { Stamper } from "./ingest/stamper.ts";
import { AttemptKeeper, type AttemptRows } from "./jobs/attempt-rows.ts";
import { JobRunner } from "./jobs/job-runner.ts";
import { Results } from "./jobs/results.ts";
import { LogWatch } from "./log-watch.ts";
import type { MeshRouter } from "./mesh-router.ts";
import { FanOut } from "./query/fan-out.ts";
import { LocalReader } from "./query/local-reader.ts";
import { Queries } from "./query/queries.ts";
import type { ReadingsLog } from "./readings-log.ts";
import { Registrar } from "./registrar.ts";
import { Replication } from "./replication.ts";
import type { Requests } from "./requests.ts";
import { SeriesReader } from "./series/series-reader.ts";
import type { SeriesStore } from "./series/series-store.ts";

/** Rules that tests substitute to plant bugs. */
export interface GatewayRules {
  readonly raft?: Partial<RaftRules>;
  readonly copiesRequired?: typeof copiesRequired;
}

export interface ServingOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly events: EventHub;
  readonly bootstrap: BootstrapCommand;
  readonly raftLog: Log;
  readonly restoredRaft: RestoredState;
  readonly readingsLog: ReadingsLog;
  readonly store: Store;
  readonly seriesStore: SeriesStore;
  readonly restoredAttempts: readonly AttemptRows[];
  /** Stamps up to here may have been given out by earlier starts. */
  readonly stampFloorUs: number;
  readonly rules: GatewayRules;
  /** After each applied entry. */
  readonly applied: (command: SiteCommand | undefined) => void;
}

const ackTimeoutMs = 20_000;
const maintainMs = 1_000;
/** A kv value of 1 MiB, its key and what the encoding adds. */
const commandBytesMax = (1 << 20) + (64 << 10);

export class Serving {
  readonly state = new SiteState();
  readonly counters = new IngestCounters();
  readonly calendar: Calendar;
  readonly profiles: ProfileSet;
  readonly stamper: Stamper;
  readonly consensus: Consensus;
  readonly replication: Replication;
  readonly ingest: Ingest;
  readonly registrar: Registrar;
  readonly localReader: LocalReader;
  readonly queries: Queries;
  readonly attempts: AttemptKeeper;
  readonly results: Results;
  readonly jobs: JobRunner;
  readonly seriesStore: SeriesStore;
  readonly readingsLog: ReadingsLog;
  readonly raftLog: Log;
  readonly logWatch: LogWatch;
  readonly bootstrap: BootstrapCommand;
  readonly labels: ReadonlyMap<DeviceId, Readonly<Record<string, string>>>;
  readonly #options: ServingOptions;
  #stopped = false;
  #storeBytes = 0;

  private constructor(options: ServingOptions, table: ReturnType<typeof decodeOwnerTable> & { ok: true }) {
    const { context, router, requests, bootstrap } = options;
    const { settings, clock, ports } = context;
    this.#options = options;
    this.bootstrap = bootstrap;
    this.seriesStore = options.seriesStore;
    this.readingsLog = options.readingsLog;
    this.raftLog = options.raftLog;
    this.logWatch = new LogWatch(
      [
        { name: "readings log", log: options.readingsLog.log },
        { name: "Raft log", log: options.raftLog },
      ],
      context.diagnostics,
    );
    this.labels = new Map(settings.inventory.map((entry) => [entry.id, entry.labels]));
    const labelsOf = (device: DeviceId) => this.labels.get(device) ?? {};
    const gateways = bootstrap.gateways.map((gateway) => gateway.id);
    this.calendar = createCalendar(settings.timeZone);
    this.profiles = compileProfiles(settings.profiles, settings.inventory);
    this.stamper = new Stamper({ slot: context.slot, floorUs: options.stampFloorUs });
    this.consensus = new Consensus({
      context,
      router,
      requests,
      node: this.#raftNode(gateways),
      log: options.raftLog,
      state: this.state,
      applied: (_index, command, result) => this.#applied(command, result),
      roleChanged: (role, term, leader) => {
        context.diagnostics.info("raft-role", { role, term, leader });
        options.events.emit({ type: "leadership", leader, term });
      },
    });
    const rule = options.rules.copiesRequired ?? copiesRequired;
    this.replication = new Replication({
      context,
      router,
      log: options.readingsLog,
      stamper: this.stamper,
      counters: this.counters,
      ownerTable: table.value,
      ackTimeoutMs,
      copiesRequired: rule,
      mayTake: () => this.seriesStore.mayTake(),
      partitionOf: ({ device, metric }) => this.seriesStore.index.find(device, metric)?.partition ?? partitionOf(device, ports.hash64),
      store: (columns, sequence) => this.seriesStore.apply(columns, sequence),
      acknowledged: (round) => options.events.acknowledged(round),
    });
    this.registrar = new Registrar({ context, consensus: this.consensus, state: this.state });
    this.ingest = new Ingest({
      context,
      profiles: this.profiles,
      counters: this.counters,
      stamper: this.stamper,
      laneOf: (at) => this.replication.laneOf(at),
      filled: (lane, payloadBytes) => this.replication.filled(lane, payloadBytes),
      pendingBytes: () => this.replication.pendingBytes(),
      mayTake: () => this.seriesStore.mayTake(),
      seen: (device, profile, metric) => this.registrar.seen(device, profile, metric),
    });
    this.replication.attach(this.ingest);
    const ownerTable = () => this.replication.table();
    this.localReader = new LocalReader({
      self: context.self,
      index: this.seriesStore.index,
      reader: new SeriesReader(this.seriesStore),
      calendar: this.calendar,
      ownerTable,
      labelsOf,
    });
    const fanOut = new FanOut({ self: context.self, clock, ownerTable, reachable: (peer) => router.reachable(peer), copiesRequired: rule });
    this.queries = new Queries({
      self: context.self,
      hash64: ports.hash64,
      requests,
      local: this.localReader,
      fanOut,
      calendar: this.calendar,
      epoch: () => ownerTable().epoch,
      labelsOf,
    });
    this.attempts = new AttemptKeeper({
      context,
      log: options.readingsLog,
      requests,
      restored: options.restoredAttempts,
      useless: (rows) =>
        (this.state.job(rows.job)?.windows.get(rows.fromMs)?.revision ?? 0) > rows.baseRevision && !this.results.needs(rows),
    });
    this.results = new Results({
      context,
      store: options.store,
      requests,
      router,
      attempts: this.attempts,
      gateways,
      stored: (row) => options.events.emit({ type: "result", row }),
    });
    this.jobs = new JobRunner({
      context,
      consensus: this.consensus,
      state: this.state,
      queries: this.queries,
      attempts: this.attempts,
      results: this.results,
      calendar: this.calendar,
      gateways,
      clockDeviationMs: () => router.clockDeviationMs(gateways.length),
    });
  }

  /** Builds the parts and lets them begin. Fails with `store-damaged` or `data-damaged`. */
  static async begin(options: ServingOptions): Promise<Result<Serving>> {
    const table = decodeOwnerTable(options.bootstrap.owners);
    if (!table.ok) return failure("data-damaged", `the site's first entry holds no owner table: ${table.message}`);
    const serving = new Serving(options, table);
    const opened = await serving.results.open();
    if (!opened.ok) return opened;
    serving.consensus.start();
    serving.jobs.start();
    serving.#maintain();
    void serving.#registerStart();
    return success(serving);
  }

  peerAdmitted(peer: GatewayId): void {
    this.replication.peerUp(peer);
    this.consensus.step({ type: "peer-up", peer });
  }

  peerDown(peer: GatewayId): void {
    this.consensus.step({ type: "peer-down", peer });
  }

  /** Bytes of the store on disk, as of the last look. */
  storeBytes(): number {
    return this.#storeBytes;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.jobs.stop();
    this.replication.stop();
    this.consensus.stop();
    await this.results.stop();
  }

  #raftNode(voters: readonly GatewayId[]): RaftNode {
    const { context, restoredRaft, rules } = this.#options;
    return new RaftNode({
      self: context.self,
      voters,
      timings: context.settings.raft.preset,
      random: context.random.fork(),
      restored: restoredRaft,
      nowMs: context.clock.monotonicMs(),
      limits: { commandBytesMax },
      ...(rules.raft === undefined ? {} : { rules: rules.raft }),
    });
  }

  #applied(command: SiteCommand | undefined, result: ApplyResult): void {
    if (result.t === "commit") this.results.committed(result.runs);
    this.#options.applied(command);
  }

  #maintain(): void {
    if (this.#stopped) return;
    this.#options.context.clock.schedule(maintainMs, () => {
      this.#options.context.inbox.post(() => this.seriesStore.maintain());
      this.logWatch.look();
      this.#measureStore();
      this.#maintain();
    });
  }

  #measureStore(): void {
    this.#options.store.sizeBytes().then(
      (bytes) => {
        this.#storeBytes = bytes;
      },
      () => undefined,
    );
  }

  /** Tells the site which start this is, so that an older copy of the folder is recognised later. */
  async #registerStart(): Promise<void> {
    const { context } = this.#options;
    while (!this.#stopped && !context.inbox.closed()) {
      const { self: gateway, session, startCount } = context;
      const result = await this.consensus.propose({ t: "gateway-started", gateway, startCount, session }, 10_000);
      if (result.ok) return;
    }
  }
}
