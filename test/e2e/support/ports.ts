// Ports of loopback for gateways that are killed and started again: below the range from which the kernel takes the ports of outgoing
// connections (32768 and up on Linux), so that none of those sits on a gateway's port while the gateway is down.
import { createServer } from "node:net";

const least = 20_000;
const most = 32_000;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

/** That many ports, all different, that nobody listens on. */
export async function stablePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  // Sites of test runs that go on at the same time begin at different places.
  for (let port = least + Math.floor(Math.random() * (most - least)); ports.length < count; port = port + 1 < most ? port + 1 : least) {
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}
