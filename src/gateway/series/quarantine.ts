/**
 * Chunks whose value is missing or damaged. Such a chunk is never read again and makes its own time of its series, and
 * nothing else, unanswerable at this gateway: whoever asks turns to another owner. Its record goes into the store with the
 * next ledger step and outlives a restart. This list is where fetching the readings again from other owners begins: append
 * what they hold of `ref.minUs` to `ref.maxUs` like any readings, then retire the chunk.
 */

import type { Packing } from "../../lib/packing.ts";
import type { StoreOperation } from "../../ports/store.ts";
import type { GatewayContext } from "../context.ts";
import { packSealed, unpackSealed } from "./sealed-value.ts";
import type { Series } from "./series-index.ts";
import { type ChunkRef, quarantineKey } from "./store-keys.ts";

export interface DamagedChunk {
  readonly series: Series;
  readonly ref: ChunkRef;
  readonly reason: string;
}

/** Of warnings; the count is whole. */
const namedMax = 10;

export class Quarantine {
  readonly #context: GatewayContext;
  readonly #all = new Map<ChunkRef, DamagedChunk>();
  /** Not in the store yet. */
  readonly #unwritten = new Set<ChunkRef>();

  constructor(context: GatewayContext) {
    this.#context = context;
  }

  /** A chunk that is being read turned out to be damaged. What was retired meanwhile does not matter any more. */
  add(series: Series, ref: ChunkRef, reason: string): void {
    if (ref.state !== "live") return;
    this.restore(series, ref, reason);
    this.#unwritten.add(ref);
    this.#context.diagnostics.error("chunk-quarantined", {
      what: describe({ series, ref, reason }),
      readings: ref.count,
      next: "other owners are asked for its readings",
    });
  }

  /** A chunk that the store's own record says to be damaged. */
  restore(series: Series, ref: ChunkRef, reason: string): void {
    ref.state = "damaged";
    this.#all.set(ref, { series, ref, reason });
  }

  count(): number {
    return this.#all.size;
  }

  entries(): Iterable<DamagedChunk> {
    return this.#all.values();
  }

  reasonOf(ref: ChunkRef): string | undefined {
    return this.#all.get(ref)?.reason;
  }

  warnings(): string[] {
    const named = [...this.#all.values()].slice(0, namedMax).map((damaged) => describe(damaged));
    if (this.#all.size > namedMax) named.push(`${this.#all.size - namedMax} more chunks are damaged`);
    return named;
  }

  hasUnwritten(): boolean {
    return this.#unwritten.size > 0;
  }

  /** What the next ledger step writes. `written` is called once that stands. */
  records(): { readonly operations: StoreOperation[]; readonly written: () => void } {
    const refs = [...this.#unwritten];
    const operations = refs.map(
      (ref): StoreOperation => ({
        type: "put",
        key: quarantineKey(ref),
        value: packSealed(this.#context.packing, { reason: this.#all.get(ref)?.reason ?? "" }),
      }),
    );
    return {
      operations,
      written: () => {
        for (const ref of refs) this.#unwritten.delete(ref);
      },
    };
  }

  /** The chunk is dropped; its record goes with it. */
  forget(ref: ChunkRef): void {
    this.#all.delete(ref);
    this.#unwritten.delete(ref);
  }
}

export function describe({ series, ref, reason }: DamagedChunk): string {
  return `chunk of ${series.device} ${series.metric} from ${new Date(ref.minUs / 1_000).toISOString()} is damaged: ${reason}; the other owners have its readings`;
}

/** Why a chunk stands in quarantine; a record that cannot be read says no less. */
export function quarantineReason(packing: Packing, value: Uint8Array): string {
  const unpacked = unpackSealed(packing, value);
  const reason = unpacked.ok ? (unpacked.value as { reason?: unknown }).reason : undefined;
  return typeof reason === "string" ? reason : "its record in the quarantine cannot be read either";
}
