import { isLoopback, parseListen } from "./text-check.ts";

/** Which port and which interface a listener of a gateway uses. */

export const listeners = ["mqtt", "mesh", "http"] as const;

export const defaultPorts = { mqtt: 1883, mesh: 7883, http: 7880 } as const;

/**
 * `entry` is a port or "host:port". Where it names no host, a gateway whose own host is loopback listens there: nothing
 * else could reach it by that name anyway. `bind` undefined: left to the rule of `ListenAddress`.
 */
export function bindHost(gatewayHost: string, entry: number | string): { readonly port: number; readonly bind: string | undefined } {
  const own = isLoopback(gatewayHost) ? numericLoopback(gatewayHost) : undefined;
  const parsed = typeof entry === "number" ? { host: undefined, port: entry } : parseListen(entry);
  if (parsed === undefined) return { port: 0, bind: own };
  const { host, port } = parsed;
  // All interfaces, written out: it takes the port on every address of the host.
  return { port, bind: host === undefined ? own : numericLoopback(host) };
}

/** `localhost` may resolve to either family; a listener and its peers must agree on one. */
function numericLoopback(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host;
}
