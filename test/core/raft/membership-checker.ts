/**
 * What must hold of every configuration that stands in a log (dissertation §4.1), from the outside: neighbours differ by one
 * voter at most, and no log holds two that are not committed.
 */
import type { ConfigurationRecord } from "../../../src/core/raft/configuration.ts";
import { decodeConfiguration } from "../../../src/core/raft/configuration-codec.ts";
import type { Entry } from "../../../src/core/raft/messages.ts";
import type { RaftNode } from "../../../src/core/raft/raft-node.ts";
import type { MemberId } from "../../../src/lib/ids.ts";
import { SafetyViolation } from "./safety-violation.ts";

export function configurationOf(entry: Entry): ConfigurationRecord {
  const decoded = decodeConfiguration(entry.command);
  if (!decoded.ok) throw new SafetyViolation("configuration", `entry ${entry.index} holds none`);
  return decoded.value;
}

export class MembershipChecker {
  /** Committed ones, by index; 0 is the founding one. */
  readonly #committed: { readonly index: number; readonly configuration: ConfigurationRecord }[];

  constructor(founding: ConfigurationRecord) {
    this.#committed = [{ index: 0, configuration: founding }];
  }

  /** The newest committed one. */
  get current(): ConfigurationRecord {
    return this.at(Number.POSITIVE_INFINITY);
  }

  get changes(): number {
    return this.#committed.length - 1;
  }

  /** The one that is in effect at a committed index. */
  at(index: number): ConfigurationRecord {
    let found = this.#committed[0] as { readonly configuration: ConfigurationRecord };
    for (const placed of this.#committed) if (placed.index <= index) found = placed;
    return found.configuration;
  }

  committed(entry: Entry): void {
    if (entry.kind === "configuration") this.#committed.push({ index: entry.index, configuration: configurationOf(entry) });
  }

  /** An entry that a node has written to its log. `isCommitted`: whether some node has applied this very entry. */
  written(id: MemberId, node: RaftNode, entry: Entry, isCommitted: (entry: Entry) => boolean): void {
    if (entry.kind !== "configuration") return;
    let index = entry.index - 1;
    let before = node.entryAt(index);
    while (before !== undefined && before.kind !== "configuration") before = node.entryAt(--index);
    const previous = before === undefined ? this.at(entry.index - 1) : configurationOf(before);
    const next = configurationOf(entry);
    const came = next.voters.filter((voter) => !previous.voters.includes(voter)).length;
    const left = previous.voters.filter((voter) => !next.voters.includes(voter)).length;
    if (came + left > 1) throw new SafetyViolation("single-change", `${id} changes ${came + left} voters at ${entry.index}`);
    if (before !== undefined && !isCommitted(before) && !isCommitted(entry))
      throw new SafetyViolation("one-change-in-flight", `${id} has ${before.index}/${before.term} and ${entry.index}/${entry.term}`);
  }
}
