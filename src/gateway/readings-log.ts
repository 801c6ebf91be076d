/**
 * The records of the readings log. Payload: kind (uint8), record version (uint8), 6 zero bytes (so that what follows
 * keeps its alignment), then the kind's body. Kinds are append-only.
 */

import type { Packing } from "../lib/packing.ts";
import type { Log } from "../ports/log.ts";

/** Never renumber. */
export const RecordKind = {
  /** A round (`core/round/round-codec.ts`). */
  Round: 1,
  /** Timestamps up to `untilUs` may have been given out (MessagePack). */
  Reservation: 2,
  /** The state of the store at a log position (MessagePack, `CheckpointRecord`); also the first record of a new log. */
  Checkpoint: 3,
  /** The rows of an uncommitted attempt of a job's run (MessagePack). */
  AttemptRows: 4,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

const recordVersion = 1;
const recordHeaderBytes = 8;

/** Everything up to log sequence `position` stands in the store's chunks. */
export interface CheckpointRecord {
  readonly position: number;
  readonly chunks: number;
  readonly readings: number;
  /** Additive digest of the chunks' keys: a store that lost one of them is found out. */
  readonly digest: string;
  /** Stamps up to here may have been given out. */
  readonly reservedUs: number;
  /** Of the store's ledger step, strictly increasing; missing in records of before there was compaction. */
  readonly number?: number;
}

export interface ReadingsRecord {
  readonly kind: number;
  readonly body: Uint8Array;
}

export class ReadingsLog {
  readonly log: Log;
  readonly #packing: Packing;

  constructor(log: Log, packing: Packing) {
    this.log = log;
    this.#packing = packing;
  }

  /** See `Log.append`; the body is not copied. */
  append(kind: RecordKind, body: Uint8Array, durable: () => void): number | undefined {
    return this.log.append([recordHeader(kind), body], durable);
  }

  appendPacked(kind: RecordKind, body: unknown, durable: () => void): number | undefined {
    return this.append(kind, this.#packing.pack(body), durable);
  }
}

function recordHeader(kind: RecordKind): Uint8Array {
  const header = new Uint8Array(recordHeaderBytes);
  header[0] = kind;
  header[1] = recordVersion;
  return header;
}

/** `undefined` for a record of a version that this build does not know. */
export function parseRecord(payload: Uint8Array): ReadingsRecord | undefined {
  if (payload.length < recordHeaderBytes || payload[1] !== recordVersion) return undefined;
  return { kind: payload[0] as number, body: payload.subarray(recordHeaderBytes) };
}
