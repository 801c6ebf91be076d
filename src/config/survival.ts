import type { ConsistencyLevel, SiteSettings } from "./settings.ts";

/** How many copies a write waits for, or a read asks, at a level. A quorum is more than half of the owners. */
export function copiesAt(level: ConsistencyLevel, factor: number): number {
  if (level === "one") return 1;
  return level === "all" ? factor : Math.floor(factor / 2) + 1;
}

/** One sentence for `check` and `status`: what may be lost, and what goes on meanwhile, from the settings alone. */
export function describeSurvival({ gateways, replication }: Pick<SiteSettings, "gateways" | "replication">): string {
  const count = gateways.length;
  const factor = Math.min(replication.factor, count);
  if (count === 1) return "one gateway: nothing is replicated; the loss of its disk loses its readings";
  const write = copiesAt(replication.write, factor);
  const read = copiesAt(replication.read, factor);
  // Every gateway of the list votes in this version.
  const majority = Math.floor(count / 2) + 1;
  const head = `${word(count)} gateways, factor ${factor}, write ${replication.write} = ${write}, read ${replication.read} = ${read}`;
  const parts = [loss(write), goesOn("ingest", factor - write), goesOn("complete answers", factor - read)];
  if (write + read <= factor) parts.push(`an answer may miss acknowledged readings (${write} + ${read} is not more than ${factor})`);
  parts.push(`settings and jobs need ${majority} of ${count} gateways`);
  return `${head}: ${parts.join("; ")}`;
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

function word(count: number): string {
  return words[count] ?? String(count);
}
