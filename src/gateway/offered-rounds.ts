/**
 * The rounds that other gateways send to this one as an owner: decoded, refused where this gateway does not own all of it, handed
 * to the owner machine, appended to the readings log when the machine says so, and answered.
 */

import { type OfferedRound, Owner, type OwnerEffect } from "../core/replica/owner.ts";
import type { takesEpoch } from "../core/replica/rules.ts";
import type { RingState } from "../core/ring/owner-changes.ts";
import { isOwner } from "../core/ring/owner-table.ts";
import { decodeRound, roundVersionAt } from "../core/round/round-codec.ts";
import { assert } from "../lib/assert.ts";
import type { GatewayId, Partition, SessionId } from "../lib/ids.ts";
import type { ReadingColumns, SeriesName } from "../lib/reading-columns.ts";
import type { GatewayContext } from "./context.ts";
import { FrameKind } from "./frames.ts";
import type { MeshRouter } from "./mesh-router.ts";
import { type ReadingsLog, RecordKind } from "./readings-log.ts";

export interface OfferedRoundsOptions {
  readonly context: GatewayContext;
  readonly router: MeshRouter;
  readonly log: ReadingsLog;
  /** What this gateway acts under. */
  readonly ring: () => RingState;
  /** False while the store is too far behind to take more. */
  readonly mayTake: () => boolean;
  readonly partitionOf: (name: SeriesName) => Partition;
  /** A durable round's readings join the heads. Records come in the order of the log. */
  readonly store: (columns: ReadingColumns, sequence: number) => void;
  /** Where tests plant bugs. */
  readonly takesEpoch?: typeof takesEpoch;
}

/** What an owner says of a coordinator's rounds. */
export interface RoundAnswer {
  /** Of the process that numbered the rounds. */
  readonly session: SessionId;
  readonly durable?: readonly number[];
  readonly refused?: readonly number[];
  /** With refusals: under which the owner acts. */
  readonly epoch?: number;
}

/** Of each coordinator. */
const ownerWindowMax = 4_096;

export class OfferedRounds {
  readonly #options: OfferedRoundsOptions;
  readonly #owner: Owner;
  malformed = 0;
  refused = 0;

  constructor(options: OfferedRoundsOptions) {
    this.#options = options;
    const { takesEpoch: takes } = options;
    this.#owner = new Owner({ windowMax: ownerWindowMax, ...(takes === undefined ? {} : { takesEpoch: takes }) });
    options.router.handle(FrameKind.Replicate, (from, body) => this.#offered(from, body));
  }

  #offered(from: GatewayId, body: Uint8Array): void {
    const { tuning, diagnostics } = this.#options.context;
    const decoded = decodeRound(body, roundVersionAt(tuning.featureMax));
    if (!decoded.ok || decoded.value.header.coordinator !== from) {
      this.malformed++;
      diagnostics.warn("round-malformed", {
        from,
        what: decoded.ok ? `it names ${decoded.value.header.coordinator} as coordinator` : decoded.message,
      });
      return;
    }
    const { header, columns } = decoded.value;
    const epoch = this.#epoch();
    if (header.epoch === epoch && !this.#ownsAll(columns)) {
      this.refused++;
      this.#answer(from, { session: header.session, refused: [header.round], epoch });
      return;
    }
    const offer: OfferedRound = { from, session: header.session, number: header.round, epoch: header.epoch };
    const effects: OwnerEffect[] = [];
    this.#owner.offered(offer, epoch, effects);
    for (const effect of effects) this.#carryOut(effect, { body, columns });
  }

  #epoch(): number {
    return this.#options.ring().table.epoch;
  }

  /** A lying or confused coordinator must not fill this disk with what it does not own. */
  #ownsAll(columns: ReadingColumns): boolean {
    const { ring, partitionOf, context } = this.#options;
    const { table } = ring();
    return columns.seriesTable.every((name) => isOwner(table, partitionOf(name), context.self));
  }

  #carryOut(effect: OwnerEffect, round: { readonly body: Uint8Array; readonly columns: ReadingColumns } | undefined): void {
    switch (effect.type) {
      case "append": {
        assert(round !== undefined, "an offered round has bytes");
        this.#append(effect.offer, round);
        break;
      }
      case "acknowledge":
        this.#answer(effect.to, { session: effect.session, durable: [effect.round] });
        break;
      case "refuse":
        this.refused++;
        this.#answer(effect.to, { session: effect.session, refused: [effect.round], epoch: effect.epoch });
        break;
    }
  }

  #append(offer: OfferedRound, { body, columns }: { readonly body: Uint8Array; readonly columns: ReadingColumns }): void {
    const { mayTake, log, context, store } = this.#options;
    if (!mayTake()) {
      this.#owner.notTaken(offer);
      return;
    }
    const sequence = log.append(RecordKind.Round, body, () =>
      context.inbox.post(() => {
        store(columns, sequence as number);
        const answers: OwnerEffect[] = [];
        this.#owner.durable(offer, this.#epoch(), answers);
        for (const answer of answers) this.#carryOut(answer, undefined);
      }),
    );
    if (sequence === undefined) this.#owner.notTaken(offer);
  }

  #answer(to: GatewayId, answer: RoundAnswer): void {
    const { router, context } = this.#options;
    router.send(to, "replica", FrameKind.Replicated, context.packing.pack(answer));
  }
}

export function isRoundAnswer(value: unknown): value is RoundAnswer {
  if (typeof value !== "object" || value === null || !("session" in value) || typeof value.session !== "string") return false;
  const { epoch } = value as { epoch?: unknown };
  if (epoch !== undefined && typeof epoch !== "number") return false;
  const lists = [(value as { durable?: unknown }).durable, (value as { refused?: unknown }).refused];
  return lists.every((list) => list === undefined || (Array.isArray(list) && list.every((item) => typeof item === "number")));
}
