import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { type Failure, failure } from "../lib/errors.ts";

/**
 * Who may do what. With a token, all of `/api/v1` needs it. Without one, everybody who reaches the listener may read, and
 * changes are accepted from this machine only: from a loopback address, not through a proxy, and not from a web page
 * of another origin (CSRF) or under a borrowed host name (DNS rebinding).
 */
export type Guard = (request: GuardedRequest) => Failure | undefined;

export interface GuardedRequest {
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
  /** Whether the route changes anything. */
  readonly changes: boolean;
}

export function createGuard(token: string | undefined): Guard {
  if (token === undefined) return (request) => (request.changes ? refuseRemoteChange(request) : undefined);
  const expected = digest(token);
  return ({ headers }) => {
    const given = /^Bearer +([^ ]+) *$/i.exec(headers.authorization ?? "")?.[1];
    if (given === undefined) return failure("unauthorized", "this gateway asks for a token: send the header `authorization: Bearer TOKEN`");
    // Digests have one length, so that the comparison takes the same time for every token.
    return timingSafeEqual(digest(given), expected) ? undefined : failure("unauthorized", "the token is not this gateway's");
  };
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

const setToken = "set http.token in the site's YAML and send it";

function refuseRemoteChange({ headers, remoteAddress }: GuardedRequest): Failure | undefined {
  if (remoteAddress === undefined || !isLoopback(remoteAddress)) {
    return failure(
      "forbidden",
      `without a token, changes are accepted from this machine only, not from ${remoteAddress ?? "an unknown address"}; ${setToken}`,
    );
  }
  if (headers.forwarded !== undefined || headers["x-forwarded-for"] !== undefined) {
    return failure("forbidden", `without a token, changes are not accepted through a proxy; ${setToken}`);
  }
  const host = headers.host ?? "";
  if (!isLocalHost(host)) {
    return failure(
      "forbidden",
      `without a token, changes need a Host header of localhost or an IP address, not ${JSON.stringify(host)}; ${setToken}`,
    );
  }
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${host}`) {
    return failure("forbidden", `without a token, changes are not accepted from pages of ${JSON.stringify(origin)}; ${setToken}`);
  }
  return undefined;
}

function isLoopback(address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

function isLocalHost(host: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return name === "localhost" || isIP(name) === 4 || (name.startsWith("[") && name.endsWith("]") && isIP(name.slice(1, -1)) === 6);
}
