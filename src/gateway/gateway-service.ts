/** `GatewayService` over a gateway in any phase: until it serves, questions are answered `not-ready`. */

import type { ConsistencyLevel, GatewaySettings, InventoryEntry, JobSettings, SiteSettings } from "../config/settings.ts";
import { describeSurvival } from "../config/survival.ts";
import { isLoopback } from "../config/text-check.ts";
import { ownersOf, partitionsOf } from "../core/ring/owner-table.ts";
import { formatAggregateFunction } from "../lib/aggregate-function.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, deviceId, type GatewayId, partitionCount, partitionOf } from "../lib/ids.ts";
import { mergeRuns } from "../series/merge.ts";
import { runValueAt } from "../series/run.ts";
import type { Gateway } from "./gateway.ts";
import { gatewayMetrics } from "./gateway-metrics.ts";
import { listDifferences } from "./member-list.ts";
import { decodeCursor, encodeCursor } from "./query/cursor.ts";
import { type LatestRow, mergeLatest } from "./query/latest.ts";
import type { RetentionView } from "./retention/retention.ts";
import type {
  DeadLetter,
  DeadLettersView,
  DeviceView,
  DigestsPage,
  EventFilter,
  ForceOption,
  GatewayEvent,
  GatewayMemberRequest,
  GatewayService,
  GatewayStatus,
  GatewayView,
  JobRunView,
  JobView,
  KvEntry,
  KvExpectation,
  MemberState,
  MembershipOperations,
  MetricSample,
  ReadingsAnswer,
  ReadingsQuery,
  RestoredBlock,
  ResultRow,
  RingView,
  SinkView,
  SiteContents,
} from "./service.ts";
import type { Serving } from "./serving.ts";

const controlTimeoutMs = 5_000;
const kvKeyBytesMax = 512;
// Each call starts afresh, so the encoder is a constant, not state.
const utf8 = new TextEncoder();
const askTimeoutMs = 3_000;
const clockWarningMs = 2_000;
const timeMaxUs = Number.MAX_SAFE_INTEGER;
const aggregatePointsMax = 1_000_000;

export class LocalGatewayService implements GatewayService {
  readonly #gateway: Gateway;
  readonly #inventory: ReadonlyMap<DeviceId, InventoryEntry>;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#inventory = new Map(gateway.settings.inventory.map((entry) => [entry.id, entry]));
  }

  /** Peers ask for what only this gateway has; called once the gateway has started. */
  serveRequests(): void {
    this.#gateway.requests()?.serve("dead-letters", () => Promise.resolve(success(this.#ownDeadLetters())));
    this.#gateway.requests()?.serve("latest", async (_from, body) => {
      const serving = this.#gateway.serving();
      const device = (body as { device?: unknown } | null)?.device;
      if (serving === undefined || typeof device !== "string") return failure("not-ready", "not serving yet");
      return this.#localLatest(serving, deviceId(device));
    });
  }

  healthy(): boolean {
    return this.#gateway.context()?.inbox.closed() !== true;
  }

  readiness(): { ready: boolean; reasons: string[] } {
    const reasons: string[] = [];
    const phase = this.#gateway.phase();
    const serving = this.#gateway.serving();
    if (serving !== undefined && !this.#knowsItself(serving) && this.#gateway.refusal() === undefined)
      reasons.push(`${this.#gateway.self} has not caught up with the site's log so far that it knows itself as a member`);
    else if (phase === "waiting-for-peers" && serving === undefined)
      reasons.push(`first start of the site: waiting for ${this.#gateway.waitingFor().join(", ") || "the founding gateway"}`);
    else if (phase !== "serving")
      reasons.push(this.#gateway.refusal()?.message ?? `the gateway is ${phase === "waiting-for-peers" ? "starting" : phase}`);
    if (serving !== undefined && serving.consensus.leader() === undefined) reasons.push("no Raft leader is known");
    reasons.push(...(serving?.logWatch.troubles() ?? []), ...(serving?.spaceWatch.troubles() ?? []));
    return { ready: reasons.length === 0 && this.healthy(), reasons };
  }

  /** By the site's state, as applied here: until then this gateway acts under no owner table. */
  #knowsItself({ state }: Serving): boolean {
    const { self } = this.#gateway;
    return state.members().get(self)?.incarnation === this.#gateway.context()?.incarnation;
  }

  status(): GatewayStatus {
    const { settings, self, options } = this.#gateway;
    const serving = this.#gateway.serving();
    const view = serving?.consensus.view();
    const clock = options.ports.clock;
    return {
      site: settings.site,
      clusterId: serving?.bootstrap.clusterId,
      gateway: self,
      version: options.version,
      uptimeMs: Math.round(clock.monotonicMs() - this.#gateway.startedMs),
      phase: this.#gateway.phase(),
      warnings: this.#warnings(),
      raft: {
        role: view?.role ?? "none",
        term: view?.term ?? 0,
        leader: serving?.consensus.leader(),
        commitIndex: view?.commitIndex ?? 0,
        lastIndex: view?.lastIndex ?? 0,
        featureLevel: serving?.state.featureLevel() ?? 0,
        snapshotIndex: view?.snapshotIndex ?? 0,
      },
      ring: {
        epoch: serving?.replication.table().epoch ?? 0,
        factor: serving?.replication.table().factor ?? Math.min(settings.replication.factor, fullGateways(settings)),
        partitions: this.#owned(serving),
        survives: this.#survives(serving),
      },
      disk: diskStatus(serving),
      retention: serving?.retention.view() ?? noRetention,
      log: logStatus(serving),
      store: storeStatus(serving),
      ingest: this.#ingestStatus(serving),
      sync: this.sync(),
      process: { memoryBytes: options.ports.memoryBytes() },
    };
  }

  /** A gateway that is only expected keeps nothing yet, and one that fills keeps less than it should. */
  #survives(serving: Serving | undefined): string {
    const members = this.#members(serving).filter((member) => member.membership !== "expected");
    const sentence = describeSurvival({
      gateways: members.map(({ kind }) => ({ role: kind })),
      replication: this.#gateway.settings.replication,
    });
    const filling = members.filter((member) => member.filling > 0).map((member) => member.id);
    return filling.length === 0 ? sentence : `${sentence}; not before ${filling.join(", ")} has filled up: until then one loss less`;
  }

  metrics(): readonly MetricSample[] {
    return gatewayMetrics(this.#gateway);
  }

  gateways(): readonly GatewayView[] {
    const serving = this.#gateway.serving();
    const owned = this.#owned(serving);
    return this.#members(serving).map((member) => this.#gatewayView(serving, member, owned[member.id] ?? 0));
  }

  async addGateway(request: GatewayMemberRequest): Promise<Result<void>> {
    const membership = this.#membership();
    if (membership === undefined) return this.#notReady();
    const { host } = request.address;
    if (this.#gateway.settings.secret === undefined && !isLoopback(host))
      return failure(
        "bad-request",
        `the site has no secret, so that its mesh is bound to loopback: ${request.id} at ${host} could not reach it`,
      );
    return membership.add(request);
  }

  async replaceGateway(id: string, options: ForceOption): Promise<Result<void>> {
    const membership = this.#membership();
    return membership === undefined ? this.#notReady() : membership.replace(id, options);
  }

  async removeGateway(id: string, options: ForceOption): Promise<Result<void>> {
    const membership = this.#membership();
    return membership === undefined ? this.#notReady() : membership.remove(id, options);
  }

  async transferLeadership(to: string | undefined): Promise<Result<{ readonly leader: string }>> {
    const membership = this.#membership();
    return membership === undefined ? this.#notReady() : membership.transfer(to);
  }

  ring(device: string | undefined): RingView {
    const serving = this.#gateway.serving();
    const view = { epoch: serving?.replication.table().epoch ?? 0, partitions: partitionCount, owned: this.#owned(serving) };
    if (device === undefined || serving === undefined) return view;
    const at = partitionOf(deviceId(device), this.#gateway.options.ports.hash64);
    return { ...view, device: { id: device, partition: at, owners: ownersOf(serving.replication.table(), at) } };
  }

  devices(): Promise<Result<readonly DeviceView[]>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return Promise.resolve(this.#notReady());
    const ids = new Set<DeviceId>([...serving.state.devices().keys(), ...this.#inventory.keys()]);
    return Promise.resolve(success([...ids].sort().map((id) => this.#deviceView(serving, id))));
  }

  async device(id: string): Promise<Result<DeviceView>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return this.#notReady();
    const device = deviceId(id);
    const known = serving.state.devices().has(device) || this.#inventory.has(device);
    const latest = await this.#latest(serving, device);
    if (!known && Object.keys(latest).length === 0)
      return failure("not-found", `no device "${id}" has been seen, and the inventory does not name it`);
    return success({ ...this.#deviceView(serving, device), latest });
  }

  async deadLetters(): Promise<Result<DeadLettersView>> {
    const requests = this.#gateway.requests();
    const router = this.#gateway.router();
    const views = [this.#ownDeadLetters()];
    const peers = router?.admittedPeers().filter((peer) => router.reachable(peer)) ?? [];
    const answers =
      requests === undefined
        ? []
        : await Promise.all(peers.map((peer) => requests.call(peer, "dead-letters", {}, { timeoutMs: askTimeoutMs, channel: "job" })));
    for (const answer of answers) if (answer.ok && isDeadLettersView(answer.value)) views.push(answer.value);
    const counts: Record<string, number> = {};
    for (const view of views) for (const [reason, count] of Object.entries(view.counts)) counts[reason] = (counts[reason] ?? 0) + count;
    const letters = views.flatMap((view) => view.letters).sort((a, b) => b.ms - a.ms);
    return success({ counts, letters });
  }

  async readings(query: ReadingsQuery): Promise<Result<ReadingsAnswer>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return this.#notReady();
    const level = query.consistency ?? this.#gateway.settings.replication.read;
    const range = {
      fromUs: query.fromMs === undefined ? 0 : Math.ceil(query.fromMs * 1_000),
      toUs: query.toMs === undefined ? timeMaxUs : Math.ceil(query.toMs * 1_000),
    };
    if (range.fromUs > range.toUs) return failure("bad-request", "`from` is after `to`");
    return query.everyMs === undefined
      ? this.#raw(serving, query, { ...range, level })
      : this.#aggregated(serving, query, { ...range, level, everyMs: query.everyMs });
  }

  jobs(): readonly JobView[] {
    const serving = this.#gateway.serving();
    return this.#gateway.settings.jobs.map((job) => {
      const state = serving?.state.job(job.name);
      return {
        name: job.name,
        schedule: job.schedule,
        windowMs: job.windowMs,
        metric: job.source.metric,
        devices: job.source.devices,
        groupBy: job.groupBy.map((key) => (key.kind === "label" ? `label.${key.name}` : key.kind)),
        aggregate: Object.fromEntries(job.aggregate.map((output) => [output.name, formatAggregateFunction(output.function)])),
        sinks: job.sinks,
        lastWindow: state?.lastCommitted,
        nextFireMs: serving?.jobs.nextFireMs(job),
        runs: state?.commits ?? 0,
      };
    });
  }

  async runJob(
    name: string,
    range: { readonly fromMs: number | undefined; readonly toMs: number | undefined },
  ): Promise<Result<JobRunView>> {
    const job = this.#job(name);
    if (!job.ok) return job;
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.jobs.runNow(job.value, range);
  }

  async results(query: {
    readonly job: string;
    readonly fromMs: number | undefined;
    readonly toMs: number | undefined;
  }): Promise<Result<readonly ResultRow[]>> {
    const job = this.#job(query.job);
    if (!job.ok) return job;
    const serving = this.#gateway.serving();
    if (serving === undefined) return this.#notReady();
    // What was committed before the question must be in the answer, whichever gateway is asked.
    const fresh = await serving.consensus.fresh(controlTimeoutMs);
    if (!fresh.ok) return fresh;
    const caughtUp = await serving.results.caughtUp(controlTimeoutMs);
    if (!caughtUp.ok) return caughtUp;
    return serving.results.rows(query.job, {
      fromMs: query.fromMs ?? Number.NEGATIVE_INFINITY,
      toMs: query.toMs ?? Number.POSITIVE_INFINITY,
    });
  }

  sync(): readonly SinkView[] {
    return this.#gateway.serving()?.results.sinks.map((sink) => sink.view()) ?? [];
  }

  async kvGet(key: string): Promise<Result<KvEntry | undefined>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return this.#notReady();
    const fresh = await serving.consensus.fresh(controlTimeoutMs);
    return fresh.ok ? success(serving.state.kv(key)) : fresh;
  }

  async kvPut(key: string, value: Uint8Array, expect: KvExpectation): Promise<Result<{ revision: number }>> {
    const applied = await this.#proposeKv(key, () => ({ t: "kv-put", key, value, expect: expectCode(expect) }));
    return applied.ok ? success({ revision: applied.value.revision }) : applied;
  }

  async kvDelete(key: string, expect: KvExpectation): Promise<Result<{ existed: boolean }>> {
    const applied = await this.#proposeKv(key, () => ({ t: "kv-delete", key, expect: expectCode(expect) }));
    return applied.ok ? success({ existed: applied.value.existed }) : applied;
  }

  async backup({ allowIncomplete }: { readonly allowIncomplete: boolean }): Promise<Result<AsyncIterableIterator<Uint8Array>>> {
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.backups.begin({ allowIncomplete, version: this.#gateway.options.version });
  }

  async siteContents(): Promise<Result<SiteContents>> {
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.restore.contents();
  }

  async restoreBlock(bytes: Uint8Array, options: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.restore.block(bytes, options);
  }

  async digests(cursor: string | undefined): Promise<Result<DigestsPage>> {
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.restore.digests(cursor);
  }

  subscribe(filter: EventFilter, listener: (event: GatewayEvent) => void): () => void {
    return this.#gateway.events()?.subscribe(filter, listener) ?? (() => undefined);
  }

  async #proposeKv(
    key: string,
    command: () => Parameters<Serving["consensus"]["propose"]>[0],
  ): Promise<Result<{ revision: number; existed: boolean }>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return failure("not-applied", this.#notReady().message);
    const bytes = utf8.encode(key).length;
    if (bytes === 0 || bytes > kvKeyBytesMax) return failure("bad-request", `a key has 1 to ${kvKeyBytesMax} bytes, this one has ${bytes}`);
    const result = await serving.consensus.propose(command(), controlTimeoutMs);
    if (!result.ok) return result;
    if (result.value.t !== "kv") return failure("internal", "a kv command was answered with something else");
    if (!result.value.ok)
      return failure(
        "precondition-failed",
        result.value.revision === 0 ? `"${key}" does not exist` : `"${key}" is at revision ${result.value.revision}`,
      );
    return success(result.value);
  }

  async #raw(
    serving: Serving,
    query: ReadingsQuery,
    asked: { fromUs: number; toUs: number; level: ConsistencyLevel },
  ): Promise<Result<ReadingsAnswer>> {
    const after = query.cursor === undefined ? success(undefined) : decodeCursor(query.cursor);
    if (!after.ok) return after;
    const selector = { metric: query.metric, device: query.device, labels: {} };
    const page = await serving.queries.page({ selector, ...asked, after: after.value, limit: query.limit });
    if (!page.ok) return page;
    const series = page.value.series.map(({ device, metric, run }) => ({
      device,
      metric,
      points: Array.from({ length: run.count }, (_, row) => [(run.times[row] as number) / 1_000, runValueAt(run, row)] as const),
    }));
    const { complete, next } = page.value;
    return success(next === undefined ? { series, complete } : { series, complete, cursor: encodeCursor(next) });
  }

  async #aggregated(
    serving: Serving,
    query: ReadingsQuery,
    asked: { fromUs: number; toUs: number; level: ConsistencyLevel; everyMs: number },
  ): Promise<Result<ReadingsAnswer>> {
    const { fromUs, toUs, level, everyMs } = asked;
    const answer = await serving.queries.aggregate({
      selector: { metric: query.metric, device: query.device, labels: {} },
      fromUs,
      toUs,
      windowMs: everyMs,
      functions: [query.aggregate ?? { kind: "mean" }],
      groupBy: [{ kind: "device" }, { kind: "metric" }],
      level,
    });
    if (!answer.ok) return answer;
    if (answer.value.rows.length > aggregatePointsMax)
      return failure("too-large", `${answer.value.rows.length} windows: ask for a shorter range or a longer \`every\``);
    const series = new Map<string, { device: string; metric: string; points: [number, ReturnType<typeof runValueAt> | null][] }>();
    for (const row of answer.value.rows) {
      const [device, metric] = row.key as [string, string];
      const name = `${device}\u0000${metric}`;
      const known = series.get(name) ?? { device, metric, points: [] };
      known.points.push([row.fromMs, row.state.finish()[0] ?? null]);
      series.set(name, known);
    }
    return success({
      series: [...series].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, found]) => found),
      complete: answer.value.complete,
    });
  }

  async #latest(serving: Serving, device: DeviceId): Promise<ReturnType<typeof mergeLatest>> {
    const owners = ownersOf(serving.replication.table(), partitionOf(device, this.#gateway.options.ports.hash64));
    const requests = this.#gateway.requests();
    const ask = async (owner: GatewayId): Promise<Result<unknown>> => {
      if (owner === this.#gateway.self) return this.#localLatest(serving, device);
      return requests === undefined
        ? this.#notReady()
        : requests.call(owner, "latest", { device }, { timeoutMs: askTimeoutMs, channel: "job" });
    };
    const answers = await Promise.all(owners.map(ask));
    return mergeLatest(answers.map((answer) => (answer.ok ? answer.value : undefined)));
  }

  async #localLatest(serving: Serving, device: DeviceId): Promise<Result<LatestRow[]>> {
    const found = await serving.localReader.latest(device);
    if (!found.ok) return found;
    return success(
      found.value.map(({ metric, run }) => {
        const { run: merged } = mergeRuns([run]);
        return [metric, merged.times[merged.count - 1] as number, runValueAt(merged, merged.count - 1)] as const;
      }),
    );
  }

  #deviceView(serving: Serving, id: DeviceId): DeviceView {
    const registered = serving.state.devices().get(id);
    const listed = this.#inventory.get(id);
    const at = partitionOf(id, this.#gateway.options.ports.hash64);
    return {
      id,
      profile: registered?.profile ?? listed?.profile,
      labels: listed?.labels ?? {},
      metrics: registered?.metrics ?? [],
      firstSeenMs: registered?.firstSeenMs,
      partition: at,
      owners: ownersOf(serving.replication.table(), at),
    };
  }

  #membership(): MembershipOperations | undefined {
    return this.#gateway.serving()?.membership;
  }

  #members(serving: Serving | undefined): readonly MemberState[] {
    return this.#membership()?.members() ?? this.#gateway.settings.gateways.map((settings) => this.#listed(serving, settings));
  }

  /** What the YAML says of a gateway, for as long as the site's own list is not known here. */
  #listed(serving: Serving | undefined, { id, host, role, zone, weight, listen }: GatewaySettings): MemberState {
    const incarnation = serving?.bootstrap.gateways.find((gateway) => gateway.id === id)?.incarnation;
    return {
      id,
      kind: role,
      membership: incarnation === undefined ? "expected" : "voter",
      incarnation,
      zone,
      weight,
      address: { host, mqtt: listen.mqtt.port, mesh: listen.mesh.port, http: listen.http.port },
      matchIndex: undefined,
      filling: 0,
    };
  }

  #gatewayView(serving: Serving | undefined, member: MemberState, partitions: number): GatewayView {
    const { id, kind, membership, incarnation, zone, weight, address, filling, matchIndex } = member;
    const note = this.#gateway.peerNotes().get(id);
    // Where a listener is bound to one address only the YAML knows it.
    const listen = this.#gateway.settings.gateways.find((settings) => settings.id === id)?.listen;
    return {
      id,
      host: address.host,
      zone,
      weight,
      up: id === this.#gateway.self || this.#gateway.router()?.reachable(id) === true,
      role: this.#roleOf(serving, id),
      kind,
      membership,
      incarnation,
      partitions,
      filling,
      ...(matchIndex === undefined ? {} : { matchIndex }),
      ...(note === undefined ? {} : { note }),
      mqtt: endpoint(address.host, listen?.mqtt.host, address.mqtt),
      http: endpoint(address.host, listen?.http.host, address.http),
    };
  }

  #ownDeadLetters(): DeadLettersView {
    const letters = this.#gateway.serving()?.ingest.deadLetters;
    return letters === undefined ? { counts: {}, letters: [] } : { counts: letters.counts(), letters: letters.newestFirst() };
  }

  #owned(serving: Serving | undefined): Record<string, number> {
    if (serving === undefined) return {};
    const table = serving.replication.table();
    return Object.fromEntries(this.#members(serving).map(({ id }) => [id, partitionsOf(table, id).length]));
  }

  #roleOf(serving: Serving | undefined, id: GatewayId): string {
    if (serving === undefined) return "none";
    if (id === this.#gateway.self) return serving.consensus.role();
    // Of a gateway that does not answer the last word may be old.
    if (this.#gateway.router()?.reachable(id) !== true) return "unknown";
    return serving.consensus.leader() === id ? "leader" : "follower";
  }

  #job(name: string): Result<JobSettings> {
    const job = this.#gateway.settings.jobs.find((candidate) => candidate.name === name);
    if (job !== undefined) return success(job);
    const names = this.#gateway.settings.jobs.map((candidate) => candidate.name);
    return failure(
      "not-found",
      `there is no job "${name}"; ${names.length === 0 ? "the settings have none" : `there are: ${names.join(", ")}`}`,
    );
  }

  #warnings(): string[] {
    const serving = this.#gateway.serving();
    const warnings = [...this.#gateway.peerNotes().values(), ...this.readiness().reasons];
    const { logWatch, seriesStore, retention } = serving ?? {};
    warnings.push(...(logWatch?.warnings() ?? []), ...(seriesStore?.quarantine.warnings() ?? []), ...(retention?.warnings() ?? []));
    const members = this.#membership()?.members();
    if (members !== undefined) warnings.push(...listDifferences(this.#gateway.settings.gateways, members));
    for (const sink of this.sync()) if (sink.error !== undefined) warnings.push(`sink ${sink.name}: ${sink.error}`);
    if (serving !== undefined && !this.#gateway.options.ports.clock.synchronised())
      warnings.push("the system clock is not synchronised: timestamps given by this gateway may be wrong");
    const deviationMs = this.#gateway.router()?.clockDeviationMs(this.#members(serving).length) ?? 0;
    if (deviationMs > clockWarningMs)
      warnings.push(`the clock of ${this.#gateway.self} is ${(deviationMs / 1_000).toFixed(1)} s away from the other gateways' clocks`);
    return warnings;
  }

  #ingestStatus(serving: Serving | undefined): GatewayStatus["ingest"] {
    const { clock } = this.#gateway.options.ports;
    const counters = serving?.counters;
    return {
      clients: serving?.ingest.clients() ?? 0,
      acknowledged: counters?.acknowledged ?? 0,
      perSecond: counters?.perSecond(clock.monotonicMs()) ?? 0,
      pending: serving?.replication.pendingReadings() ?? 0,
      qos0Dropped: counters?.qos0Dropped ?? 0,
      deadLetters: serving?.ingest.deadLetters.total() ?? 0,
      conflicts: serving?.seriesStore.stats().conflicts ?? 0,
      suppressed: counters?.suppressed ?? 0,
      closed: Object.fromEntries(counters?.closed ?? []),
      unmatched: serving?.ingest.unmatched.view(clock.wallMs()) ?? [],
    };
  }

  #notReady(): Extract<Result<never>, { ok: false }> {
    return failure("not-ready", `${this.#gateway.self}: ${this.readiness().reasons.join("; ") || this.#gateway.phase()}`);
  }
}

function expectCode(expect: KvExpectation): number {
  switch (expect.kind) {
    case "any":
      return -1;
    case "exists":
      return -2;
    case "absent":
      return 0;
    case "revision":
      return expect.revision;
  }
}

const noRetention: RetentionView = {
  raw: { lowestMs: 0, highestMs: 0 },
  rollup: undefined,
  chunksDropped: 0,
  unprocessedWindows: 0,
  heldBackBy: undefined,
};

function diskStatus(serving: Serving | undefined): GatewayStatus["disk"] {
  const space = serving?.spaceWatch.space();
  return {
    state: serving?.retention.diskState() ?? "unknown",
    freeBytes: space?.freeBytes,
    totalBytes: space?.totalBytes,
    keepFreeBytes: serving?.retention.bytesKeptFree() ?? 0,
  };
}

function logStatus(serving: Serving | undefined): GatewayStatus["log"] {
  const log = serving?.readingsLog.log;
  const stats = log?.stats();
  const health = log?.health();
  return {
    segments: stats?.segments ?? 0,
    bytes: stats?.bytes ?? 0,
    bytesWritten: stats?.bytesWritten ?? 0,
    fsyncs: stats?.fsyncs ?? 0,
    lastFsyncMs: stats?.lastFsyncMs ?? 0,
    ok: health?.ok ?? true,
    error: health?.message,
  };
}

function storeStatus(serving: Serving | undefined): GatewayStatus["store"] {
  const stats = serving?.seriesStore.stats();
  return {
    bytes: serving?.storeBytes() ?? 0,
    series: stats?.series ?? 0,
    chunks: stats?.chunks ?? 0,
    headReadings: stats?.headReadings ?? 0,
    checkpoints: stats?.checkpoints ?? 0,
    damagedChunks: stats?.damagedChunks ?? 0,
  };
}

function fullGateways({ gateways }: SiteSettings): number {
  return gateways.filter((gateway) => gateway.role === "full").length;
}

function endpoint(host: string, bound: string | undefined, port: number): string {
  return `${bound === undefined || bound === "0.0.0.0" ? host : bound}:${port}`;
}

function isDeadLettersView(value: unknown): value is DeadLettersView {
  if (typeof value !== "object" || value === null) return false;
  const { counts, letters } = value as { counts?: unknown; letters?: unknown };
  return (
    typeof counts === "object" &&
    counts !== null &&
    Array.isArray(letters) &&
    letters.every((letter): letter is DeadLetter => typeof letter === "object" && letter !== null)
  );
}
