/**
 * Everything that a gateway does once it is a member of a cluster: built in one place, in the order in which the parts
 * need each other. `Gateway` decides when.
 */

import { compileProfiles, type ProfileSet } from "../config/profile-set.ts";
import type { SiteSettings } from "../config/settings.ts";
import { answeredLevel } from "../config/survival.ts";
import { raftPresets } from "../core/raft/options.ts";
import { RaftNode } from "../core/raft/raft-node.ts";
import type { ReplayedLog } from "../core/raft/replay.ts";
import { copiesRequired } from "../core/replica/rules.ts";
import { foundRing, type RingState } from "../core/ring/owner-changes.ts";
import { partitionsOf } from "../core/ring/owner-table.ts";
import { type RoundVersion, roundVersionAt } from "../core/round/round-codec.ts";
import type { ApplyResult } from "../core/site/apply-result.ts";
import type { BootstrapCommand, SiteCommand } from "../core/site/commands.ts";
import { SiteState } from "../core/site/site-state.ts";
import { type Calendar, createCalendar } from "../lib/calendar.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, type GatewayId, type Incarnation, partitionOf } from "../lib/ids.ts";
import type { ReadingColumns, SeriesName } from "../lib/reading-columns.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import { Backups } from "./backup/backup.ts";
import { ReadingsWriter } from "./backup/readings-writer.ts";
import { Restore } from "./backup/restore.ts";
import { ClockJournal } from "./clock-journal.ts";
import { Consensus } from "./consensus/consensus.ts";
import { SiteMembership } from "./consensus/site-membership.ts";
import { Snapshotter } from "./consensus/snapshotter.ts";
import type { GatewayContext } from "./context.ts";
import { SpaceWatch } from "./disk-space.ts";
import type { EventHub } from "./event-hub.ts";
import type { OwnerFilled } from "./filling.ts";
import { GivenAway } from "./given-away.ts";
import { Hints, mayForgetKept } from "./hints/hints.ts";
import type { OpenedKept } from "./hints/kept-disk.ts";
import { Priming } from "./hints/priming.ts";
import { IngestCounters } from "./ingest/counters.ts";
import { Ingest } from "./ingest/ingest.ts";
import { Stamper } from "./ingest/stamper.ts";
import type { AttemptRows } from "./jobs/attempt-rows.ts";
import { SiteJobs } from "./jobs/site-jobs.ts";
import { type FsyncLimit, LogWatch } from "./log-watch.ts";
import type { MeshRouter } from "./mesh-router.ts";
import { OfferedRounds } from "./offered-rounds.ts";
import { pause } from "./pause.ts";
import { FanOut } from "./query/fan-out.ts";
import { LocalReader } from "./query/local-reader.ts";
import { Queries } from "./query/queries.ts";
import type { ReadingsLog } from "./readings-log.ts";
import { Registrar } from "./registrar.ts";
import { Healing } from "./repair/healing.ts";
import { ReadingsKeeper } from "./repair/readings-keeper.ts";
import { Replication } from "./replication.ts";
import type { Requests } from "./requests.ts";
import { Retention } from "./retention/retention.ts";
import { RingGate } from "./ring-gate.ts";
import { Roster } from "./roster.ts";
import type { GatewayRules } from "./rules.ts";
import { Rollups } from "./series/rollups.ts";
import { SeriesReader } from "./series/series-reader.ts";
import type { SeriesStore } from "./series/series-store.ts";
import type { MemberAddress } from "./service.ts";
import { agreementOf, SiteClock } from "./site-clock.ts";

export interface ServingOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly requests: Requests;
  readonly events: EventHub;
  readonly bootstrap: BootstrapCommand;
  readonly raftLog: Log;
  readonly restoredRaft: ReplayedLog;
  /** The site's state as of the restored snapshot; `undefined` where there is none. */
  readonly restoredState: Uint8Array | undefined;
  readonly readingsLog: ReadingsLog;
  readonly hints: OpenedKept;
  readonly held: OpenedKept;
  readonly store: Store;
  readonly seriesStore: SeriesStore;
  readonly restoredAttempts: readonly AttemptRows[];
  /** Stamps up to here may have been given out by earlier starts. */
  readonly stampFloorUs: number;
  readonly rules: GatewayRules;
  /** After each applied entry. */
  readonly applied: (command: SiteCommand | undefined) => void;
  /** The state was replaced by a snapshot's. */
  readonly restored: () => void;
  /** The folder that a peer is admitted with; `undefined` while it is not. */
  readonly incarnationOf: (peer: GatewayId) => Incarnation | undefined;
  readonly featureMaxOf: (peer: GatewayId) => number | undefined;
}

const ackTimeoutMsDefault = 20_000;
const maintainMs = 1_000;
/** The feature level from which gateways know `keep-readings`, stand-ins and what is asked of them. */
const keepingLevel = 4;
/** While so many bytes of payloads wait for their copies, rounds that are kept for others wait for them. */
const keptWaitBytes = 4 << 20;
const ownerFilledTimeoutMs = 10_000;
const ringPollMs = 20;
/** A gateway that does not know the time hears it from its peers, when they are there. */
const timeWaitMs = 3_000;
/** A kv value of 1 MiB, its key and what the encoding adds. */
const commandBytesMax = (1 << 20) + (64 << 10);

export class Serving {
  readonly state: SiteState;
  readonly counters = new IngestCounters();
  readonly calendar: Calendar;
  readonly profiles: ProfileSet;
  readonly stamper: Stamper;
  readonly siteClock: SiteClock;
  readonly clockJournal: ClockJournal;
  readonly consensus: Consensus;
  readonly membership: SiteMembership;
  readonly roster: Roster;
  readonly ringGate: RingGate;
  readonly replication: Replication;
  readonly offeredRounds: OfferedRounds;
  readonly ingest: Ingest;
  readonly keeper: ReadingsKeeper;
  readonly priming: Priming;
  readonly hints: Hints;
  readonly healing: Healing;
  readonly registrar: Registrar;
  readonly localReader: LocalReader;
  readonly queries: Queries;
  readonly jobs: SiteJobs;
  readonly backups: Backups;
  readonly restore: Restore;
  readonly retention: Retention;
  readonly seriesStore: SeriesStore;
  readonly readingsLog: ReadingsLog;
  readonly raftLog: Log;
  readonly logWatch: LogWatch;
  readonly spaceWatch: SpaceWatch;
  readonly bootstrap: BootstrapCommand;
  readonly labels: ReadonlyMap<DeviceId, Readonly<Record<string, string>>>;
  readonly #options: ServingOptions;
  readonly #givenAway: GivenAway;
  #stopped = false;
  #storeBytes = 0;

  private constructor(options: ServingOptions, ring: RingState) {
    const { context, router, requests, bootstrap } = options;
    const { settings, clock, ports } = context;
    this.#options = options;
    this.state = new SiteState({ sessionEntriesMax: context.tuning.sessionEntriesMax });
    this.bootstrap = bootstrap;
    this.seriesStore = options.seriesStore;
    const rawHorizonUs = (at: number) => this.state.horizonUs("raw", at);
    const rollupHorizonUs = (at: number) => this.state.horizonUs("rollup", at);
    this.#givenAway = new GivenAway(context.self);
    const keptFromUs = (horizonUs: (at: number) => number) => (at: number) =>
      this.#givenAway.keptFromUs(this.replication.table(), at, horizonUs(at));
    this.seriesStore.retain(keptFromUs(rawHorizonUs), keptFromUs(rollupHorizonUs));
    this.readingsLog = options.readingsLog;
    this.raftLog = options.raftLog;
    this.logWatch = new LogWatch({
      logs: [
        { name: "readings log", log: options.readingsLog.log },
        { name: "Raft log", log: options.raftLog },
        { name: "log of held rounds", log: options.held.log },
      ],
      fsync: { log: options.raftLog, ...fsyncLimits(settings) },
      diagnostics: context.diagnostics,
    });
    this.spaceWatch = new SpaceWatch({ space: ports.space, reserveBytes: context.tuning.reserveBytes, diagnostics: context.diagnostics });
    const mayTake = () => this.seriesStore.mayTake() && this.spaceWatch.mayTake();
    this.labels = new Map(settings.inventory.map((entry) => [entry.id, entry.labels]));
    const labelsOf = (device: DeviceId) => this.labels.get(device) ?? {};
    const { self, incarnation } = context;
    this.roster = new Roster({ self, incarnation, bootstrap, state: this.state, incarnationOf: options.incarnationOf });
    const gateways = () => this.roster.gateways();
    this.calendar = createCalendar(settings.timeZone);
    this.profiles = compileProfiles(settings.profiles, settings.inventory);
    this.stamper = new Stamper({ slot: context.slot, floorUs: options.stampFloorUs });
    this.siteClock = new SiteClock({
      clock,
      peers: () => router.peerClocks(),
      gateways: () => this.roster.count(),
      rule: options.rules.clockAgreement ?? agreementOf,
    });
    const node = this.#raftNode();
    this.consensus = new Consensus({
      context,
      router,
      requests,
      node,
      log: options.raftLog,
      recordsAt: options.restoredRaft.recordsAt,
      state: this.state,
      snapshotter: (step) =>
        new Snapshotter({
          context,
          requests,
          files: ports.snapshots,
          state: this.state,
          positionAt: (index) => node.positionAt(index),
          step,
        }),
      memberOf: (gateway) => this.roster.memberOf(gateway),
      gatewayOf: (member) => this.roster.gatewayOf(member),
      applied: (command, result) => this.#applied(command, result),
      restored: () => this.#restored(),
      roleChanged: (role, term, leader) => {
        context.diagnostics.info("raft-role", { role, term, leader });
        options.events.emit({ type: "leadership", leader, term });
      },
    });
    this.clockJournal = new ClockJournal({
      context,
      consensus: this.consensus,
      state: this.state,
      floorUs: options.stampFloorUs,
      nowUs: () => this.siteClock.wallMs() * 1_000,
    });
    this.membership = new SiteMembership({
      context,
      consensus: this.consensus,
      requests,
      state: this.state,
      selfMember: this.roster.selfMember,
      featureMaxOf: options.featureMaxOf,
      reachable: (gateway) => router.reachable(gateway),
      addressOf: (gateway) => addressInSettings(settings, gateway),
    });
    this.ringGate = new RingGate({ context, state: this.state, founding: ring, pass: (passed) => this.#ringPassed(passed) });
    const keeping = {
      log: options.readingsLog,
      roundVersion: () => this.#roundVersion(),
      mayTake,
      partitionOf: ({ device, metric }: SeriesName) =>
        this.seriesStore.index.find(device, metric)?.partition ?? partitionOf(device, ports.hash64),
      store: (columns: ReadingColumns, sequence: number) => this.seriesStore.apply(columns, sequence),
    };
    const rule = options.rules.copiesRequired ?? copiesRequired;
    this.replication = new Replication({
      context,
      router,
      stamper: this.stamper,
      clockSynchronised: () => this.siteClock.synchronised(),
      counters: this.counters,
      ring: this.ringGate.closed(),
      ackTimeoutMs: settings.replication.ackTimeoutMs ?? ackTimeoutMsDefault,
      copiesRequired: rule,
      ...keeping,
      acknowledged: (round) => options.events.acknowledged(round),
    });
    const { takesEpoch } = options.rules;
    this.offeredRounds = new OfferedRounds({
      context,
      router,
      ring: () => this.replication.ring(),
      ...keeping,
      ...(takesEpoch === undefined ? {} : { takesEpoch }),
    });
    this.keeper = new ReadingsKeeper({
      context,
      requests,
      ring: () => this.replication.ring(),
      roundNumber: () => this.replication.roundNumber(),
      ...keeping,
    });
    this.registrar = new Registrar({ context, consensus: this.consensus, state: this.state });
    const refusal = () => (this.spaceWatch.mayTake() ? (this.seriesStore.mayTake() ? undefined : "store-behind") : "disk-full");
    this.ingest = new Ingest({
      context,
      profiles: this.profiles,
      counters: this.counters,
      stamper: this.stamper,
      siteClock: this.siteClock,
      stamped: (stampUs) => this.clockJournal.stamped(stampUs, this.siteClock.synchronised()),
      laneOf: (at, level) => this.replication.laneOf(at, level),
      filled: (lane, payloadBytes) => this.replication.filled(lane, payloadBytes),
      pendingBytes: () => this.replication.pendingBytes(),
      refusal,
      horizonUs: rawHorizonUs,
      seen: (device, profile, metric) => this.registrar.seen(device, profile, metric),
    });
    this.priming = new Priming({
      context,
      requests,
      ring: () => this.replication.ring(),
      isFounder: bootstrap.gateways.some(({ incarnation }) => incarnation === context.incarnation),
      isDamaged: options.held.lost !== undefined,
      isWitness: () => this.hints.standIn.witness() === context.self,
    });
    this.hints = new Hints({
      context,
      router,
      requests,
      hints: options.hints,
      held: options.held,
      ring: () => this.replication.ring(),
      appliedEpoch: () => this.state.ring()?.table.epoch ?? 0,
      fresh: (timeoutMs) => this.consensus.fresh(timeoutMs),
      members: () => this.state.members().values(),
      isPrimed: () => this.priming.isPrimed(),
      partitionOf: keeping.partitionOf,
      offer: async (to, lot) => {
        if (to !== context.self) return this.keeper.offer(to, lot);
        // Its own log had no room for a round that others stored.
        const kept = await this.keeper.keep(lot.round);
        return kept.ok ? success(undefined) : kept;
      },
      roundNumber: () => this.replication.roundNumber(),
      roundVersion: keeping.roundVersion,
      copiesRequired: rule,
      isKnown: () => Math.min(context.tuning.featureMax, this.state.featureLevel()) >= keepingLevel,
      mayTake: () => this.spaceWatch.mayTake(),
      mayWriteHints: () =>
        (this.spaceWatch.freeBytes() ?? Number.POSITIVE_INFINITY) >= 2 * context.tuning.reserveBytes &&
        this.retention.diskState() !== "low",
      isBusy: () => this.replication.pendingBytes() >= keptWaitBytes,
      laneOf: (at) => this.replication.laneOf(at, "quorum"),
      filled: (lane, bytes) => this.replication.filled(lane, bytes),
      obtainRef: (name) => this.ingest.obtainRef(name),
      mayForget: options.rules.mayForgetKept ?? mayForgetKept,
    });
    this.replication.attach(this.ingest, this.hints);
    const currentRing = () => this.replication.ring();
    const rollups = new Rollups({
      store: options.store,
      damaged: (where, why) =>
        context.diagnostics.warn("rollup-damaged", { where, why, next: "readings are read in its place, if there are any" }),
    });
    const reader = new SeriesReader(this.seriesStore);
    this.localReader = new LocalReader({
      self: context.self,
      index: this.seriesStore.index,
      reader,
      calendar: this.calendar,
      ring: currentRing,
      leftAtEpoch: (at) => this.#givenAway.leftAtEpoch(at),
      labelsOf,
      clock,
      rollups: context.tuning.rollups ? rollups : undefined,
      blocks: rollups,
      rawHorizonUs,
      rollupHorizonUs,
    });
    this.healing = new Healing({
      context,
      requests,
      rules: options.rules,
      ring: currentRing,
      featureLevel: () => this.state.featureLevel(),
      reachable: (peer) => router.reachable(peer),
      gateways,
      seriesStore: this.seriesStore,
      reader,
      rollups,
      localReader: this.localReader,
      keeper: this.keeper,
      mayTake,
      rawHorizonUs,
      pendingReadings: () => this.replication.pendingReadings(),
      drained: (owner, epoch) => this.hints.standIn.drained(owner, epoch),
      propose: (filled) => this.#ownerFilled(filled),
    });
    const fanOut = new FanOut({
      self: context.self,
      clock,
      ring: currentRing,
      reachable: (peer) => router.reachable(peer),
      copiesRequired: rule,
      standIn: this.hints.standIn,
    });
    this.queries = new Queries({
      self: context.self,
      hash64: ports.hash64,
      clock,
      requests,
      local: this.localReader,
      fanOut,
      calendar: this.calendar,
      labelsOf,
      rawHorizonUs,
      readRepair: this.healing.readRepair,
    });
    const clocksWithin = (deviationMaxMs: number) => {
      const near = this.siteClock.isOwnSteady() ? router.clocksWithin(deviationMaxMs) : 0;
      const all = this.roster.count();
      return { near: options.rules.clocksNear?.(near, all) ?? near, gateways: all };
    };
    this.jobs = new SiteJobs({
      context,
      router,
      requests,
      events: options.events,
      consensus: this.consensus,
      state: this.state,
      log: options.readingsLog,
      store: options.store,
      restoredAttempts: options.restoredAttempts,
      queries: this.queries,
      calendar: this.calendar,
      gateways,
      horizonMs: () => Math.ceil(this.retention.view().raw.highestMs),
      clocksWithin,
    });
    const { consensus, state, queries } = this;
    const { attempts, results, windows } = this.jobs;
    this.backups = new Backups({
      context,
      consensus,
      state,
      results,
      queries,
      pendingReadings: () => this.replication.pendingReadings(),
    });
    const writer = new ReadingsWriter({
      context,
      ingest: this.ingest,
      laneOf: (at) => this.replication.laneOf(at, answeredLevel(settings.replication.write)),
      filled: (lane, bytes) => this.replication.filled(lane, bytes),
      pendingBytes: () => this.replication.pendingBytes(),
      refusal,
    });
    this.restore = new Restore({ context, consensus, state, results, attempts, queries, writer });
    this.retention = new Retention({
      context,
      consensus: this.consensus,
      state: this.state,
      store: {
        dropBefore: async (chunksMax, lagUs) => {
          const dropped = await this.seriesStore.dropBefore(chunksMax, lagUs);
          if (!dropped.ok) throw new Error(dropped.message);
          return dropped.value.chunks;
        },
        release: async () => {
          if (!this.seriesStore.isHeldUp()) return false;
          await this.seriesStore.checkpoint();
          return !this.seriesStore.isHeldUp();
        },
        giveBack: () => this.seriesStore.giveBack(),
      },
      stock: {
        raw: { oldestUs: () => this.seriesStore.oldestUs(), bytesBefore: (us) => this.seriesStore.bytesBefore(us) },
        rollup: { oldestUs: () => this.seriesStore.oldestBlockUs(), bytesBefore: (us) => this.seriesStore.blockBytesBefore(us) },
      },
      storeBytes: () => this.#storeBytes,
      space: this.spaceWatch,
      ownPartitions: () => partitionsOf(this.replication.table(), context.self),
      windows,
      clocksWithin,
    });
  }

  /** Builds the parts and lets them begin. Fails with `store-damaged` or `data-damaged`. */
  static async begin(options: ServingOptions): Promise<Result<Serving>> {
    const founded = foundRing(options.bootstrap.owners);
    if (!founded.ok) return failure("data-damaged", `the site's first entry holds no owner table: ${founded.message}`);
    const serving = new Serving(options, founded.value);
    const gate = await serving.ringGate.open();
    if (!gate.ok) return gate;
    const primed = await serving.priming.open();
    if (!primed.ok) return primed;
    const restored = serving.#restoreState();
    if (!restored.ok) return restored;
    const opened = await serving.jobs.results.open();
    if (!opened.ok) return opened;
    serving.consensus.start();
    serving.membership.start();
    serving.jobs.runner.start();
    serving.retention.start();
    serving.healing.repair.start();
    void serving.spaceWatch.look();
    serving.#maintain();
    void serving.#registerStart();
    return success(serving);
  }

  /** Resolves when the time of stamps is confirmed; without others to confirm it, or after a while, also when it is not. */
  async timeConfirmed(): Promise<void> {
    const { clock } = this.#options.context;
    const untilMs = clock.monotonicMs() + timeWaitMs;
    while (!this.#stopped && this.roster.count() > 1 && !this.siteClock.synchronised() && clock.monotonicMs() < untilMs)
      await pause(clock, ringPollMs);
  }

  peerAdmitted(peer: GatewayId): void {
    this.replication.peerUp(peer);
    this.healing.repair.peerAdmitted();
    this.hints.look();
    const member = this.roster.memberOf(peer);
    if (member !== undefined) this.consensus.step({ type: "peer-up", peer: member });
  }

  peerDown(peer: GatewayId): void {
    const member = this.roster.memberOf(peer);
    if (member !== undefined) this.consensus.step({ type: "peer-down", peer: member });
  }

  /** Bytes of the store on disk, as of the last look. */
  storeBytes(): number {
    return this.#storeBytes;
  }

  async stop(): Promise<void> {
    this.jobs.runner.stop();
    this.retention.stop();
    await this.consensus.handOver();
    this.#stopped = true;
    this.membership.stop();
    this.healing.stop();
    this.hints.stop();
    this.replication.stop();
    this.consensus.stop();
    await this.jobs.results.stop();
  }

  #roundVersion(): RoundVersion {
    return roundVersionAt(Math.min(this.#options.context.tuning.featureMax, this.state.featureLevel()));
  }

  #raftNode(): RaftNode {
    const { context, restoredRaft, rules } = this.#options;
    return new RaftNode({
      self: this.roster.selfMember,
      timings: context.settings.raft.preset,
      random: context.random.fork(),
      restored: restoredRaft,
      nowMs: context.clock.monotonicMs(),
      limits: { ...context.tuning.raftLimits, commandBytesMax },
      ...(rules.raft === undefined ? {} : { rules: rules.raft }),
    });
  }

  /** Before the log is replayed over it. */
  #restoreState(): Result<void> {
    const { restoredState, context } = this.#options;
    if (restoredState === undefined) return success(undefined);
    const restored = this.state.restore(restoredState, context.packing);
    if (!restored.ok) return restored;
    this.ringGate.changed();
    return success(undefined);
  }

  #ringPassed(ring: RingState): void {
    const before = this.replication.table();
    this.replication.ringChanged(ring);
    for (const at of this.#givenAway.passed(before, ring)) this.healing.digests.forget(at);
    this.healing.filling.look();
    this.hints.look();
  }

  /** Resolves once the site has agreed, and this gateway acts accordingly. */
  async #ownerFilled(filled: OwnerFilled): Promise<Result<void>> {
    const result = await this.consensus.propose({ t: "owner-filled", ...filled }, ownerFilledTimeoutMs);
    if (!result.ok) return result;
    if (result.value.t !== "member" || !result.value.ok) return failure("ring-changed", "the owners changed meanwhile");
    while (!this.#stopped && this.replication.ring().table.epoch <= filled.epoch) {
      await pause(this.#options.context.clock, ringPollMs);
    }
    return success(undefined);
  }

  #restored(): void {
    this.ringGate.changed();
    this.jobs.results.restored();
    this.#options.restored();
  }

  #applied(command: SiteCommand | undefined, result: ApplyResult): void {
    if (result.t === "commit") this.jobs.results.committed(result.runs);
    if (result.t === "member" || command?.t === "bootstrap") this.ringGate.changed();
    this.#options.applied(command);
  }

  #maintain(): void {
    if (this.#stopped) return;
    this.#options.context.clock.schedule(maintainMs, () => {
      this.#options.context.inbox.post(() => this.seriesStore.maintain());
      this.logWatch.look();
      // What the clock was is known also where nobody has asked for a while.
      this.clockJournal.look(this.siteClock.synchronised());
      void this.spaceWatch.look();
      this.#options.context.inbox.post(() => {
        this.replication.watchOwners();
        this.hints.tick();
        this.priming.look();
      });
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
      const { self: gateway, session, startCount, incarnation } = context;
      const result = await this.consensus.propose({ t: "gateway-started", gateway, startCount, session, incarnation }, 10_000);
      if (result.ok) return;
    }
  }
}

function fsyncLimits({ raft }: SiteSettings): Omit<FsyncLimit, "log"> {
  const remedy =
    raft.preset === "slow-disk"
      ? "Use a faster disk for the data folder."
      : "Use a faster disk, or set raft: { preset: slow-disk } in the site's YAML.";
  return { electionTimeoutMinMs: raftPresets[raft.preset].electionTimeoutMinMs, remedy };
}

function addressInSettings(settings: SiteSettings, gateway: GatewayId): MemberAddress | undefined {
  const own = settings.gateways.find((one) => one.id === gateway);
  return own && { host: own.host, mqtt: own.listen.mqtt.port, mesh: own.listen.mesh.port, http: own.listen.http.port };
}
