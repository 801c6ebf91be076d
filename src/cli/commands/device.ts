import type { Device } from "../../client/schema.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { formatTime, plain, plainValue, printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export async function deviceList(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).devices());
  return print(world, options, value, ({ devices }) => {
    const rows = devices.map((device) => [
      device.id,
      device.profile ?? "–",
      labelsText(device),
      device.metrics.join(", "),
      device.owners.join(", "),
    ]);
    printTable(world, ["DEVICE", "PROFILE", "LABELS", "METRICS", "OWNERS"], rows);
  });
}

export async function deviceShow(world: World, id: string, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).device(id));
  return print(world, options, value, (device) => {
    const since = device.firstSeenMs === undefined ? "not seen yet" : `since ${formatTime(device.firstSeenMs)}`;
    world.out.write(
      `device     ${plain(device.id)} (${since})\nprofile    ${plain(device.profile ?? "–")}\nlabels     ${plain(labelsText(device))}\n`,
    );
    world.out.write(`partition  ${device.partition}, owners ${plain(device.owners.join(", "))}\n\n`);
    const latest = Object.entries(device.latest ?? {});
    printTable(
      world,
      ["METRIC", "LATEST", "TIME"],
      latest.map(([metric, reading]) => [metric, plainValue(reading.value), formatTime(reading.ms)]),
    );
  });
}

function labelsText(device: Device): string {
  const labels = Object.entries(device.labels).map(([name, value]) => `${name}=${value}`);
  return labels.length === 0 ? "–" : labels.join(" ");
}
