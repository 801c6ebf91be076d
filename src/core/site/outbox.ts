/**
 * Committed runs in commit order, until every gateway has stored their rows: what each gateway's copy of the results is
 * made from. Pruned when a command is applied, so that all gateways keep the same.
 */

import type { GatewayId } from "../../lib/ids.ts";
import type { CommittedRun } from "./apply-result.ts";
import { count, fields, list, text, tuple, whole } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

/** Runs that the outbox holds at most; a gateway that has not stored what was dropped fetches whole results from a peer. */
export const outboxRunsMax = 262_144;

interface Head {
  readonly firstOrdinal: number;
  readonly stored: readonly (readonly [GatewayId, number])[];
}

type Item = readonly [
  index: number,
  job: string,
  fromMs: number,
  toMs: number,
  attempt: number,
  revision: number,
  rows: number,
  digest: string,
  sinks: readonly string[],
];

const isHead = fields({ firstOrdinal: count, stored: list(tuple(text, count)) });
const isItem = tuple(count, text, whole, whole, count, count, count, text, list(text));

export class Outbox {
  readonly #runsMax: number;
  #firstOrdinal = 0;
  #runs: CommittedRun[] = [];
  /** Each gateway has the rows of all runs below this. */
  readonly #stored = new Map<GatewayId, number>();

  constructor(runsMax: number = outboxRunsMax) {
    this.#runsMax = runsMax;
  }

  firstOrdinal(): number {
    return this.#firstOrdinal;
  }

  /** Of the next run. */
  nextOrdinal(): number {
    return this.#firstOrdinal + this.#runs.length;
  }

  /** In order, the first of them `firstOrdinal`. */
  runs(): readonly CommittedRun[] {
    return this.#runs;
  }

  push(runs: readonly CommittedRun[]): void {
    for (const run of runs) this.#runs.push(run);
    if (this.#runs.length > this.#runsMax) this.#dropBelow(this.nextOrdinal() - this.#runsMax);
  }

  storedBy(gateway: GatewayId): number {
    return this.#stored.get(gateway) ?? 0;
  }

  stored(gateway: GatewayId, ordinal: number): void {
    this.#stored.set(gateway, Math.max(this.storedBy(gateway), Math.min(ordinal, this.nextOrdinal())));
  }

  /** Another data folder has stored nothing yet. */
  forget(gateway: GatewayId): void {
    this.#stored.delete(gateway);
  }

  /** Drops what all of these gateways have stored. */
  prune(gateways: readonly GatewayId[]): void {
    if (gateways.length === 0) return;
    this.#dropBelow(Math.min(...gateways.map((gateway) => this.storedBy(gateway))));
  }

  #dropBelow(ordinal: number): void {
    const dropped = ordinal - this.#firstOrdinal;
    if (dropped <= 0) return;
    this.#runs.splice(0, dropped);
    this.#firstOrdinal = ordinal;
  }

  capture(): Part[] {
    const head: Head = { firstOrdinal: this.#firstOrdinal, stored: [...this.#stored] };
    const runs = [...this.#runs];
    return [
      { section: Section.Outbox, size: 1, item: () => head },
      { section: Section.Run, size: runs.length, item: (at) => itemOf(runs[at] as CommittedRun) },
    ];
  }

  restoreHead(item: unknown): boolean {
    if (!isHead(item)) return false;
    const { firstOrdinal, stored } = item as Head;
    this.#firstOrdinal = firstOrdinal;
    for (const [gateway, ordinal] of stored) this.#stored.set(gateway, ordinal);
    return true;
  }

  restoreRun(item: unknown): boolean {
    if (!isItem(item)) return false;
    const [index, job, fromMs, toMs, attempt, revision, rows, digest, sinks] = item as Item;
    this.#runs.push({ ordinal: this.nextOrdinal(), index, job, fromMs, toMs, attempt, revision, rows, digest, sinks });
    return true;
  }

  picture(): unknown {
    return [this.#firstOrdinal, this.#runs.map(itemOf), [...this.#stored].sort((a, b) => (a[0] < b[0] ? -1 : 1))];
  }
}

function itemOf({ index, job, fromMs, toMs, attempt, revision, rows, digest, sinks }: CommittedRun): Item {
  return [index, job, fromMs, toMs, attempt, revision, rows, digest, sinks];
}
