import { ProblemSchema } from "../client/schema.ts";
import { type Endpoint, surface } from "../client/surface.ts";
import { errorCodes } from "../lib/errors.ts";

/** The OpenAPI 3.1 document, from the same route table and schemas that the API serves and the client checks. */
export function openApiDocument(version: string): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [name, endpoint] of Object.entries<Endpoint>(surface)) {
    const path = endpoint.path.replace("+}", "}");
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operation(name, endpoint) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Fogbank gateway",
      version,
      description:
        "Times in: RFC 3339, epoch milliseconds, or relative (-1h). Times out: epoch milliseconds. Errors are RFC 9457 problem documents with a stable `code`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      schemas: { Problem: ProblemSchema },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "Needed for all of /api/v1 when the site sets http.token" },
      },
    },
  };
}

function operation(operationId: string, endpoint: Endpoint): unknown {
  const { answer, body } = endpoint;
  const mediaType = answer.kind === "json" ? "application/json" : answer.mediaType;
  const content = mediaType === "" ? {} : { content: { [mediaType]: { schema: answer.schema } } };
  return {
    operationId,
    summary: endpoint.summary,
    parameters: [...pathParameters(endpoint.path), ...queryParameters(endpoint)],
    ...(body === undefined ? {} : { requestBody: { content: { [body.mediaType]: { schema: body.schema } } } }),
    responses: { [mediaType === "" ? "204" : "200"]: { description: "Done", ...content }, ...problems(endpoint) },
    ...(endpoint.path.startsWith("/api/") ? { security: [{ token: [] }, {}] } : {}),
  };
}

function pathParameters(path: string): unknown[] {
  return [...path.matchAll(/\{(\w+)\+?\}/g)].map(([, name]) => ({ name, in: "path", required: true, schema: { type: "string" } }));
}

function queryParameters(endpoint: Endpoint): unknown[] {
  return Object.entries(endpoint.query).map(([name, { description, example }]) => ({
    name,
    in: "query",
    required: false,
    description,
    schema: { type: "string" },
    ...(example === "" ? {} : { example }),
  }));
}

function problems(endpoint: Endpoint): Record<string, unknown> {
  const byStatus = new Map<number, string[]>();
  const guarded = endpoint.path.startsWith("/api/") ? (["unauthorized", "bad-request"] as const) : [];
  for (const code of [...guarded, ...(endpoint.changes ? (["forbidden"] as const) : []), ...endpoint.failures, "internal" as const]) {
    const { http } = errorCodes[code];
    byStatus.set(http, [...(byStatus.get(http) ?? []), code]);
  }
  const content = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } };
  return Object.fromEntries([...byStatus].map(([status, codes]) => [String(status), { description: codes.join(" | "), content }]));
}
