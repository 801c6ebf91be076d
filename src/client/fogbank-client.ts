import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { type ErrorCode, errorCodes, type Failure, failure, type Result, success } from "../lib/errors.ts";
import { EventStreamParser } from "./event-stream.ts";
import {
  type ClientEvent,
  type DeadLetters,
  DeadLettersSchema,
  type Device,
  DeviceSchema,
  type Devices,
  DevicesSchema,
  EventSchema,
  type GatewayChange,
  GatewayChangeSchema,
  type GatewayMember,
  type Gateways,
  GatewaysSchema,
  type GatewayUpdate,
  type JobResults,
  type JobRun,
  JobRunSchema,
  type Jobs,
  JobsSchema,
  type KvRevision,
  KvRevisionSchema,
  type Readiness,
  ReadinessSchema,
  type Readings,
  ReadingsSchema,
  type RestoredBlock,
  RestoredBlockSchema,
  ResultsSchema,
  type Ring,
  RingSchema,
  type SeriesDigests,
  SeriesDigestsSchema,
  type Shape,
  type SiteContents,
  SiteContentsSchema,
  type SiteRepair,
  SiteRepairSchema,
  type Status,
  StatusSchema,
  type Sync,
  SyncSchema,
  type Transfer,
  TransferSchema,
} from "./schema.ts";

export type FetchFunction = (url: string, init?: RequestInit) => Promise<Response>;

export interface ClientOptions {
  readonly fetch: FetchFunction;
  /** e.g. `http://127.0.0.1:7880`; a path prefix is kept. */
  readonly baseUrl: string;
  readonly token: string | undefined;
  /** For one request, its answer included; 60,000 when absent. Event streams have none. */
  readonly timeoutMs?: number;
}

/** Times are sent as given: RFC 3339, epoch milliseconds, or relative (`-1h`). */
export interface ReadingsRequest {
  readonly metric?: string | undefined;
  readonly device?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly every?: string | undefined;
  readonly agg?: string | undefined;
  readonly consistency?: string | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
  readonly flags?: "clock" | undefined;
}

export interface KvPrecondition {
  readonly ifMatch?: number | "*" | undefined;
  readonly ifAbsent?: boolean | undefined;
}

interface RequestDetails {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal?: AbortSignal;
}

/** A gateway that waits for its peers is silent for a while; one that is silent for longer than this has gone. */
const longCallMs = 300_000;

/**
 * The gateway's HTTP surface as typed calls. Every expected failure (no answer, a problem document, an answer that is
 * not Fogbank's) is a value; for a change whose answer was lost the code is `outcome-unknown`, never `unreachable`.
 */
export class FogbankClient {
  readonly baseUrl: string;
  readonly #fetch: FetchFunction;
  readonly #token: string | undefined;
  readonly #timeoutMs: number;
  readonly #checks = new Map<TSchema, (value: unknown) => boolean>();

  constructor(options: ClientOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#fetch = options.fetch;
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
  }

  status(): Promise<Result<Status>> {
    return this.#json("/api/v1/status", StatusSchema);
  }

  /** Also a success when the gateway answers that it is not ready. */
  async readiness(): Promise<Result<Readiness>> {
    const answer = await this.#request("/readyz", { method: "GET" });
    if (!answer.ok) return answer;
    return await this.#decode(answer.value, ReadinessSchema);
  }

  gateways(): Promise<Result<Gateways>> {
    return this.#json("/api/v1/gateways", GatewaysSchema);
  }

  /** The same request once more is a success. */
  addGateway(member: GatewayMember): Promise<Result<GatewayChange>> {
    return this.#json("/api/v1/gateways", GatewayChangeSchema, this.#post(member));
  }

  updateGateway(id: string, change: GatewayUpdate): Promise<Result<GatewayChange>> {
    return this.#json(`/api/v1/gateways/${encodeURIComponent(id)}/update`, GatewayChangeSchema, this.#post(change));
  }

  replaceGateway(id: string, options: { readonly force: boolean }): Promise<Result<GatewayChange>> {
    return this.#json(`/api/v1/gateways/${encodeURIComponent(id)}/replace`, GatewayChangeSchema, {
      method: "POST",
      query: forceQuery(options),
    });
  }

  removeGateway(id: string, options: { readonly force: boolean }): Promise<Result<GatewayChange>> {
    return this.#json(`/api/v1/gateways/${encodeURIComponent(id)}`, GatewayChangeSchema, { method: "DELETE", query: forceQuery(options) });
  }

  transferLeadership(to: string | undefined): Promise<Result<Transfer>> {
    return this.#json("/api/v1/raft/transfer", TransferSchema, this.#post({ to }));
  }

  /** The gateway answers when all gateways have compared everything, which takes long where there is much. */
  repair(): Promise<Result<SiteRepair>> {
    return this.#json("/api/v1/repair", SiteRepairSchema, { method: "POST", signal: AbortSignal.timeout(longCallMs) });
  }

  ring(device?: string): Promise<Result<Ring>> {
    return this.#json("/api/v1/ring", RingSchema, { method: "GET", query: { device } });
  }

  devices(): Promise<Result<Devices>> {
    return this.#json("/api/v1/devices", DevicesSchema);
  }

  device(id: string): Promise<Result<Device>> {
    return this.#json(`/api/v1/devices/${encodeURIComponent(id)}`, DeviceSchema);
  }

  deadLetters(): Promise<Result<DeadLetters>> {
    return this.#json("/api/v1/dead-letters", DeadLettersSchema);
  }

  readings(request: ReadingsRequest): Promise<Result<Readings>> {
    return this.#json("/api/v1/readings", ReadingsSchema, { method: "GET", query: { ...request } });
  }

  jobs(): Promise<Result<Jobs>> {
    return this.#json("/api/v1/jobs", JobsSchema);
  }

  runJob(name: string, range: { readonly from?: string | undefined; readonly to?: string | undefined }): Promise<Result<JobRun>> {
    return this.#json(`/api/v1/jobs/${encodeURIComponent(name)}/run`, JobRunSchema, this.#post(range));
  }

  results(query: {
    readonly job?: string | undefined;
    readonly from?: string | undefined;
    readonly to?: string | undefined;
  }): Promise<Result<JobResults>> {
    return this.#json("/api/v1/results", ResultsSchema, { method: "GET", query });
  }

  sync(): Promise<Result<Sync>> {
    return this.#json("/api/v1/sync", SyncSchema);
  }

  /** `undefined` when there is no such key. */
  async kvGet(key: string): Promise<Result<{ readonly value: Uint8Array; readonly revision: number } | undefined>> {
    const answer = await this.#request(kvPath(key), { method: "GET" });
    if (!answer.ok) return answer;
    if (!answer.value.ok) {
      const problem = await this.#problem(answer.value);
      return problem.code === "not-found" ? success(undefined) : problem;
    }
    const revision = Number(/^"(\d+)"$/.exec(answer.value.headers.get("etag") ?? "")?.[1] ?? Number.NaN);
    if (!Number.isSafeInteger(revision)) return this.#foreign("the answer carries no revision as its ETag");
    try {
      return success({ value: new Uint8Array(await answer.value.arrayBuffer()), revision });
    } catch (error) {
      return failure("unreachable", `${this.baseUrl} broke off its answer: ${causeOf(error)}`);
    }
  }

  kvPut(key: string, value: Uint8Array, precondition: KvPrecondition): Promise<Result<KvRevision>> {
    return this.#json(kvPath(key), KvRevisionSchema, {
      method: "PUT",
      headers: { "content-type": "application/octet-stream", ...preconditionHeaders(precondition) },
      body: new Uint8Array(value),
    });
  }

  async kvDelete(key: string, precondition: KvPrecondition): Promise<Result<void>> {
    const answer = await this.#request(kvPath(key), { method: "DELETE", headers: preconditionHeaders(precondition) });
    if (!answer.ok) return answer;
    return answer.value.ok ? success(undefined) : await this.#problem(answer.value);
  }

  /** The bytes of a backup as they come; a stream that breaks ends with a last failure. */
  async backup(options: { readonly allowIncomplete: boolean }): Promise<Result<AsyncIterable<Result<Uint8Array>>>> {
    const silence = new AbortController();
    const answer = await this.#request("/api/v1/backup", {
      method: "GET",
      query: options.allowIncomplete ? { incomplete: "true" } : {},
      signal: silence.signal,
    });
    if (!answer.ok) return answer;
    if (!answer.value.ok) return await this.#problem(answer.value);
    const { body } = answer.value;
    return body === null ? this.#foreign("the backup has no body") : success(this.#bytesOf(body, silence));
  }

  async *#bytesOf(body: ReadableStream<Uint8Array>, silence: AbortController): AsyncGenerator<Result<Uint8Array>> {
    let timer = setTimeout(() => silence.abort(), longCallMs);
    try {
      for await (const bytes of body) {
        clearTimeout(timer);
        yield success(bytes);
        timer = setTimeout(() => silence.abort(), longCallMs);
      }
    } catch (error) {
      yield failure("unreachable", `${this.baseUrl} broke off its answer: ${causeOf(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  siteContents(): Promise<Result<SiteContents>> {
    return this.#json("/api/v1/restore", SiteContentsSchema);
  }

  /** The same block again is harmless. */
  restoreBlock(block: Uint8Array, options: { readonly check: boolean }): Promise<Result<RestoredBlock>> {
    return this.#json("/api/v1/restore", RestoredBlockSchema, {
      method: "POST",
      query: options.check ? { check: "true" } : {},
      headers: { "content-type": "application/octet-stream" },
      body: new Uint8Array(block),
      signal: AbortSignal.timeout(longCallMs),
    });
  }

  digests(cursor: string | undefined): Promise<Result<SeriesDigests>> {
    return this.#json("/api/v1/digests", SeriesDigestsSchema, {
      method: "GET",
      query: { cursor },
      signal: AbortSignal.timeout(longCallMs),
    });
  }

  /** Events until the gateway or `signal` ends the stream; a stream that breaks ends with a last failure. */
  async events(readings: string | undefined, signal: AbortSignal): Promise<Result<AsyncIterable<Result<ClientEvent>>>> {
    const answer = await this.#request("/api/v1/events", {
      method: "GET",
      query: { readings },
      signal,
      headers: { accept: "text/event-stream" },
    });
    if (!answer.ok) return answer;
    if (!answer.value.ok) return await this.#problem(answer.value);
    const { body } = answer.value;
    return body === null ? this.#foreign("the event stream has no body") : success(this.#eventsOf(body, signal));
  }

  async *#eventsOf(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Result<ClientEvent>> {
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body) {
        for (const data of parser.push(decoder.decode(chunk, { stream: true }))) {
          const event = parseJson(data);
          // An event of a kind that this version does not know is skipped.
          if (this.#matches(EventSchema, event)) yield success(event);
        }
      }
      if (!signal.aborted) yield failure("unreachable", `${this.baseUrl} ended the event stream`);
    } catch (error) {
      if (!signal.aborted) yield failure("unreachable", `the event stream of ${this.baseUrl} broke: ${causeOf(error)}`);
    }
  }

  #post(body: unknown): RequestDetails {
    return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  }

  async #json<S extends TSchema>(path: string, schema: S, details: RequestDetails = { method: "GET" }): Promise<Result<Shape<Static<S>>>> {
    const answer = await this.#request(path, details);
    if (!answer.ok) return answer;
    if (!answer.value.ok) return await this.#problem(answer.value);
    const decoded = await this.#decode(answer.value, schema);
    // The change was made: only what came back is unreadable.
    return decoded.ok || details.method === "GET" ? decoded : failure("outcome-unknown", decoded.message);
  }

  async #decode<S extends TSchema>(response: Response, schema: S): Promise<Result<Shape<Static<S>>>> {
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      return failure("unreachable", `${this.baseUrl} broke off its answer: ${causeOf(error)}`);
    }
    const value = parseJson(text);
    return this.#matches(schema, value)
      ? success(value)
      : this.#foreign(`the answer to ${response.url || "the request"} has an unexpected shape`);
  }

  async #request(path: string, details: RequestDetails): Promise<Result<Response>> {
    let url: URL;
    try {
      url = new URL(`${this.baseUrl}${path}`);
    } catch {
      return failure("usage", `"${this.baseUrl}" is not a URL; expected something like http://127.0.0.1:7880`);
    }
    for (const [name, value] of Object.entries(details.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = { ...details.headers };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    const init: RequestInit = { method: details.method, headers, signal: details.signal ?? AbortSignal.timeout(this.#timeoutMs) };
    if (details.body !== undefined) init.body = details.body;
    try {
      return success(await this.#fetch(url.href, init));
    } catch (error) {
      if (details.method === "GET" || neverSent(error)) {
        return failure("unreachable", `no answer from ${this.baseUrl} (${causeOf(error)}); is a gateway running there?`);
      }
      return failure(
        "outcome-unknown",
        `${this.baseUrl} took the request but gave no answer (${causeOf(error)}); the change may have been made`,
      );
    }
  }

  async #problem(response: Response): Promise<Failure> {
    const text = await response.text().catch(() => "");
    const value = parseJson(text);
    const code = field(value, "code");
    const detail = field(value, "detail");
    if (code !== undefined && detail !== undefined && isErrorCode(code)) return failure(code, detail);
    if (response.status === 503) return failure("not-ready", detail ?? `${this.baseUrl} is not available (status 503)`);
    return this.#foreign(`status ${response.status}${detail === undefined ? "" : `: ${detail}`}`);
  }

  #foreign(what: string): Failure {
    return failure("unreachable", `${this.baseUrl} does not answer like a Fogbank gateway: ${what}`);
  }

  #matches<S extends TSchema>(schema: S, value: unknown): value is Shape<Static<S>> {
    let check = this.#checks.get(schema);
    if (check === undefined) {
      const compiled = Compile(schema);
      check = (candidate) => compiled.Check(candidate);
      this.#checks.set(schema, check);
    }
    return check(value);
  }
}

/** Each segment is encoded by itself, so that slashes stay slashes; but a URL loses segments of dots, even encoded ones. */
function kvPath(key: string): string {
  const segments = key.split("/");
  const hasDots = segments.some((segment) => segment === "." || segment === "..");
  return `/api/v1/kv/${hasDots ? encodeURIComponent(key) : segments.map(encodeURIComponent).join("/")}`;
}

const forceQuery = ({ force }: { readonly force: boolean }) => (force ? { force: "true" } : {});

function preconditionHeaders(precondition: KvPrecondition): Record<string, string> {
  const headers: Record<string, string> = {};
  if (precondition.ifMatch !== undefined) headers["if-match"] = precondition.ifMatch === "*" ? "*" : `"${precondition.ifMatch}"`;
  if (precondition.ifAbsent === true) headers["if-none-match"] = "*";
  return headers;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function field(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  const found: unknown = Object.entries(value).find(([key]) => key === name)?.[1];
  return typeof found === "string" ? found : undefined;
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}

const neverSentCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

function neverSent(error: unknown): boolean {
  return neverSentCodes.has(systemCode(error) ?? "");
}

/** Node's fetch rejects with "fetch failed" and puts what happened into `cause` (an AggregateError for several addresses). */
function causeOf(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return "timed out";
  const code = systemCode(error);
  if (code !== undefined) return code;
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message : String(inner);
}

function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof AggregateError) return systemCode(error.errors[0]);
  return systemCode(error.cause);
}
