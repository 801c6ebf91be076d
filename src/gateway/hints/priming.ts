/**
 * A witness that came later than the site, or whose log of copies lost records, cannot know what was kept for whom before. It
 * asks the two owners of every partition for the digest of all that they hold there: once both have said the same, whatever only the
 * other one and the lost copies had is in both, and the witness may answer for either. Hints and repair make them equal.
 *
 * The document `stand-in` says whether that has happened; where there is none a founder's folder needs none of it, since
 * nothing was stored before it.
 */

import { type RingState, wholeOwnersOf } from "../../core/ring/owner-changes.ts";
import type { Result } from "../../lib/errors.ts";
import { type GatewayId, partitionCount } from "../../lib/ids.ts";
import type { GatewayContext } from "../context.ts";
import type { Requests } from "../requests.ts";

export interface PrimingOptions {
  readonly context: GatewayContext;
  readonly requests: Pick<Requests, "call">;
  readonly ring: () => RingState;
  readonly isFounder: boolean;
  /** Records of the log of copies are lost. */
  readonly isDamaged: boolean;
  /** Whether this gateway stands in for anybody. */
  readonly isWitness: () => boolean;
}

const documentName = "stand-in";
const batchMax = 128;
const timeoutMs = 30_000;
const retryMs = 5_000;

export class Priming {
  readonly #options: PrimingOptions;
  #primed = false;
  #running = false;
  #nextMs = 0;
  /** Partitions whose owners have not said the same yet, under this epoch. */
  #left: Set<number> | undefined;
  /** Of this pass: to be compared again in the next. */
  readonly #retried = new Set<number>();
  #epoch = 0;

  constructor(options: PrimingOptions) {
    this.#options = options;
  }

  /** Fails with `data-damaged` or `store-failed`. */
  async open(): Promise<Result<void>> {
    const { context, isFounder, isDamaged } = this.#options;
    const { documents } = context.ports;
    const read = await documents.read(documentName);
    if (!read.ok) return read;
    const said = (read.value as { readonly primed?: unknown } | undefined)?.primed;
    this.#primed = !isDamaged && (typeof said === "boolean" ? said : isFounder);
    return isDamaged ? documents.write(documentName, { primed: false }) : { ok: true, value: undefined };
  }

  isPrimed(): boolean {
    return this.#primed;
  }

  /** Once a second. */
  look(): void {
    const { context, isWitness } = this.#options;
    if (this.#primed || this.#running || context.clock.monotonicMs() < this.#nextMs || !isWitness()) return;
    this.#running = true;
    void this.#compareAll().finally(() => {
      this.#running = false;
      this.#nextMs = context.clock.monotonicMs() + retryMs;
    });
  }

  async #compareAll(): Promise<void> {
    const ring = this.#options.ring();
    const { epoch } = ring.table;
    if (this.#left === undefined || epoch !== this.#epoch) this.#left = new Set(Array.from({ length: partitionCount }, (_, at) => at));
    this.#epoch = epoch;
    for (;;) {
      const batch = this.#nextBatch(ring, this.#left);
      if (batch === undefined) break;
      const [first, second] = await Promise.all(batch.owners.map((owner) => this.#digests(owner, epoch, batch.partitions)));
      if (first === undefined || second === undefined || this.#options.context.inbox.closed()) return;
      for (const at of batch.partitions) {
        this.#left.delete(at);
        if (first.get(at) !== second.get(at)) this.#retried.add(at);
      }
    }
    for (const at of this.#retried) this.#left.add(at);
    const isDone = this.#retried.size === 0;
    this.#retried.clear();
    if (!isDone || this.#options.ring().table.epoch !== epoch) return;
    const written = await this.#options.context.ports.documents.write(documentName, { primed: true });
    if (written.ok) this.#primed = true;
  }

  /** Partitions with one whole owner need no comparison: nobody else has what it lacks. */
  #nextBatch(
    ring: RingState,
    left: Set<number>,
  ): { readonly owners: readonly GatewayId[]; readonly partitions: readonly number[] } | undefined {
    const partitions: number[] = [];
    let owners: readonly GatewayId[] = [];
    for (const at of left) {
      const whole = wholeOwnersOf(ring, at).toSorted();
      if (whole.length < 2) left.delete(at);
      else if (partitions.length === 0 || whole.join() === owners.join()) {
        owners = whole;
        if (partitions.push(at) === batchMax) break;
      }
    }
    return partitions.length === 0 ? undefined : { owners: owners.slice(0, 2), partitions };
  }

  /** By partition; those without readings are left out. `undefined` when the owner did not say. */
  async #digests(owner: GatewayId, epoch: number, partitions: readonly number[]): Promise<ReadonlyMap<number, string> | undefined> {
    const question = {
      epoch,
      partitions,
      selector: { metric: undefined, device: "*", labels: {} },
      fromUs: 0,
      toUs: Number.MAX_SAFE_INTEGER,
      windowMs: 0,
      functions: [{ kind: "count" }],
      groupBy: [],
      packed: true,
    };
    const reply = await this.#options.requests.call(owner, "aggregate", question, { timeoutMs, channel: "job" });
    const found = reply.ok ? (reply.value as { readonly partitions?: unknown } | null)?.partitions : undefined;
    if (!Array.isArray(found)) return undefined;
    const digests = new Map<number, string>();
    for (const item of found as ({ readonly partition?: unknown; readonly digest?: unknown } | null)[])
      if (typeof item?.partition === "number" && typeof item.digest === "string") digests.set(item.partition, item.digest);
    return digests;
  }
}
