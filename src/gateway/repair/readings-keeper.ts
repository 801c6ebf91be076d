/**
 * Readings that reach this gateway in another way than as a round of a device's coordinator: fetched while it fills, brought
 * by a repair or as a hint. Each lot is checked like a round, written to the readings log, and counts once it is
 * durable. A reading that is there already is stored once.
 *
 * A peer may ask to have readings kept (`keep-readings`). It names the ring epoch under which it found that this gateway owns
 * them, and is refused under any other, as a round is.
 */

import type { RingState } from "../../core/ring/owner-changes.ts";
import { isOwner, noEpoch } from "../../core/ring/owner-table.ts";
import { RoundBuilder } from "../../core/round/round-builder.ts";
import { decodeRound, type RoundVersion, roundVersionAt } from "../../core/round/round-codec.ts";
import { assert, defined } from "../../lib/assert.ts";
import { failure, type Result, success } from "../../lib/errors.ts";
import type { GatewayId, Partition } from "../../lib/ids.ts";
import { ValueType } from "../../lib/reading.ts";
import type { ReadingColumns, SeriesName } from "../../lib/reading-columns.ts";
import type { GatewayContext } from "../context.ts";
import type { PageSeries } from "../query/wire.ts";
import { type ReadingsLog, RecordKind } from "../readings-log.ts";
import type { Requests } from "../requests.ts";

export interface ReadingsKeeperOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call" | "serve">;
  readonly log: ReadingsLog;
  readonly ring: () => RingState;
  /** False while the store is too far behind, or the disk too full, to take more. */
  readonly mayTake: () => boolean;
  /** A number that no other round of this process has. */
  readonly roundNumber: () => number;
  /** Of rounds that are written and sent: what all gateways of the site can read. */
  readonly roundVersion: () => RoundVersion;
  readonly partitionOf: (name: SeriesName) => Partition;
  /** A durable round's readings join the heads. Records come in the order of the log. */
  readonly store: (columns: ReadingColumns, sequence: number) => void;
}

/** What a peer is asked to keep (MessagePack). */
interface KeepRequest {
  /** Under which the peer owns all of it. */
  readonly epoch: number;
  /** Encoded as a round, whoever coordinated it. */
  readonly round: Uint8Array;
}

/** Readings that were kept, and the bytes of their record. */
export interface Kept {
  readonly readings: number;
  readonly bytes: number;
}

const keepTimeoutMs = 10_000;

export class ReadingsKeeper {
  readonly #options: ReadingsKeeperOptions;
  readonly #context: GatewayContext;

  constructor(options: ReadingsKeeperOptions) {
    this.#options = options;
    this.#context = options.context;
    options.requests.serve("keep-readings", (_from, body) => this.#keepForPeer(body));
  }

  /** Runs of series as one round of this gateway's, to be kept or sent. At most `roundReadingsMax` readings. */
  encode(series: readonly PageSeries[], epoch: number): Uint8Array {
    const { self: coordinator, session, clock } = this.#context;
    const names: SeriesName[] = series.map(({ device, metric }) => ({ device, metric }));
    const builder = new RoundBuilder((ref) => defined(names[ref], `series ${ref} of the readings to be kept`));
    series.forEach(({ run }, ref) => {
      for (let row = 0; row < run.count; row++) {
        const type = run.types === undefined ? ValueType.Number : (run.types[row] as ValueType);
        const number = run.numbers[row] as number;
        builder.append(ref, run.times[row] as number, type, number, type === ValueType.Text ? run.texts[number] : undefined);
      }
    });
    const round = this.#options.roundNumber();
    const header = { coordinator, session, round, epoch, clockSynchronised: clock.synchronised() };
    return builder.encode(header, this.#options.roundVersion());
  }

  /**
   * Writes a round here; durable and in the heads when it resolves. Fails with `internal` for one that is malformed, and with
   * `busy` while this gateway cannot take more.
   */
  async keep(round: Uint8Array): Promise<Result<Kept>> {
    // It may come from another process: what it says is checked like any round before it is written.
    const decoded = decodeRound(round, roundVersionAt(this.#context.tuning.featureMax));
    if (!decoded.ok) return failure("internal", `readings from another gateway are malformed: ${decoded.message}`);
    return this.#write(round, decoded.value.columns);
  }

  /** Asks a peer, which owns all of it under this epoch, to keep a round. Resolves once it is durable there. */
  async offer(to: GatewayId, { epoch, round }: KeepRequest): Promise<Result<void>> {
    const body: KeepRequest = { epoch, round };
    const reply = await this.#options.requests.call(to, "keep-readings", body, { timeoutMs: keepTimeoutMs, channel: "bulk" });
    return reply.ok ? success(undefined) : reply;
  }

  async #keepForPeer(body: unknown): Promise<Result<unknown>> {
    const { epoch, round } = (body ?? {}) as Partial<KeepRequest>;
    if (typeof epoch !== "number" || !(round instanceof Uint8Array)) return failure("internal", "a lot of readings to keep is malformed");
    const { table } = this.#options.ring();
    if (epoch !== table.epoch || epoch === noEpoch)
      return failure("ring-changed", `${this.#context.self} is at ring epoch ${table.epoch}, the readings to keep at ${epoch}`);
    const decoded = decodeRound(round, roundVersionAt(this.#context.tuning.featureMax));
    if (!decoded.ok) return failure("internal", `a lot of readings to keep is malformed: ${decoded.message}`);
    const { columns } = decoded.value;
    for (const name of columns.seriesTable)
      if (!isOwner(table, this.#options.partitionOf(name), this.#context.self))
        return failure("not-ready", `${this.#context.self} does not own ${name.device}`);
    const kept = await this.#write(round, columns);
    if (!kept.ok) return kept;
    const now = this.#options.ring().table.epoch;
    // As for a round: whoever has asked for all that this gateway holds at a later epoch may have missed it.
    return now === epoch ? success({}) : failure("ring-changed", `${this.#context.self} is at ring epoch ${now} by now`);
  }

  #write(round: Uint8Array, columns: ReadingColumns): Promise<Result<Kept>> {
    if (!this.#options.mayTake()) return Promise.resolve(failure("busy", `${this.#context.self} cannot take readings at the moment`));
    return new Promise((resolve) => {
      const sequence = this.#options.log.append(RecordKind.Round, round, () =>
        this.#context.inbox.post(() => {
          assert(sequence !== undefined, "what became durable was appended");
          this.#options.store(columns, sequence);
          resolve(success({ readings: columns.count, bytes: round.length }));
        }),
      );
      if (sequence === undefined) resolve(failure("busy", `the readings log of ${this.#context.self} has no room at the moment`));
    });
  }
}
