import { majorityOf, votersWanted } from "../lib/voters.ts";
import type { ConsistencyLevel, GatewaySettings, ProfileSettings, ReplicationSettings, WriteLevel } from "./settings.ts";

/** How many copies a write waits for, or a read asks, at a level. A quorum is more than half of the owners. */
export function copiesAt(level: ConsistencyLevel, factor: number): number {
  if (level === "one") return 1;
  return level === "all" ? factor : Math.floor(factor / 2) + 1;
}

/** What a write waits for while its owners answer: `any` is a quorum then. */
export function answeredLevel(level: WriteLevel): ConsistencyLevel {
  return level === "any" ? "quorum" : level;
}

/** The level at which a read meets every acknowledged write that is on its owners, whatever profile it is of. */
export function levelThatMeetsWrites({ replication, profiles }: Pick<SiteShape, "replication" | "profiles">): "quorum" | "all" {
  const levels = [replication.write, ...(profiles ?? []).flatMap(({ write }) => write ?? [])];
  return levels.includes("one") ? "all" : "quorum";
}

/** Two owners of everything, and one gateway that only votes: it keeps what one of the two has not got yet (`gateway/hints/`). */
export function hasStandIn({ factor, witnesses }: { readonly factor: number; readonly witnesses: number }): boolean {
  return factor === 2 && witnesses === 1;
}

export interface SiteShape {
  readonly gateways: readonly Pick<GatewaySettings, "role">[];
  readonly replication: ReplicationSettings;
  readonly profiles?: readonly Pick<ProfileSettings, "name" | "write">[];
  /** Partitions have lost a copy that nobody has made up for. */
  readonly lacksCopies?: boolean;
}

/** One sentence for `check` and `status`: what may be lost, and what goes on meanwhile. */
export function describeSurvival({ gateways, replication, profiles, lacksCopies = false }: SiteShape): string {
  const full = gateways.filter((gateway) => gateway.role === "full").length;
  const witnesses = gateways.length - full;
  const head = `${counted(full, "gateway")}${witnesses === 0 ? "" : ` and ${witnesses === 1 ? "a witness" : `${word(witnesses)} witnesses`}`}`;
  const voting = settingsNeed(gateways.length);
  if (full === 1) {
    const lonely = "nothing is replicated; the loss of its disk loses its readings";
    return witnesses === 0 ? `${head}: ${lonely}` : `${head}: of readings, ${lonely}; ${voting}`;
  }
  const factor = Math.min(replication.factor, full);
  const write = copiesAt(answeredLevel(replication.write), factor);
  const read = copiesAt(replication.read, factor);
  const held = replication.write === "any";
  const levels = `factor ${factor}, write ${replication.write} = ${write}${held ? " or held" : ""}, read ${replication.read} = ${read}`;
  const standIn = hasStandIn({ factor, witnesses }) && !lacksCopies;
  const ingest = held
    ? "ingest goes on while all others are away, as far as the gateway that a device is connected to has room to hold readings"
    : standIn && replication.write === "quorum"
      ? "ingest goes on while one is away, the witness standing in"
      : goesOn("ingest", factor - write);
  const answers =
    standIn && replication.read === "quorum"
      ? "complete answers go on while one is away, the witness standing in"
      : goesOn("complete answers", factor - read);
  const lost = lacksCopies
    ? "a gateway was removed and nobody has taken its copies: the loss of another one may lose acknowledged readings, until a gateway is added"
    : loss(write);
  const parts = [
    held ? `${lost}, but for those that a gateway holds alone: until they are delivered its disk has the only copy` : lost,
    ingest,
    answers,
  ];
  const weaker = weakerProfiles(replication.write, profiles ?? [], factor);
  if (weaker !== undefined) parts.push(weaker);
  if (write + read <= factor) parts.push(`an answer may miss acknowledged readings (${write} + ${read} is not more than ${factor})`);
  return `${head}, ${levels}: ${[...parts, voting].join("; ")}`;
}

/** What the profiles with a level of their own risk beyond what the site's level does. */
function weakerProfiles(
  site: WriteLevel,
  profiles: readonly Pick<ProfileSettings, "name" | "write">[],
  factor: number,
): string | undefined {
  const risky = profiles.filter(
    ({ write }) =>
      write !== undefined && write !== site && (write === "any" || copiesAt(write, factor) < copiesAt(answeredLevel(site), factor)),
  );
  if (risky.length === 0) return undefined;
  const names = risky.slice(0, namesMax).map(({ name, write }) => `${name} (${write ?? site})`);
  const more = risky.length > namesMax ? ` and ${risky.length - namesMax} more` : "";
  return `less holds for the profiles ${names.join(", ")}${more}: the loss of one gateway may lose acknowledged readings of theirs`;
}

const namesMax = 3;

function settingsNeed(gateways: number): string {
  const voters = votersWanted(gateways);
  const need = `settings and jobs need ${majorityOf(voters)} of ${voters}`;
  if (voters === gateways) return `${need} gateways`;
  // Whoever does not vote takes the place of a voter that stays away.
  return `${need} voting gateways (${gateways - voters === 1 ? "another one stands" : `${word(gateways - voters)} others stand`} by)`;
}

/** `write` copies were on disk before the acknowledgement, so that one less may go. */
function loss(write: number): string {
  if (write === 1) return "the loss of any one gateway may lose acknowledged readings";
  return `the loss of any ${write === 2 ? "one gateway" : `${word(write - 1)} gateways`}, disk included, loses no acknowledged reading`;
}

function goesOn(what: string, away: number): string {
  if (away === 0) return `${what} ${what === "ingest" ? "pauses" : "pause"} while one of a device's gateways is away`;
  return `${what} ${what === "ingest" ? "goes" : "go"} on while ${away === 1 ? "one is" : `${word(away)} are`} away`;
}

const words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

const counted = (count: number, noun: string): string => `${word(count)} ${noun}${count === 1 ? "" : "s"}`;

function word(count: number): string {
  return words[count] ?? String(count);
}
