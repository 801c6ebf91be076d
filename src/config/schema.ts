import Type, { type Static, type TObjectOptions, type TSchema } from "typebox";
import type { TextCheck } from "./text-check.ts";

/**
 * The shape of the site's files: one schema gives the static type and, read by `check-node.ts`, the validation.
 * Beyond JSON Schema a node may carry these notes.
 */
export interface SchemaNotes {
  /** A rule for texts, by name. */
  readonly check?: TextCheck;
  /** A rule for the keys of a mapping. */
  readonly keyCheck?: TextCheck;
  /** What the value is, for messages: "the name of the site". */
  readonly expected?: string;
  /** The value must never be shown. */
  readonly secret?: boolean;
  /** Designed, but not built yet: refused by name. */
  readonly later?: boolean;
  /** Values of an enumeration that are designed, but not built yet. */
  readonly laterValues?: readonly string[];
  /** Values of an enumeration that mean something elsewhere, with what is to be said of each. */
  readonly misplacedValues?: Readonly<Record<string, string>>;
  /** Required keys that are not missed when this key (which is refused) is there. */
  readonly insteadOf?: readonly string[];
}

const text = (check: TextCheck, expected: string) => Type.String({ check, expected });
const secret = (check: TextCheck, expected: string) => Type.String({ check, expected, secret: true });
const choice = <Values extends string[]>(values: readonly [...Values], laterValues: readonly string[] = []) =>
  Type.Enum<Values>(values, { laterValues });
const later = (insteadOf: readonly string[] = []) => Type.Optional(Type.Unknown({ later: true, insteadOf }));
const mapping = <Value extends TSchema>(value: Value, notes: SchemaNotes & TObjectOptions) => Type.Record(Type.String(), value, notes);
const closed = { additionalProperties: false } as const;

const labels = mapping(text("labelValue", "a text"), {
  keyCheck: "labelName",
  expected: "a mapping of labels to texts",
  maxProperties: 64,
});

const listenEntry = Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String({ check: "listen" })], {
  expected: 'a port from 1 to 65535, or "host:port"',
});

const gatewaySchema = Type.Object(
  {
    host: text("host", "a host name or an IP address"),
    zone: Type.Optional(text("plain", "the name of a zone")),
    weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
    listen: Type.Optional(
      Type.Object({ mqtt: Type.Optional(listenEntry), mesh: Type.Optional(listenEntry), http: Type.Optional(listenEntry) }, closed),
    ),
    role: Type.Optional(choice(["full", "witness"])),
  },
  closed,
);

const sinkSchema = Type.Object({ type: choice(["file"], ["http", "mqtt", "postgres"]) }, { ...closed, expected: "a sink with its type" });

export const jobSchema = Type.Object(
  {
    name: text("name", "the name of the job"),
    schedule: text("cron", "a cron expression"),
    window: text("window", "a duration"),
    source: Type.Object(
      {
        metric: text("metricName", "the name of a metric"),
        devices: Type.Optional(text("glob", "a glob of device ids")),
        labels: Type.Optional(labels),
      },
      closed,
    ),
    groupBy: Type.Optional(
      Type.Array(text("groupKey", "device, metric or label.<name>"), {
        maxItems: 16,
        expected: "a list of device, metric and label.<name>",
      }),
    ),
    aggregate: mapping(text("aggregate", "an aggregate such as mean"), {
      keyCheck: "name",
      minProperties: 1,
      maxProperties: 64,
      expected: "a mapping of names to aggregates",
    }),
    sinks: Type.Optional(Type.Array(text("sinkName", "the name of a sink"), { maxItems: 64, expected: "a list of sinks" })),
    every: later(["schedule", "window"]),
    lateness: later(),
    module: later(["aggregate", "source", "window"]),
  },
  { ...closed, expected: "a job" },
);

export const jobListSchema = Type.Array(jobSchema, { maxItems: 1000, expected: "a list of jobs" });
/** A file in the jobs folder that holds several. */
export const jobsFileSchema = Type.Object({ jobs: jobListSchema }, closed);

const writeLevel = () => Type.Optional(choice(["any", "one", "quorum", "all"]));
const readLevel = () =>
  Type.Optional(
    Type.Enum(["one", "quorum", "all"], { misplacedValues: { any: "a level for writing: what no owner has yet cannot be read" } }),
  );

export const siteSchema = Type.Object(
  {
    site: text("siteName", "the name of the site"),
    timezone: Type.Optional(text("timeZone", "an IANA time zone such as UTC or Europe/Berlin")),
    secret: Type.Optional(secret("secret", "a text of at least 16 characters")),
    gateways: mapping(gatewaySchema, {
      keyCheck: "gatewayId",
      minProperties: 1,
      maxProperties: 1000,
      expected: "a mapping of gateway ids",
    }),
    replication: Type.Optional(
      Type.Object(
        {
          factor: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
          write: writeLevel(),
          read: readLevel(),
          ackTimeout: Type.Optional(text("ackTimeout", "a duration from 1s to 5m")),
        },
        closed,
      ),
    ),
    raft: Type.Optional(Type.Object({ preset: Type.Optional(choice(["lan", "slow-disk"])) }, closed)),
    mqtt: Type.Optional(
      Type.Object(
        {
          anonymous: Type.Optional(Type.Boolean()),
          users: Type.Optional(
            Type.Array(Type.Object({ name: text("userName", "the name of a user"), password: secret("password", "a text") }, closed), {
              maxItems: 10_000,
              expected: "a list of users",
            }),
          ),
        },
        closed,
      ),
    ),
    http: Type.Optional(Type.Object({ token: Type.Optional(secret("token", "a text of at least 8 characters")) }, closed)),
    devices: Type.Optional(text("path", "the path of a folder")),
    jobs: Type.Optional(
      Type.Union([text("path", "the path of a folder"), jobListSchema], { expected: "the path of a folder, or a list of jobs" }),
    ),
    sinks: Type.Optional(mapping(sinkSchema, { keyCheck: "sinkName", maxProperties: 64, expected: "a mapping of sinks" })),
    retention: Type.Optional(
      Type.Object(
        {
          raw: Type.Optional(text("duration", "a duration such as 90d")),
          rollup: Type.Optional(text("duration", "a duration such as 2y")),
          minFreeDisk: Type.Optional(text("freeSpace", "a share of the disk such as 10%, or bytes such as 2GiB")),
        },
        closed,
      ),
    ),
    store: Type.Optional(
      Type.Object(
        { engine: Type.Optional(choice(["level", "lowdb"])), commitDelay: Type.Optional(text("commitDelay", "a duration from 0ms to 1s")) },
        closed,
      ),
    ),
  },
  { ...closed, expected: "the settings of a site" },
);

const metricSchema = Type.Object(
  {
    path: Type.Optional(text("payloadPath", "a path into the payload")),
    unit: Type.Optional(text("unit", "a unit such as Cel")),
    scale: Type.Optional(Type.Number()),
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
    deadband: Type.Optional(Type.Number({ minimum: 0 })),
  },
  closed,
);

export const profileSchema = Type.Object(
  {
    profile: text("name", "the name of the profile"),
    topic: text("topic", "a topic with one {device} level"),
    payload: choice(["json", "number", "text"], ["cbor", "senml", "sparkplug"]),
    timestamp: Type.Optional(
      Type.Object({ path: text("payloadPath", "a path into the payload"), unit: choice(["s", "ms", "us", "ns", "iso8601"]) }, closed),
    ),
    metrics: mapping(metricSchema, { keyCheck: "metricName", minProperties: 1, maxProperties: 1000, expected: "a mapping of metrics" }),
    write: writeLevel(),
    read: later(),
  },
  { ...closed, expected: "a profile" },
);

export const inventorySchema = Type.Object(
  {
    devices: mapping(
      Type.Object(
        {
          profile: Type.Optional(text("name", "the name of a profile")),
          labels: Type.Optional(labels),
          password: Type.Optional(secret("password", "a text")),
        },
        closed,
      ),
      { keyCheck: "deviceId", maxProperties: 50_000, expected: "a mapping of device ids" },
    ),
  },
  { ...closed, expected: "an inventory" },
);

export type SiteFile = Static<typeof siteSchema>;
export type JobFile = Static<typeof jobSchema>;
export type ProfileFile = Static<typeof profileSchema>;
export type InventoryFile = Static<typeof inventorySchema>;
