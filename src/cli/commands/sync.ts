import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export async function syncStatus(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).sync());
  return print(world, options, value, ({ sinks }) => {
    const rows = sinks.map((sink) => [
      sink.name,
      sink.type,
      sink.gateway,
      sink.delivered,
      sink.pending,
      sink.rows,
      sink.error ?? "–",
      sink.location,
    ]);
    printTable(world, ["SINK", "TYPE", "GATEWAY", "RUNS", "PENDING", "ROWS", "ERROR", "LOCATION"], rows);
  });
}
