/**
 * Who takes part. Immutable; a change of membership replaces the whole object. All questions about quorums are asked
 * here. Changes are made one voter at a time, so that any majority of the old voters and any of the new ones share a
 * voter (dissertation §4.1); the newest configuration in a log is in effect there, committed or not.
 */
import { assert, defined } from "../../lib/assert.ts";
import type { MemberId } from "../../lib/ids.ts";
import type { RaftRules } from "./rules.ts";

/** As it stands in the log and in snapshots. The lists are sorted and distinct; nobody is voter and learner at once. */
export interface ConfigurationRecord {
  /** At least one. */
  readonly voters: readonly MemberId[];
  /** Get the log, and count for nothing. */
  readonly learners: readonly MemberId[];
  /** Voters or learners that lead only to pass leadership on. */
  readonly witnesses: readonly MemberId[];
}

/** A configuration of voters alone. */
export function votersOnly(voters: readonly MemberId[]): ConfigurationRecord {
  return { voters: [...voters].sort(), learners: [], witnesses: [] };
}

/** Dissertation §4.1: at most one voter comes or goes. What the learners do needs no quorum. */
export function isSingleChange(from: ConfigurationRecord, to: ConfigurationRecord): boolean {
  const added = to.voters.filter((voter) => !from.voters.includes(voter)).length;
  const removed = from.voters.filter((voter) => !to.voters.includes(voter)).length;
  return added + removed <= 1;
}

const isNameless = (member: MemberId) => member === "";

/** What is wrong with a configuration in itself, if anything. */
export function configurationProblem({ voters, learners, witnesses }: ConfigurationRecord): string | undefined {
  if (voters.length === 0) return "there is no voter";
  if (new Set([...voters, ...learners]).size !== voters.length + learners.length) return "a member is named twice";
  if (new Set(witnesses).size !== witnesses.length) return "a witness is named twice";
  if (voters.some(isNameless) || learners.some(isNameless)) return "a member has no name";
  const stray = witnesses.find((witness) => !voters.includes(witness) && !learners.includes(witness));
  return stray === undefined ? undefined : `the witness ${stray} is no member`;
}

export class Configuration {
  readonly record: ConfigurationRecord;
  readonly voters: readonly MemberId[];
  readonly #voterSet: ReadonlySet<MemberId>;
  readonly #learnerSet: ReadonlySet<MemberId>;
  readonly #rules: RaftRules;

  constructor(record: ConfigurationRecord, rules: RaftRules) {
    const problem = configurationProblem(record);
    assert(problem === undefined, `a configuration that can be: ${problem ?? ""}`);
    this.record = record;
    this.voters = [...record.voters].sort();
    this.#voterSet = new Set(record.voters);
    this.#learnerSet = new Set(record.learners);
    this.#rules = rules;
  }

  isVoter(member: MemberId): boolean {
    return this.#voterSet.has(member);
  }

  isWitness(member: MemberId): boolean {
    return this.record.witnesses.includes(member);
  }

  isMember(member: MemberId): boolean {
    return this.#voterSet.has(member) || this.#learnerSet.has(member);
  }

  /** Voters but `self`: those whom an election concerns. */
  otherVoters(self: MemberId): readonly MemberId[] {
    return this.voters.filter((voter) => voter !== self);
  }

  /** Everybody that a leader sends its log to: the other voters, then the learners. */
  peersOf(self: MemberId): readonly MemberId[] {
    return [...this.otherVoters(self), ...this.record.learners.filter((learner) => learner !== self)];
  }

  /** Whether the voters for which `holds` is true are a quorum. */
  isQuorum(holds: (voter: MemberId) => boolean): boolean {
    let count = 0;
    for (const voter of this.voters) if (holds(voter)) count++;
    return count >= this.#rules.quorumSize(this.voters.length);
  }

  /** Whether the voters for which `refuses` is true leave no quorum among the others. */
  isBlocked(refuses: (voter: MemberId) => boolean): boolean {
    return !this.isQuorum((voter) => !refuses(voter));
  }

  /** The greatest value that a quorum of voters has reached. */
  quorumValue(reached: (voter: MemberId) => number): number {
    // Sorted by hand, the greatest first: there are up to five, and a leader asks after every step.
    const values: number[] = [];
    for (const voter of this.voters) {
      const value = reached(voter);
      let at = values.length;
      for (; at > 0 && (values[at - 1] as number) < value; at--) values[at] = values[at - 1] as number;
      values[at] = value;
    }
    return values[this.#rules.quorumSize(this.voters.length) - 1] as number;
  }
}

interface Placed {
  readonly index: number;
  readonly configuration: Configuration;
}

/** The configurations that a log holds, in its order, so that one can be taken back with the entry that brought it. */
export class ConfigurationHistory {
  #placed: Placed[];

  constructor(base: Placed) {
    this.#placed = [base];
  }

  /** A snapshot took the place of the log. */
  restart(base: Placed): void {
    this.#placed = [base];
  }

  /** The newest: the one in effect. */
  get current(): Placed {
    return defined(this.#placed[this.#placed.length - 1], "a configuration");
  }

  append(placed: Placed): void {
    assert(placed.index > this.current.index, `configuration ${placed.index} follows ${this.current.index}`);
    this.#placed.push(placed);
  }

  truncateFrom(index: number): void {
    while (this.#placed.length > 1 && this.current.index >= index) this.#placed.pop();
  }

  /** The one in effect at `index`. */
  at(index: number): Configuration {
    let found = defined(this.#placed[0], "a configuration");
    for (const placed of this.#placed) if (placed.index <= index) found = placed;
    return found.configuration;
  }

  /** Whether it is a voter in the configuration in effect at `index`, or in one behind it. */
  isVoterFrom(index: number, member: MemberId): boolean {
    return this.at(index).isVoter(member) || this.#placed.some((placed) => placed.index > index && placed.configuration.isVoter(member));
  }

  /** What stands before the one in effect at `index` is not needed again: nothing is truncated there any more. */
  forgetBefore(index: number): void {
    while (this.#placed.length > 1 && (this.#placed[1] as Placed).index <= index) this.#placed.shift();
  }
}
