import { type Api, createApi } from "../../src/api/create-api.ts";
import type { FetchFunction } from "../../src/client/fogbank-client.ts";
import type { FakeService } from "../api/fake-service.ts";

/** A `fetch` that hands requests to the API of a gateway in this process: no socket. Event streams do not work over it. */
export function fetchFrom(gateways: ReadonlyMap<string, Api>): FetchFunction {
  return async (url, init = {}) => {
    const { host, pathname, search } = new URL(url);
    const api = gateways.get(host);
    if (api === undefined)
      throw Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) });
    const method = init.method === "PUT" || init.method === "POST" || init.method === "DELETE" ? init.method : "GET";
    const headers = { host, ...Object.fromEntries(new Headers(init.headers)) };
    const payload = init.body instanceof Uint8Array ? Buffer.from(init.body) : typeof init.body === "string" ? init.body : undefined;
    const response = await api.inject({ method, url: pathname + search, headers, ...(payload === undefined ? {} : { payload }) });
    const answer = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]);
    const hasBody = response.statusCode !== 204 && response.statusCode !== 304;
    return new Response(hasBody ? new Uint8Array(response.rawPayload) : null, { status: response.statusCode, headers: answer });
  };
}

export function apiOf(service: FakeService, token?: string): Api {
  return createApi({ service, token, version: "0.1.0", now: () => 0, log: { error: (event, details) => console.error(event, details) } });
}
