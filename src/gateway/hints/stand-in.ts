/**
 * The witness of a site with two owners of everything stands in for the one that does not answer: it keeps the rounds which that
 * one lacks, until they are on its disk, and drops none. Its copy counts as one of the two that an acknowledgement waits for, so
 * that the two owners and the witness are three places of which every acknowledged reading is in two, and one of the two is
 * an owner (`core/replica/coordinator.ts`).
 *
 * Whoever relies on one owner alone (a question while the other is away, a gateway that fills) must therefore meet the witness too:
 * it says that it is *drained* for that owner once it has brought it all that it keeps for it, under the same ring epoch on which
 * it refuses rounds of every other. So any two of the three know of each acknowledgement: writes by {a, b}, {a, w} or {b, w}
 * meet questions to {a, b}, {a, w} or {b, w} in a gateway that has the reading, or that knows the newer table and refuses.
 * Under a later table the two owners may be others, which ask the witness for nothing while both answer: {a, w} would never hear of
 * what {b, c} acknowledge. So the witness first makes sure, by ReadIndex, that it knows of every table that was in force when it was asked.
 *
 * A witness whose folder is not the founder's, or whose log lost records, may lack copies that it (or the folder before) has promised
 * to keep. It answers for nobody until it has seen the owners of every partition hold the same (`priming.ts`).
 */

import { type OfferedRound, Owner, type OwnerEffect } from "../../core/replica/owner.ts";
import type { RingState } from "../../core/ring/owner-changes.ts";
import { noEpoch, ownersOf } from "../../core/ring/owner-table.ts";
import { decodeRound, roundVersionAt } from "../../core/round/round-codec.ts";
import type { Member } from "../../core/site/membership.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import { type GatewayId, gatewayId, type Partition, type SessionId } from "../../lib/ids.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import { FrameKind } from "../frames.ts";
import type { MeshRouter } from "../mesh-router.ts";
import { pause } from "../pause.ts";
import type { Requests } from "../requests.ts";
import { KeptKind } from "./kept-record.ts";
import type { KeptRound, KeptRounds } from "./kept-rounds.ts";
import type { PeerDelivery } from "./peer-delivery.ts";

export interface StandInOptions {
  readonly context: GatewayContext;
  readonly router: Pick<MeshRouter, "handle" | "send">;
  readonly requests: Pick<Requests, "call" | "serve">;
  readonly kept: KeptRounds;
  readonly delivery: PeerDelivery;
  /** Under which this gateway acts. */
  readonly ring: () => RingState;
  /** As far as the site's log is applied here: it may be ahead of what this gateway acts under. */
  readonly appliedEpoch: () => number;
  /** Resolves once everything that the site had committed before the call is applied here. */
  readonly fresh: (timeoutMs: number) => Promise<Result<void>>;
  readonly members: () => Iterable<Pick<Member, "id" | "role" | "memberId">>;
  /** False before all gateways of the site know of stand-ins. */
  readonly isKnown: () => boolean;
  /** Whether the disk has room. */
  readonly mayTake: () => boolean;
  readonly isPrimed: () => boolean;
  readonly partitionOf: (name: SeriesName) => Partition;
}

/** A round that this gateway keeps as the stand-in, by whoever coordinates it. */
export interface CopyToKeep {
  readonly session: SessionId;
  readonly number: number;
  readonly targets: readonly GatewayId[];
  readonly bytes: Uint8Array;
  readonly readings: number;
}

const windowMax = 4_096;
const drainMaxMs = 3_000;
const drainPollMs = 20;
/** Without a leader the change of one is waited for, no longer. */
const freshMaxMs = 2_000;
const confirmTimeoutMs = 4_000;
/** Words of relief are collected for so long: a witness that hears none delivers what the owner has already, no more. */
const reliefMs = 50;

export class StandIn {
  readonly #options: StandInOptions;
  readonly #context: GatewayContext;
  readonly #owner = new Owner({ windowMax });
  /** By coordinator, session and number; only copies that are still kept, and only those of this process's lifetime. */
  readonly #copies = new Map<string, KeptRound>();
  readonly #keys = new Map<KeptRound, string>();
  readonly #relief = new Map<string, { readonly witness: GatewayId; readonly owner: GatewayId; readonly rounds: number[] }>();
  #reliefScheduled = false;

  constructor(options: StandInOptions) {
    this.#options = options;
    this.#context = options.context;
    options.router.handle(FrameKind.StandIn, (from, body) => this.#offered(from, body));
    options.router.handle(FrameKind.Relieved, (from, body) => this.#relieved(from, body));
    options.requests.serve("drained", (_from, body) => this.#drainedForPeer(body));
  }

  /**
   * The gateway that stands in for one of two owners; `undefined` where there is none. Of several witnesses none does: which
   * of them keeps a copy would have to be agreed on.
   */
  witness(): GatewayId | undefined {
    if (!this.#options.isKnown() || this.#options.ring().table.factor !== 2) return undefined;
    let found: GatewayId | undefined;
    for (const { id, role, memberId } of this.#options.members()) {
      if (role !== "witness") continue;
      if (found !== undefined || memberId === undefined) return undefined;
      found = id;
    }
    return found;
  }

  /** A round of this gateway's own for the witness, which may be this gateway. `durable`: in that case, once it is. */
  ask(to: GatewayId, copy: CopyToKeep, durable: () => void): void {
    const { self, packing } = this.#context;
    if (to === self) {
      if (!this.#copies.has(keyOf(self, copy)) && this.#options.mayTake()) this.#keep(self, copy, durable);
    } else this.#options.router.send(to, "replica", FrameKind.StandIn, packing.pack({ targets: copy.targets, round: copy.bytes }));
  }

  /** The owner has got a round of this gateway's that the witness was asked to keep for it. */
  relieve(witness: GatewayId, owner: GatewayId, round: number): void {
    const { self, session, clock, inbox } = this.#context;
    if (witness === self) return this.#settle(keyOf(self, { session, number: round }), owner);
    const key = `${witness} ${owner}`;
    const known = this.#relief.get(key);
    if (known === undefined) this.#relief.set(key, { witness, owner, rounds: [round] });
    else known.rounds.push(round);
    if (this.#reliefScheduled) return;
    this.#reliefScheduled = true;
    clock.schedule(reliefMs, () => inbox.post(() => this.#sendRelief()));
  }

  /**
   * Resolves once the site's stand-in keeps nothing that this owner lacks, under this epoch. At once where there is none. Whoever
   * is about to rely on what this owner holds, while another owner of it does not answer, asks this first and the owner then.
   * Fails with `ring-changed`, or with what kept it from being known.
   */
  async drained(owner: GatewayId, epoch: number): Promise<Result<void>> {
    const witness = this.witness();
    if (witness === undefined) return success(undefined);
    if (witness === this.#context.self) return this.#drain(owner, epoch);
    const answer = await this.#options.requests.call(witness, "drained", { owner, epoch }, { timeoutMs: confirmTimeoutMs, channel: "job" });
    return answer.ok ? success(undefined) : answer;
  }

  /** A copy is settled for all: for the book of copies. */
  gone(round: KeptRound): void {
    const key = this.#keys.get(round);
    if (key === undefined) return;
    this.#keys.delete(round);
    this.#copies.delete(key);
  }

  async #drainedForPeer(body: unknown): Promise<Result<unknown>> {
    const { owner, epoch } = (body ?? {}) as { readonly owner?: unknown; readonly epoch?: unknown };
    if (typeof owner !== "string" || typeof epoch !== "number") return failure("internal", "a question about copies is malformed");
    const drained = await this.#drain(gatewayId(owner), epoch);
    return drained.ok ? success({}) : drained;
  }

  async #drain(owner: GatewayId, epoch: number): Promise<Result<void>> {
    const { self, clock, inbox } = this.#context;
    const { kept, delivery, isPrimed } = this.#options;
    if (this.witness() !== self) return failure("not-ready", `${self} stands in for nobody`);
    if (!isPrimed()) return failure("not-ready", `${self} has not seen yet that the owners hold the same: it may lack copies of before`);
    if (!this.#isAt(epoch)) return this.#elsewhere(epoch);
    const endMs = clock.monotonicMs() + drainMaxMs;
    // What comes from now on was not acknowledged when this was asked.
    const waiting = [...kept.waitingFor(owner)];
    delivery.hurry(owner, drainMaxMs);
    const fresh = await this.#options.fresh(freshMaxMs);
    if (!fresh.ok) return fresh;
    if (!this.#isAt(epoch)) return this.#elsewhere(epoch);
    while (waiting.length > 0) {
      while (waiting.length > 0 && !kept.has(waiting.at(-1) as KeptRound, owner)) waiting.pop();
      if (waiting.length === 0) break;
      if (inbox.closed() || clock.monotonicMs() >= endMs)
        return failure("not-ready", `${self} still keeps ${waiting.length} rounds for ${owner}`);
      await pause(clock, drainPollMs);
    }
    return this.#isAt(epoch) ? success(undefined) : this.#elsewhere(epoch);
  }

  #elsewhere(epoch: number): Result<never> {
    return failure("ring-changed", `${this.#context.self} is at ring epoch ${this.#options.ring().table.epoch}, the question at ${epoch}`);
  }

  /** Neither acts under another table, nor knows of one that it is about to act under. */
  #isAt(epoch: number): boolean {
    return this.#options.ring().table.epoch === epoch && this.#options.appliedEpoch() === epoch;
  }

  #offered(from: GatewayId, body: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(body);
    const { targets, round } = (unpacked.ok ? (unpacked.value ?? {}) : {}) as { readonly targets?: unknown; readonly round?: unknown };
    if (!Array.isArray(targets) || !(round instanceof Uint8Array) || this.witness() !== this.#context.self) return;
    const decoded = decodeRound(round, roundVersionAt(this.#context.tuning.featureMax));
    if (!decoded.ok || decoded.value.header.coordinator !== from) {
      this.#context.diagnostics.warn("round-malformed", { from, what: decoded.ok ? "another coordinator" : decoded.message });
      return;
    }
    const { header, columns } = decoded.value;
    const owners = (targets as unknown[]).filter((target) => typeof target === "string").map(gatewayId);
    // A confused coordinator must not fill this disk with what it is no stand-in for.
    if (header.epoch === this.#options.ring().table.epoch && !this.#standsInFor(columns.seriesTable, owners)) return;
    const offer: OfferedRound = { from, session: header.session, number: header.round, epoch: header.epoch };
    const effects: OwnerEffect[] = [];
    this.#owner.offered(offer, this.#epoch(), effects);
    const copy = { session: header.session, number: header.round, targets: owners, bytes: Uint8Array.from(round), readings: columns.count };
    for (const effect of effects) this.#carryOut(effect, copy);
  }

  #standsInFor(series: readonly SeriesName[], targets: readonly GatewayId[]): boolean {
    if (targets.length === 0) return false;
    const { table } = this.#options.ring();
    return series.every((name) => {
      const owners = ownersOf(table, this.#options.partitionOf(name));
      return owners.length === 2 && targets.every((target) => owners.includes(target));
    });
  }

  /** That of none while another table is known than this gateway acts under. */
  #epoch(): number {
    const { epoch } = this.#options.ring().table;
    return this.#options.appliedEpoch() === epoch ? epoch : noEpoch;
  }

  #carryOut(effect: OwnerEffect, copy: CopyToKeep): void {
    switch (effect.type) {
      case "append": {
        const { offer } = effect;
        const isTaken =
          this.#options.mayTake() &&
          this.#keep(offer.from, copy, () => {
            const answers: OwnerEffect[] = [];
            this.#owner.durable(offer, this.#epoch(), answers);
            for (const answer of answers) this.#carryOut(answer, copy);
          });
        if (!isTaken) this.#owner.notTaken(offer);
        break;
      }
      case "acknowledge":
        this.#answer(effect.to, { session: effect.session, durable: [effect.round] });
        break;
      case "refuse":
        this.#answer(effect.to, { session: effect.session, refused: [effect.round], epoch: effect.epoch });
        break;
    }
  }

  #answer(to: GatewayId, answer: unknown): void {
    this.#options.router.send(to, "replica", FrameKind.Replicated, this.#context.packing.pack(answer));
  }

  #keep(from: GatewayId, copy: CopyToKeep, durable: () => void): boolean {
    const round = this.#options.kept.add(KeptKind.Copy, copy, () => this.#context.inbox.post(durable));
    if (round === undefined) return false;
    const key = keyOf(from, copy);
    this.#copies.set(key, round);
    this.#keys.set(round, key);
    return true;
  }

  #relieved(from: GatewayId, body: Uint8Array): void {
    const unpacked = this.#context.packing.unpack(body);
    const { session, owner, rounds } = (unpacked.ok ? (unpacked.value ?? {}) : {}) as Partial<
      Record<"session" | "owner" | "rounds", unknown>
    >;
    if (typeof session !== "string" || typeof owner !== "string" || !Array.isArray(rounds)) return;
    for (const number of rounds as unknown[])
      if (typeof number === "number") this.#settle(keyOf(from, { session: session as SessionId, number }), gatewayId(owner));
  }

  #settle(key: string, owner: GatewayId): void {
    const round = this.#copies.get(key);
    if (round !== undefined) this.#options.kept.deliveredTo(owner, round);
  }

  #sendRelief(): void {
    this.#reliefScheduled = false;
    const { packing, session } = this.#context;
    for (const { witness, owner, rounds } of this.#relief.values())
      this.#options.router.send(witness, "replica", FrameKind.Relieved, packing.pack({ session, owner, rounds }));
    this.#relief.clear();
  }
}

function keyOf(coordinator: GatewayId, round: Pick<CopyToKeep, "session" | "number">): string {
  return `${coordinator} ${round.session} ${round.number}`;
}
