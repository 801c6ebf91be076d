/**
 * Asks the owners of partitions: `required` owners of each, this gateway first, then the others in turn until enough
 * have answered or none is left. A peer that did not answer in time is asked last for a while.
 */

import type { ConsistencyLevel } from "../../config/settings.ts";
import type { copiesRequired } from "../../core/replica/rules.ts";
import { type OwnerTable, ownersOf } from "../../core/ring/owner-table.ts";
import type { Failure, Result } from "../../lib/errors.ts";
import { type GatewayId, type Partition, partition, partitionCount } from "../../lib/ids.ts";
import type { Clock } from "../../ports/clock.ts";

export interface FanOutOptions {
  readonly self: GatewayId;
  readonly clock: Clock;
  readonly ownerTable: () => OwnerTable;
  readonly reachable: (peer: GatewayId) => boolean;
  readonly copiesRequired: typeof copiesRequired;
}

export interface FanOutAnswers<T> {
  /** Who answered for which partitions. */
  readonly answers: readonly { readonly gateway: GatewayId; readonly partitions: ReadonlySet<Partition>; readonly reply: T }[];
  /** Every partition asked has an answer of as many owners as the level asks for. */
  readonly complete: boolean;
  readonly failures: readonly string[];
  /** The question itself is at fault: asking further owners would not help. */
  readonly refused: Failure | undefined;
}

/** Partitions with the same owners: what is known of one goes for all. */
interface Group {
  readonly owners: readonly GatewayId[];
  readonly tried: Set<GatewayId>;
  /** Answers that are still missing. */
  missing: number;
}

const suspectMs = 10_000;

export class FanOut {
  readonly #options: FanOutOptions;
  readonly #suspectUntilMs = new Map<GatewayId, number>();
  readonly #all: readonly Partition[] = Array.from({ length: partitionCount }, (_, at) => partition(at));

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  allPartitions(): readonly Partition[] {
    return this.#all;
  }

  async ask<T>(
    partitions: readonly Partition[],
    level: ConsistencyLevel,
    ask: (gateway: GatewayId, partitions: readonly Partition[]) => Promise<Result<T>>,
  ): Promise<FanOutAnswers<T>> {
    const table = this.#options.ownerTable();
    const groups = this.#groups(table, partitions, level);
    const answers: { gateway: GatewayId; partitions: ReadonlySet<Partition>; reply: T }[] = [];
    const failures: string[] = [];
    for (;;) {
      const plan = this.#plan(groups);
      if (plan.size === 0) break;
      const replies = await Promise.all(
        [...plan].map(async ([gateway, numbers]) => {
          const asked = partitions.filter((at) => numbers.has(numberOf(table, at)));
          return { gateway, numbers, asked, reply: await ask(gateway, asked) };
        }),
      );
      for (const { gateway, numbers, asked, reply } of replies) {
        if (reply.ok) {
          this.#suspectUntilMs.delete(gateway);
          answers.push({ gateway, partitions: new Set(asked), reply: reply.value });
          for (const [number, group] of groups) if (numbers.has(number)) group.missing--;
        } else if (reply.code === "too-large" || reply.code === "bad-request") {
          return { answers, complete: false, failures, refused: reply };
        } else {
          failures.push(`${gateway}: ${reply.message}`);
          if (gateway !== this.#options.self) this.#suspectUntilMs.set(gateway, this.#options.clock.monotonicMs() + suspectMs);
        }
      }
    }
    const complete = [...groups.values()].every((group) => group.missing <= 0);
    return { answers, complete, failures, refused: undefined };
  }

  /** By the owner list's number in the table. */
  #groups(table: OwnerTable, partitions: readonly Partition[], level: ConsistencyLevel): Map<number, Group> {
    const groups = new Map<number, Group>();
    for (const at of partitions) {
      const number = numberOf(table, at);
      if (groups.has(number)) continue;
      const owners = ownersOf(table, at);
      groups.set(number, { owners, tried: new Set(), missing: this.#options.copiesRequired({ level, owners: owners.length }) });
    }
    return groups;
  }

  /** Whom to ask next, so that each partition that misses n answers is asked of n more owners. */
  #plan(groups: ReadonlyMap<number, Group>): Map<GatewayId, Set<number>> {
    const plan = new Map<GatewayId, Set<number>>();
    const nowMs = this.#options.clock.monotonicMs();
    const rank = (gateway: GatewayId): number => {
      if (gateway === this.#options.self) return 0;
      return (this.#suspectUntilMs.get(gateway) ?? 0) > nowMs ? 2 : 1;
    };
    for (const [number, group] of groups) {
      const candidates = group.owners
        .filter((owner) => !group.tried.has(owner) && (owner === this.#options.self || this.#options.reachable(owner)))
        .toSorted((a, b) => rank(a) - rank(b));
      for (const owner of candidates.slice(0, Math.max(0, group.missing))) {
        group.tried.add(owner);
        const asked = plan.get(owner);
        if (asked === undefined) plan.set(owner, new Set([number]));
        else asked.add(number);
      }
    }
    return plan;
  }
}

function numberOf(table: OwnerTable, of: Partition): number {
  return table.partitionSets[of] ?? -1;
}
