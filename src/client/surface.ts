import Type, { type TSchema } from "typebox";
import { blockBytesMax } from "../lib/backup-file.ts";
import type { ErrorCode } from "../lib/errors.ts";
import {
  DeadLettersSchema,
  DeviceSchema,
  DevicesSchema,
  EventSchema,
  GatewayChangeSchema,
  GatewayMemberSchema,
  GatewaysSchema,
  GatewayUpdateSchema,
  HealthSchema,
  JobRunSchema,
  JobsSchema,
  KvRevisionSchema,
  RangeSchema,
  ReadinessSchema,
  ReadingsSchema,
  RestoredBlockSchema,
  ResultsSchema,
  RingSchema,
  SeriesDigestsSchema,
  SiteContentsSchema,
  SiteRepairSchema,
  StatusSchema,
  SyncSchema,
  TransferRequestSchema,
  TransferSchema,
} from "./schema.ts";

/** The routes of the HTTP surface as data: the API registers exactly these, and the OpenAPI document describes them. */

export type Method = "GET" | "PUT" | "POST" | "DELETE";

export interface Endpoint {
  readonly method: Method;
  /** `{name}`: one path segment; `{name+}`: the rest of the path, slashes included. */
  readonly path: string;
  readonly summary: string;
  readonly query: Readonly<Record<string, ParameterDescription>>;
  readonly answer: AnswerDescription;
  /** Codes of expected failures beyond `unauthorized`, `bad-request` and `internal`. */
  readonly failures: readonly ErrorCode[];
  readonly changes: boolean;
  readonly body?: BodyDescription;
}

export interface BodyDescription {
  readonly mediaType: string;
  readonly schema: TSchema;
  /** That of a kv value when absent. */
  readonly bytesMax?: number;
}

export interface ParameterDescription {
  readonly description: string;
  readonly example: string;
}

export type AnswerDescription =
  | { readonly kind: "json"; readonly schema: TSchema }
  | { readonly kind: "other"; readonly mediaType: string; readonly schema: TSchema };

const timeRange = {
  from: { description: "Start, inclusive: RFC 3339, epoch milliseconds, or relative to now (-1h)", example: "-1h" },
  to: { description: "End, exclusive: the same forms", example: "2026-01-01T00:00:00Z" },
};

const force = {
  force: { description: "true: also when readings of another lost gateway are not restored yet, which may lose them", example: "true" },
};
const binary = Type.Unsafe({ type: "string", format: "binary" });
const jsonBody = (schema: TSchema): BodyDescription => ({ mediaType: "application/json", schema });
/** How every change of the members may fail. */
const changeFailures = [
  "not-ready",
  "busy",
  "quorum-unavailable",
  "not-applied",
  "outcome-unknown",
] as const satisfies readonly ErrorCode[];

const json = (schema: TSchema): AnswerDescription => ({ kind: "json", schema });
const get = (path: string, summary: string, answer: AnswerDescription, more: Partial<Endpoint> = {}): Endpoint => ({
  method: "GET",
  path,
  summary,
  query: {},
  answer,
  failures: [],
  changes: false,
  ...more,
});

export const surface = {
  healthz: get("/healthz", "Is the process alive", json(HealthSchema)),
  readyz: get("/readyz", "Does the gateway accept readings and answer questions, or why not", json(ReadinessSchema)),
  metrics: get("/metrics", "Prometheus metrics", { kind: "other", mediaType: "text/plain", schema: Type.String() }),
  openapi: get("/openapi.json", "This document", json(Type.Object({}))),
  status: get("/api/v1/status", "Site, this gateway, Raft, ring, log, store, ingest, sync", json(StatusSchema)),
  gateways: get("/api/v1/gateways", "The site's gateways", json(GatewaysSchema)),
  gatewayAdd: {
    method: "POST",
    path: "/api/v1/gateways",
    summary: "Register a gateway: it is expected until it comes with an empty data folder. The same request again is no error",
    query: {},
    body: jsonBody(GatewayMemberSchema),
    answer: json(GatewayChangeSchema),
    failures: ["member-exists", ...changeFailures],
    changes: true,
  },
  gatewayUpdate: {
    method: "POST",
    path: "/api/v1/gateways/{id}/update",
    summary: "Give a gateway another share of the readings, or another zone: partitions move by and by, while the site works",
    query: {},
    body: jsonBody(GatewayUpdateSchema),
    answer: json(GatewayChangeSchema),
    failures: ["member-unknown", ...changeFailures],
    changes: true,
  },
  gatewayReplace: {
    method: "POST",
    path: "/api/v1/gateways/{id}/replace",
    summary: "Retire a gateway's data folder and expect a new, empty one",
    query: force,
    answer: json(GatewayChangeSchema),
    failures: ["member-unknown", "under-replicated", "member-change-pending", ...changeFailures],
    changes: true,
  },
  gatewayRemove: {
    method: "DELETE",
    path: "/api/v1/gateways/{id}",
    summary: "Take a gateway out of the site for good",
    query: force,
    answer: json(GatewayChangeSchema),
    failures: ["member-unknown", "under-replicated", "member-change-pending", "member-needed", ...changeFailures],
    changes: true,
  },
  raftTransfer: {
    method: "POST",
    path: "/api/v1/raft/transfer",
    summary: "Move the Raft leadership",
    query: {},
    body: jsonBody(TransferRequestSchema),
    answer: json(TransferSchema),
    failures: ["member-unknown", ...changeFailures],
    changes: true,
  },
  repair: {
    method: "POST",
    path: "/api/v1/repair",
    summary: "Have every gateway compare all that it holds with the other owners now, and fetch what it lacks; answers when all have",
    query: {},
    answer: json(SiteRepairSchema),
    failures: ["not-ready", "busy"],
    changes: true,
  },
  ring: get("/api/v1/ring", "The owner table, or who owns one device", json(RingSchema), {
    query: { device: { description: "Device id", example: "room-1" } },
  }),
  devices: get("/api/v1/devices", "All devices", json(DevicesSchema), { failures: ["quorum-unavailable", "not-ready"] }),
  device: get("/api/v1/devices/{id}", "One device with its latest readings", json(DeviceSchema), {
    failures: ["not-found", "quorum-unavailable", "not-ready"],
  }),
  deadLetters: get("/api/v1/dead-letters", "Payloads that the gateways refused, newest first", json(DeadLettersSchema), {
    failures: ["quorum-unavailable", "not-ready"],
  }),
  readings: get("/api/v1/readings", "Readings: raw in pages, or aggregated into windows when `every` is given", json(ReadingsSchema), {
    query: {
      metric: { description: "Metric; all when absent", example: "temperature" },
      device: { description: "Glob of device ids; all when absent", example: "room-*" },
      ...timeRange,
      every: { description: "Window length; aligned to the site's calendar", example: "1m" },
      agg: { description: "count | sum | min | max | mean | first | last | quantile(Q); mean when only `every` is given", example: "mean" },
      consistency: { description: "one | quorum | all; the site's setting when absent", example: "quorum" },
      limit: { description: "Points in a page, 1 … 10000 (the default)", example: "1000" },
      cursor: { description: "From the page before", example: "" },
      flags: {
        description:
          "clock: with `flags.unsynchronised` for each series of raw readings, in JSON: the points whose time no confirmed clock gave",
        example: "clock",
      },
      format: {
        description: "json (default) | csv: device,metric,time,value; the next cursor is in the header fogbank-cursor",
        example: "json",
      },
    },
    failures: ["quorum-unavailable", "not-ready", "busy"],
  }),
  jobs: get("/api/v1/jobs", "The site's jobs", json(JobsSchema)),
  jobRun: {
    method: "POST",
    path: "/api/v1/jobs/{name}/run",
    summary: "Run a job now over the closed windows of a range",
    query: {},
    body: jsonBody(RangeSchema),
    answer: json(JobRunSchema),
    failures: ["not-found", "quorum-unavailable", "not-ready", "busy", "not-applied", "outcome-unknown"],
    changes: true,
  },
  results: get("/api/v1/results", "Committed results", json(ResultsSchema), {
    query: { job: { description: "Job; all jobs when absent", example: "hourly-climate" }, ...timeRange },
    failures: ["not-found", "quorum-unavailable", "not-ready"],
  }),
  sync: get("/api/v1/sync", "The sinks and what they hold", json(SyncSchema)),
  kvGet: get(
    "/api/v1/kv/{key+}",
    "The bytes of a key; ETag is its revision. A key is the rest of the path, percent-decoded, and may hold slashes",
    { kind: "other", mediaType: "application/octet-stream", schema: Type.Unsafe({ type: "string", format: "binary" }) },
    { failures: ["not-found", "precondition-failed", "quorum-unavailable", "not-ready"] },
  ),
  kvPut: {
    method: "PUT",
    path: "/api/v1/kv/{key+}",
    summary: 'Write a key, linearizable; If-Match: "REVISION" or *, If-None-Match: *',
    query: {},
    body: { mediaType: "application/octet-stream", schema: Type.Unsafe({ type: "string", format: "binary" }) },
    answer: json(KvRevisionSchema),
    failures: ["precondition-failed", "too-large", "not-applied", "outcome-unknown", "not-ready"],
    changes: true,
  },
  kvDelete: {
    method: "DELETE",
    path: "/api/v1/kv/{key+}",
    summary: "Delete a key, linearizable; If-Match as for PUT. 404 when there was none",
    query: {},
    answer: { kind: "other", mediaType: "", schema: Type.Unsafe({}) },
    failures: ["not-found", "precondition-failed", "not-applied", "outcome-unknown", "not-ready"],
    changes: true,
  },
  backup: get(
    "/api/v1/backup",
    "A backup of the site as one file. Complete only with its trailer; a failure on the way is its last block",
    { kind: "other", mediaType: "application/octet-stream", schema: binary },
    {
      query: {
        incomplete: { description: "true: go on where something cannot be read; the trailer says what is missing", example: "true" },
      },
      failures: ["busy", "quorum-unavailable", "not-ready"],
    },
  ),
  siteContents: get("/api/v1/restore", "What the site has already that a restore could be in the way of", json(SiteContentsSchema), {
    failures: ["quorum-unavailable", "not-ready"],
  }),
  restoreBlock: {
    method: "POST",
    path: "/api/v1/restore",
    summary: "Put what one block of a backup holds into the site, durably. The same block again is harmless; nothing is overwritten",
    query: { check: { description: "true: only compare the site with the block (any but readings)", example: "true" } },
    body: { mediaType: "application/octet-stream", schema: binary, bytesMax: blockBytesMax + 16 },
    answer: json(RestoredBlockSchema),
    failures: ["busy", "data-damaged", "disk-full", "too-large", "quorum-unavailable", "not-ready", "not-applied", "outcome-unknown"],
    changes: true,
  },
  digests: get(
    "/api/v1/digests",
    "Readings by series, by a quorum read: how many, and an additive digest of them",
    json(SeriesDigestsSchema),
    {
      query: { cursor: { description: "From the page before", example: "" } },
      failures: ["quorum-unavailable", "not-ready", "busy"],
    },
  ),
  events: get(
    "/api/v1/events",
    "Server-sent events: leadership, membership, result, dropped, and reading when asked for",
    { kind: "other", mediaType: "text/event-stream", schema: EventSchema },
    {
      query: { readings: { description: "Glob of device ids whose readings are wanted", example: "room-*" } },
      failures: ["busy"],
    },
  ),
} as const satisfies Record<string, Endpoint>;
