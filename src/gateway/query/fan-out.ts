/**
 * Asks the owners of partitions, this gateway first, then the others in turn until as many as the level asks for have answered
 * or none is left (`core/replica/rules.ts` says how many). A peer that did not answer in time is asked last for a while.
 *
 * All answers to one question are of one owner table. An owner at another epoch refuses; when that leaves too few, the whole
 * question is put again under the table that this gateway then has, for a bounded time.
 */

import type { ConsistencyLevel } from "../../config/settings.ts";
import { type copiesRequired, type OwnerCounts, readQuorum } from "../../core/replica/rules.ts";
import { ownerCounts, type RingState, wholeOwnersOf } from "../../core/ring/owner-changes.ts";
import { defined } from "../../lib/assert.ts";
import type { Failure, Result } from "../../lib/errors.ts";
import { type GatewayId, type Partition, partition, partitionCount } from "../../lib/ids.ts";
import type { Clock } from "../../ports/clock.ts";
import type { StandIn } from "../hints/stand-in.ts";
import { pause } from "../pause.ts";

export interface FanOutOptions {
  readonly self: GatewayId;
  readonly clock: Clock;
  readonly ring: () => RingState;
  readonly reachable: (peer: GatewayId) => boolean;
  readonly copiesRequired: typeof copiesRequired;
  readonly standIn?: Pick<StandIn, "witness" | "drained">;
}

/** What one owner is asked for, under the owner table of this epoch. */
export interface Asked {
  readonly epoch: number;
  readonly partitions: readonly Partition[];
}

export type Ask<T> = (gateway: GatewayId, asked: Asked) => Promise<Result<T>>;

export interface FanOutAnswers<T> {
  /** Who answered for which partitions. Only owners that have all readings of them: the answers of others are dropped. */
  readonly answers: readonly { readonly gateway: GatewayId; readonly partitions: ReadonlySet<Partition>; readonly reply: T }[];
  /** Of the owner table that all of them are of. */
  readonly epoch: number;
  /** Every partition asked has the answers that the level asks for. */
  readonly complete: boolean;
  /** Those of the partitions asked that have not. */
  readonly missing: readonly Partition[];
  readonly failures: readonly string[];
  /** The question itself is at fault: asking further owners would not help. */
  readonly refused: Failure | undefined;
}

/** Partitions with the same owners, of which the same are filling: what is known of one goes for all. */
interface Group {
  readonly whole: readonly GatewayId[];
  readonly filling: readonly GatewayId[];
  readonly counts: OwnerCounts;
}

/** The groups of a ring, by number, and the number of each partition's. */
interface Layout {
  readonly ring: RingState;
  readonly groups: readonly Group[];
  readonly groupOf: Uint16Array;
}

/** Answers that a group still misses. */
interface Missing {
  readonly group: Group;
  readonly tried: Set<GatewayId>;
  any: number;
  whole: number;
}

interface Meeting {
  readonly failures: readonly string[];
  readonly isRefusedByRing: boolean;
}

const noMeeting: Meeting = { failures: [], isRefusedByRing: false };
const suspectMs = 10_000;
/** A change of owners reaches every gateway that hears the leader within a heartbeat or two. */
export const ringWaitMs = 100;
export const ringWaitMaxMs = 3_000;

export class FanOut {
  readonly #options: FanOutOptions;
  readonly #suspectUntilMs = new Map<GatewayId, number>();
  readonly #all: readonly Partition[] = Array.from({ length: partitionCount }, (_, at) => partition(at));
  #allSet: ReadonlySet<Partition> | undefined;
  #layout: Layout | undefined;

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  allPartitions(): readonly Partition[] {
    return this.#all;
  }

  async ask<T>(partitions: readonly Partition[], level: ConsistencyLevel, ask: Ask<T>): Promise<FanOutAnswers<T>> {
    const { clock } = this.#options;
    const giveUpMs = clock.monotonicMs() + ringWaitMaxMs;
    for (let isFirst = true; ; isFirst = false) {
      const { answers, isRefusedByRing } = await this.#askUnderOneTable(partitions, level, ask);
      // One of two owners was found out not to answer: the witness can stand in for it the next time.
      const mayStandIn = isFirst && level === "quorum" && this.#options.standIn?.witness() !== undefined;
      if (mayStandIn && !isRefusedByRing && !answers.complete && answers.refused === undefined) continue;
      if (!isRefusedByRing || answers.complete || answers.refused !== undefined || clock.monotonicMs() >= giveUpMs) return answers;
      await pause(clock, ringWaitMs);
    }
  }

  async #askUnderOneTable<T>(
    partitions: readonly Partition[],
    level: ConsistencyLevel,
    ask: Ask<T>,
  ): Promise<{ readonly answers: FanOutAnswers<T>; readonly isRefusedByRing: boolean }> {
    const { ring, groups, groupOf } = this.#layoutOf(this.#options.ring());
    const { epoch } = ring.table;
    const missing = new Map<number, Missing>();
    for (const number of this.#numbersOf(partitions, groupOf)) {
      const group = defined(groups[number], `owners of group ${number}`);
      missing.set(number, { group, tried: new Set(), ...readQuorum(level, group.counts, this.#options.copiesRequired) });
    }
    // Nearly always an owner is asked for all partitions, or answers for all that it was asked for: the list serves again.
    const inGroups = (list: readonly Partition[], all: ReadonlySet<number>, chosen: ReadonlySet<number>): readonly Partition[] =>
      chosen.size === all.size ? list : list.filter((at) => chosen.has(groupOf[at] as number));
    const meeting = level === "one" ? noMeeting : await this.#meetStandIn(missing, epoch, level);
    const asAsked = new Set(missing.keys());
    const answers: { gateway: GatewayId; partitions: ReadonlySet<Partition>; reply: T }[] = [];
    const failures: string[] = [...meeting.failures];
    let { isRefusedByRing } = meeting;
    for (let plan = this.#plan(missing); plan.size > 0; plan = this.#plan(missing)) {
      const replies = await Promise.all(
        [...plan].map(async ([gateway, numbers]) => {
          const asked = inGroups(partitions, asAsked, numbers);
          return { gateway, numbers, asked, reply: await ask(gateway, { epoch, partitions: asked }) };
        }),
      );
      for (const { gateway, numbers, asked, reply } of replies) {
        if (reply.ok) {
          this.#suspectUntilMs.delete(gateway);
          const whole = new Set([...numbers].filter((number) => groups[number]?.whole.includes(gateway)));
          if (whole.size > 0) answers.push({ gateway, partitions: this.#setOf(inGroups(asked, numbers, whole)), reply: reply.value });
          for (const number of numbers) answered(missing.get(number), gateway);
        } else if (reply.code === "too-large" || reply.code === "bad-request") {
          return { answers: { answers, epoch, complete: false, missing: partitions, failures, refused: reply }, isRefusedByRing };
        } else {
          failures.push(`${gateway}: ${reply.message}`);
          if (reply.code === "ring-changed") isRefusedByRing = true;
          else if (gateway !== this.#options.self) this.#suspectUntilMs.set(gateway, this.#options.clock.monotonicMs() + suspectMs);
        }
      }
    }
    const short = new Set([...missing].filter(([, { any, whole }]) => any > 0 || whole > 0).map(([number]) => number));
    const unanswered = short.size === 0 ? [] : partitions.filter((at) => short.has(groupOf[at] as number));
    return { answers: { answers, epoch, complete: short.size === 0, missing: unanswered, failures, refused: undefined }, isRefusedByRing };
  }

  /**
   * A site with two owners of everything and a stand-in (`hints/stand-in.ts`): where one owner alone will answer, the witness must
   * have brought it what it keeps for it, before it is asked, and counts as the second answer then. Also where the other one is
   * filling or has left: what it and the witness had acknowledged is with the witness only. For a question to all owners the witness is no
   * answer in the place of one that has everything; it is met where there is no second one.
   */
  async #meetStandIn(missing: ReadonlyMap<number, Missing>, epoch: number, level: "quorum" | "all"): Promise<Meeting> {
    const { standIn, self, reachable, clock } = this.#options;
    if (standIn?.witness() === undefined) return noMeeting;
    const isGone = (owner: GatewayId): boolean =>
      owner !== self && (!reachable(owner) || (this.#suspectUntilMs.get(owner) ?? 0) > clock.monotonicMs());
    const alone = new Map<GatewayId, Missing[]>();
    for (const group of missing.values()) {
      if (group.group.counts.planned !== 2) continue;
      const { whole } = group.group;
      const there = level === "all" ? whole : whole.filter((owner) => !isGone(owner));
      const [owner] = there;
      if (owner === undefined || there.length > 1) continue;
      alone.set(owner, [...(alone.get(owner) ?? []), group]);
    }
    const failures: string[] = [];
    let isRefusedByRing = false;
    await Promise.all(
      [...alone].map(async ([owner, groups]) => {
        const drained = await standIn.drained(owner, epoch);
        for (const each of groups) {
          // The other one may answer after all, where it is an owner like this one.
          if (!drained.ok && each.group.whole.length > 1) continue;
          if (level === "all") {
            if (!drained.ok) each.whole = 2;
            continue;
          }
          // What this owner answers is all, or it is not enough.
          for (const other of [...each.group.whole, ...each.group.filling]) if (other !== owner) each.tried.add(other);
          each.any = drained.ok ? 1 : 2;
          each.whole = drained.ok ? 1 : 2;
        }
        if (drained.ok) return;
        failures.push(`for ${owner}: ${drained.message}`);
        if (drained.code === "ring-changed") isRefusedByRing = true;
      }),
    );
    return { failures, isRefusedByRing };
  }

  /** The groups of these partitions, in the order in which they are met. */
  #numbersOf(partitions: readonly Partition[], groupOf: Uint16Array): readonly number[] {
    const met = new Uint8Array(partitionCount);
    const numbers: number[] = [];
    for (const at of partitions) {
      const number = groupOf[at] as number;
      if (met[number] === 0) numbers.push(number);
      met[number] = 1;
    }
    return numbers;
  }

  #setOf(partitions: readonly Partition[]): ReadonlySet<Partition> {
    if (partitions !== this.#all) return new Set(partitions);
    this.#allSet ??= new Set(partitions);
    return this.#allSet;
  }

  /** Whom to ask next, and for which groups, so that each group gets as many answers as it misses. */
  #plan(missing: ReadonlyMap<number, Missing>): Map<GatewayId, Set<number>> {
    const plan = new Map<GatewayId, Set<number>>();
    const nowMs = this.#options.clock.monotonicMs();
    const rank = (gateway: GatewayId): number => {
      if (gateway === this.#options.self) return 0;
      return (this.#suspectUntilMs.get(gateway) ?? 0) > nowMs ? 2 : 1;
    };
    for (const [number, { group, tried, any, whole }] of missing) {
      const open = (owners: readonly GatewayId[]) =>
        owners
          .filter((owner) => !tried.has(owner) && (owner === this.#options.self || this.#options.reachable(owner)))
          .toSorted((a, b) => rank(a) - rank(b));
      const chosen = open(group.whole).slice(0, Math.max(0, whole));
      // Filling owners only say that they know no newer table: no use where whole ones are missing. A whole one can say so too.
      if (chosen.length >= whole) {
        const others = [...open(group.filling), ...open(group.whole).filter((owner) => !chosen.includes(owner))];
        chosen.push(...others.slice(0, Math.max(0, any - chosen.length)));
      }
      for (const owner of chosen) {
        tried.add(owner);
        const asked = plan.get(owner);
        if (asked === undefined) plan.set(owner, new Set([number]));
        else asked.add(number);
      }
    }
    return plan;
  }

  #layoutOf(ring: RingState): Layout {
    if (this.#layout?.ring === ring) return this.#layout;
    const numbers = new Map<string, number>();
    const groups: Group[] = [];
    const groupOf = new Uint16Array(partitionCount);
    for (let at = 0; at < partitionCount; at++) {
      const filling = ring.filling.get(at) ?? [];
      // Where a table had a list twice, its partitions would make two groups: no harm. No id has a space in it.
      const counts = ownerCounts(ring, at);
      const key = `${ring.table.partitionSets[at] as number} ${counts.leaving} ${filling.join(" ")}`;
      const number = numbers.get(key) ?? groups.push({ whole: wholeOwnersOf(ring, at), filling, counts }) - 1;
      numbers.set(key, number);
      groupOf[at] = number;
    }
    this.#layout = { ring, groups, groupOf };
    return this.#layout;
  }
}

function answered(missing: Missing | undefined, gateway: GatewayId): void {
  if (missing === undefined) return;
  missing.any--;
  if (missing.group.whole.includes(gateway)) missing.whole--;
}
