import type { IncomingHttpHeaders } from "node:http";
import type { Problem } from "../client/schema.ts";
import { errorCodes, type Failure } from "../lib/errors.ts";
import type { QueryReader } from "./query-reader.ts";

/** What a route is called with, and what it answers: free of the HTTP framework. */

export interface Call {
  /** Path parameters, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: QueryReader;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array | undefined;
}

export interface Answer {
  readonly status: number;
  /** `undefined`: no body. */
  readonly mediaType: string | undefined;
  readonly body: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

export function jsonAnswer(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, mediaType: "application/json; charset=utf-8", body: JSON.stringify(value), headers };
}

export function emptyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, mediaType: undefined, body: "", headers };
}

/** RFC 9457. `type` is relative to the gateway, where no page stands: it names the kind of problem, as §3.1.1 allows. */
export function problemAnswer(failed: Failure, headers: Readonly<Record<string, string>> = {}): Answer {
  const { title, http } = errorCodes[failed.code];
  const problem: Problem = { type: `/problems/${failed.code}`, title, status: http, detail: failed.message, code: failed.code };
  return { status: http, mediaType: "application/problem+json; charset=utf-8", body: JSON.stringify(problem), headers };
}
