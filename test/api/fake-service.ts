import type { SiteRepairReport } from "../../src/gateway/repair/site-repair.ts";
import type {
  DigestsPage,
  EventFilter,
  GatewayEvent,
  GatewayMemberRequest,
  GatewayService,
  GatewayStatus,
  GatewayView,
  KvEntry,
  KvExpectation,
  MemberChange,
  ReadingsAnswer,
  ReadingsQuery,
  RestoredBlock,
  SiteContents,
} from "../../src/gateway/service.ts";
import { failure, type Result, success } from "../../src/lib/errors.ts";
import { gatewayId } from "../../src/lib/ids.ts";

/** A gateway that keeps what it was asked and answers what it was told to: a test double of `GatewayService`. */
export class FakeService implements GatewayService {
  readonly queries: ReadingsQuery[] = [];
  readonly runs: { name: string; fromMs: number | undefined; toMs: number | undefined }[] = [];
  readonly kv = new Map<string, KvEntry>();
  readonly listeners = new Map<(event: GatewayEvent) => void, EventFilter>();
  isReady = true;
  readingsAnswer: Result<ReadingsAnswer> = success({ series: [], complete: true });
  kvFailure: Result<never> | undefined;
  /** Changes of the members, as they were asked for. */
  readonly changes: unknown[] = [];
  memberFailure: Result<never> | undefined;
  repairAnswer: Result<SiteRepairReport> = success(fakeRepair);
  #revision = 0;

  healthy(): boolean {
    return true;
  }

  readiness() {
    return this.isReady ? { ready: true, reasons: [] } : { ready: false, reasons: ["no leader is known"] };
  }

  status(): GatewayStatus {
    return fakeStatus;
  }

  metrics() {
    return [
      { name: "fogbank_readings_acknowledged_total", help: "Readings acknowledged", value: 12 },
      { name: "fogbank_closed_total", help: "Closed", labels: { reason: 'a "b"\n' }, value: 1 },
      { name: "fogbank_clients", help: "Clients", value: 3 },
      { name: "fogbank_closed_total", help: "Closed", labels: { reason: "slow" }, value: 2 },
    ];
  }

  gateways(): readonly GatewayView[] {
    const common = {
      host: "127.0.0.1",
      zone: undefined,
      weight: 1,
      up: true,
      incarnation: undefined,
      partitions: 1024,
      mqtt: "127.0.0.1:1",
      http: "127.0.0.1:2",
      kind: "full",
      membership: "voter",
      filling: 0,
      leaving: 0,
      planned: 0,
    } as const;
    return [
      { ...common, id: gatewayId("gw-a"), role: "leader", matchIndex: 9 },
      {
        ...common,
        id: gatewayId("gw-w"),
        role: "none",
        up: false,
        kind: "witness",
        membership: "expected",
        partitions: 0,
        note: "not seen",
      },
    ];
  }

  async addGateway(request: GatewayMemberRequest) {
    return this.#change({ add: request }, undefined);
  }

  async updateGateway(id: string, change: MemberChange) {
    return this.#change({ update: id, ...change }, undefined);
  }

  async replaceGateway(id: string, { force }: { readonly force: boolean }) {
    return this.#change({ replace: id, force }, undefined);
  }

  async removeGateway(id: string, { force }: { readonly force: boolean }) {
    return this.#change({ remove: id, force }, undefined);
  }

  async transferLeadership(to: string | undefined) {
    return this.#change({ transfer: to }, { leader: to ?? "gw-a" });
  }

  #change<T>(asked: unknown, answer: T): Result<T> {
    this.changes.push(asked);
    return this.memberFailure ?? success(answer);
  }

  async repair() {
    this.changes.push("repair");
    return this.repairAnswer;
  }

  ring(device: string | undefined) {
    const owners = [gatewayId("gw-a")];
    return {
      epoch: 1,
      partitions: 1024,
      owned: { "gw-a": 1024 },
      ...(device === undefined ? {} : { device: { id: device, partition: 7, owners } }),
    };
  }

  async devices() {
    const device = {
      id: "room-1",
      profile: undefined,
      labels: { room: "1" },
      metrics: ["temperature"],
      firstSeenMs: 5,
      partition: 7,
      owners: [gatewayId("gw-a")],
    };
    return success([device]);
  }

  async device(id: string) {
    const devices = await this.devices();
    const found = devices.value.find((device) => device.id === id);
    return found === undefined
      ? failure("not-found", `there is no device "${id}"`)
      : success({ ...found, latest: { temperature: { ms: 9, value: 21.5 } } });
  }

  async deadLetters() {
    const letter = {
      ms: 1,
      gateway: gatewayId("gw-a"),
      topic: "t",
      device: "d",
      metric: undefined,
      reason: "bad-payload",
      detail: "no JSON",
      payload: "\u001b[2J{",
    };
    return success({ counts: { "bad-payload": 1 }, letters: [letter] });
  }

  async readings(query: ReadingsQuery) {
    this.queries.push(query);
    return this.readingsAnswer;
  }

  jobs() {
    const job = { name: "hourly", schedule: "0 * * * *", windowMs: 3_600_000, metric: "temperature", devices: "*", groupBy: ["device"] };
    return [{ ...job, aggregate: { mean: "mean" }, sinks: ["archive"], lastWindow: undefined, nextFireMs: undefined, runs: 1 }];
  }

  async runJob(name: string, range: { readonly fromMs: number | undefined; readonly toMs: number | undefined }) {
    if (name !== "hourly") return failure("not-found", `there is no job "${name}"`);
    this.runs.push({ name, ...range });
    return success({ job: name, windows: 1, committed: 1, rows: [fakeRow] });
  }

  async results(query: { readonly job: string }) {
    return query.job === "hourly" ? success([fakeRow]) : failure("not-found", `there is no job "${query.job}"`);
  }

  sync() {
    return [
      {
        name: "archive",
        type: "file",
        gateway: gatewayId("gw-a"),
        delivered: 1,
        pending: 0,
        rows: 1,
        error: undefined,
        location: "results.ndjson",
      },
    ];
  }

  async kvGet(key: string): Promise<Result<KvEntry | undefined>> {
    return this.kvFailure ?? success(this.kv.get(key));
  }

  async kvPut(key: string, value: Uint8Array, expect: KvExpectation): Promise<Result<{ revision: number }>> {
    const refused = this.#refuses(key, expect);
    if (refused !== undefined) return refused;
    const entry = { value: new Uint8Array(value), revision: ++this.#revision };
    this.kv.set(key, entry);
    return success({ revision: entry.revision });
  }

  async kvDelete(key: string, expect: KvExpectation): Promise<Result<{ existed: boolean }>> {
    return this.#refuses(key, expect) ?? success({ existed: this.kv.delete(key) });
  }

  #refuses(key: string, expect: KvExpectation): Result<never> | undefined {
    if (this.kvFailure !== undefined) return this.kvFailure;
    const revision = this.kv.get(key)?.revision;
    const matches =
      expect.kind === "any" ||
      (expect.kind === "absent"
        ? revision === undefined
        : expect.kind === "exists"
          ? revision !== undefined
          : revision === expect.revision);
    return matches ? undefined : failure("precondition-failed", `revision is ${revision}`);
  }

  /** Pieces of a backup, handed out one by one. */
  backupPieces: readonly Uint8Array[] = [];
  backupFailure: Result<never> | undefined;
  backupOptions: { readonly allowIncomplete: boolean } | undefined;
  /** Whether the reader of the last backup gave it back. */
  backupReleased = false;
  readonly blocks: { readonly bytes: Uint8Array; readonly check: boolean }[] = [];
  restoreAnswer: (bytes: Uint8Array, check: boolean) => Result<RestoredBlock> = () =>
    success({ kind: "kv", items: 1, applied: 1, present: 0, missing: 0, conflicts: 0, examples: [] });
  contents: SiteContents = { kv: 0, devices: 0, readings: false, results: false, complete: true };
  digestPages: readonly DigestsPage[] = [{ series: [], cursor: undefined }];

  async backup(options: { readonly allowIncomplete: boolean }): Promise<Result<AsyncIterableIterator<Uint8Array>>> {
    this.backupOptions = options;
    if (this.backupFailure !== undefined) return this.backupFailure;
    const released = () => {
      this.backupReleased = true;
    };
    async function* pieces(all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
      try {
        yield* all;
      } finally {
        released();
      }
    }
    return success(pieces(this.backupPieces));
  }

  async siteContents() {
    return success(this.contents);
  }

  async restoreBlock(bytes: Uint8Array, { check }: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    this.blocks.push({ bytes: new Uint8Array(bytes), check });
    return this.restoreAnswer(bytes, check);
  }

  async digests(cursor: string | undefined): Promise<Result<DigestsPage>> {
    return success(this.digestPages[cursor === undefined ? 0 : Number(cursor)] ?? { series: [], cursor: undefined });
  }

  subscribe(filter: EventFilter, listener: (event: GatewayEvent) => void): () => void {
    this.listeners.set(listener, filter);
    return () => this.listeners.delete(listener);
  }

  emit(event: GatewayEvent): void {
    for (const listener of this.listeners.keys()) listener(event);
  }
}

export const fakeRow = {
  id: "hourly/0/room-1",
  revision: 1,
  job: "hourly",
  from: 0,
  to: 3_600_000,
  group: { device: "room-1" },
  values: { mean: 20.5, text: null },
  count: 2,
  complete: true,
} as const;

const compared = {
  gateway: gatewayId("gw-a"),
  reached: true,
  partitionsCompared: 1024,
  partitionsEqual: 1024,
  hoursDiffering: 3,
  readingsFetched: 40,
  chunksRestored: 1,
  equal: true,
  note: undefined,
} as const;

export const fakeRepair: SiteRepairReport = { gateways: [compared, { ...compared, gateway: gatewayId("gw-b") }], equal: true };

export const fakeStatus: GatewayStatus = {
  site: "plant-7",
  clusterId: undefined,
  gateway: gatewayId("gw-a"),
  version: "0.1.0",
  uptimeMs: 1000,
  phase: "serving",
  warnings: [],
  raft: { role: "leader", term: 3, leader: gatewayId("gw-a"), commitIndex: 9, lastIndex: 9, featureLevel: 2, snapshotIndex: 0 },
  ring: { epoch: 1, factor: 1, partitions: { "gw-a": 1024 }, survives: "survives no loss" },
  log: { segments: 1, bytes: 10, bytesWritten: 10, fsyncs: 2, lastFsyncMs: 1.5, ok: true, error: undefined },
  clock: { synchronised: true, by: "peers", source: "own", ownAheadMs: 0, ntp: "unknown" },
  disk: { state: "ok", freeBytes: 5 << 20, totalBytes: 9 << 20, keepFreeBytes: 1 << 20 },
  retention: {
    raw: { lowestMs: 0, highestMs: 3_600_000 },
    rollup: undefined,
    chunksDropped: 0,
    unprocessedWindows: 0,
    heldBackBy: undefined,
  },
  repair: {
    lastPassMs: 4_000,
    partitionsCompared: 1024,
    partitionsEqual: 1023,
    hoursDiffering: 2,
    readingsFetched: 5,
    readingsWritten: 6,
    chunksRestored: 7,
    equal: false,
  },
  store: { bytes: 0, series: 1, chunks: 0, headReadings: 2, checkpoints: 0, damagedChunks: 0 },
  ingest: {
    clients: 1,
    acknowledged: 12,
    perSecond: 1.2,
    pending: 0,
    qos0Dropped: 0,
    deadLetters: 1,
    conflicts: 0,
    suppressed: 0,
    closed: {},
    unmatched: [],
  },
  hints: {
    waiting: [{ target: "gw-c", rounds: 2, bytes: 2_000, oldestMs: 3_000 }],
    bytes: 3_024,
    delivered: 1,
    dropped: { bytes: 18, age: 1 },
    held: { rounds: 0, readings: 0, bytes: 0, oldestMs: 0, delivered: 0 },
    copies: [],
  },
  sync: [],
  process: { memoryBytes: 1_000_000 },
};
