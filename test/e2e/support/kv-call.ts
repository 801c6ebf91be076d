// One kv call over HTTP as an entry of a history. What is certain is taken as such, and nothing else: an answer that does not say
// what happened, a time-out and a broken connection all count as "perhaps".
import { Agent, type IncomingMessage, request } from "node:http";
import type { HistoryEntry, RegisterOperation, RegisterOutcome } from "../../../src/sim/linearizability.ts";
import type { TestGateway } from "./site.ts";

export interface KvCall {
  readonly gateway: TestGateway;
  readonly key: string;
  readonly operation: KvOperation;
  readonly timeoutMs: number;
  readonly agent: Agent;
}

/** `match`: an ETag, and the value that it stood for. */
export type KvOperation =
  | { readonly kind: "get" }
  | { readonly kind: "delete" }
  | { readonly kind: "put"; readonly value: string; readonly expect: "any" | "absent" | { readonly etag: string; readonly value: string } };

export interface KvAnswer {
  readonly entry: HistoryEntry;
  /** The key's ETag with its value, where the answer tells. */
  readonly seen: { readonly etag: string; readonly value: string } | undefined;
  /** For counting: "put done", "get void", … */
  readonly what: string;
}

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: string;
}

/** One connection at a time to each gateway, kept open. */
export function kvAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

export async function callKv(call: KvCall): Promise<KvAnswer> {
  const { operation } = call;
  const calledMs = performance.now();
  const answer = await exchange(call);
  const judged = judge(operation, answer);
  // Whoever may yet take effect has not returned.
  const returnedMs = judged.outcome.kind === "unknown" ? Number.POSITIVE_INFINITY : performance.now();
  const etag = typeof answer === "string" || answer.status !== 200 ? undefined : answer.etag;
  const value = operation.kind === "put" ? operation.value : judged.outcome.kind === "done" ? judged.outcome.read : undefined;
  return {
    entry: { ...judged, calledMs, returnedMs },
    seen: etag === undefined || value === undefined ? undefined : { etag, value },
    what: `${operation.kind} ${judged.outcome.kind}`,
  };
}

type Judged = Pick<HistoryEntry, "operation" | "outcome">;

function judge(operation: KvOperation, answer: Answer | "not-sent" | "no-answer"): Judged {
  const asked: RegisterOperation =
    operation.kind === "put" && typeof operation.expect === "object"
      ? { ...operation, expect: { value: operation.expect.value } }
      : (operation as RegisterOperation);
  const as = (outcome: RegisterOutcome): Judged => ({ operation: asked, outcome });
  if (answer === "not-sent") return as({ kind: "void" });
  if (answer === "no-answer") return as({ kind: "unknown" });
  const { status, body } = answer;
  if (status === 503) return as({ kind: problemCode(body) === "not-applied" ? "void" : "unknown" });
  if (operation.kind === "get") {
    if (status === 200) return as({ kind: "done", read: body });
    if (status === 404) return as({ kind: "done", read: undefined });
  }
  if (operation.kind === "put") {
    if (status === 200) return as({ kind: "done" });
    if (status === 412 && operation.expect !== "any") return as({ kind: "refused" });
  }
  if (operation.kind === "delete") {
    if (status === 204) return as({ kind: "done" });
    // Nothing was there to delete, and that is a thing to have read.
    if (status === 404) return { operation: { kind: "get" }, outcome: { kind: "done", read: undefined } };
  }
  throw new Error(`${operation.kind} was answered with ${status}: ${body.slice(0, 500)}`);
}

function problemCode(body: string): unknown {
  try {
    return (JSON.parse(body) as { readonly code?: unknown }).code;
  } catch {
    return undefined;
  }
}

function exchange({ gateway, key, operation, timeoutMs, agent }: KvCall): Promise<Answer | "not-sent" | "no-answer"> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = {};
    const body = operation.kind === "put" ? Buffer.from(operation.value) : undefined;
    if (body !== undefined) headers["content-length"] = String(body.length);
    if (operation.kind === "put" && operation.expect === "absent") headers["if-none-match"] = "*";
    if (operation.kind === "put" && typeof operation.expect === "object") headers["if-match"] = operation.expect.etag;
    const sent = request(
      { host: "127.0.0.1", port: gateway.ports.http, path: `/api/v1/kv/${key}`, method: operation.kind.toUpperCase(), headers, agent },
      (response: IncomingMessage) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => finish("no-answer"));
        response.on("aborted", () => finish("no-answer"));
        response.on("end", () =>
          finish({ status: response.statusCode ?? 0, etag: response.headers.etag, body: Buffer.concat(chunks).toString("utf8") }),
        );
      },
    );
    const timer = setTimeout(() => {
      finish("no-answer");
      sent.destroy();
    }, timeoutMs);
    const finish = (answer: Answer | "not-sent" | "no-answer"): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    // Nobody listened, so that nothing was sent; after any other failure some of it may have arrived.
    sent.on("error", (error) => finish("code" in error && error.code === "ECONNREFUSED" ? "not-sent" : "no-answer"));
    sent.end(body);
  });
}
