import type { FogbankClient } from "../../client/fogbank-client.ts";
import type { Gateway, GatewayMember } from "../../client/schema.ts";
import { defaultPorts } from "../../config/listen.ts";
import type { GatewaySettings } from "../../config/settings.ts";
import { formatDuration } from "../../lib/duration.ts";
import { type ExitStatus, FailureError, failure } from "../../lib/errors.ts";
import { partitionCount } from "../../lib/ids.ts";
import { suggest } from "../../lib/suggest.ts";
import { connect, print, type RemoteOptions, unwrap, usageError } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultSiteFile, readSiteOrReport } from "../site-file.ts";
import { plain, printError, printTable, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";
import { watch } from "./progress.ts";

export interface AddOptions extends RemoteOptions {
  readonly site?: string;
  readonly host?: string;
  readonly mqtt?: number;
  readonly mesh?: number;
  readonly http?: number;
  readonly zone?: string;
  readonly weight?: number;
  readonly witness?: boolean;
  /** Milliseconds. */
  readonly wait?: number;
}

export interface ChangeOptions extends RemoteOptions {
  readonly force?: boolean;
  readonly yes?: boolean;
}

export interface RemoveOptions extends ChangeOptions {
  readonly now?: boolean;
}

export interface SetOptions extends RemoteOptions {
  readonly weight?: number;
  /** False: no zone but its own. */
  readonly zone?: string | false;
}

const pollMs = 500;
/** A restart is shorter. */
const downMaxMs = 20_000;
const incarnationDigits = 8;

export async function gatewayList(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).gateways());
  return print(world, options, value, ({ gateways }) => {
    const rows = gateways.map((gateway) => [
      gateway.id,
      gateway.up ? "up" : "DOWN",
      gateway.role,
      membershipOf(gateway),
      gateway.incarnation?.slice(0, incarnationDigits) ?? "–",
      gateway.zone ?? "–",
      gateway.weight,
      gateway.partitions,
      gateway.filling ?? "–",
      gateway.leaving ?? "–",
      gateway.matchIndex ?? "–",
      gateway.mqtt,
      gateway.http,
    ]);
    printTable(
      world,
      ["GATEWAY", "STATE", "ROLE", "MEMBER", "FOLDER", "ZONE", "WEIGHT", "PARTITIONS", "FILLING", "LEAVING", "MATCH", "MQTT", "HTTP"],
      rows,
    );
    for (const { id, note } of gateways) if (note !== undefined) printWarning(world, note.includes(id) ? note : `${id}: ${note}`);
  });
}

function membershipOf({ membership, kind }: Gateway): string {
  if (membership === undefined) return "–";
  return kind === "witness" ? `${membership}, witness` : membership;
}

/** `fogbank gateway add`: the flags, then its entry in the site's file, then the defaults. */
export async function gatewayAdd(world: World, id: string, options: AddOptions): Promise<ExitStatus> {
  const path = options.site ?? (world.files.exists(defaultSiteFile) ? defaultSiteFile : undefined);
  const settings = path === undefined ? undefined : readSiteOrReport(world, path, { warn: false });
  if (path !== undefined && settings === undefined) return 2;
  const entry = settings?.gateways.find((gateway) => gateway.id === id);
  const member = describeMember(id, entry, options, path);
  const client = connect(world, options);
  unwrap(await client.addGateway(member));
  if (settings !== undefined && entry === undefined)
    printWarning(world, `${path} has no gateway "${id}": without an entry of its own it does not start`);
  const next = () => world.out.write(`${expectedText(member, path)}\n`);
  if (options.wait === undefined) return print(world, options, { gateway: id, membership: "expected" }, next);
  if (options.output === "text") next();
  const admitted = await waitFor(world, client, id, options.wait);
  return print(world, options, { gateway: id, membership: admitted.membership }, () =>
    world.out.write(
      `${plain(id)} is a member: ${membershipOf(admitted)}, folder ${admitted.incarnation?.slice(0, incarnationDigits) ?? "unknown"}\n`,
    ),
  );
}

function describeMember(id: string, entry: GatewaySettings | undefined, options: AddOptions, path: string | undefined): GatewayMember {
  const host = options.host ?? entry?.host;
  if (host === undefined) {
    const looked = path === undefined ? `there is no ./${defaultSiteFile} here` : `${path} has no gateway "${id}"`;
    throw usageError(`where is ${id}? ${looked}; add it there, or say --host (and --mqtt, --mesh, --http where they are not the defaults)`);
  }
  const portOf = (name: keyof typeof defaultPorts): number => options[name] ?? entry?.listen[name].port ?? defaultPorts[name];
  const role = options.witness === true ? "witness" : (entry?.role ?? "full");
  if (role === "witness" && options.weight !== undefined)
    throw usageError(`${id} is a witness, which owns no readings: --weight says nothing`);
  const zone = options.zone ?? entry?.zone;
  return {
    id,
    role,
    ...(zone === undefined ? {} : { zone }),
    ...(role === "witness" ? {} : { weight: options.weight ?? entry?.weight ?? 1 }),
    address: { host, mqtt: portOf("mqtt"), mesh: portOf("mesh"), http: portOf("http") },
  };
}

function expectedText({ id, role, address }: GatewayMember, path: string | undefined): string {
  const file = path ?? defaultSiteFile;
  return [
    `${plain(id)} is expected${role === "witness" ? " as a witness" : ""}: ${plain(address.host)}, mqtt ${address.mqtt}, mesh ${address.mesh}, http ${address.http}`,
    `next, on its host, with the site's files (${plain(id)} listed in ${plain(file)}), the site's secret and an empty data folder:`,
    `  fogbank start ${plain(file)} --gateway ${plain(id)}`,
    "it is taken in by itself; fogbank gateway list tells how far it is",
  ].join("\n");
}

/** Until its folder is admitted. A gateway that is asked and does not answer for a while (an election) is asked again. */
async function waitFor(world: World, client: FogbankClient, id: string, waitMs: number): Promise<Gateway> {
  const deadlineMs = world.clock.monotonicMs() + waitMs;
  for (;;) {
    const listed = await client.gateways();
    const found = listed.ok ? listed.value.gateways.find((gateway) => gateway.id === id) : undefined;
    if (found !== undefined && (found.membership === "voter" || found.membership === "learner")) return found;
    if (world.clock.monotonicMs() >= deadlineMs) {
      const last = listed.ok ? (found?.note ?? `it is ${found?.membership ?? "not listed"}`) : listed.message;
      throw new FailureError(failure("not-ready", `${id} is no member after ${formatDuration(waitMs)}: ${last}`));
    }
    await world.clock.sleep(pollMs);
  }
}

export async function gatewaySet(world: World, id: string, { weight, zone, ...options }: SetOptions): Promise<ExitStatus> {
  if (weight === undefined && zone === undefined) throw usageError("what is to change? say --weight, --zone or --no-zone");
  const client = connect(world, options);
  await find(client, id);
  const change = { ...(weight === undefined ? {} : { weight }), ...(zone === undefined ? {} : { zone: zone === false ? "" : zone }) };
  const value = unwrap(await client.updateGateway(id, change));
  return print(world, options, value, () =>
    world.out.write(
      `${plain(id)} is changed; where that asks for it partitions move: fogbank gateway progress --wait shows how far they are\n`,
    ),
  );
}

export async function gatewayReplace(world: World, id: string, options: ChangeOptions): Promise<ExitStatus> {
  const client = connect(world, options);
  const { gateway, others } = await find(client, id);
  const folder = gateway.incarnation === undefined ? "none is admitted" : gateway.incarnation.slice(0, incarnationDigits);
  const warning = [
    `Replacing ${id} retires its present data folder (${folder}) for good: a process on it is told so and ends, and it never comes back.`,
    `The readings of its ${gateway.partitions} partitions are filled from the other gateways into a new folder.`,
    ...risks(others, options),
  ];
  if (!(await confirm(world, warning, options))) return 1;
  const value = unwrap(await client.replaceGateway(id, { force: options.force === true }));
  return print(world, options, value, () =>
    world.out.write(`${plain(id)} is expected with an empty data folder: empty it (or change the disk) and start ${plain(id)} again\n`),
  );
}

export async function gatewayRemove(world: World, id: string, options: RemoveOptions): Promise<ExitStatus> {
  const client = connect(world, options);
  const { gateway, others } = await find(client, id);
  const gives = options.now !== true && options.force !== true && canGiveAway(gateway, others);
  const warning = [
    `Removing ${id} takes it out of the site for good: its process is told so and ends.`,
    gives
      ? `Its copies of ${gateway.partitions} partitions move to the other gateways first, so that no partition is short of one (--now: it goes at once).`
      : staysBehind(gateway, others),
    `It can come back only as a new gateway, with an empty data folder (fogbank gateway add ${id}).`,
    ...risks(others, options),
  ];
  if (!(await confirm(world, warning, options))) return 1;
  if (gives && !(await givenAway(world, client, id))) return 1;
  const value = unwrap(await client.removeGateway(id, { force: options.force === true }));
  return print(world, options, value, () =>
    world.out.write(`${plain(id)} is no gateway of the site any more; take it out of the site's YAML too\n`),
  );
}

/** What becomes of the copies that it does not give away first. */
function staysBehind(gateway: Gateway, others: readonly Gateway[]): string {
  if (gateway.kind === "witness") return "It is a witness: copies that it keeps for others for the time being go with it.";
  const kept = `The readings of its ${gateway.partitions} partitions are kept by their other owners`;
  return others.filter(isKeeping).length >= copies(gateway, others)
    ? `${kept}, who make up for its copies.`
    : `${kept}; nobody is left to make up for its copies, so that the loss of another one may then lose readings: add a gateway soon.`;
}

const isKeeping = (other: Gateway): boolean => other.kind !== "witness" && other.up && other.membership !== "expected";

/** How many copies a partition has. */
const copies = (gateway: Gateway, others: readonly Gateway[]): number =>
  Math.ceil([gateway, ...others].reduce((sum, { partitions }) => sum + partitions, 0) / partitionCount);

/** Whether the other gateways can take all of its copies: it runs, and as many others do as there are copies of a partition. */
function canGiveAway(gateway: Gateway, others: readonly Gateway[]): boolean {
  const keeping = others.filter(isKeeping).length;
  return gateway.kind !== "witness" && gateway.up && gateway.partitions > 0 && keeping >= copies(gateway, others);
}

/** Has it give away what it owns. False: it went away meanwhile. */
async function givenAway(world: World, client: FogbankClient, id: string): Promise<boolean> {
  unwrap(await client.updateGateway(id, { weight: 0 }));
  let downSinceMs: number | undefined;
  const gateways = await watch(world, client, (now) => {
    const gateway = now.find((candidate) => candidate.id === id);
    if (gateway === undefined || gateway.partitions === 0) return true;
    if (gateway.up) downSinceMs = undefined;
    else downSinceMs ??= world.clock.monotonicMs();
    return downSinceMs !== undefined && world.clock.monotonicMs() - downSinceMs >= downMaxMs;
  });
  const left = gateways.find((candidate) => candidate.id === id)?.partitions ?? 0;
  if (left === 0) return true;
  printError(world, `${id} went down with ${left} partitions still to give away: start it and ask again, or remove it with --now`);
  return false;
}

/** What stands in the way, as the gateway asked sees it; whether it is allowed is the site's to say. */
function risks(others: readonly Gateway[], options: ChangeOptions): string[] {
  const lines = others.flatMap((other) => {
    if (other.kind === "witness") return [];
    if (other.filling !== undefined && other.filling > 0)
      return [`NOTE: ${other.id} has not filled ${other.filling} of its partitions yet.`];
    return other.up ? [] : [`NOTE: ${other.id} is down.`];
  });
  if (options.force === true)
    lines.push("--force: readings whose other copies are not restored yet may be LOST, those that were acknowledged too.");
  return lines;
}

async function find(client: FogbankClient, id: string): Promise<{ readonly gateway: Gateway; readonly others: readonly Gateway[] }> {
  const { gateways } = unwrap(await client.gateways());
  const gateway = gateways.find((candidate) => candidate.id === id);
  const others = gateways.filter((candidate) => candidate.id !== id);
  if (gateway !== undefined) return { gateway, others };
  const ids = gateways.map((candidate) => candidate.id);
  const near = suggest(id, ids);
  throw new FailureError(
    failure(
      "member-unknown",
      `there is no gateway "${id}"${near === undefined ? "" : `, did you mean "${near}"?`}; the site has ${ids.join(", ")}`,
    ),
  );
}

export async function gatewayTransfer(world: World, id: string | undefined, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).transferLeadership(id));
  return print(world, options, value, ({ leader }) => world.out.write(`${plain(leader)} leads\n`));
}
