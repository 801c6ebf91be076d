/**
 * The records of the two logs of rounds that are kept for others, `hints` and `held`. Payload: kind (uint8), record version
 * (uint8), 6 zero bytes, a MessagePack body. Kinds are append-only.
 */

import { type GatewayId, gatewayId } from "../../lib/ids.ts";
import type { Packing } from "../../lib/packing.ts";

/** Never renumber. */
export const KeptKind = {
  /** An acknowledged round that some of its owners lack. In the log `hints`. */
  Hint: 1,
  /** A round that was acknowledged on this disk alone. In the log `held`, like the next. */
  Held: 2,
  /** A round that this gateway keeps as the stand-in for owners that lack it. */
  Copy: 3,
  /** Who has got what since, and the time. */
  Settled: 4,
} as const;
export type KeptKind = Exclude<(typeof KeptKind)[keyof typeof KeptKind], typeof KeptKind.Settled>;

const recordVersion = 1;
const headerBytes = 8;

/** Of every record: by which the age of rounds goes on over restarts (`AgeClock`). */
export interface RecordTime {
  /** Of the log's own age clock. */
  readonly ageMs: number;
  readonly wallMs: number;
}

export interface KeptRecord extends RecordTime {
  readonly kind: KeptKind;
  /** Owners that lack it; none of a held round, which nobody has. */
  readonly targets: readonly GatewayId[];
  readonly readings: number;
  readonly round: Uint8Array;
}

export interface SettledRecord extends RecordTime {
  readonly kind: typeof KeptKind.Settled;
  /** By target ("" for held rounds): first and last sequence number of each stretch that is done. */
  readonly settled: readonly (readonly [target: string, stretches: readonly number[]])[];
}

export function encodeKept(record: KeptRecord | SettledRecord, packing: Packing): readonly Uint8Array[] {
  const header = new Uint8Array(headerBytes);
  header[0] = record.kind;
  header[1] = recordVersion;
  const { kind: _, ...body } = record;
  return [header, packing.pack(body)];
}

/** `undefined` for what this version does not know, or cannot read. The round is a copy of its own. */
export function decodeKept(payload: Uint8Array, packing: Packing): KeptRecord | SettledRecord | undefined {
  if (payload.length < headerBytes || payload[1] !== recordVersion) return undefined;
  const unpacked = packing.unpack(payload.subarray(headerBytes));
  if (!unpacked.ok || typeof unpacked.value !== "object" || unpacked.value === null) return undefined;
  const body = unpacked.value as Partial<Record<"ageMs" | "wallMs" | "targets" | "readings" | "round" | "settled", unknown>>;
  const { ageMs, wallMs, targets, readings, round, settled } = body;
  if (typeof ageMs !== "number" || typeof wallMs !== "number") return undefined;
  const kind = payload[0];
  if (kind === KeptKind.Settled)
    return Array.isArray(settled) ? { kind, ageMs, wallMs, settled: settled as SettledRecord["settled"] } : undefined;
  if (kind !== KeptKind.Hint && kind !== KeptKind.Held && kind !== KeptKind.Copy) return undefined;
  if (!Array.isArray(targets) || typeof readings !== "number" || !(round instanceof Uint8Array)) return undefined;
  const owners = (targets as unknown[]).filter((target) => typeof target === "string").map(gatewayId);
  return { kind, ageMs, wallMs, targets: owners, readings, round: Uint8Array.from(round) };
}
