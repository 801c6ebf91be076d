import { majorityOf, votersWanted } from "../lib/voters.ts";
import type { ConsistencyLevel, GatewaySettings, ReplicationSettings } from "./settings.ts";

/** How many copies a write waits for, or a read asks, at a level. A quorum is more than half of the owners. */
export function copiesAt(level: ConsistencyLevel, factor: number): number {
  if (level === "one") return 1;
  return level === "all" ? factor : Math.floor(factor / 2) + 1;
}

export interface SiteShape {
  readonly gateways: readonly Pick<GatewaySettings, "role">[];
  readonly replication: ReplicationSettings;
}

/** One sentence for `check` and `status`: what may be lost, and what goes on meanwhile. */
export function describeSurvival({ gateways, replication }: SiteShape): string {
  const full = gateways.filter((gateway) => gateway.role === "full").length;
  const witnesses = gateways.length - full;
  const head = `${counted(full, "gateway")}${witnesses === 0 ? "" : ` and ${witnesses === 1 ? "a witness" : `${word(witnesses)} witnesses`}`}`;
  const voting = settingsNeed(gateways.length);
  if (full === 1) {
    const lonely = "nothing is replicated; the loss of its disk loses its readings";
    return witnesses === 0 ? `${head}: ${lonely}` : `${head}: of readings, ${lonely}; ${voting}`;
  }
  const factor = Math.min(replication.factor, full);
  const write = copiesAt(replication.write, factor);
  const read = copiesAt(replication.read, factor);
  const levels = `factor ${factor}, write ${replication.write} = ${write}, read ${replication.read} = ${read}`;
  const parts = [loss(write), goesOn("ingest", factor - write), goesOn("complete answers", factor - read)];
  if (write + read <= factor) parts.push(`an answer may miss acknowledged readings (${write} + ${read} is not more than ${factor})`);
  return `${head}, ${levels}: ${[...parts, voting].join("; ")}`;
}

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
