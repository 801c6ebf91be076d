import { readingsCsv, readingsCsvHeader } from "../client/csv.ts";
import type {
  DeadLetters,
  Device,
  Devices,
  Gateways,
  Health,
  JobResult,
  JobResults,
  JobRun,
  Jobs,
  Readiness,
  Readings,
  Ring,
  SiteRepair,
  Status,
  Sync,
} from "../client/schema.ts";
import type { surface } from "../client/surface.ts";
import type { GatewayService, ReadingsQuery } from "../gateway/service.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type Answer, type Call, jsonAnswer } from "./answer.ts";
import { readObject } from "./json-body.ts";
import { deleteKv, getKv, putKv } from "./kv-routes.ts";
import { addGateway, removeGateway, replaceGateway, transferLeadership, updateGateway } from "./member-routes.ts";
import { formatSamples, metricsMediaType, processMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { quoted } from "./query-reader.ts";
import { digests, restoreBlock, siteContents } from "./restore-routes.ts";
import { parseTime, timeExpected } from "./time.ts";

export const readingsLimitMax = 10_000;

export type Route = (call: Call) => Promise<Result<Answer>>;
/** All of the surface but the streams, which are no calls with an answer. */
export type Routes = Readonly<Record<Exclude<keyof typeof surface, "events" | "backup">, Route>>;

export interface RouteContext {
  readonly service: GatewayService;
  readonly version: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export function createRoutes({ service, version, now }: RouteContext): Routes {
  const processText = processMetrics();
  const openApi = JSON.stringify(openApiDocument(version));
  return {
    healthz: async () => {
      const value: Health = { healthy: service.healthy() };
      return success(jsonAnswer(value, value.healthy ? 200 : 503));
    },
    readyz: async () => {
      const value: Readiness = service.readiness();
      return success(jsonAnswer(value, value.ready ? 200 : 503));
    },
    metrics: async () =>
      success({ status: 200, mediaType: metricsMediaType, body: formatSamples(service.metrics()) + (await processText()), headers: {} }),
    openapi: async () => success({ status: 200, mediaType: "application/json; charset=utf-8", body: openApi, headers: {} }),
    status: async () => ok<Status>(service.status()),
    gateways: async () => ok<Gateways>({ gateways: service.gateways() }),
    gatewayAdd: (call) => addGateway(service, call),
    gatewayUpdate: (call) => updateGateway(service, call),
    gatewayReplace: (call) => replaceGateway(service, call),
    gatewayRemove: (call) => removeGateway(service, call),
    raftTransfer: (call) => transferLeadership(service, call),
    repair: async () => mapped(await service.repair(), (report): SiteRepair => report),
    ring: async ({ query }) => {
      const device = query.text("device");
      return query.failed ?? ok<Ring>(service.ring(device));
    },
    devices: async () => mapped(await service.devices(), (devices): Devices => ({ devices })),
    device: async ({ params }) => mapped(await service.device(params["id"] ?? ""), (device): Device => device),
    deadLetters: async () => mapped(await service.deadLetters(), (letters): DeadLetters => letters),
    readings: (call) => readings(service, call),
    jobs: async () => ok<Jobs>({ jobs: service.jobs() }),
    jobRun: (call) => runJob(service, call, now()),
    results: (call) => results(service, call),
    sync: async () => ok<Sync>({ sinks: service.sync() }),
    kvGet: (call) => getKv(service, call),
    kvPut: (call) => putKv(service, call),
    kvDelete: (call) => deleteKv(service, call),
    siteContents: () => siteContents(service),
    restoreBlock: (call) => restoreBlock(service, call),
    digests: (call) => digests(service, call),
  };
}

const ok = <T>(value: T): Result<Answer> => success(jsonAnswer(value));

function mapped<T, U>(result: Result<T>, shape: (value: T) => U): Result<Answer> {
  return result.ok ? ok(shape(result.value)) : result;
}

async function readings(service: GatewayService, { query }: Call): Promise<Result<Answer>> {
  const everyMs = query.duration("every");
  const aggregate = query.aggregate("agg");
  if (aggregate !== undefined && everyMs === undefined) query.reject('parameter "agg" needs "every", the length of the windows');
  if (query.text("consistency") === "any")
    query.reject('parameter "consistency" is "any", a level for writing: what no owner has yet cannot be read; one | quorum | all');
  const wanted: ReadingsQuery = {
    metric: query.text("metric"),
    device: query.text("device") ?? "*",
    ...query.range(),
    consistency: query.choice("consistency", ["one", "quorum", "all"]),
    everyMs,
    aggregate: everyMs === undefined ? undefined : (aggregate ?? { kind: "mean" }),
    limit: query.integer("limit", { min: 1, max: readingsLimitMax }) ?? readingsLimitMax,
    cursor: query.cursor("cursor"),
    ...(query.choice("flags", ["clock"]) === "clock" ? { clockFlags: true } : {}),
  };
  if (wanted.clockFlags === true && everyMs !== undefined) query.reject('parameter "flags" is about raw readings: leave "every" out');
  const format = query.choice("format", ["json", "csv"]) ?? "json";
  if (query.failed !== undefined) return query.failed;
  const answer = await service.readings(wanted);
  if (!answer.ok) return answer;
  const value: Readings = answer.value;
  if (format === "json") return ok(value);
  const headers: Record<string, string> = { "fogbank-complete": String(value.complete) };
  if (value.cursor !== undefined) headers["fogbank-cursor"] = value.cursor;
  return success({
    status: 200,
    mediaType: "text/csv; charset=utf-8; header=present",
    body: readingsCsvHeader + readingsCsv(value.series),
    headers,
  });
}

async function runJob(service: GatewayService, { params, body }: Call, nowMs: number): Promise<Result<Answer>> {
  const range = readRange(body, nowMs);
  if (!range.ok) return range;
  return mapped(await service.runJob(params["name"] ?? "", range.value), (run): JobRun => run);
}

interface TimeRange {
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
}

/** No body at all is an empty range: all closed windows. */
function readRange(body: Uint8Array | undefined, nowMs: number): Result<TimeRange> {
  const given = readObject(body, { keys: ["from", "to"], expected: '{"from": TIME, "to": TIME}' });
  if (!given.ok) return given;
  const times: Record<"from" | "to", number | undefined> = { from: undefined, to: undefined };
  for (const name of ["from", "to"] as const) {
    const value = given.value.get(name);
    if (value === undefined) continue;
    const ms = typeof value === "string" || typeof value === "number" ? parseTime(String(value), nowMs) : undefined;
    if (ms === undefined)
      return failure("bad-request", `"${name}": ${quoted(JSON.stringify(value))} is not valid; expected ${timeExpected}`);
    times[name] = ms;
  }
  if (times.from !== undefined && times.to !== undefined && times.from > times.to)
    return failure("bad-request", '"from" is after "to"; expected from <= to');
  return success({ fromMs: times.from, toMs: times.to });
}

async function results(service: GatewayService, { query }: Call): Promise<Result<Answer>> {
  const job = query.text("job");
  const range = query.range();
  if (query.failed !== undefined) return query.failed;
  const rows: JobResult[] = [];
  for (const name of job === undefined ? service.jobs().map((view) => view.name) : [job]) {
    const found = await service.results({ job: name, ...range });
    if (!found.ok) return found;
    for (const row of found.value) rows.push(row);
  }
  return ok<JobResults>({ results: rows });
}
