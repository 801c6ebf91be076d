import Type, { type Static } from "typebox";

/**
 * The answers of the HTTP surface, one schema each: the type, the client's validator and the OpenAPI document all come
 * from here. Objects stay open, so that an older client understands a newer gateway.
 */

/** The static type as seen by those who only read it: deeply readonly, and an absent field may also be `undefined`. */
export type Shape<T> = T extends (...parameters: never) => unknown
  ? T
  : T extends object
    ? { readonly [K in keyof T]: object extends Pick<T, K> ? Shape<T[K]> | undefined : Shape<T[K]> }
    : T;

const text = (description: string) => Type.String({ description });
const count = (description: string) => Type.Integer({ description, minimum: 0 });
const ms = (description: string) => Type.Number({ description: `${description} (epoch milliseconds)` });
const countsBy = (description: string) => Type.Record(Type.String(), Type.Integer({ minimum: 0 }), { description });
const texts = (description: string) => Type.Record(Type.String(), Type.String(), { description });

export const ReadingValueSchema = Type.Union([Type.Number(), Type.String(), Type.Boolean()]);
const NullableValueSchema = Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]);

export const ProblemSchema = Type.Object(
  {
    type: text("URI reference that names the kind of problem"),
    title: text("The kind of problem, the same sentence for each `code`"),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: text("What failed, with which value, and what to do"),
    code: text("Stable code for programs"),
  },
  { description: "RFC 9457 problem document" },
);

export const HealthSchema = Type.Object({ healthy: Type.Boolean() });

export const ReadinessSchema = Type.Object({ ready: Type.Boolean(), reasons: Type.Array(Type.String()) });

export const SinkSchema = Type.Object({
  name: Type.String(),
  type: Type.String(),
  gateway: text("The gateway whose copy this is"),
  delivered: count("Committed runs that this copy holds"),
  pending: count("Committed runs that wait"),
  rows: count("Rows written"),
  error: Type.Optional(Type.String()),
  location: Type.String(),
});

export const SyncSchema = Type.Object({ sinks: Type.Array(SinkSchema) });

const IngestSchema = Type.Object({
  clients: count("Connected MQTT clients"),
  acknowledged: count("Readings acknowledged by this gateway since its start"),
  perSecond: Type.Number({ description: "Readings per second over the last full ten seconds", minimum: 0 }),
  pending: count("Readings that wait for their quorum"),
  qos0Dropped: count("QoS 0 messages dropped"),
  deadLetters: count("Dead letters since the start"),
  conflicts: count("Different values met at one identity"),
  suppressed: count("Readings within their deadband"),
  closed: countsBy("Connections closed by this gateway, by reason"),
  unmatched: Type.Array(Type.Object({ topic: Type.String(), perMinute: Type.Number(), total: Type.Integer() }), {
    description: "Topics that no profile maps",
  }),
});

const HorizonSchema = Type.Object({
  lowestMs: ms("What is before is given up in every partition; 0: nothing is"),
  highestMs: ms("What is from here on is kept in every partition"),
});

const KeptSchema = Type.Object({
  target: Type.String({ description: "The owner that lacks the rounds" }),
  rounds: Type.Integer(),
  bytes: Type.Integer(),
  oldestMs: Type.Number({ description: "Age of the oldest" }),
});

export const StatusSchema = Type.Object({
  site: Type.String(),
  clusterId: Type.Optional(Type.String()),
  gateway: Type.String(),
  version: Type.String(),
  uptimeMs: Type.Number({ minimum: 0 }),
  phase: text("starting | waiting-for-peers | serving | refused | stopping"),
  warnings: Type.Array(Type.String(), { description: "What is wrong or degraded now, as sentences" }),
  raft: Type.Object({
    role: Type.String(),
    term: count("Term"),
    leader: Type.Optional(Type.String()),
    commitIndex: count("Commit index"),
    lastIndex: count("Last log index"),
    featureLevel: Type.Optional(count("Feature level that the site has agreed on; below the version's own while an update is under way")),
    snapshotIndex: Type.Optional(count("Index of the newest snapshot of the site's state")),
  }),
  ring: Type.Object({
    epoch: count("Epoch of the owner table"),
    factor: count("Effective replication factor"),
    partitions: countsBy("Partitions by gateway"),
    survives: text("What the site survives, as a sentence"),
  }),
  disk: Type.Optional(
    Type.Object({
      state: text("ok | low (the oldest readings go) | disk-full (no readings are taken) | unknown"),
      freeBytes: Type.Optional(count("Bytes free on the disk of the data folder")),
      totalBytes: Type.Optional(count("Bytes of that disk")),
      keepFreeBytes: count("Where less is free the oldest readings go; 0: never"),
    }),
  ),
  retention: Type.Optional(
    Type.Object({
      raw: HorizonSchema,
      rollup: Type.Optional(HorizonSchema),
      chunksDropped: count("Chunks that this gateway dropped since its start"),
      unprocessedWindows: count("Windows of jobs with sinks whose readings were given up before they were committed"),
      heldBackBy: Type.Optional(text("The window of a job that keeps readings beyond their time")),
    }),
  ),
  clock: Type.Optional(
    Type.Object({
      synchronised: Type.Boolean({ description: "The time that readings without device time get is confirmed" }),
      by: text("ntp | peers (a majority of the gateways' clocks agrees) | none"),
      source: text("own | peers (the system clock is wrong) | held (it was set, and no majority is heard: the time that it had)"),
      ownAheadMs: Type.Number({ description: "The system clock less that time" }),
      ntp: text("What the machine says of its clock: synchronised | unsynchronised | unknown"),
    }),
  ),
  log: Type.Object({
    segments: Type.Integer(),
    bytes: Type.Integer(),
    bytesWritten: Type.Integer(),
    fsyncs: Type.Integer(),
    lastFsyncMs: Type.Number({ description: "How long the last fsync took" }),
    ok: Type.Boolean(),
    error: Type.Optional(Type.String()),
  }),
  store: Type.Object({
    bytes: Type.Integer(),
    series: Type.Integer(),
    chunks: Type.Integer(),
    headReadings: Type.Integer(),
    checkpoints: Type.Integer(),
    damagedChunks: Type.Optional(count("Chunks in quarantine: their readings are at other owners only")),
  }),
  // Absent in the answer of a version before it.
  repair: Type.Optional(
    Type.Object({
      lastPassMs: Type.Optional(ms("How long ago the last comparison with the other owners ended")),
      partitionsCompared: count("Partitions that were compared with all of their other owners then"),
      partitionsEqual: count("Those of them in which all held the same"),
      hoursDiffering: count("Hours in which they did not, also where the other one lacked something"),
      readingsFetched: count("Readings that this gateway lacked and fetched, since its start"),
      readingsWritten: count("Readings that questions wrote to owners which lacked them, since its start"),
      chunksRestored: count("Damaged chunks whose readings were fetched, since its start"),
      equal: Type.Boolean({ description: "Every partition was compared with every other owner, and all held the same" }),
    }),
  ),
  ingest: IngestSchema,
  hints: Type.Optional(
    Type.Object({
      waiting: Type.Array(KeptSchema, { description: "Acknowledged rounds that owners lack, kept to be brought to them" }),
      bytes: count("Bytes of these rounds"),
      delivered: count("Rounds that reached an owner as a hint, since the start"),
      dropped: countsBy("Hints that were given up, by reason: the owner gets the readings by repair"),
      held: Type.Object(
        { rounds: Type.Integer(), readings: Type.Integer(), bytes: Type.Integer(), oldestMs: Type.Number(), delivered: Type.Integer() },
        { description: "Rounds that were acknowledged on this disk alone (write level any)" },
      ),
      copies: Type.Array(KeptSchema, { description: "Rounds that a witness keeps for one of two owners" }),
    }),
  ),
  sync: Type.Array(SinkSchema),
  process: Type.Object({ memoryBytes: Type.Integer() }),
});

export const GatewaySchema = Type.Object({
  id: Type.String(),
  host: Type.String(),
  zone: Type.Optional(Type.String()),
  weight: Type.Number(),
  up: Type.Boolean(),
  role: text("What it is to Raft at the moment, as far as the gateway asked knows: leader, follower, …; unknown where it does not answer"),
  // The next five are absent in the answer of a version before them.
  kind: Type.Optional(Type.Union([Type.Literal("full"), Type.Literal("witness")], { description: "A witness owns no readings" })),
  membership: Type.Optional(
    Type.Union([Type.Literal("voter"), Type.Literal("learner"), Type.Literal("expected"), Type.Literal("leaving")], {
      description: "expected: registered, its data folder not admitted yet",
    }),
  ),
  filling: Type.Optional(count("Partitions that it is to own and has not filled yet")),
  leaving: Type.Optional(count("Of the partitions that it owns, those that move to another gateway")),
  planned: Type.Optional(count("Partitions that are to move to it beyond those that do so already, as far as the gateway asked can tell")),
  matchIndex: Type.Optional(count("How far its log agrees with the leader's; only the leader says")),
  note: Type.Optional(text("What there is to say about it, for a person")),
  incarnation: Type.Optional(text("Random id of the data folder that is admitted for it")),
  partitions: count("Partitions that it owns"),
  mqtt: text("host:port of its MQTT listener"),
  http: text("host:port of its HTTP listener"),
});

export const GatewaysSchema = Type.Object({ gateways: Type.Array(GatewaySchema) });

const port = (name: string) => Type.Integer({ description: `Port of its ${name} listener`, minimum: 1, maximum: 65535 });

/** A gateway to be added. */
export const GatewayMemberSchema = Type.Object(
  {
    id: text("Lower-case letters, digits and dashes, at most 32"),
    role: Type.Optional(Type.Union([Type.Literal("full"), Type.Literal("witness")], { description: "full (the default) | witness" })),
    zone: Type.Optional(text("Copies go to different zones first")),
    weight: Type.Optional(Type.Integer({ description: "Its share of the readings; 1 when absent", minimum: 1, maximum: 64 })),
    address: Type.Object(
      { host: text("Host name or IP address under which the others reach it"), mqtt: port("MQTT"), mesh: port("mesh"), http: port("HTTP") },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);

/** What is absent stays as it is. */
export const GatewayUpdateSchema = Type.Object(
  {
    weight: Type.Optional(
      Type.Integer({ description: "Its share of the readings; 0: it gives away all that it has", minimum: 0, maximum: 64 }),
    ),
    zone: Type.Optional(text("Copies go to different zones first; empty: it is a zone of its own")),
  },
  { additionalProperties: false },
);

export const GatewayChangeSchema = Type.Object({ gateway: text("The gateway that was added, changed, replaced or removed") });

export const TransferRequestSchema = Type.Object(
  { to: Type.Optional(text("The gateway that is to lead; when absent, the voter whose log is furthest")) },
  { additionalProperties: false },
);

export const TransferSchema = Type.Object({ leader: text("Who leads now") });

export const GatewayRepairSchema = Type.Object({
  gateway: Type.String(),
  reached: Type.Boolean({ description: "False: it did not answer, and the rest says nothing" }),
  partitionsCompared: count("Partitions that it compared with all of their other owners"),
  partitionsEqual: count("Those of them in which all hold the same"),
  hoursDiffering: count("Hours in which they did not at first, also where the other one lacked something"),
  readingsFetched: count("Readings that it lacked and fetched"),
  chunksRestored: count("Damaged chunks whose readings it fetched"),
  equal: Type.Boolean({ description: "All that it holds is what every other owner holds, at the end" }),
  note: Type.Optional(text("Why something could not be compared, for a person")),
});

export const SiteRepairSchema = Type.Object({
  gateways: Type.Array(GatewayRepairSchema),
  equal: Type.Boolean({ description: "True of every gateway" }),
});

export const RingSchema = Type.Object({
  epoch: Type.Integer(),
  partitions: Type.Integer(),
  device: Type.Optional(Type.Object({ id: Type.String(), partition: Type.Integer(), owners: Type.Array(Type.String()) })),
  owned: countsBy("Partitions by gateway"),
});

export const DeviceSchema = Type.Object({
  id: Type.String(),
  profile: Type.Optional(Type.String()),
  labels: texts("Labels"),
  metrics: Type.Array(Type.String()),
  firstSeenMs: Type.Optional(ms("First reading")),
  partition: Type.Integer(),
  owners: Type.Array(Type.String()),
  latest: Type.Optional(
    Type.Record(Type.String(), Type.Object({ ms: ms("Time of the reading"), value: ReadingValueSchema }), {
      description: "Latest reading by metric",
    }),
  ),
});

export const DevicesSchema = Type.Object({ devices: Type.Array(DeviceSchema) });

export const DeadLetterSchema = Type.Object({
  ms: ms("When it was refused"),
  gateway: Type.String(),
  topic: Type.String(),
  device: Type.String(),
  metric: Type.Optional(Type.String()),
  reason: Type.String(),
  detail: Type.String(),
  payload: text("The payload's beginning, as text when it is UTF-8, otherwise hex with a 0x prefix"),
});

export const DeadLettersSchema = Type.Object({
  counts: countsBy("Since the gateways' start, by reason"),
  letters: Type.Array(DeadLetterSchema, { description: "Newest first, bounded" }),
});

export const SeriesSchema = Type.Object({
  device: Type.String(),
  metric: Type.String(),
  points: Type.Array(Type.Tuple([Type.Number(), NullableValueSchema]), { description: "[epoch milliseconds, value]" }),
  flags: Type.Optional(
    Type.Object({
      unsynchronised: Type.Array(Type.Tuple([Type.Number(), Type.Number()]), {
        description: "First and last time of points next to each other whose time was given by a gateway while nothing confirmed its clock",
      }),
    }),
  ),
});

export const ReadingsSchema = Type.Object({
  series: Type.Array(SeriesSchema),
  complete: Type.Boolean({ description: "False when not every partition asked could be read at the wanted consistency" }),
  cursor: Type.Optional(text("Continues where this page ends; absent on the last page")),
});

export const JobSchema = Type.Object({
  name: Type.String(),
  schedule: text("Cron expression, in the site's time zone"),
  windowMs: Type.Number(),
  metric: Type.String(),
  devices: text("Glob of device ids"),
  groupBy: Type.Array(Type.String()),
  aggregate: texts("Aggregate function by output value"),
  sinks: Type.Array(Type.String()),
  lastWindow: Type.Optional(Type.Object({ fromMs: Type.Number(), toMs: Type.Number() })),
  nextFireMs: Type.Optional(ms("Next run")),
  runs: count("Committed runs"),
});

export const JobsSchema = Type.Object({ jobs: Type.Array(JobSchema) });

export const ResultSchema = Type.Object({
  id: text("Job, window and group: the same id for ever"),
  revision: count("A correction is a higher revision of the same id"),
  job: Type.String(),
  from: ms("Start of the window, inclusive"),
  to: ms("End of the window, exclusive"),
  group: texts("The group's keys"),
  values: Type.Record(Type.String(), NullableValueSchema),
  count: count("Readings in it"),
  complete: Type.Boolean(),
});

export const ResultsSchema = Type.Object({ results: Type.Array(ResultSchema) });

const TimeSchema = Type.Union([Type.String(), Type.Number()], { description: "RFC 3339, epoch milliseconds, or relative (-1h)" });

/** Both ends may be absent, and so may the whole body. */
export const RangeSchema = Type.Object({ from: Type.Optional(TimeSchema), to: Type.Optional(TimeSchema) }, { additionalProperties: false });

export const JobRunSchema = Type.Object({
  job: Type.String(),
  windows: count("Windows computed"),
  committed: count("Windows whose rows are new or changed"),
  rows: Type.Array(ResultSchema),
});

export const KvRevisionSchema = Type.Object({ revision: count("Revision, also the ETag") });

export const SiteContentsSchema = Type.Object({
  kv: count("Keys, but for the restore's own"),
  devices: count("Registered devices"),
  readings: Type.Boolean({ description: "Whether there is any reading" }),
  results: Type.Boolean({ description: "Whether there is any result with rows" }),
  complete: Type.Boolean({ description: "Enough gateways answered to know that there are no readings" }),
});

export const RestoredBlockSchema = Type.Object({
  kind: text("What the block holds"),
  items: count("Items in it; of readings, the readings"),
  applied: count("Stored now, durably"),
  present: count("Here already, as the backup has it"),
  missing: count("Only when asked to compare: not here"),
  conflicts: count("Here in another form, and left as it is"),
  examples: Type.Array(Type.String(), { description: "The first of what is missing or in conflict" }),
});

export const SeriesDigestsSchema = Type.Object({
  series: Type.Array(
    Type.Object({
      device: Type.String(),
      metric: Type.String(),
      count: count("Readings"),
      low: count("Lower word of the additive digest, modulo 2^32"),
      high: count("Upper word, likewise"),
    }),
    { description: "In order; a series may go on in the next page, whose count and digest are added" },
  ),
  cursor: Type.Optional(text("Continues; absent at the end")),
});

export const EventSchema = Type.Union([
  Type.Object({ type: Type.Literal("leadership"), leader: Type.Optional(Type.String()), term: Type.Integer() }),
  Type.Object({ type: Type.Literal("membership"), gateway: Type.String(), up: Type.Boolean(), reason: Type.String() }),
  Type.Object({ type: Type.Literal("result"), row: ResultSchema }),
  Type.Object({
    type: Type.Literal("reading"),
    device: Type.String(),
    metric: Type.String(),
    ms: ms("Time of the reading"),
    value: ReadingValueSchema,
    gateway: Type.String(),
  }),
  Type.Object({ type: Type.Literal("dropped"), count: count("Events that this client was too slow to get") }),
]);

export type Problem = Shape<Static<typeof ProblemSchema>>;
export type Health = Shape<Static<typeof HealthSchema>>;
export type Readiness = Shape<Static<typeof ReadinessSchema>>;
export type Status = Shape<Static<typeof StatusSchema>>;
export type Gateway = Shape<Static<typeof GatewaySchema>>;
export type Gateways = Shape<Static<typeof GatewaysSchema>>;
export type GatewayMember = Shape<Static<typeof GatewayMemberSchema>>;
export type GatewayUpdate = Shape<Static<typeof GatewayUpdateSchema>>;
export type GatewayChange = Shape<Static<typeof GatewayChangeSchema>>;
export type Transfer = Shape<Static<typeof TransferSchema>>;
export type SiteRepair = Shape<Static<typeof SiteRepairSchema>>;
export type Ring = Shape<Static<typeof RingSchema>>;
export type Device = Shape<Static<typeof DeviceSchema>>;
export type Devices = Shape<Static<typeof DevicesSchema>>;
export type DeadLetters = Shape<Static<typeof DeadLettersSchema>>;
export type Series = Shape<Static<typeof SeriesSchema>>;
export type Readings = Shape<Static<typeof ReadingsSchema>>;
export type Job = Shape<Static<typeof JobSchema>>;
export type Jobs = Shape<Static<typeof JobsSchema>>;
export type JobResult = Shape<Static<typeof ResultSchema>>;
export type JobResults = Shape<Static<typeof ResultsSchema>>;
export type JobRun = Shape<Static<typeof JobRunSchema>>;
export type Sync = Shape<Static<typeof SyncSchema>>;
export type KvRevision = Shape<Static<typeof KvRevisionSchema>>;
export type SiteContents = Shape<Static<typeof SiteContentsSchema>>;
export type RestoredBlock = Shape<Static<typeof RestoredBlockSchema>>;
export type SeriesDigests = Shape<Static<typeof SeriesDigestsSchema>>;
export type ClientEvent = Shape<Static<typeof EventSchema>>;
