import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export async function gatewayList(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).gateways());
  return print(world, options, value, ({ gateways }) => {
    const rows = gateways.map((gateway) => [
      gateway.id,
      gateway.up ? "up" : "DOWN",
      gateway.role,
      gateway.zone ?? "–",
      gateway.weight,
      gateway.partitions,
      gateway.mqtt,
      gateway.http,
    ]);
    printTable(world, ["GATEWAY", "STATE", "ROLE", "ZONE", "WEIGHT", "PARTITIONS", "MQTT", "HTTP"], rows);
  });
}
