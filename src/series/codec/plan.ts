/** How a column would be written, and how long it would be, before anything is. */

import type { ByteWriter } from "../../lib/byte-writer.ts";

export interface Plan {
  /** Of what `write` writes; an estimate to within some bytes where a column is entropy-coded. */
  readonly bytes: number;
  readonly write: (writer: ByteWriter) => void;
}

/** The first of the shortest. */
export function shortest(plans: readonly [Plan, ...(Plan | undefined)[]]): Plan {
  let best = plans[0];
  for (const plan of plans) if (plan !== undefined && plan.bytes < best.bytes) best = plan;
  return best;
}

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

export function signedVarintBytes(value: number): number {
  const magnitude = Math.abs(value);
  return magnitude < 0x40 ? 1 : 1 + varintBytes(Math.floor(magnitude / 0x40));
}
