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

const suspectMs = 10_000;

export class FanOut {
  readonly #options: FanOutOptions;
  readonly #suspectUntilMs = new Map<GatewayId, number>();

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  allPartitions(): Partition[] {
    return Array.from({ length: partitionCount }, (_, at) => partition(at));
  }

  async ask<T>(
    partitions: readonly Partition[],
    level: ConsistencyLevel,
    ask: (gateway: GatewayId, partitions: readonly Partition[]) => Promise<Result<T>>,
  ): Promise<FanOutAnswers<T>> {
    const table = this.#options.ownerTable();
    const missing = new Map<Partition, number>();
    for (const at of partitions) missing.set(at, this.#options.copiesRequired({ level, owners: ownersOf(table, at).length }));
    const tried = new Map<Partition, Set<GatewayId>>();
    const answers: { gateway: GatewayId; partitions: ReadonlySet<Partition>; reply: T }[] = [];
    const failures: string[] = [];
    for (;;) {
      const plan = this.#plan(table, missing, tried);
      if (plan.size === 0) break;
      const replies = await Promise.all([...plan].map(async ([gateway, asked]) => ({ gateway, asked, reply: await ask(gateway, asked) })));
      for (const { gateway, asked, reply } of replies) {
        if (reply.ok) {
          this.#suspectUntilMs.delete(gateway);
          answers.push({ gateway, partitions: new Set(asked), reply: reply.value });
          for (const at of asked) countDown(missing, at);
        } else if (reply.code === "too-large" || reply.code === "bad-request") {
          return { answers, complete: false, failures, refused: reply };
        } else {
          failures.push(`${gateway}: ${reply.message}`);
          if (gateway !== this.#options.self) this.#suspectUntilMs.set(gateway, this.#options.clock.monotonicMs() + suspectMs);
        }
      }
    }
    return { answers, complete: missing.size === 0, failures, refused: undefined };
  }

  /** Whom to ask next, so that each partition that misses n answers is asked of n more owners. */
  #plan(table: OwnerTable, missing: ReadonlyMap<Partition, number>, tried: Map<Partition, Set<GatewayId>>): Map<GatewayId, Partition[]> {
    const plan = new Map<GatewayId, Partition[]>();
    const nowMs = this.#options.clock.monotonicMs();
    const rank = (gateway: GatewayId): number => {
      if (gateway === this.#options.self) return 0;
      return (this.#suspectUntilMs.get(gateway) ?? 0) > nowMs ? 2 : 1;
    };
    for (const [at, count] of missing) {
      const triedHere = tried.get(at) ?? new Set();
      tried.set(at, triedHere);
      const candidates = ownersOf(table, at)
        .filter((owner) => !triedHere.has(owner) && (owner === this.#options.self || this.#options.reachable(owner)))
        .toSorted((a, b) => rank(a) - rank(b));
      for (const owner of candidates.slice(0, count)) {
        triedHere.add(owner);
        const asked = plan.get(owner);
        if (asked === undefined) plan.set(owner, [at]);
        else asked.push(at);
      }
    }
    return plan;
  }
}

function countDown(missing: Map<Partition, number>, at: Partition): void {
  const left = (missing.get(at) ?? 0) - 1;
  if (left <= 0) missing.delete(at);
  else missing.set(at, left);
}
