// Goal: the mesh keeps the Transport port's contract, with a secret and without. Method: the contract suite over
// loopback, each gateway on a port that the operating system gave.
import { MeshTransport } from "../../../src/adapters/mesh/mesh-transport.ts";
import { type GatewayId, gatewayId } from "../../../src/lib/ids.ts";
import { transportContract } from "../../contracts/transport.ts";
import { RecordedDiagnostics } from "../device-broker/recorded-diagnostics.ts";
import { until } from "../device-broker/until.ts";
import { freePorts } from "./free-ports.ts";

const ids = [gatewayId("gw-a"), gatewayId("gw-b"), gatewayId("gw-c")] as const;

for (const secret of [undefined, "a secret of the site"]) {
  transportContract(secret === undefined ? "mesh, plain" : "mesh, TLS-PSK", async () => {
    const ports = await freePorts(ids.length);
    const addresses = ids.map((id, i) => ({ id, host: "127.0.0.1", port: ports[i] ?? 0 }));
    const addressOf = (id: GatewayId) => addresses.find((address) => address.id === id) ?? { id, host: "127.0.0.1", port: 0 };
    const running = new Map<GatewayId, MeshTransport>();
    let sessions = 0;
    return {
      ids,
      addressOf,
      until,
      create(id) {
        const transport = new MeshTransport({
          site: "plant-7",
          self: id,
          sessionPart: `s${++sessions}`,
          secret,
          listen: { host: "127.0.0.1", port: addressOf(id).port },
          peers: addresses.filter((address) => address.id !== id),
          diagnostics: new RecordedDiagnostics(),
        });
        running.set(id, transport);
        return transport;
      },
      async close() {
        await Promise.all([...running.values()].map((transport) => transport.stop()));
      },
    };
  });
}
