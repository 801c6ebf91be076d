import type { SiteRepair } from "../../client/schema.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { plain, printTable, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

/** `fogbank repair`: 1 when something stays unequal, 3 when a gateway could not be reached. */
export async function repair(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).repair());
  print(world, options, value, () => printReport(world, value));
  if (value.gateways.some(({ reached }) => !reached)) return 3;
  return value.equal ? 0 : 1;
}

function printReport(world: World, { gateways }: SiteRepair): void {
  const rows = gateways.map(({ gateway, reached, partitionsCompared, hoursDiffering, readingsFetched, chunksRestored, equal }) =>
    reached
      ? [gateway, partitionsCompared, hoursDiffering, readingsFetched, chunksRestored, equal ? "equal" : "UNEQUAL"]
      : [gateway, "–", "–", "–", "–", "NOT REACHED"],
  );
  printTable(world, ["GATEWAY", "PARTITIONS", "HOURS DIFFERING", "READINGS FETCHED", "CHUNKS RESTORED", "NOW"], rows);
  for (const { gateway, note } of gateways) if (note !== undefined) printWarning(world, `${plain(gateway)}: ${plain(note)}`);
}
