/**
 * Who takes part: the voters of a site. Immutable; a change of membership replaces the whole object. All questions
 * about quorums are asked here, so that learners and witnesses have one place to come to.
 */
import { assert } from "../../lib/assert.ts";
import type { GatewayId } from "../../lib/ids.ts";
import type { RaftRules } from "./rules.ts";

export class Configuration {
  /** Sorted, without doubles. */
  readonly voters: readonly GatewayId[];
  readonly #voterSet: ReadonlySet<GatewayId>;
  readonly #rules: RaftRules;

  constructor(voters: readonly GatewayId[], rules: RaftRules) {
    this.#voterSet = new Set(voters);
    assert(this.#voterSet.size === voters.length && voters.length > 0, "voters are distinct and at least one");
    this.voters = [...voters].sort();
    this.#rules = rules;
  }

  isVoter(gateway: GatewayId): boolean {
    return this.#voterSet.has(gateway);
  }

  /** Everybody that `self` exchanges messages with. */
  peersOf(self: GatewayId): readonly GatewayId[] {
    return this.voters.filter((voter) => voter !== self);
  }

  /** Whether the voters for which `holds` is true are a quorum. */
  isQuorum(holds: (voter: GatewayId) => boolean): boolean {
    let count = 0;
    for (const voter of this.voters) if (holds(voter)) count++;
    return count >= this.#rules.quorumSize(this.voters.length);
  }

  /** Whether the voters for which `refuses` is true leave no quorum among the others. */
  isBlocked(refuses: (voter: GatewayId) => boolean): boolean {
    return !this.isQuorum((voter) => !refuses(voter));
  }

  /** The greatest value that a quorum of voters has reached. */
  quorumValue(reached: (voter: GatewayId) => number): number {
    const values = this.voters.map(reached).sort((a, b) => b - a);
    return values[this.#rules.quorumSize(this.voters.length) - 1] as number;
  }
}
