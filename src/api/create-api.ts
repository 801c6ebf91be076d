import type { Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Endpoint, surface } from "../client/surface.ts";
import type { GatewayService } from "../gateway/service.ts";
import { type Failure, FailureError, failure, type Result, success } from "../lib/errors.ts";
import { type Answer, problemAnswer } from "./answer.ts";
import { BackupStreams } from "./backup-stream.ts";
import { type EventStreamOptions, EventStreams, eventStreamDefaults } from "./events.ts";
import { createGuard, type Guard } from "./guard.ts";
import { kvValueBytesMax } from "./kv-routes.ts";
import { quoted, readQuery } from "./query-reader.ts";
import { createRoutes, type Route } from "./routes.ts";

export interface ApiOptions {
  readonly service: GatewayService;
  readonly token: string | undefined;
  readonly version: string;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  /** Takes unexpected exceptions, with their stack; the caller gets none of it. */
  readonly log: ApiLog;
  readonly events?: Partial<EventStreamOptions>;
}

/** The part of the `Diagnostics` port that the API needs. */
export interface ApiLog {
  error(event: string, details?: Readonly<Record<string, string>>): void;
}

export interface Api {
  /** Fails with `port-in-use`, or `configuration-invalid` where this machine has no such address. `port: 0` picks a free one. */
  listen(address: { readonly host: string; readonly port: number }): Promise<Result<{ readonly port: number }>>;
  /** Ends event streams, lets calls under way finish, closes the listener. Idempotent. */
  close(): Promise<void>;
  /** One request without a socket, for tests. */
  readonly inject: FastifyInstance["inject"];
}

/** The HTTP surface of one gateway: every route of `client/surface.ts`, each failure as an RFC 9457 problem. */
export function createApi(options: ApiOptions): Api {
  const streams = new EventStreams(options.service, { ...eventStreamDefaults, ...options.events });
  const backups = new BackupStreams();
  const server = createServer(options.log);
  const unused = trackUnused(server);
  const guard = createGuard(options.token);
  const routes = createRoutes(options);
  for (const [name, endpoint] of Object.entries<Endpoint>(surface)) {
    const route = Object.entries<Route>(routes).find(([key]) => key === name)?.[1];
    if (name === "backup") registerBackup(server, endpoint, guard, options, backups);
    else if (route === undefined) registerEvents(server, endpoint, guard, options, streams);
    else register(server, endpoint, guard, options, route);
  }
  server.setNotFoundHandler((request, reply) => send(reply, notFound(request)));
  server.addHook("preClose", async () => {
    streams.closeAll();
    backups.closeAll();
  });
  return {
    listen: (address) => listen(server, address),
    close: () => close(server, unused),
    inject: server.inject.bind(server),
  };
}

function createServer(log: ApiLog): FastifyInstance {
  const unexpected = (error: Error, request: { method: string; url: string }): Answer => {
    log.error("http-request-failed", { method: request.method, url: request.url, error: error.stack ?? String(error) });
    return problemAnswer(failure("internal", "the gateway met an unexpected error; its log has the details"));
  };
  const server = fastify({
    bodyLimit: kvValueBytesMax,
    requestTimeout: 30_000,
    // Calls under way are answered; connections that only idle are cut.
    forceCloseConnections: "idle",
    return503OnClosing: false,
    routerOptions: { maxParamLength: 2048 },
    frameworkErrors: (error, request, reply) => {
      const { status, mediaType, body } = errorAnswer(error) ?? unexpected(error, request);
      reply.hijack();
      reply.raw.writeHead(status, { "content-type": mediaType ?? "" }).end(body);
    },
    clientErrorHandler: (error, socket) => {
      if (!socket.writable) return;
      const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
      const { body, mediaType } = problemAnswer(failure("bad-request", `the request is not valid HTTP (${error.code ?? "no code"})`));
      const length = Buffer.byteLength(body);
      socket.write(`HTTP/1.1 ${status}\r\ncontent-type: ${mediaType ?? ""}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`);
      socket.end(body);
    },
  });
  // Bodies are opaque bytes, whatever their content type says; a route that wants JSON parses it.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  server.setErrorHandler((error: Error, request, reply) =>
    send(reply, errorAnswer(error, request.routeOptions.bodyLimit) ?? unexpected(error, request)),
  );
  return server;
}

function register(server: FastifyInstance, endpoint: Endpoint, guard: Guard, options: ApiOptions, route: Route): void {
  const rest = /\{(\w+)\+\}/.exec(endpoint.path)?.[1];
  server.route({
    method: endpoint.method,
    url: fastifyPath(endpoint.path),
    ...(endpoint.body?.bytesMax === undefined ? {} : { bodyLimit: endpoint.body.bytesMax }),
    onRequest: (request, reply, done) => (refused(endpoint, guard, request, reply) ? undefined : done()),
    handler: async (request, reply) => {
      const query = readQuery(queryOf(request.url), endpoint.query, options.now());
      if (!query.ok) return send(reply, problemAnswer(query));
      const body = request.body instanceof Uint8Array ? request.body : undefined;
      const answer = await route({ params: paramsOf(request, rest), query: query.value, headers: request.headers, body });
      return send(reply, answer.ok ? answer.value : problemAnswer(answer));
    },
  });
}

function registerEvents(server: FastifyInstance, endpoint: Endpoint, guard: Guard, options: ApiOptions, streams: EventStreams): void {
  server.route({
    method: endpoint.method,
    url: fastifyPath(endpoint.path),
    exposeHeadRoute: false,
    onRequest: (request, reply, done) => (refused(endpoint, guard, request, reply) ? undefined : done()),
    handler: (request, reply) => {
      const query = readQuery(queryOf(request.url), endpoint.query, options.now());
      if (!query.ok) return send(reply, problemAnswer(query));
      const readings = query.value.text("readings");
      if (query.value.failed !== undefined) return send(reply, problemAnswer(query.value.failed));
      if (streams.isFull)
        return send(reply, problemAnswer(failure("busy", "too many event streams are open; close one, or try again later")));
      reply.hijack();
      streams.serve(reply.raw, readings);
      return reply;
    },
  });
}

function registerBackup(server: FastifyInstance, endpoint: Endpoint, guard: Guard, options: ApiOptions, streams: BackupStreams): void {
  server.route({
    method: endpoint.method,
    url: fastifyPath(endpoint.path),
    exposeHeadRoute: false,
    onRequest: (request, reply, done) => (refused(endpoint, guard, request, reply) ? undefined : done()),
    handler: async (request, reply) => {
      const query = readQuery(queryOf(request.url), endpoint.query, options.now());
      if (!query.ok) return send(reply, problemAnswer(query));
      const allowIncomplete = query.value.choice("incomplete", ["true", "false"]) === "true";
      if (query.value.failed !== undefined) return send(reply, problemAnswer(query.value.failed));
      const begun = await options.service.backup({ allowIncomplete });
      if (!begun.ok) return send(reply, problemAnswer(begun));
      reply.hijack();
      await streams.serve(reply.raw, begun.value, (cause) =>
        options.log.error("backup-failed", { error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause) }),
      );
      return reply;
    },
  });
}

/** Sends the refusal. By route, not by path: a path can be spelled in many ways (`/api/%761`). */
function refused(endpoint: Endpoint, guard: Guard, request: FastifyRequest, reply: FastifyReply): boolean {
  if (!endpoint.path.startsWith("/api/")) return false;
  const refusal = guard({ headers: request.headers, remoteAddress: request.socket.remoteAddress, changes: endpoint.changes });
  if (refusal === undefined) return false;
  send(reply, problemAnswer(refusal, refusal.code === "unauthorized" ? { "www-authenticate": 'Bearer realm="fogbank"' } : {}));
  return true;
}

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  reply.code(answer.status).headers(answer.headers).header("x-content-type-options", "nosniff").header("cache-control", "no-store");
  if (answer.mediaType === undefined) return reply.send();
  return reply
    .type(answer.mediaType)
    .send(typeof answer.body === "string" ? answer.body : Buffer.from(answer.body.buffer, answer.body.byteOffset, answer.body.byteLength));
}

const fastifyPath = (path: string): string => path.replace(/\{\w+\+\}/, "*").replace(/\{(\w+)\}/, ":$1");

function queryOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? "" : url.slice(mark + 1);
}

/** `rest`: the name of the parameter that takes the rest of the path, slashes included. */
function paramsOf(request: FastifyRequest, rest: string | undefined): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.params ?? {})) {
    if (typeof value === "string") params[name === "*" && rest !== undefined ? rest : name] = value;
  }
  return params;
}

function notFound(request: FastifyRequest): Answer {
  const path = request.url.split("?")[0] ?? "";
  const allowed = Object.values<Endpoint>(surface).filter((endpoint) => pathPattern(endpoint.path).test(path));
  if (allowed.length === 0) return problemAnswer(failure("not-found", `there is no path ${quoted(path)}; /openapi.json lists them`));
  const methods = allowed.map((endpoint) => endpoint.method).join(", ");
  return problemAnswer(failure("method-not-allowed", `${quoted(path)} takes ${methods}, not ${request.method}`), { allow: methods });
}

function pathPattern(path: string): RegExp {
  const source = path
    .replaceAll(".", "\\.")
    .replace(/\{\w+\+\}/, ".+")
    .replace(/\{\w+\}/, "[^/]+");
  return new RegExp(`^${source}$`);
}

/** What the framework refuses before a route sees it, and failures that travelled as exceptions; `undefined`: a bug. */
function errorAnswer(error: Error, bodyLimit = kvValueBytesMax): Answer | undefined {
  if (error instanceof FailureError) return problemAnswer(error.failure);
  const status = "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : 500;
  if (status === 413) return problemAnswer(failure("too-large", `the body is larger than ${bodyLimit} bytes`));
  return status >= 400 && status < 500 ? problemAnswer(failure("bad-request", error.message)) : undefined;
}

/** A caller that never ends its request, or never reads its answer, does not hold the gateway up for longer than this. */
const closeGraceMs = 5_000;

async function close(server: FastifyInstance, unused: ReadonlySet<Socket>): Promise<void> {
  // Node counts a connection that never sent a request as busy, and would wait for it.
  for (const socket of unused) socket.destroy();
  const cut = setTimeout(() => server.server.closeAllConnections(), closeGraceMs);
  await server.close();
  clearTimeout(cut);
}

/** Connections on which no request has come yet. */
function trackUnused(server: FastifyInstance): ReadonlySet<Socket> {
  const unused = new Set<Socket>();
  server.server.on("connection", (socket: Socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  server.server.on("request", (request) => unused.delete(request.socket));
  return unused;
}

async function listen(
  server: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Result<{ port: number }>> {
  try {
    await server.listen({ host, port });
  } catch (error) {
    return listenFailure(error, `${host}:${port}`);
  }
  const address = server.server.address();
  return success({ port: typeof address === "object" && address !== null ? address.port : port });
}

function listenFailure(error: unknown, address: string): Failure {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") return failure("port-in-use", `HTTP cannot listen on ${address}: another process uses the port`);
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return failure("configuration-invalid", `HTTP cannot listen on ${address}: this machine has no such address`);
  if (code === "EACCES") return failure("configuration-invalid", `HTTP cannot listen on ${address}: ports below 1024 need privileges`);
  throw error;
}
