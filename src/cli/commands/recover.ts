import type { ExitStatus } from "../../lib/errors.ts";
import { folderOf, resolveFrom } from "../../lib/file-path.ts";
import { print, unwrap, usageError } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultSiteFile, pickGateway, readSiteOrReport } from "../site-file.ts";
import { plain } from "../terminal.ts";
import type { RecoverReport, World } from "../world.ts";

export interface RecoverOptions {
  readonly gateway: string;
  readonly data?: string;
  readonly yes?: boolean;
  readonly output: string;
}

/** `fogbank gateway recover`: a stopped gateway becomes the whole site, from what its data folder holds. */
export async function gatewayRecover(world: World, file: string | undefined, options: RecoverOptions): Promise<ExitStatus> {
  const path = file ?? defaultSiteFile;
  const settings = readSiteOrReport(world, path, { warn: false });
  if (settings === undefined) return 2;
  const gateway = pickGateway(world, settings, options.gateway);
  const dataFolder = options.data ?? resolveFrom(folderOf(path), `data/${gateway.id}`);
  if (!world.files.exists(dataFolder)) throw usageError(`there is no data folder ${dataFolder}; say which with --data`);
  if (!(await confirm(world, warningOf(gateway.id, dataFolder), options))) return 1;
  const report = unwrap(await world.recover({ settings, gateway: gateway.id, dataFolder }));
  return print(world, options, { gateway: gateway.id, ...report }, () => world.out.write(`${plainReport(gateway.id, path, report)}\n`));
}

function warningOf(id: string, dataFolder: string): string[] {
  return [
    `RECOVERY of the site from ${id} alone (${dataFolder}).`,
    "",
    "Only for when the majority of the voting gateways is LOST FOR GOOD. If enough of them can still be started, start them instead:",
    "nothing is lost then. A single lost gateway is a case for fogbank gateway replace.",
    "",
    `  - ${id} becomes the only member of the site, with the log and the state that its data folder holds.`,
    "  - LOST are all changes that only the lost gateways had: kv writes, devices, members, committed runs. Acknowledged ones too.",
    `  - Changes that are on ${id}'s disk and were perhaps never committed count from now on.`,
    `  - LOST are the readings of which ${id} has no copy.`,
    "  - ALL OTHER GATEWAYS leave the site. Their data folders are worthless from now on: never start one of them again;",
    "    wipe it, then fogbank gateway add. Two halves of the old site that both run would be two sites of one name.",
    "",
    "Stop every gateway of the site first, and keep a copy of the data folder.",
  ];
}

function plainReport(id: string, path: string, { term, lastIndex, removed, entriesUncertain }: RecoverReport): string {
  const others = removed.map(plain);
  return [
    `${plain(id)} is the only member of the site: term ${term}, last index ${lastIndex}`,
    entriesUncertain === 0
      ? "every entry of its log was known to be committed"
      : `${entriesUncertain} ${entriesUncertain === 1 ? "entry" : "entries"} at the end of its log may never have been committed, and count now`,
    ...(others.length === 0 ? [] : [`no members any more: ${others.join(", ")}`]),
    "next:",
    `  fogbank start ${plain(path)} --gateway ${plain(id)}`,
    ...others.map((other) => `  fogbank gateway add ${other}      # after its data folder was emptied; then start it`),
  ].join("\n");
}
