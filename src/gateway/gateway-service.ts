/** `GatewayService` over a gateway in any phase: until it serves, questions are answered `not-ready`. */

import type { InventoryEntry, JobSettings } from "../config/settings.ts";
import { isLoopback } from "../config/text-check.ts";
import { ownersOf } from "../core/ring/owner-table.ts";
import { formatAggregateFunction } from "../lib/aggregate-function.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type DeviceId, deviceId, partitionCount, partitionOf } from "../lib/ids.ts";
import { DeviceAnswers } from "./device-answers.ts";
import type { Gateway } from "./gateway.ts";
import { gatewayMetrics } from "./gateway-metrics.ts";
import { MembersView } from "./members-view.ts";
import type { SiteRepairReport } from "./repair/site-repair.ts";
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
  MemberChange,
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
import { StatusReport } from "./status-report.ts";

const controlTimeoutMs = 5_000;
const kvKeyBytesMax = 512;
// Each call starts afresh, so the encoder is a constant, not state.
const utf8 = new TextEncoder();
const askTimeoutMs = 3_000;

export class LocalGatewayService implements GatewayService {
  readonly #gateway: Gateway;
  readonly #inventory: ReadonlyMap<DeviceId, InventoryEntry>;
  readonly #members: MembersView;
  readonly #report: StatusReport;
  readonly #answers: DeviceAnswers;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#inventory = new Map(gateway.settings.inventory.map((entry) => [entry.id, entry]));
    this.#members = new MembersView(gateway);
    this.#report = new StatusReport(gateway, { members: this.#members, sinks: () => this.sync() });
    this.#answers = new DeviceAnswers(gateway, this.#inventory);
  }

  /** Peers ask for what only this gateway has; called once the gateway has started. */
  serveRequests(): void {
    this.#gateway.requests()?.serve("dead-letters", () => Promise.resolve(success(this.#ownDeadLetters())));
    this.#gateway.requests()?.serve("latest", async (_from, body) => {
      const serving = this.#gateway.serving();
      const device = (body as { device?: unknown } | null)?.device;
      if (serving === undefined || typeof device !== "string") return failure("not-ready", "not serving yet");
      return this.#answers.localLatest(serving, deviceId(device));
    });
  }

  healthy(): boolean {
    return this.#report.healthy();
  }

  readiness(): { ready: boolean; reasons: string[] } {
    return this.#report.readiness();
  }

  status(): GatewayStatus {
    return this.#report.status();
  }

  metrics(): readonly MetricSample[] {
    return gatewayMetrics(this.#gateway);
  }

  gateways(): readonly GatewayView[] {
    return this.#members.views();
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

  async updateGateway(id: string, change: MemberChange): Promise<Result<void>> {
    const membership = this.#membership();
    return membership === undefined ? this.#notReady() : membership.update(id, change);
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

  async repair(): Promise<Result<SiteRepairReport>> {
    const serving = this.#gateway.serving();
    return serving === undefined ? this.#notReady() : serving.healing.siteRepair.run();
  }

  ring(device: string | undefined): RingView {
    const serving = this.#gateway.serving();
    const view = { epoch: serving?.replication.table().epoch ?? 0, partitions: partitionCount, owned: this.#members.owned(serving) };
    if (device === undefined || serving === undefined) return view;
    const at = partitionOf(deviceId(device), this.#gateway.options.ports.hash64);
    return { ...view, device: { id: device, partition: at, owners: ownersOf(serving.replication.table(), at) } };
  }

  devices(): Promise<Result<readonly DeviceView[]>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return Promise.resolve(this.#notReady());
    const ids = new Set<DeviceId>([...serving.state.devices().keys(), ...this.#inventory.keys()]);
    return Promise.resolve(success([...ids].sort().map((id) => this.#answers.device(serving, id))));
  }

  async device(id: string): Promise<Result<DeviceView>> {
    const serving = this.#gateway.serving();
    if (serving === undefined) return this.#notReady();
    const device = deviceId(id);
    const known = serving.state.devices().has(device) || this.#inventory.has(device);
    const latest = await this.#answers.latest(serving, device);
    if (!known && Object.keys(latest).length === 0)
      return failure("not-found", `no device "${id}" has been seen, and the inventory does not name it`);
    return success({ ...this.#answers.device(serving, device), latest });
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
    return serving === undefined ? this.#notReady() : this.#answers.readings(serving, query);
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
        nextFireMs: serving?.jobs.runner.nextFireMs(job),
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
    return serving === undefined ? this.#notReady() : serving.jobs.runner.runNow(job.value, range);
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
    const caughtUp = await serving.jobs.results.caughtUp(controlTimeoutMs);
    if (!caughtUp.ok) return caughtUp;
    return serving.jobs.results.rows(query.job, {
      fromMs: query.fromMs ?? Number.NEGATIVE_INFINITY,
      toMs: query.toMs ?? Number.POSITIVE_INFINITY,
    });
  }

  sync(): readonly SinkView[] {
    return this.#gateway.serving()?.jobs.results.sinks.map((sink) => sink.view()) ?? [];
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

  #membership(): MembershipOperations | undefined {
    return this.#gateway.serving()?.membership;
  }

  #ownDeadLetters(): DeadLettersView {
    const letters = this.#gateway.serving()?.ingest.deadLetters;
    return letters === undefined ? { counts: {}, letters: [] } : { counts: letters.counts(), letters: letters.newestFirst() };
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
