// Ports of loopback that nobody listens on, all different.
import { createServer } from "node:net";
import { boundPort } from "../../../src/adapters/device-broker/listen.ts";

export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  // All are bound at once, so that they differ.
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))));
  const ports = servers.map(boundPort);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
